"""The clockwork of the schedule: APScheduler, reduced to something that ticks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger


class Ticker:
    """Calls `tick` on the running loop every so often, from `every` on.

    The tick only raises a flag. In APScheduler 3.11 asking a job that runs to run again was lost, and a job two
    seconds late was dropped unless told otherwise: so nothing is done inside a job, and lateness is always forgiven.
    """

    def __init__(self, tick: Callable[[], None]) -> None:
        logging.getLogger("apscheduler").setLevel(logging.WARNING)
        self._tick = tick
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        self._scheduler.start()

    def every(self, seconds: float) -> None:
        """Tick in `seconds` and then as often, instead of what was asked before."""
        self._scheduler.add_job(
            self._run, IntervalTrigger(seconds=max(1, round(seconds)), timezone=UTC), id="pass", replace_existing=True
        )

    def close(self) -> None:
        """Tick no more."""
        self._scheduler.shutdown(wait=False)

    async def _run(self) -> None:  # a coroutine function runs on the loop; a plain one would get a thread
        self._tick()
