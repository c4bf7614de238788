"""Whether the work goes on: what the watchdog hears of, instead of a ticker that would live on while a pass hangs."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from pinsync.clock import Clock
from pinsync.remote.client import whole_answer
from pinsync.remote.limits import RateLimiter
from pinsync.settings.model import Settings

from .notify import Notifier


@dataclass(slots=True)
class Pulse:
    """Signs of life of one worker. Times are seconds by the monotonic clock."""

    clock: Clock
    _at: float | None = None

    def beat(self) -> None:
        """Something was begun, moved on or ended."""
        self._at = self.clock.monotonic()

    def rest(self) -> None:
        """There is nothing to do, so nothing moves."""
        self._at = None

    def silent_for(self, limiters: Iterable[RateLimiter]) -> float:
        """How long nothing has moved: no reading, planning or applying, no request sent or answered.

        Waiting for a rate limit, or for as long as a service asked for, is no silence. 0 while there is nothing to do.
        """
        if self._at is None:
            return 0.0
        return max(0.0, self.clock.monotonic() - max([self._at, *(limiter.moved_at for limiter in limiters)]))


def patience(settings: Settings) -> float:
    """The longest silence (seconds) that the configured timeouts and retries account for."""
    remotes = [whole_answer(remote.timeout) + remote.retry_for for remote in settings.remotes]
    nodes = [node.timeout + node.retry_for for node in settings.nodes]
    return max([*remotes, *nodes])


class Watchdog:
    """Tells the service manager that we live, as long as we do. Says in the log when it stops."""

    def __init__(self, notifier: Notifier, log: logging.Logger) -> None:
        self._notifier, self._log = notifier, log
        self._hangs = False

    def feed(self, overdue: float) -> None:
        """Call it now and then. `overdue`: seconds of silence beyond what timeouts account for (`Runner.overdue`).

        As much again as the manager itself waits is forgiven, for work between two signs of life.
        """
        limit = self._notifier.watchdog
        if limit is None:
            return
        hangs = overdue > limit
        if hangs and not self._hangs:
            self._log.error(
                "nothing has moved for %.0f s longer than any timeout allows: this is a bug in pinsync, please report "
                "it. The watchdog hears no more of us, so that the service manager starts pinsync again; the next pass "
                "goes on from where this one stands",
                overdue,
            )
        elif self._hangs and not hangs:
            self._log.info("the work goes on")
        self._hangs = hangs
        if not hangs:
            self._notifier.tell(WATCHDOG="1")
