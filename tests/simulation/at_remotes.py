"""What others, and the service itself, do at a remote of a history."""

from __future__ import annotations

from typing import Any

from pinsync.emulator.records import Seed
from pinsync.model import PinStatus

from .records import OTHERS
from .service import SimRemote
from .stage import CIDS, NAMES, Stage

_STATUSES = (PinStatus.FAILED, PinStatus.QUEUED, PinStatus.PINNING, PinStatus.PINNED)
_CLOSED = ("maintenance", "restricted", "delete-restricted", "refused", "full", "lapsed", "no-pinning-rights")
KNOBS: tuple[dict[str, Any], ...] = (
    {"count": "page"}, {"count": "total+1"}, {"count": "page+1"}, {"order": "oldest"}, {"order": "shuffled"},
    {"bounds": "inclusive"}, {"status_after_limit": True}, {"cid_filter": "ignored"}, {"cid_filter": "alone"},
    {"max_limit": 10, "over_limit": "clamp"}, {"default_limit": 10, "limit_honoured": False}, {"list_lag": 60.0},
    {"list_delay": 2.0}, {"settle": 600.0}, {"settle": 0.0}, {"skew": -90.0}, {"skew": 3600.0},
    {"name_filter": "ignored"}, {"status_default": "all"}, {"created_unique": False}, {"latency": 0.5},
    {"meta_allowed": False, "meta_kept": False},
)  # fmt: skip


class AtRemotes(Stage):
    """Actions on remotes."""

    def do_foreign_add(self, r: int, c: int, name: int, marked: int) -> None:
        remote = self._remote(r)
        b, cid = remote.emulator.behaviour, self._cid(c)
        there = remote.emulator.store.of_cid(cid)
        meta = {"pinsync": "another-mirror"} if marked % 4 == 1 else {"who": "them"} if marked % 4 == 2 else None
        meta = meta if b.meta_kept else None
        if there and b.repost != "new-row":
            if b.repost != "keep" and remote.account.origins[there[-1].seq].owner == OTHERS:
                there[-1].name, there[-1].meta = NAMES[name % len(NAMES)] or None, meta
                remote.emulator.store.change(there[-1])
        else:
            ids = remote.emulator.seed_pins([Seed(cid, NAMES[name % len(NAMES)] or None, meta)], step=0)
            row = remote.emulator.store.get(ids[0])
            assert row is not None
            if b.created_unique:
                remote.emulator.store.change(row, created=max(row.created, remote.emulator.store.newest + 1_000_000))
        self.oracle.others_changed(remote.account)

    def do_foreign_remove(self, r: int, which: int) -> None:
        remote = self._remote(r)
        row = self._row(remote, which, foreign=True)
        if row is not None:
            remote.emulator.remove_pins([row.requestid])
        self.oracle.others_changed(remote.account)

    def do_foreign_rename(self, r: int, which: int, name: int) -> None:
        remote = self._remote(r)
        row = self._row(remote, which)
        if row is not None:
            row.name = NAMES[name % len(NAMES)] or None
            remote.emulator.store.change(row)
        self.oracle.tick()

    def do_lose(self, r: int, which: int) -> None:
        """The service, or a person, drops any pin."""
        remote = self._remote(r)
        row = self._row(remote, which)
        if row is not None:
            remote.emulator.remove_pins([row.requestid])
        self.oracle.others_changed(remote.account)

    def do_lose_all(self, r: int) -> None:
        remote = self._remote(r)
        remote.emulator.remove_pins([row.requestid for row in list(remote.emulator.store)])
        self.oracle.others_changed(remote.account)

    def do_account(self, r: int, number: int) -> None:
        """The token is another account's; not where ids repeat and no mark is kept: nobody could tell them apart."""
        b = self._remote(r).emulator.behaviour
        self._to_account(self._remote(r), number % 2 if b.meta_kept or b.requestid == "uuid" else 0)
        for account in self._remote(r).accounts:
            account.wobbles = True
        self.oracle.tick()

    def _to_account(self, remote: SimRemote, number: int) -> None:
        remote.at = number
        for watch in self.oracle.watches.values():  # what was asked for at one is not there at the other
            for asked in (watch.asked, watch.asking):
                for where in [one for one in asked if one[0] == remote.name]:
                    del asked[where]

    def do_status(self, r: int, which: int, status: int) -> None:
        remote = self._remote(r)
        row = self._row(remote, which)
        if row is not None:
            remote.emulator.set_status(row.requestid, _STATUSES[status % 4], "no providers found")
            origin = remote.account.origins[row.seq]
            origin.turned, origin.told = self.oracle.tick(), remote.account.time() + remote.account.list_lag

    def do_mass_fail(self, r: int) -> None:
        remote = self._remote(r)
        for row in list(remote.emulator.store):
            remote.emulator.set_status(row.requestid, PinStatus.FAILED, "a peer is away")
        self.oracle.tick()

    def do_closed(self, r: int, kind: int) -> None:
        self._remote(r).become(closed=_CLOSED[kind % len(_CLOSED)])

    def do_full(self, r: int, most: int) -> None:
        self._remote(r).become(capacity=most)

    def do_refuses(self, r: int, c: int) -> None:
        self._remote(r).become(refuses=tuple(CIDS[c % self.spec["contents"]]))

    def do_fails(self, r: int, c: int) -> None:
        self._remote(r).become(fails=tuple(CIDS[c % self.spec["contents"]]))

    def do_open(self, r: int) -> None:
        self._remote(r).become(closed="", capacity=None, refuses=(), fails=())

    def do_knob(self, r: int, number: int) -> None:
        knobs, remote = KNOBS[number % len(KNOBS)], self._remote(r)
        if knobs.get("meta_allowed", True) or not len(remote.emulator.store):  # a pin without a mark is another's there
            remote.become(**knobs)

    def do_list_hides(self, r: int, which: int) -> None:
        remote = self._remote(r)
        row = self._row(remote, which)
        remote.hide(row.requestid if row is not None else None, everywhere=which % 2 == 0)

    def do_list_lags(self, r: int, seconds: float) -> None:
        self._remote(r).lag(seconds)

    def do_list_garbles(self, r: int, which: int) -> None:
        remote = self._remote(r)
        row = self._row(remote, which)
        remote.garbled = {row.requestid} if row is not None else set()

    def do_list_shows(self, r: int) -> None:
        self._remote(r).hide(None)
        self._remote(r).lag(0.0)
        self._remote(r).garbled = set()
