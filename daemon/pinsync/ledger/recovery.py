"""When the ledger is not what it was: a new one after damage or loss, and one that an old copy took the place of.

What is decided here is what to believe afterwards; that nothing is removed meanwhile is the guard's.
(semantics: *The ledger*)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinsync.errors import LedgerDamaged
from pinsync.model import RemotePin
from pinsync.planning.plan import How, Owned

from .copies import set_aside
from .ledger import LEFT, Ledger
from .pauses import all_pauses, end_pauses, put_pause
from .records import Pause, SourceRecord
from .remembered import GENERATION, LEDGER_ID, Remembered, advance, generation, identify, remembered
from .store import Store, damaged, is_sqlite, no_directory

BEGAN = "began"  # since when this ledger knows what we do (seconds)
NEW = "new_ledger"  # JSON: {"path", "since", "why"}: this ledger took the place of one that was lost or damaged
OLD = "old_ledger"  # JSON: {"since", "to"}: this ledger is an older copy, put back
MADE_ID = "made_id"  # the mirror id that was made for this ledger; one that was there before may be a lost ledger's
HOME = "home"  # the path at which this ledger was last used


@dataclass(frozen=True, slots=True)
class Opened:
    """An open ledger, and what had to be done for it, in words."""

    store: Store
    notes: tuple[str, ...] = ()


def open_ledger(path: Path, now: float, aside: Path | None = None, why: str = "") -> Opened:
    """Open the ledger to write it, whatever became of it. The caller holds the lock. Raises `StateError`.

    A file that is damaged, or empty though it was not, is set aside and a new ledger begun; `aside` and `why` say that
    this was done already. A file of another kind is refused: only where pinsync remembers a ledger of that name can a
    file that is no database have been one.
    """
    kept = remembered(path)
    no_directory(path)
    try:
        if kept is not None and path.exists() and path.stat().st_size == 0:
            raise damaged(path, "the file is empty", certain=True)
        new = not path.exists() or path.stat().st_size == 0
        store = Store.open(path)
    except LedgerDamaged as error:
        if kept is None and not is_sqlite(path):
            raise
        aside, why, new = set_aside(path, now), error.cause, True
        store = Store.open(path)
    try:
        with sense(Ledger(store)):
            return Opened(store, tuple(_understood(Ledger(store), kept, new, aside, why, now)))
    except LedgerDamaged as error:
        store.close()
        if new:
            raise
        return open_ledger(path, now, set_aside(path, now), error.cause)
    except BaseException:
        store.close()
        raise


def _understood(
    ledger: Ledger, kept: Remembered | None, new: bool, aside: Path | None, why: str, now: float
) -> Iterator[str]:
    if ledger.fact(BEGAN) is None:
        with ledger.store.transaction():
            ledger.set_fact(BEGAN, repr(now if new else _first_run(ledger) or now))
            if new and (kept is not None or aside is not None):
                yield _begin_anew(ledger, kept, aside, why or "the file is gone", now)
    if not new and kept is not None and went_back(ledger, kept):
        yield _came_back(ledger, kept, now)
    if ledger.fact(LEDGER_ID) is None:
        identify(ledger)


def _first_run(ledger: Ledger) -> float | None:
    found = ledger.store.execute("SELECT min(started_at) FROM runs").fetchone()[0]
    return None if found is None else float(found)


# -- a new ledger ------------------------------------------------------------------------------------------------------


def _begin_anew(ledger: Ledger, kept: Remembered | None, aside: Path | None, why: str, now: float) -> str:
    ledger.set_fact(NEW, json.dumps({"path": str(aside) if aside else None, "since": now, "why": why}))
    if kept is not None:
        ledger.set_fact(LEDGER_ID, kept.ledger)
        ledger.set_fact(GENERATION, str(kept.generation))
        if kept.ids:
            ledger.set_fact("mirror_ids", json.dumps(kept.ids))
        _take_over(ledger, kept, now)
        for name, value in kept.settings.items():
            ledger.set_fact(name, value)
        for name, (kind, pins, peer_id, *includes) in kept.sources.items():
            gave = json.dumps(includes[0] if includes else {})  # which an earlier version did not keep
            ledger.put_source(SourceRecord(name, kind, good_pins=pins, good_peer_id=peer_id or None, includes=gave))
    what = f"was damaged ({why}) and is now {aside}" if aside else f"is lost ({why})"
    said = (
        f"the ledger {ledger.store.path} {what}; a new one was begun. Pins with our mark are known again by the next "
        "complete list of each remote, nothing is removed before that, and grace begins anew"
    )
    ledger.happened("ledger-lost", now, details=said)
    return said


def _take_over(ledger: Ledger, kept: Remembered, now: float) -> None:
    """What was remembered and this ledger does not know."""
    end_pauses(ledger, all_pauses(ledger))
    for pause in kept.pauses:
        put_pause(ledger, Pause(*pause))
    for remote, (endpoint, pins) in kept.had.items():
        ledger.set_fact(expected_at(remote), json.dumps([endpoint, pins]))
    for remote, requestid, key, cid, created in kept.foreign:
        one = Owned(requestid, bytes.fromhex(key), cid, How.FOREIGN, created)
        known = {each.requestid: each for each in ledger.owned_of(remote, one.key)}
        if requestid not in known or known[requestid].how is not How.ADOPTED:
            ledger.own(remote, one, now)


def expected_at(remote: str) -> str:
    """The name of the fact that holds how many pins an earlier ledger knew at a remote: [endpoint, number]."""
    return f"expected at {remote}"


def expected(ledger: Ledger | None, remote: str, endpoint: str) -> int:
    """How many pins of wanted content must be at a remote by what outlived an earlier ledger; 0 for nothing known."""
    known = ledger.fact(expected_at(remote)) if ledger else None
    where, pins = json.loads(known) if known else (endpoint, 0)
    return int(pins) if where == endpoint else 0


def forget_expected(ledger: Ledger, remote: str) -> None:
    """They are there, or were added again."""
    ledger.store.execute("DELETE FROM facts WHERE name = ?", (expected_at(remote),))


def about(ledger: Ledger) -> dict[str, Any]:
    """What became of the ledger, for the status: `path`, `since` and `why` of a new one, `old_*` of an older copy."""
    new, old = ledger.fact(NEW), ledger.fact(OLD)
    began: dict[str, Any] = json.loads(new) if new else {"path": None, "since": None, "why": None}
    back: dict[str, Any] = json.loads(old) if old else {"since": None, "to": None}
    return {**began, "old_since": back["since"], "old_to": back["to"]}


# -- an old copy -------------------------------------------------------------------------------------------------------


def went_back(ledger: Ledger, kept: Remembered | None) -> bool:
    """Whether a ledger is older than what was remembered beside it. Who only reads must have read that first."""
    return kept is not None and (ledger.fact(LEDGER_ID) != kept.ledger or generation(ledger) < kept.generation)


def _came_back(ledger: Ledger, kept: Remembered, now: float) -> str:
    """An older copy was put in this ledger's place: what it believes due, approved and ours is not believed."""
    last = ledger.last_run()
    to = float(last["progress_at"]) if last else None
    with ledger.store.transaction():
        for table in ("approvals", "doubt_approvals"):
            ledger.store.execute(f"DELETE FROM {table}")
        ledger.store.execute("UPDATE entries SET unwanted_since = ? WHERE unwanted_since IS NOT NULL", (now,))
        ledger.store.execute("UPDATE remotes SET quiet = NULL")
        _take_over(ledger, kept, now)
        ledger.set_fact(OLD, json.dumps({"since": now, "to": to, "compared": []}))
        ledger.set_fact(LEDGER_ID, kept.ledger)
        ledger.set_fact(GENERATION, str(kept.generation))
        said = (
            f"the ledger {ledger.store.path} is older than the one that was here before: a copy was put back, or its "
            "last changes were lost. What was approved, adopted or disowned since is not known, so every removal is "
            "held until you approve, and grace begins anew"
        )
        ledger.happened("ledger-old", now, details=said)
    advance(ledger)
    return said


