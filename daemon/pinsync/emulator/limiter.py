"""A rate limit that counts requests as they arrive."""

from __future__ import annotations

import math
from collections import deque
from email.utils import formatdate

from pinsync.emulator.behaviour import Rate


class Limiter:
    """Admits requests under one `Rate`; those refused do not count."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._arrivals: deque[float] = deque()

    def arrive(self, at: float, now: float) -> tuple[bool, dict[str, str]]:
        """Whether a request at `at` (monotonic) is admitted, and headers for its answer. `now`: the server's epoch."""
        rate = self.rate
        while self._arrivals and self._arrivals[0] <= at - rate.window:
            self._arrivals.popleft()
        admitted = len(self._arrivals) < rate.count
        if admitted:
            self._arrivals.append(at)
        wait = self._arrivals[0] + rate.window - at
        headers: dict[str, str] = {}
        if rate.tell == "reset":
            headers["x-ratelimit-limit"] = str(rate.count)
            headers["x-ratelimit-remaining"] = str(rate.count - len(self._arrivals))
            headers["x-ratelimit-reset"] = str(math.ceil(now + wait))
        elif not admitted and rate.tell != "nothing":
            seconds = math.ceil(wait if rate.retry_after is None else rate.retry_after)
            # A date has whole seconds: one more, or it would be too early.
            told = str(seconds) if rate.tell == "seconds" else formatdate(math.ceil(now) + seconds, usegmt=True)
            headers["retry-after"] = told
        return admitted, headers
