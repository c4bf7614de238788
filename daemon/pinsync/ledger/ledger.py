"""What the rest of pinsync says to the ledger, in its own words."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from pinsync.model import Traits
from pinsync.planning.plan import (
    Action,
    Approval,
    Approvals,
    Decision,
    Doubt,
    Entry,
    How,
    Kind,
    Known,
    Owned,
    PinState,
    Shut,
    State,
)
from pinsync.planning.rules import FOLLOW_CAP
from pinsync.spool import body_of, body_text

from .life import changes
from .records import Event, OpenIntent, Pending, RemoteRecord, Settled, SourceRecord
from .store import Store

DAY = 86400.0
LEFT = "left "  # of a fact's name: what a source had that is not configured for now
_ENTRY = (
    "key, cid, wanted, state, since, sources, unwanted_since, unwanted_why, requestid, created, was_there, missing, "
    "attempts, next_try, error, follow_at, follows, declined, unclear"
)
_PUT_ENTRY = f"INSERT OR REPLACE INTO entries (remote, {_ENTRY}) VALUES ({', '.join('?' * 20)})"
_NOTE = (
    "INSERT INTO journal (run, remote, kind, step, key, cid, requestid, at, state, settled_at, outcome, requests) "
    "VALUES (?, ?, ?, 'event', ?, ?, ?, ?, 'done', ?, ?, ?)"
)
_TRAITS = {one.name for one in fields(Traits)}


class Ledger:
    """The ledger over an open `Store`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.heard: Callable[[str, Mapping[str, Any]], None] | None = None
        """Told of what is written about requests ("action") and of events ("event"), where somebody listens."""

    @property
    def schema(self) -> int:
        """The schema's version in the file: a reader may meet one that no writer has brought to this version yet."""
        return int(self.store.execute("PRAGMA user_version").fetchone()[0])

    # -- facts ------------------------------------------------------------------------------------------------------

    def fact(self, name: str) -> str | None:
        """A single remembered value."""
        row = self.store.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_fact(self, name: str, value: str) -> None:
        """Remember a single value."""
        self.store.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", (name, value))

    # -- what planning reads ----------------------------------------------------------------------------------------

    def known(self, remote: str) -> Iterator[Known]:
        """Everything known about the pins of one remote, sorted by key."""
        entries = map(
            _entry, self.store.execute(f"SELECT {_ENTRY} FROM entries WHERE remote = ? ORDER BY key", (remote,))
        )
        owned = map(
            _owned,
            self.store.execute(
                "SELECT requestid, key, cid, how, created, gone_at FROM owned WHERE remote = ? ORDER BY key", (remote,)
            ),
        )
        entry, one = next(entries, None), next(owned, None)
        while entry is not None or one is not None:
            key = min([head.key for head in (entry, one) if head is not None])
            here: Entry | None = None
            mine: list[Owned] = []
            if entry is not None and entry.key == key:
                here, entry = entry, next(entries, None)
            while one is not None and one.key == key:
                mine.append(one)
                one = next(owned, None)
            yield Known(key, here, tuple(mine))

    def entry(self, remote: str, key: bytes) -> Entry | None:
        """One entry."""
        sql = f"SELECT {_ENTRY} FROM entries WHERE remote = ? AND key = ?"
        row = self.store.execute(sql, (remote, key)).fetchone()
        return None if row is None else _entry(row)

    def owned_of(self, remote: str, key: bytes) -> tuple[Owned, ...]:
        """The opinions about the owners of one CID's pins."""
        sql = "SELECT requestid, key, cid, how, created, gone_at FROM owned WHERE remote = ? AND key = ?"
        return tuple(map(_owned, self.store.execute(sql, (remote, key))))

    def approvals(self, remote: str) -> Approvals:
        """What a person released at one remote and has not happened yet."""
        rows = self.store.execute("SELECT kind, key, requestid, code, now FROM approvals WHERE remote = ?", (remote,))
        return {
            (Kind(kind), key, requestid): Approval(Kind(kind), requestid, key, code, bool(now))
            for kind, key, requestid, code, now in rows
        }

    def removed_since(self, remote: str, since: float) -> int:
        """Removals done since then that nobody had approved."""
        sql = (
            "SELECT count(*) FROM journal WHERE remote = ? AND kind = 'remove' AND state = 'done' "
            "AND settled_at > ? AND NOT approved"
        )
        return int(self.store.execute(sql, (remote, since)).fetchone()[0])

    # -- what planning decided --------------------------------------------------------------------------------------

    def record_decisions(self, remote: str, decisions: Iterable[Decision], now: float) -> int:
        """Write what changed; returns how many entries did. The caller opens the transaction."""
        entries: list[tuple[Any, ...]] = []
        owned: list[tuple[Any, ...]] = []
        gone: list[tuple[Any, ...]] = []
        forgotten: list[tuple[Any, ...]] = []
        notes: list[tuple[Any, ...]] = []
        for decision in decisions:
            if decision.before is not None and decision.after is not decision.before:
                notes.extend(
                    (None, remote, what, decision.key, one.cid, one.requestid, now, now, outcome, None)
                    for one, what, outcome in changes(decision.before, decision.after)
                )
            if decision.after is not None and decision.after is not decision.before:
                entries.append(_entry_row(remote, decision.after))
                if decision.after.wanted and decision.before is not None and not decision.before.wanted:
                    forgotten.append((remote, decision.key))  # wanted again: approvals of its removal are void
            elif decision.after is None and decision.before is not None:
                self.store.execute("DELETE FROM entries WHERE remote = ? AND key = ?", (remote, decision.key))
                forgotten.append((remote, decision.key))
            owned.extend(_owned_row(remote, one, now) for one in decision.found)
            gone.extend((now, remote, decision.key, requestid) for requestid in decision.gone)
        self.store.executemany(_PUT_ENTRY, entries)
        self.store.executemany(_PUT_OWNED, owned)
        self.store.executemany("UPDATE owned SET gone_at = ? WHERE remote = ? AND key = ? AND requestid = ?", gone)
        self.store.executemany("DELETE FROM approvals WHERE remote = ? AND key = ? AND kind = 'remove'", forgotten)
        self.store.executemany(_NOTE, notes)
        return len(entries)

    def put_entry(self, remote: str, entry: Entry) -> None:
        """Write one entry."""
        self.store.execute(_PUT_ENTRY, _entry_row(remote, entry))

    def forget_entry(self, remote: str, key: bytes) -> None:
        """Drop one entry."""
        self.store.execute("DELETE FROM entries WHERE remote = ? AND key = ?", (remote, key))

    def own(self, remote: str, one: Owned, now: float) -> None:
        """Note who owns a remote pin."""
        self.store.execute(_PUT_OWNED, _owned_row(remote, one, now))

    def gone(self, remote: str, key: bytes, requestid: str, now: float) -> None:
        """Note that a pin of ours is no more; the row stays as a memory."""
        sql = "UPDATE owned SET gone_at = ? WHERE remote = ? AND key = ? AND requestid = ?"
        self.store.execute(sql, (now, remote, key, requestid))

    def record_pending(self, remote: str, actions: Iterable[Action]) -> None:
        """Replace what waits and what is held at one remote by what this pass found."""
        rows = [
            (
                remote, action.kind.value, action.key, action.requestid or "", action.cid, action.state.value,
                action.code, action.reason, action.until, action.step.value,
            )
            for action in actions
            if action.state is not State.DO
        ]  # fmt: skip
        self.store.execute("DELETE FROM pending WHERE remote = ?", (remote,))
        self.store.executemany(f"INSERT OR REPLACE INTO pending VALUES ({', '.join('?' * 10)})", rows)

    def drop_pending(self, remote: str, key: bytes, requestid: str) -> None:
        """What waited, was held or was approved about one remote pin is void."""
        for table in ("pending", "approvals"):
            self.store.execute(
                f"DELETE FROM {table} WHERE remote = ? AND key = ? AND requestid = ?", (remote, key, requestid)
            )

    def drop_approval(self, remote: str, action: Action) -> None:
        """An approval has been used."""
        self.store.execute(
            "DELETE FROM approvals WHERE remote = ? AND kind = ? AND key = ? AND requestid = ?",
            (remote, action.kind.value, action.key, action.requestid or ""),
        )

    # -- the journal ------------------------------------------------------------------------------------------------

    def intend(self, run: int, remote: str, actions: Sequence[Action], now: float) -> list[int]:
        """Note what is about to be requested, before it is; returns the journal's numbers, in order."""
        ids = []
        with self.store.transaction():
            for action in actions:
                cursor = self.store.execute(
                    "INSERT INTO journal (run, remote, kind, step, key, cid, requestid, body, at, state, approved) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', ?)",
                    (
                        run, remote, action.kind.value, action.step.value, action.key, action.cid, action.requestid,
                        body_text(action.body), now, action.approved,
                    ),
                )  # fmt: skip
                ids.append(int(cursor.lastrowid or 0))
        return ids

    def settle(self, outcomes: Iterable[Settled], now: float, exchanges: Mapping[int, str] | None = None) -> None:
        """Note what came of requests. `exchanges`: the requests themselves (`exchanges_text`), by the row's number."""
        outcomes = list(outcomes)
        told = dict(exchanges or {})
        self.store.executemany(
            "UPDATE journal SET state = ?, outcome = ?, settled_at = ?, requestid = coalesce(?, requestid), "
            "requests = coalesce(?, requests) WHERE id = ?",
            [(one.state, one.outcome, now, one.requestid, told.pop(one.id, None), one.id) for one in outcomes],
        )
        if told:
            self.store.executemany(
                "UPDATE journal SET requests = ? WHERE id = ?", [(t, id_) for id_, t in told.items()]
            )
        self._tell([one.id for one in outcomes])

    def open_intents(self, remote: str) -> list[OpenIntent]:
        """Requests whose outcome nobody noted: the process ended in between."""
        rows = self.store.execute(
            "SELECT id, kind, step, key, cid, requestid, at, body FROM journal "
            "WHERE remote = ? AND state IN ('open', 'unclear') ORDER BY key",
            (remote,),
        )
        return [
            OpenIntent(id_, Kind(kind), step, key, cid, rid, at, body_of(body))
            for id_, kind, step, key, cid, rid, at, body in rows
        ]

    def note(
        self, run: int | None, remote: str, entry: Entry, what: str, outcome: str, now: float,
        requests: str | None = None,
    ) -> None:  # fmt: skip
        """An event in the life of a pin that was no request of a pass: seen pinned, seen failed, adopted…"""
        cursor = self.store.execute(
            _NOTE, (run, remote, what, entry.key, entry.cid, entry.requestid, now, now, outcome, requests)
        )
        self._tell([int(cursor.lastrowid or 0)])

    def _tell(self, ids: Sequence[int]) -> None:
        """Tell whoever listens what the journal now says of these."""
        if self.heard is None:
            return
        columns = ("remote", "kind", "step", "cid", "requestid", "state", "outcome")
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            for row in self.store.execute(
                f"SELECT {', '.join(columns)} FROM journal WHERE id IN ({', '.join('?' * len(some))}) ORDER BY id", some
            ).fetchall():
                self.heard("action", dict(zip(columns, row, strict=True)))

    # -- counts -----------------------------------------------------------------------------------------------------

    def state_counts(self, remote: str) -> dict[PinState, int]:
        """How many wanted entries of one remote are in each state."""
        counts = dict.fromkeys(PinState, 0)
        sql = "SELECT state, count(*) FROM entries WHERE remote = ? AND wanted GROUP BY state"
        for state, count in self.store.execute(sql, (remote,)):
            counts[_STATES[state]] = count
        return counts

    def wanted_cids(self, remote: str) -> Iterator[str]:
        """The CIDs that were wanted at one remote by the last pass."""
        rows = self.store.execute("SELECT cid FROM entries WHERE remote = ? AND wanted", (remote,))
        return (cid for (cid,) in rows)

    # -- follow-up --------------------------------------------------------------------------------------------------

    def due_follows(self, remote: str, now: float, most: int) -> list[Entry]:
        """Pins on their way that should be looked at again, the longest overdue first."""
        rows = self.store.execute(
            f"SELECT {_ENTRY} FROM entries WHERE remote = ? AND (follow_at <= ? OR follow_at > ?) "
            "AND requestid IS NOT NULL ORDER BY follow_at LIMIT ?",  # far ahead: noted by a clock that was set back
            (remote, now, now + 2 * FOLLOW_CAP, most),
        )
        return list(map(_entry, rows))

    def to_retry(self, remote: str) -> list[Entry]:
        """Wanted pins that failed, were refused, or wait for their next try."""
        rows = self.store.execute(
            f"SELECT {_ENTRY} FROM entries WHERE remote = ? AND wanted "
            "AND (state IN ('failed', 'refused') OR next_try IS NOT NULL) ORDER BY key",
            (remote,),
        )
        return list(map(_entry, rows))

    def successor_is_ready(self, remote: str) -> bool:
        """Whether a superseded pin waits for one that is pinned, or has failed, by now."""
        sql = (
            "SELECT 1 FROM pending JOIN entries USING (remote, key) "
            "WHERE remote = ? AND code = 'successor' AND entries.state IN ('pinned', 'failed') LIMIT 1"
        )
        return self.store.execute(sql, (remote,)).fetchone() is not None

    # -- remotes and sources ----------------------------------------------------------------------------------------

    def remote(self, name: str) -> RemoteRecord:
        """The record of a remote; an empty one for a remote that was never seen."""
        rows = list(self.store.db.query("SELECT * FROM remotes WHERE name = ?", [name]))
        if not rows:
            return RemoteRecord(name)
        row = rows[0]
        traits = {key: value for key, value in json.loads(row["traits"]).items() if key in _TRAITS}
        return RemoteRecord(
            name, row["endpoint"], Traits(**traits), _bool(row["ok"]), row["error"], _bool(row["complete"]),
            row["reason"], row["listed_at"], row["tried_at"], row["failures"] or 0, row["present"],
            row["foreign_pins"], tuple(json.loads(row["other_marks"])), tuple(json.loads(row["recent"])),
            row["paused_until"], _shut(row["closed"]), _shut(row["no_deletes"]), row["quiet"],
            tuple(sorted(json.loads(row["seen"]).items())),
        )  # fmt: skip

    def put_remote(self, record: RemoteRecord, now: float) -> None:
        """Write the record of a remote."""
        self.store.execute(
            f"INSERT OR REPLACE INTO remotes VALUES ({', '.join('?' * 20)})",
            (
                record.name, record.endpoint, json.dumps(asdict(record.traits)), now, record.ok, record.error,
                record.complete, record.reason, record.listed_at, record.tried_at, record.failures, record.present,
                record.foreign, json.dumps(record.other_marks), json.dumps(record.recent), record.paused_until,
                _text(record.closed), _text(record.no_deletes), record.quiet, json.dumps(dict(record.seen)),
            ),
        )  # fmt: skip

    def sources(self) -> dict[str, SourceRecord]:
        """The records of all sources, by name."""
        found = {}
        for row in self.store.db.query("SELECT * FROM sources"):
            row["ok"] = bool(row["ok"])
            found[row["name"]] = SourceRecord(**row)
        return found

    def put_source(self, record: SourceRecord) -> None:
        """Write the record of a source."""
        values = asdict(record)
        names = ", ".join(values)
        marks = ", ".join("?" * len(values))
        self.store.execute(f"INSERT OR REPLACE INTO sources ({names}) VALUES ({marks})", tuple(values.values()))

    def forget_source(self, name: str) -> None:
        """Drop a source that is not configured any more; what it had is remembered for when it is again."""
        record = self.sources().get(name)
        if record is not None and record.good_at is not None:
            self.set_fact(f"{LEFT}{name}", json.dumps([record.good_at, record.good_pins, record.good_peer_id]))
        self.store.execute("DELETE FROM sources WHERE name = ?", (name,))

    def left_source(self, name: str, kind: str) -> SourceRecord | None:
        """What a source that is not in `sources` had when it was last read, if it ever was."""
        kept = self.fact(f"{LEFT}{name}")
        if kept is None:
            return None
        at, pins, peer_id = json.loads(kept)
        return SourceRecord(name, kind, good_at=at, good_pins=pins, good_peer_id=peer_id)

    def good_manifest(self) -> Iterator[list[Any]]:
        """The rows of the last good manifest."""
        return (json.loads(row[0]) for row in self.store.execute("SELECT row FROM manifest ORDER BY rowid"))

    def put_good_manifest(self, rows: Iterable[Sequence[Any]]) -> None:
        """Replace the last good manifest. The caller opens the transaction."""
        self.store.execute("DELETE FROM manifest")
        self.store.executemany("INSERT INTO manifest (row) VALUES (?)", ((json.dumps(row),) for row in rows))

    # -- doubts and approvals ---------------------------------------------------------------------------------------

    def record_doubts(self, doubts: Iterable[Doubt], now: float, elsewhere: Collection[str] = ()) -> None:
        """Replace the standing doubts; those that stay keep their start and an approval.

        A doubt about one remote ends in `@` and its name; those about remotes `elsewhere`, which this pass did not
        look at, stay too.
        """
        current = {doubt.code: doubt for doubt in doubts}
        for (code,) in self.store.execute("SELECT code FROM doubts").fetchall():
            if code not in current and code.rpartition("@")[2] not in elsewhere:
                self.store.execute("DELETE FROM doubts WHERE code = ?", (code,))
                self.store.execute("DELETE FROM doubt_approvals WHERE code = ?", (code,))
        for doubt in current.values():
            self.store.execute(
                "INSERT INTO doubts (code, reason, since) VALUES (?, ?, ?) "
                "ON CONFLICT (code) DO UPDATE SET reason = excluded.reason",
                (doubt.code, doubt.reason, now),
            )

    def accepted_doubts(self) -> frozenset[tuple[str, str]]:
        """(code, remote) of doubts that a person released as a whole; "" stands for every remote."""
        return frozenset(self.store.execute("SELECT code, remote FROM doubt_approvals"))

    def doubts(self) -> dict[str, str]:
        """Code → reason of the doubts that the last pass found, released or not."""
        return dict(self.store.execute("SELECT code, reason FROM doubts"))

    def begin_graces_anew(self, remote: str, now: float) -> None:
        """What became unwanted by readings that were in doubt since has been unwanted from now on alone."""
        self.store.execute(
            "UPDATE entries SET unwanted_since = ? WHERE remote = ? AND unwanted_since < ?", (now, remote, now)
        )

    def standing_doubts(self) -> tuple[tuple[str, str], ...]:
        """(code, reason) of doubts that nobody has released everywhere."""
        sql = (
            "SELECT code, reason FROM doubts "
            "WHERE code NOT IN (SELECT code FROM doubt_approvals WHERE remote = '') ORDER BY code"
        )
        return tuple(self.store.execute(sql))

    def accept_doubt(self, code: str, remote: str | None, at: float, by: str) -> None:
        """A person released a doubt as a whole, at one remote or everywhere."""
        self.store.execute(
            "INSERT OR REPLACE INTO doubt_approvals (code, remote, at, by) VALUES (?, ?, ?, ?)",
            (code, remote or "", at, by),
        )

    def keep_approvals(self, remote: str, approvals: Approvals) -> None:
        """Drop the approvals of one remote that are void, and note those whose doubt was accepted."""
        for row in self.store.execute(
            "SELECT kind, key, requestid, code FROM approvals WHERE remote = ?", (remote,)
        ).fetchall():
            kept = approvals.get((Kind(row[0]), row[1], row[2]))
            where = (remote, *row[:3])
            if kept is None:
                self.store.execute(
                    "DELETE FROM approvals WHERE remote = ? AND kind = ? AND key = ? AND requestid = ?", where
                )
            elif kept.code != row[3]:
                self.store.execute(
                    "UPDATE approvals SET code = ? WHERE remote = ? AND kind = ? AND key = ? AND requestid = ?",
                    (kept.code, *where),
                )

    def not_quiet(self, remote: str) -> None:
        """Forget that the last pass found nothing to do at a remote: the next one lists it."""
        self.store.execute("UPDATE remotes SET quiet = NULL WHERE name = ?", (remote,))

    def put_approval(self, one: Pending, now_too: bool, at: float, by: str) -> None:
        """A person released one action."""
        self.store.execute(
            "INSERT OR REPLACE INTO approvals (remote, kind, key, requestid, cid, code, now, at, by) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (one.remote, one.kind.value, one.key, one.requestid, one.cid, one.code, now_too, at, by),
        )

    def pending(self, remote: str | None = None, key: bytes | None = None) -> list[Pending]:
        """What waits and what is held, at one remote or at all, of one CID or of all."""
        sql = "SELECT remote, kind, key, requestid, cid, state, code, reason, until, step FROM pending"
        asked = {"remote": remote, "key": key}
        given = {name: value for name, value in asked.items() if value is not None}
        if given:
            sql += " WHERE " + " AND ".join(f"{name} = :{name}" for name in given)
        rows = self.store.execute(sql + " ORDER BY remote, kind, key", given)
        return [
            Pending(where, Kind(kind), key, rid, cid, State(state), *rest)
            for where, kind, key, rid, cid, state, *rest in rows
        ]

    def pending_counts(self, remote: str) -> dict[tuple[Kind, State], int]:
        """How many actions wait and are held at one remote."""
        sql = "SELECT kind, state, count(*) FROM pending WHERE remote = ? GROUP BY kind, state"
        return {(Kind(kind), State(state)): count for kind, state, count in self.store.execute(sql, (remote,))}

    def reasons(self, remote: str, most: int = 5) -> list[tuple[State, Kind, str, int, str]]:
        """Why things wait or are held at one remote, the commonest first: state, kind, reason, number and code."""
        sql = (
            "SELECT state, kind, reason, count(*), code FROM pending WHERE remote = ? GROUP BY state, kind, code "
            "ORDER BY state, count(*) DESC LIMIT ?"
        )
        rows = self.store.execute(sql, (remote, most))
        return [(State(state), Kind(kind), reason, count, code) for state, kind, reason, count, code in rows]

    # -- runs -------------------------------------------------------------------------------------------------------

    def start_run(self, trigger: str, now: float) -> int:
        """A pass begins; returns its number."""
        cursor = self.store.execute(
            "INSERT INTO runs (trigger, started_at, progress_at) VALUES (?, ?, ?)", (trigger, now, now)
        )
        return int(cursor.lastrowid or 0)

    def progress(self, run: int, now: float) -> None:
        """The pass is alive."""
        self.store.execute("UPDATE runs SET progress_at = ? WHERE id = ?", (now, run))

    def finish_run(self, run: int, now: float, *, good: bool, exit_code: int, report: str) -> None:
        """The pass is over."""
        self.store.execute(
            "UPDATE runs SET progress_at = ?, finished_at = ?, good = ?, exit_code = ?, report = ? WHERE id = ?",
            (now, now, good, exit_code, report, run),
        )

    def last_run(self) -> dict[str, Any] | None:
        """The newest pass, finished or not."""
        return next(iter(self.store.db.query("SELECT * FROM runs ORDER BY id DESC LIMIT 1")), None)

    def last_good(self) -> float | None:
        """When a pass last went well from end to end; for one that is running, when it last made progress."""
        sql = (
            "SELECT progress_at FROM runs WHERE good OR (finished_at IS NULL AND id = (SELECT max(id) FROM runs)) "
            "ORDER BY id DESC LIMIT 1"
        )
        row = self.store.execute(sql).fetchone()
        return None if row is None else row[0]

    # -- events -----------------------------------------------------------------------------------------------------

    def happened(
        self, kind: str, at: float, *, who: str = "", remote: str = "", key: bytes | None = None, cid: str = "",
        details: str = "",
    ) -> None:  # fmt: skip
        """Note an event: what a person said (`who`), a changed verdict, something held or mended. Never a secret."""
        self.store.execute(
            "INSERT INTO events (at, kind, who, remote, key, cid, details) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (at, kind, who, remote, key, cid, details),
        )
        if self.heard is not None:
            said = {"kind": kind, "who": who, "remote": remote or None, "cid": cid or None, "details": details}
            self.heard("event", said)

    def events(self, *, since: float = 0.0, key: bytes | None = None, most: int = 1000) -> list[Event]:
        """What happened since then, of one CID or of everything; the newest first."""
        sql = "SELECT at, kind, who, remote, cid, details FROM events WHERE at >= ?"
        given: list[Any] = [since]
        if key is not None:
            sql += " AND key = ?"
            given.append(key)
        rows = self.store.execute(f"{sql} ORDER BY id DESC LIMIT ?", [*given, most])
        return [Event(*row) for row in rows]

    def prune(self, before: float) -> None:
        """Forget history older than this; never open intents, ownership or entries."""
        self.store.execute("DELETE FROM journal WHERE state NOT IN ('open', 'unclear') AND at < ?", (before,))
        self.store.execute("DELETE FROM events WHERE at < ?", (before,))
        self.store.execute("DELETE FROM runs WHERE started_at < ? AND id NOT IN (SELECT max(id) FROM runs)", (before,))


