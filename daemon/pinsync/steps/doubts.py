"""Doubts about ourselves: the clock, the machine, the ledger, and whether somebody else uses our mark.

As with every doubt nothing is removed while one stands, and a person may release it (semantics: *Held*).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from pinsync.clock import rfc3339
from pinsync.ledger.ledger import Ledger
from pinsync.ledger.recovery import BEGAN, HOME, MADE_ID, NEW, OLD, went_back
from pinsync.ledger.remembered import LEDGER_ID, remembered
from pinsync.paths import present
from pinsync.planning.guard import Counter
from pinsync.planning.plan import Decision, Doubt, Step, View
from pinsync.planning.witness import Believed, doubt_of
from pinsync.world import World

from .observe import RemoteView

MACHINE = "machine"
MARGIN = 600.0  # seconds that a remote's times may differ from ours beyond the measured difference


def own_doubts(world: World, ledger: Ledger | None) -> list[Doubt]:
    """What makes this pass doubt that it is the one mirror of this id, with the newest ledger; for every remote."""
    if ledger is None:
        return []
    found = []
    kept = remembered(ledger.store.path) if ledger.store.readonly else None
    if kept is not None and went_back(ledger, kept):  # as the next pass will find
        found.append(
            Doubt(
                "old-ledger:", "the ledger is older than the one that was here before, so the next pass holds removals"
            )
        )
    elif (old := ledger.fact(OLD)) is not None:
        about = json.loads(old)
        to = rfc3339(about["to"])
        found.append(
            Doubt(
                f"old-ledger:{about['since']:.0f}",
                f"the ledger is an older copy{f', of {to}' if to else ''}: what was approved, adopted or disowned "
                "since then is not known",
            )
        )
    before = ledger.fact(MACHINE)
    if before and world.machine and before != world.machine:
        found.append(
            Doubt(
                f"clone:machine:{world.machine}",
                "this state was last used on another machine: if that one still runs, both use one mark, and each "
                "would remove what only the other wants. Stop that one, or give one of them an [mirror] id and a state "
                "of its own; approving says that this machine took over",
            )
        )
    if (home := _copied_from(ledger)) is not None:
        found.append(
            Doubt(
                f"clone:copy:{hashlib.sha256(str(home).encode()).hexdigest()[:12]}",
                f"this state is a copy of {home.parent}, which is still there: two mirrors with one mark would remove "
                "each other's pins. Give one of them an [mirror] id and a state of its own, or delete the other state; "
                "approving says that this one took over",
            )
        )
    return found


def _copied_from(ledger: Ledger) -> Path | None:
    """Where the ledger was last used, if that is elsewhere and the same ledger is still there."""
    home = ledger.fact(HOME)
    if not home or home == str(ledger.store.path.absolute()) or not present(Path(home)):
        return None
    kept = remembered(Path(home))
    return Path(home) if kept is not None and kept.ledger == ledger.fact(LEDGER_ID) else None


def settle_own_doubts(world: World, ledger: Ledger, unsettled: Iterable[Doubt], observed: Iterable[Doubt]) -> None:
    """What was not doubted, or a person released, is the truth from now on. The caller opens the transaction."""
    standing = {doubt.code.rpartition(":")[0] for doubt in unsettled}
    if world.machine and "clone:machine" not in standing:
        ledger.set_fact(MACHINE, world.machine)
    if "clone:copy" not in standing:
        ledger.set_fact(HOME, str(ledger.store.path.absolute()))
    if "old-ledger" not in standing and any(doubt.code.startswith("old-ledger:") for doubt in observed):
        _forget(ledger, OLD)


def _forget(ledger: Ledger, fact: str) -> None:
    ledger.store.execute("DELETE FROM facts WHERE name = ?", (fact,))


def doubt_remote(world: World, ledger: Ledger | None, view: RemoteView) -> None:
    """Note in the view what this pass doubts at one remote, once it has answered or failed to."""
    clock = clock_doubt(world, ledger, view)
    view.clock_sure = clock is None
    found = [strangers_doubt(ledger, view.settings.name)]
    if view.listed != "failed":  # else our clock has no witness there, and nothing is removed anyway
        found.append(clock)
    view.doubts = [doubt for doubt in found if doubt is not None]


# -- the clock ---------------------------------------------------------------------------------------------------------


def clock_doubt(world: World, ledger: Ledger | None, view: RemoteView) -> Doubt | None:
    """Why our clock is not believed at a remote that was just asked something."""
    if ledger is None:
        return None
    lead = view.client.skew if view.client else None
    return doubt_of(world.clock.now(), lead, _believed(ledger, view), world.settings.schedule.every, view.settings.name)


def _believed(ledger: Ledger, view: RemoteView) -> Believed | None:
    kept = ledger.fact(_clock_of(view.settings.name))
    if kept is not None:
        at, lead, endpoint = json.loads(kept)
        return None if at is None else Believed(at, lead if endpoint == view.settings.endpoint else None)
    if view.record.tried_at is None:
        return None
    return Believed(view.record.tried_at, view.record.traits.skew)  # by a version that did not ask


def note_clock(ledger: Ledger, view: RemoteView, now: float, believed: bool) -> None:
    """Note the clock of this pass if it is `believed`: not doubted at this remote, or a person says that it is right.

    Else what was believed before stays so.
    """
    before = _believed(ledger, view)
    if believed:
        lead = view.client.skew if view.client else None
        before = Believed(now, lead if lead is not None or before is None else before.lead)
    kept = [None, None] if before is None else [before.at, before.lead]
    ledger.set_fact(_clock_of(view.settings.name), json.dumps([*kept, view.settings.endpoint]))


def _clock_of(remote: str) -> str:
    return f"clock of {remote}"


# -- somebody else with our mark ---------------------------------------------------------------------------------------


class Strangers:
    """Counts pins that carry our mark and that this ledger did not make: another process uses our mirror id."""

    def __init__(self, ledger: Ledger | None, view: RemoteView) -> None:
        self._ledger = ledger
        self._view = view
        self._lead = (view.client.skew if view.client else None) or 0.0
        self._began = float((ledger.fact(BEGAN) if ledger else None) or 0.0)
        before = _strangers(ledger, view.settings.name) if ledger else None
        self._before, self.newest, self.cid = before or (0, 0, "")
        self._new = 0

    @property
    def count(self) -> int:
        """How many there are by now; 0 while this pass found none."""
        return self._before + self._new if self._new else 0

    def look(self, decision: Decision) -> None:
        """Take what a decision newly found to be ours into account."""
        assert self._ledger is not None
        remote = self._view.settings.name
        for one in decision.found:
            made = (one.created or 0) / 1e9 - self._lead
            if made <= self._began + MARGIN:
                continue
            posted, removed = self._ledger.store.execute(
                "SELECT max(at) FILTER (WHERE step = ?), max(settled_at) FILTER (WHERE step = ? AND state = 'done') "
                "FROM journal WHERE key = ? AND remote = ? AND step IN ('post', 'delete')",
                (Step.POST.value, Step.DELETE.value, one.key, remote),
            ).fetchone()
            ours = posted is not None and (removed is None or posted >= removed or made <= removed + MARGIN)
            if not ours:
                self._new += 1
                if (one.created or 0) > self.newest:
                    self.newest, self.cid = one.created or 0, one.cid

    def doubt(self) -> Doubt:
        """What follows from those that were found."""
        return _doubt(self.count, self.newest, self.cid, self._view.settings.name)

    def note(self, now: float) -> None:
        """Keep what was found until a person has dealt with it. The caller opens the transaction."""
        assert self._ledger is not None
        name = self._view.settings.name
        self._ledger.set_fact(_strangers_at(name), json.dumps([self.count, self.newest, self.cid]))
        self._ledger.happened("strangers", now, remote=name, cid=self.cid, details=self.doubt().reason)


def strangers_doubt(ledger: Ledger | None, remote: str) -> Doubt | None:
    """The doubt about pins with our mark that we did not make, while nobody has dealt with it."""
    found = _strangers(ledger, remote) if ledger else None
    return None if found is None else _doubt(*found, remote)


def forget_strangers(ledger: Ledger, remote: str) -> None:
    """A person has dealt with it."""
    _forget(ledger, _strangers_at(remote))


MOST_STRANGE = 0.5
"""When more of the pins known by their mark alone were never wanted here, our ledger was not lost: they are another's.

