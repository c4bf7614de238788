"""How long a pass under way is waited for when its process is to end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from pinsync.remote.limits import RateLimiter

GRACE = 3.0  # seconds at most, while a change is in flight
_LOOK = 0.05  # seconds between two looks whether one still is
_IDLE_LOOKS = 3  # in a row: a step that follows at once, such as noting the outcome, is part of the change


async def until_idle(task: asyncio.Future[Any], limiters: Mapping[str, RateLimiter]) -> None:
    """Wait, for `GRACE` at most, until a pass is over or no change is in flight, as the remotes' `limiters` tell.

    It is not waited for reading, for the rate limit or for another try: the next pass does all that again.
    """
    loop = asyncio.get_running_loop()
    end, idle = loop.time() + GRACE, 0
    while idle < _IDLE_LOOKS and (left := end - loop.time()) > 0 and not task.done():
        await asyncio.wait({task}, timeout=min(left, _LOOK))
        idle = 0 if any(limiter.unfinished for limiter in limiters.values()) else idle + 1