def mistrust(ledger: Ledger, remote: str, rows: Iterable[RemotePin], meta_kept: bool | None, now: float) -> int:
    """Hold what an old copy believes ours against what a list shows; returns how many pins are foreign by that.

    Where the id is the CID, somebody else may have pinned since what we had removed. Our mark says ours; without it, at
    a service that keeps meta or where the record was made at another time than the one we knew, it is foreign.
    """
    doubtful = {
        (bytes(key), requestid): (cid, created)
        for key, requestid, cid, created in ledger.store.execute(
            "SELECT key, requestid, cid, created FROM owned WHERE remote = ? AND gone_at IS NULL AND how IN (?, ?)",
            (remote, How.CREATED.value, How.MARK.value),
        )
    }
    found = 0
    with ledger.store.transaction():
        for row in rows:
            known = doubtful.get((row.key, row.requestid))
            if known is None or row.mark is not None:
                continue
            cid, created = known
            if meta_kept or (created is not None and created != row.created):
                ledger.own(remote, Owned(row.requestid, row.key, cid, How.FOREIGN, row.created), now)
                found += 1
    return found


# -- damage that shows later -------------------------------------------------------------------------------------------


NONSENSE = (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError)
"""What reading rows without sense ends in."""

_ANY = "'integer', 'real', 'text', 'blob'"
_TYPES = {"INTEGER": "'integer'", "REAL": "'integer', 'real'", "TEXT": "'text'", "BLOB": "'blob'"}


