"""How pins come to be: their ids, and their way from queued to pinned or failed."""

from __future__ import annotations

import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from fnmatch import fnmatchcase
from heapq import heappop, heappush
from itertools import count
from random import Random

from pinsync.emulator.behaviour import FOREVER, Behaviour
from pinsync.emulator.store import Row, Store
from pinsync.model import PinStatus


def new_id(kind: str, cid: str, number: int, random: Random) -> str:
    """A `requestid` of this kind (`Behaviour.requestid`) for the row that will have this number."""
    match kind:
        case "cid":
            return cid
        case "sequence":
            return f"req-{number}"
        case "opaque":
            return urlsafe_b64encode(b"gid://emulator/Pin/%d" % number).decode().rstrip("=")
        case "awkward":
            return f"../pins/{number}%2F..%25?n={number} #ü"
        case _:
            # The number inside keeps ids apart when a database outlives the generator's seed.
            bits = random.getrandbits(128) >> 48 << 48 | number
            return str(uuid.UUID(int=bits, version=4))


class Lifecycle:
    """Moves rows on as time passes. `now` is asked for the server's epoch seconds, `behaviour` for the one in force."""

    def __init__(self, store: Store, now: Callable[[], float], behaviour: Callable[[], Behaviour]) -> None:
        self._store = store
        self._now = now
        self._behaviour = behaviour
        self._events: list[tuple[float, int, Row]] = []  # when the status of a row may change next
        self._ties = count()
        for row in store:
            self.watch(row)

    def queue(self, row: Row) -> PinStatus:
        """Start a row on its way; the status that it has at once, for the caller to set."""
        b = self._behaviour()
        now = self._now()
        row.details = None
        row.pinning_at, row.settles_at = now + b.settle / 2, now + b.settle
        status = self.status(row)
        if b.settle <= 0:
            self._settled(row, status)
        return status

    def status(self, row: Row) -> PinStatus:
        """What the row's status is by now, whatever lists say."""
        if row.settles_at is None or row.pinning_at is None:
            return row.status
        now = self._now()
        if now >= row.settles_at:
            fails = any(fnmatchcase(row.cid, glob) for glob in self._behaviour().fails)
            return PinStatus.FAILED if fails else PinStatus.PINNED
        return PinStatus.PINNING if now >= row.pinning_at else PinStatus.QUEUED

    def refresh(self, row: Row) -> None:
        """Let lists know it too."""
        status = self.status(row)
        if row.settles_at is not None and self._now() >= row.settles_at:
            self._settled(row, status)
            self._store.change(row, status)
        elif status is not row.status:
            self._store.change(row, status)

    def watch(self, row: Row) -> None:
        """Remember when to look at a row that is on its way."""
        for at in (row.pinning_at, row.settles_at):
            if at is not None and at < FOREVER:
                heappush(self._events, (at, next(self._ties), row))

    def catch_up(self) -> None:
        """What the service notices by itself: every status that changed longer than `list_lag` ago."""
        until = self._now() - self._behaviour().list_lag
        while self._events and self._events[0][0] <= until:
            row = heappop(self._events)[2]
            if not row.gone:
                self.refresh(row)

    def _settled(self, row: Row, status: PinStatus) -> None:
        row.pinning_at = row.settles_at = None
        row.details = self._behaviour().fail_details if status is PinStatus.FAILED else None
