"""Between two passes: pins on their way are looked at when they are due."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from pinsync.clock import Clock
from pinsync.errors import PinsyncError, StateError
from pinsync.house import House
from pinsync.ledger.ledger import Ledger
from pinsync.ledger.pauses import paused
from pinsync.model import Mode
from pinsync.planning.rules import FOLLOW_CAP, due
from pinsync.settings.model import RemoteSettings
from pinsync.steps.follow import follow_up

FIRST_PAUSE = 5.0  # seconds; after a failure the pause doubles
AT_LEAST = 1.0  # seconds between two rounds
MOST = 100  # pins of one remote in one round


@dataclass(slots=True)
class _Trouble:
    said: str
    times: int
    until: float  # monotonic, as all pauses here: the clock may be set meanwhile


@dataclass(slots=True)
class FollowUps:
    """When pins are to be looked at between passes, and the looking. Times are seconds since the epoch."""

    ledger: Ledger
    clock: Clock
    log: logging.Logger
    _not_before: float = float("-inf")
    _troubles: dict[str, _Trouble] = field(default_factory=dict)

    def due_at(self, house: House) -> float | None:
        """When there is something to look at next; None for nothing."""
        times = [self._due_at(remote) for remote in house.settings.remotes]
        found = [at for at in times if at is not None]
        return max(min(found), self._on_the_clock(self._not_before)) if found else None

    async def round(self, house: House, stop: asyncio.Event) -> bool:
        """Look at what is due, at all remotes; True when something that waited for one of these can go on.

        Changes nothing at a remote, so it may be cancelled anywhere. Raises `StateError`.
        """
        self._not_before = self.clock.monotonic() + AT_LEAST
        now = self.clock.now()
        due = [remote for remote in house.settings.remotes if (at := self._due_at(remote)) is not None and at <= now]
        ready = await asyncio.gather(*(self._follow(house, remote, stop) for remote in due))
        return any(ready)

    def rest(self, seconds: float) -> None:
        """Look at nothing for so long."""
        self._not_before = self.clock.monotonic() + seconds

    def _on_the_clock(self, monotonic: float) -> float:
        return self.clock.now() + monotonic - self.clock.monotonic()

    def _due_at(self, remote: RemoteSettings) -> float | None:
        if remote.mode is Mode.READ_ONLY or paused(self.ledger, self.clock.now(), remote.name):
            return None
        first = self.ledger.due_follows(remote.name, float("inf"), 1)
        if not first or first[0].follow_at is None:
            return None
        trouble = self._troubles.get(remote.name)
        at = first[0].follow_at
        if due(at, self.clock.now(), 2 * FOLLOW_CAP):
            at = min(at, self.clock.now())
        return max(at, self._on_the_clock(trouble.until) if trouble else at)

    async def _follow(self, house: House, remote: RemoteSettings, stop: asyncio.Event) -> bool:
        try:
            async with house.remote(remote, self.ledger.remote(remote.name)) as client:
                followed = await follow_up(
                    remote.name, client, self.ledger, self.clock, stop, most=MOST, concurrency=remote.concurrency
                )
        except StateError:
            raise
        except PinsyncError as error:
            self._failed(house, remote, str(error))
            return False
        if followed.trouble is not None:
            self._failed(house, remote, followed.trouble)
        elif self._troubles.pop(remote.name, None):
            self.log.info("remote %s answers again", remote.name)
        for said in followed.failed:
            self.log.warning("remote %s could not pin %s", remote.name, said)
        if followed.changed:
            self.log.debug("remote %s: %d of %d pins moved on", remote.name, followed.changed, followed.looked)
        return bool(followed.changed) and self.ledger.successor_is_ready(remote.name)

    def _failed(self, house: House, remote: RemoteSettings, said: str) -> None:
        before = self._troubles.get(remote.name)
        times = before.times + 1 if before else 1
        pause = min(house.settings.schedule.every, FIRST_PAUSE * 2.0 ** min(times - 1, 20))
        self._troubles[remote.name] = _Trouble(said, times, self.clock.monotonic() + pause)
        level = logging.DEBUG if before and before.said == said else logging.WARNING
        self.log.log(level, "pins on their way are looked at again in %.0f s: %s", pause, said)