A ledger that was really lost finds most of its marked pins wanted.
"""


def strange_share(
    world: World, ledger: Ledger | None, view: RemoteView, plan: View, doubts: Sequence[Doubt]
) -> float | None:
    """Above which share of the pins known by their mark alone those that were never wanted are held; None for never.

    All are held at a remote whose endpoint changed (it may be another remote's account), and where some were held
    before, until none is left. None is by its share where a lost ledger's id outlived it.
    """
    if ledger is None:
        return None
    if _moved(view) or ledger.fact(_strange_at(view.settings.name)) is not None:
        return 0.0
    sure = plan.sources_whole and plan.listed == "complete" and not doubts
    our_id = bool(world.settings.mirror.id) or ledger.fact(MADE_ID) == world.mirror_id
    return MOST_STRANGE if sure and our_id and ledger.fact(NEW) is None else None


def note_strange(ledger: Ledger, view: RemoteView, counter: Counter) -> None:
    """Keep that such pins are held, until none is left. The caller opens the transaction."""
    fact = _strange_at(view.settings.name)
    if counter.strange_held or (_moved(view) and view.listed != "complete"):
        ledger.set_fact(fact, "held")
    elif view.listed == "complete" and not counter.strange:
        _forget(ledger, fact)


def _moved(view: RemoteView) -> bool:
    return view.record.endpoint not in (None, view.settings.endpoint)


def _strange_at(remote: str) -> str:
    return f"strange marks at {remote}"


def _strangers(ledger: Ledger, remote: str) -> tuple[int, int, str] | None:
    kept = ledger.fact(_strangers_at(remote))
    if kept is None:
        return None
    count, newest, cid = json.loads(kept)
    return int(count), int(newest), str(cid)


def _strangers_at(remote: str) -> str:
    return f"strangers at {remote}"


def _doubt(count: int, newest: int, cid: str, remote: str) -> Doubt:
    pins, carry, it = ("pin", "carries", "it") if count == 1 else ("pins", "carry", "them")
    return Doubt(
        f"clone:pins:{newest}@{remote}",
        f"{count} {pins} at {remote!r} {carry} our mark and this mirror did not make {it} ({cid}): does another "
        "machine or a copy of this state use the same mirror id? Each would remove what only the other wants. "
        "Stop one, or give it an [mirror] id of its own; approving says that this mirror goes on alone",
    )