def mirror_ids(current: str, ledger: Ledger | None) -> tuple[str, ...]:
    """The mirror id now in force, then those that this ledger used before."""
    before = json.loads((ledger.fact("mirror_ids") if ledger else None) or "[]")
    return (current, *(one for one in before if one != current))


_PUT_OWNED = (
    "INSERT OR REPLACE INTO owned (remote, key, requestid, cid, how, created, since, gone_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


def _shut(text: str | None) -> Shut | None:
    return Shut(**json.loads(text)) if text else None


def _text(shut: Shut | None) -> str | None:
    return json.dumps(asdict(shut)) if shut else None


def _bool(value: Any) -> bool | None:
    return None if value is None else bool(value)


def _entry(row: tuple[Any, ...]) -> Entry:
    (
        key, cid, wanted, state, since, sources, unwanted_since, unwanted_why, requestid, created, was_there, missing,
        attempts, next_try, error, follow_at, follows, declined, unclear,
    ) = row  # fmt: skip
    return Entry(
        key, cid, bool(wanted), _STATES[state], since, sources, unwanted_since, unwanted_why, requestid, created,
        was_there, missing, attempts, next_try, error, follow_at, follows, declined, bool(unclear),
    )  # fmt: skip


_STATES = {state.value: state for state in PinState}
_HOWS = {how.value: how for how in How}


def _entry_row(remote: str, entry: Entry) -> tuple[Any, ...]:
    return (
        remote, entry.key, entry.cid, entry.wanted, entry.state.value, entry.since, entry.sources,
        entry.unwanted_since, entry.unwanted_why, entry.requestid, entry.created, entry.was_there, entry.missing,
        entry.attempts, entry.next_try, entry.error, entry.follow_at, entry.follows, entry.declined, entry.unclear,
    )  # fmt: skip


def _owned(row: tuple[Any, ...]) -> Owned:
    requestid, key, cid, how, created, gone_at = row
    return Owned(requestid, key, cid, _HOWS[how], created, gone_at)


def _owned_row(remote: str, one: Owned, now: float) -> tuple[Any, ...]:
    return (remote, one.key, one.requestid, one.cid, one.how.value, one.created, now, one.gone_at)
