"""Time as a thing that is passed in, so that tests and simulations own it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The three things that pinsync asks of time."""

    def now(self) -> float:
        """Seconds since the epoch, UTC. May jump."""

    def monotonic(self) -> float:
        """Seconds since some moment. Never jumps; for pauses and deadlines inside one process."""

    async def sleep(self, seconds: float) -> None:
        """Wait; other tasks run meanwhile."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def rfc3339(at: float | None) -> str | None:
    """Seconds since the epoch as `2026-11-23T04:42:00Z`, the form of every time in JSON; None stays None."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
