"""A pass's scratch space: what was read, sorted, outside of memory.

A private temporary SQLite database without a name: it spills to disk when it outgrows its cache, and vanishes with the
process. Neither a node nor a remote lists in order, and a million pins must merge in little memory.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

from .model import EMPTY, MARK, PinBody, PinStatus, RemotePin
from .planning.plan import Action, Kind, State, Step

_CACHE_KIB = 4_000
_INT64 = 2**63 - 1
_OBSERVED = "requestid, key, cid, status, created, name, meta, info"
_ACTION = "kind, step, key, cid, state, code, reason, until, requestid, body, lookup, survivor, confirm, why, approved"
_ORDER = {Kind.ADD: 0, Kind.RETRY: 1, Kind.UPDATE: 2, Kind.REMOVE: 3}


class Spool:
    """The tables of one pass. Use as a context manager."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._db.execute("PRAGMA temp_store = FILE")
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("CREATE TABLE node_pins (key BLOB, node INTEGER, cid TEXT, name TEXT)")

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    # -- what the nodes have ----------------------------------------------------------------------------------------

    def node_sink(self, node: int) -> Callable[[Sequence[tuple[bytes, str, str | None]]], None]:
        """A function that takes batches of (key, CID as spelt, name) of one node."""
        sql = f"INSERT INTO node_pins (key, node, cid, name) VALUES (?, {int(node)}, ?, ?)"
        return lambda batch: self._many(sql, batch)

    def forget_node(self, node: int) -> None:
        """Empty what was read of one node: its reading starts over."""
        self._db.execute("DELETE FROM node_pins WHERE node = ?", (node,))

    def node_pins(self) -> Iterator[tuple[bytes, int, str, str | None]]:
        """(key, node, CID, name) sorted by key, then node."""
        return iter(self._db.execute("SELECT key, node, cid, name FROM node_pins ORDER BY key, node"))

    # -- what a remote has ------------------------------------------------------------------------------------------

    def remote_sink(self, remote: int) -> RemoteSink:
        """Where the listing of one remote puts its pages."""
        self._db.execute(f"CREATE TABLE observed_{int(remote)} (requestid TEXT PRIMARY KEY, key BLOB, cid TEXT, "
                         "status TEXT, created INTEGER, name TEXT, meta TEXT, info TEXT)")  # fmt: skip
        return RemoteSink(self._db, f"observed_{int(remote)}")

    def observed(self, remote: int, order: str = "key, created, requestid") -> Iterator[RemotePin]:
        """The pins of one remote, sorted by key."""
        statuses = {status.value: status for status in PinStatus}
        sql = f"SELECT {_OBSERVED} FROM observed_{int(remote)} ORDER BY {order}"
        for requestid, key, cid, status, created, name, meta, info in self._db.execute(sql):
            yield RemotePin(
                requestid, cid, key, statuses[status], created, name,
                _loaded(meta) if meta else None, (), _loaded(info) if info else EMPTY,
            )  # fmt: skip

    def rows_of(self, remote: int, keys: Iterable[bytes]) -> Iterator[RemotePin]:
        """The pins of one remote that hold one of a few CIDs."""
        wanted = set(keys)
        return (pin for pin in self.observed(remote, "requestid") if pin.key in wanted)

    def observed_count(self, remote: int) -> int:
        """How many pins of one remote were seen."""
        return int(self._db.execute(f"SELECT count(*) FROM observed_{int(remote)}").fetchone()[0])

    def census(self, remote: int) -> tuple[tuple[int, ...], int]:
        """How many pins of each status one remote has, in the order of `PinStatus`, and when the newest was made."""
        table = f"observed_{int(remote)}"
        counts = dict(self._db.execute(f"SELECT status, count(*) FROM {table} GROUP BY status"))
        newest = self._db.execute(f"SELECT coalesce(max(created), 0) FROM {table}").fetchone()[0]
        return tuple(counts.get(status.value, 0) for status in PinStatus), int(newest)

    def marks(self, remote: int) -> frozenset[str]:
        """The mirror ids whose marks the pins of one remote carry."""
        sql = (
            f"SELECT DISTINCT json_extract(meta, '$.{MARK}') FROM observed_{int(remote)} WHERE meta LIKE '%\"{MARK}\"%'"
        )
        return frozenset(str(mark) for (mark,) in self._db.execute(sql) if mark is not None)

    def shows_names(self, remote: int) -> bool:
        """Whether any pin of one remote has a name other than its CID."""
        sql = f"SELECT 1 FROM observed_{int(remote)} WHERE name IS NOT NULL AND name NOT IN ('', cid) LIMIT 1"
        return self._db.execute(sql).fetchone() is not None

    # -- what is to be done -----------------------------------------------------------------------------------------

    def action_sink(self, remote: int) -> Callable[[Iterable[Action]], None]:
        """A function that takes the actions of one remote."""
        table = f"actions_{int(remote)}"
        self._db.execute(f"CREATE TABLE {table} (place INTEGER, {_ACTION})")
        sql = f"INSERT INTO {table} VALUES ({', '.join('?' * 16)})"
        return lambda actions: self._many(sql, map(_action_row, actions))

    def actions(self, remote: int) -> Iterator[Action]:
        """The actions of one remote: adds first, removals last, each kind in order of its key."""
        return self._actions(f"actions_{int(remote)}")

    def judge(self, remote: int, judgement: Callable[[Action], Action]) -> dict[tuple[Kind, State], int]:
        """Put every action of one remote through the guard; returns how many there are of each kind and state."""
        table, counts = f"judged_{int(remote)}", dict[tuple[Kind, State], int]()
        self._db.execute(f"CREATE TABLE {table} (place INTEGER, {_ACTION})")

        def rows() -> Iterator[tuple[object, ...]]:
            for action in map(judgement, self.actions(remote)):
                counts[action.kind, action.state] = counts.get((action.kind, action.state), 0) + 1
                yield _action_row(action)

        self._many(f"INSERT INTO {table} VALUES ({', '.join('?' * 16)})", rows())
        return counts

    def judged(self, remote: int) -> Iterator[Action]:
        """The actions of one remote after the guard."""
        return self._actions(f"judged_{int(remote)}")

    def _actions(self, table: str) -> Iterator[Action]:
        return map(_action, self._db.execute(f"SELECT {_ACTION} FROM {table} ORDER BY place, rowid"))

    def _many(self, sql: str, rows: Iterable[object]) -> None:
        self._db.execute("BEGIN")
        self._db.executemany(sql, rows)  # type: ignore[arg-type]
        self._db.execute("COMMIT")