@contextmanager
def sense(ledger: Ledger | None) -> Iterator[None]:
    """Tell an error that rows without sense cause (bits that flipped in a text) as `LedgerDamaged`."""
    try:
        yield
    except NONSENSE as error:
        if ledger is not None and (wrong := nonsense(ledger)):
            raise damaged(ledger.store.path, wrong, certain=True) from error
        raise


def nonsense(ledger: Ledger) -> str | None:
    """What in the ledger makes no sense, though it is a sound database; None for nothing."""
    names = [str(name) for (name,) in ledger.store.execute("SELECT name FROM remotes UNION SELECT remote FROM entries")]
    try:
        for name in names:
            ledger.remote(name), ledger.approvals(name), ledger.open_intents(name), ledger.reasons(name)
            ledger.state_counts(name), ledger.pending_counts(name)  # by an index, which can be damaged by itself
            for known in ledger.known(name):
                _makes_sense(known.entry)
        ledger.sources(), ledger.pending(), list(ledger.good_manifest()), ledger.last_run(), ledger.last_good()
        for record in ledger.sources().values():
            json.loads(record.includes)
        _facts(ledger)
        return _mistyped(ledger)
    except NONSENSE as error:
        return f"a row makes no sense: {type(error).__name__}"


def _mistyped(ledger: Ledger) -> str | None:
    """The first column in which a value is of another type than it was written with, or a time of no year."""
    for (table,) in ledger.store.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
    ).fetchall():
        for _, column, declared, *_ in ledger.store.execute(f"PRAGMA table_info({table})").fetchall():
            wrong = f"typeof({column}) NOT IN ({_TYPES.get(declared, _ANY)}, 'null')"
            if declared == "REAL":  # seconds since the epoch, all of them
                wrong += f" OR {column} NOT BETWEEN -62135596800 AND 253402300799"
            if ledger.store.execute(f"SELECT 1 FROM {table} WHERE {wrong} LIMIT 1").fetchone():
                return f"a value in {table}.{column} makes no sense"
    return None


def _makes_sense(entry: Any) -> None:
    if entry is None:
        return
    for number in (entry.since, entry.unwanted_since, entry.next_try, entry.follow_at):
        if number is not None:
            number + 0.0
    entry.sources.split(), entry.unwanted_why + entry.was_there + entry.declined + entry.cid
    entry.attempts + entry.missing + entry.follows


def _facts(ledger: Ledger) -> None:
    for name, value in ledger.store.execute("SELECT name, value FROM facts"):
        if name == GENERATION:
            int(value)
        elif name in (BEGAN, "next_pass_at"):
            float(value)
        elif (shape := _shape(name)) is not None and not isinstance(json.loads(value), shape):
            raise TypeError(name)


def _shape(name: str) -> type | None:
    """What a fact holds as JSON, where it does."""
    if name in (NEW, OLD) or name.startswith("fingerprint of "):
        return dict
    return list if name == "mirror_ids" or name.startswith(("expected at ", "clock of ", LEFT)) else None