class RemoteSink:
    """A `pinsync.remote.listing.PageSink` over the spool."""

    def __init__(self, db: sqlite3.Connection, table: str) -> None:
        self._db = db
        self._last: Mapping[str, str] = EMPTY
        self._last_text = "{}"
        # Written over in place, a known row keeps its rowid: the largest one counts the ids.
        kept = ", ".join(f"{column} = excluded.{column}" for column in _OBSERVED.split(", ")[1:])
        self._put = (
            f"INSERT INTO {table} ({_OBSERVED}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
            f"ON CONFLICT (requestid) DO UPDATE SET {kept}"
        )
        self._count = f"SELECT coalesce(max(rowid), 0) FROM {table}"

    def add(self, pins: Sequence[RemotePin]) -> int:
        """Keep a page; a later reading of a known requestid replaces the earlier. Returns how many ids were new."""
        rows = [
            (
                pin.requestid, pin.key, pin.cid, pin.status.value,
                pin.created if -_INT64 < pin.created < _INT64 else max(-_INT64, min(_INT64, pin.created)), pin.name,
                self._text(pin.meta) if pin.meta else None, self._text(pin.info) if pin.info else None,
            )
            for pin in pins
        ]  # fmt: skip
        before = self._rows()
        self._db.execute("BEGIN")
        self._db.executemany(self._put, rows)
        self._db.execute("COMMIT")
        return self._rows() - before

    def _rows(self) -> int:
        return int(self._db.execute(self._count).fetchone()[0])

    def _text(self, meta: Mapping[str, str]) -> str:
        """As JSON; the pins of one mirror mostly carry the same, which need not be written out each time."""
        if meta != self._last:
            self._last, self._last_text = meta, json.dumps(dict(meta))
        return self._last_text


@lru_cache(maxsize=64)
def _loaded(text: str) -> Mapping[str, str]:
    return MappingProxyType(json.loads(text))


def _action_row(action: Action) -> tuple[object, ...]:
    return (
        _ORDER[action.kind], action.kind.value, action.step.value, action.key, action.cid, action.state.value,
        action.code, action.reason, action.until, action.requestid, body_text(action.body), action.lookup,
        action.survivor, action.confirm, action.why, action.approved,
    )  # fmt: skip


def _action(row: tuple[object, ...]) -> Action:
    kind, step, key, cid, state, code, reason, until, requestid, body, lookup, survivor, confirm, why, approved = row
    return Action(
        Kind(kind), Step(step), key, cid, State(state), code, reason, until, requestid,  # type: ignore[arg-type]
        body_of(body), bool(lookup), survivor, bool(confirm), why, bool(approved),  # type: ignore[arg-type]
    )  # fmt: skip


def body_text(body: PinBody | None) -> str | None:
    """A POST's body as JSON, as the spool and the journal keep it."""
    if body is None:
        return None
    return json.dumps([body.cid, body.name, dict(body.meta), list(body.origins)])


def body_of(text: str | None) -> PinBody | None:
    """The inverse of `body_text`."""
    if text is None:
        return None
    cid, name, meta, origins = json.loads(text)
    return PinBody(cid, name, meta, tuple(origins))
