"""The emulator's pins: in memory, sorted for lists, and written through to SQLite where they are to survive.

Content is told apart by the text of its CID, as real services do: version 0 and version 1 are two entries.
Not safe for threads by itself; `Emulator` holds a lock.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

from pinsync.errors import PinsyncError
from pinsync.model import PinStatus

Order = Literal["newest", "oldest", "shuffled"]
_Key = tuple[int, int, "Row"]  # created, seq; seq is unique, so rows are never compared
_MOST = 1 << 100  # later than any `created`

_APPLICATION = 0x70736D75  # marks the file as ours ("psmu")
_VERSION = 1
_SCHEMA = """
CREATE TABLE pins (
    requestid TEXT PRIMARY KEY, seq INTEGER NOT NULL, cid TEXT NOT NULL, name TEXT, meta TEXT, origins TEXT NOT NULL,
    status TEXT NOT NULL, created INTEGER NOT NULL, details TEXT, pinning_at REAL, settles_at REAL
) WITHOUT ROWID;
CREATE TABLE graves (
    cid TEXT PRIMARY KEY, status TEXT NOT NULL, created INTEGER NOT NULL, details TEXT,
    pinning_at REAL, settles_at REAL
) WITHOUT ROWID;
CREATE TABLE counter (seq INTEGER NOT NULL);
INSERT INTO counter VALUES (0);
"""


class EmulatorError(PinsyncError):
    """The emulator cannot start or cannot keep its pins; says what to do."""


@dataclass(slots=True, eq=False)
class Row:
    """One pin request. `created` in ns; `pinning_at` and `settles_at` in seconds, None once nothing will change."""

    requestid: str
    cid: str
    name: str | None
    meta: dict[str, str] | None
    origins: tuple[str, ...]
    status: PinStatus
    created: int
    details: str | None = None
    pinning_at: float | None = None
    settles_at: float | None = None
    seq: int = 0
    text: str | None = None  # the JSON of a list, until something changes
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Grave:
    """What a deleted CID leaves behind for services that revive the record."""

    status: PinStatus
    created: int
    details: str | None
    pinning_at: float | None
    settles_at: float | None


class Store:
    """Pins by id, by CID and by status and time. With `db`, every change is in the file before the method returns.

    The file survives the process being killed, not the power being cut: it is for trying things out.
    Raises `EmulatorError` when `db` cannot be used.
    """

    def __init__(self, db: Path | None = None) -> None:
        self._rows: dict[str, Row] = {}
        self._by_cid: dict[str, list[Row]] = {}
        self._index: dict[PinStatus, list[_Key]] = {status: [] for status in PinStatus}
        self._graves: dict[str, Grave] = {}
        self._seq = 0
        self._db = _open(db) if db is not None else None
        if self._db is not None:
            self._load(self._db)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    @property
    def next_seq(self) -> int:
        """The number that the next row gets; never given twice, not even after a restart."""
        return self._seq + 1

    @property
    def newest(self) -> int:
        """The latest `created` there is, in ns; 0 with no pins."""
        return max((keys[-1][0] for keys in self._index.values() if keys), default=0)

    def get(self, requestid: str) -> Row | None:
        return self._rows.get(requestid)

    def of_cid(self, cid: str) -> list[Row]:
        """The rows of a CID's text, in the order of their making."""
        return self._by_cid.get(cid, [])

    def grave(self, cid: str) -> Grave | None:
        return self._graves.get(cid)

    def add(self, row: Row) -> None:
        self._enter(row)
        insort(self._index[row.status], (row.created, row.seq, row))
        self._save([row])

    def add_many(self, rows: Iterable[Row]) -> None:
        """As `add`, for many: one sort and one transaction."""
        new = list(rows)
        for row in new:
            self._enter(row)
            self._index[row.status].append((row.created, row.seq, row))
        for keys in self._index.values():
            keys.sort()
        self._save(new)

    def change(self, row: Row, status: PinStatus | None = None, created: int | None = None) -> None:
        """Keep what was changed in `row`; status and time are changed here, since lists are sorted by them."""
        row.text = None
        if (status or row.status, created or row.created) != (row.status, row.created):
            keys = self._index[row.status]
            keys.pop(bisect_left(keys, (row.created, row.seq)))
            row.status, row.created = status or row.status, created or row.created
            insort(self._index[row.status], (row.created, row.seq, row))
        self._save([row])

    def remove(self, row: Row, *, bury: bool = False) -> None:
        """Forget `row`; with `bury`, what `grave` tells afterwards is kept."""
        row.gone = True
        del self._rows[row.requestid]
        rows = self._by_cid[row.cid]
        rows.remove(row)
        if not rows:
            del self._by_cid[row.cid]
        keys = self._index[row.status]
        keys.pop(bisect_left(keys, (row.created, row.seq)))
        if self._db is not None:
            self._db.execute("DELETE FROM pins WHERE requestid = ?", (row.requestid,))
        if bury:
            grave = Grave(row.status, row.created, row.details, row.pinning_at, row.settles_at)
            self._graves[row.cid] = grave
            if self._db is not None:
                self._db.execute(
                    "INSERT OR REPLACE INTO graves VALUES (?, ?, ?, ?, ?, ?)",
                    (row.cid, str(grave.status), grave.created, grave.details, grave.pinning_at, grave.settles_at),
                )

    def forget_texts(self) -> None:
        """Drop all prepared JSON: pins are to be shown in another way."""
        for row in self:
            row.text = None

    def select(
        self,
        statuses: Collection[PinStatus],
        lowest: int = 0,
        below: int | None = None,
        limit: int | None = None,
        order: Order = "newest",
        keep: Callable[[Row], bool] | None = None,
        shuffler: Random | None = None,
    ) -> tuple[list[Row], int]:
        """A page, and how many pins there are in all, with `lowest <= created < below` and `keep`.

        Without `keep` the work grows with the page, not with the number of pins. `shuffled` needs `shuffler`.
        """
        # (x,) sorts before every (x, seq, row): the first key at or after x.
        top = _MOST if below is None else below
        spans = [
            (keys, bisect_left(keys, (lowest,)), bisect_left(keys, (top,)))
            for keys in (self._index[status] for status in statuses)
        ]
        spans = [span for span in spans if span[1] < span[2]]
        total = sum(end - start for _, start, end in spans)
        if order == "shuffled" and keep is None and shuffler is not None:
            picks = shuffler.sample(range(total), total if limit is None else min(limit, total))
            return [_pick(spans, place) for place in picks], total
        cut = total if keep is not None or limit is None else limit
        found: list[_Key] = []
        for keys, start, end in spans:
            found += keys[start : min(end, start + cut)] if order == "oldest" else keys[max(start, end - cut) : end]
        if len(spans) > 1:
            found.sort()
        rows = [key[2] for key in found] if order == "oldest" else [key[2] for key in reversed(found)]
        if keep is not None:
            rows = [row for row in rows if keep(row)]
            total = len(rows)
        if order == "shuffled" and shuffler is not None:
            shuffler.shuffle(rows)
        return rows[:limit], total

    def close(self) -> None:
        """Close the file, if there is one. The pins stay readable in memory."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _enter(self, row: Row) -> None:
        if row.requestid in self._rows:
            raise ValueError(f"there is a pin {row.requestid!r} already")
        self._seq += 1
        row.seq = self._seq
        self._rows[row.requestid] = row
        self._by_cid.setdefault(row.cid, []).append(row)

    def _save(self, rows: list[Row]) -> None:
        if self._db is None:
            return
        values = (
            (
                row.requestid,
                row.seq,
                row.cid,
                row.name,
                None if row.meta is None else json.dumps(row.meta),
                json.dumps(row.origins),
                str(row.status),
                row.created,
                row.details,
                row.pinning_at,
                row.settles_at,
            )
            for row in rows
        )
        with self._db:
            self._db.execute("BEGIN")
            self._db.executemany("INSERT OR REPLACE INTO pins VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
            self._db.execute("UPDATE counter SET seq = ? WHERE seq < ?", (self._seq, self._seq))

    def _load(self, db: sqlite3.Connection) -> None:
        for cid, status, *rest in db.execute("SELECT * FROM graves"):
            self._graves[cid] = Grave(PinStatus(status), *rest)
        for requestid, seq, cid, name, meta, origins, status, *rest in db.execute("SELECT * FROM pins ORDER BY seq"):
            row = Row(
                requestid,
                cid,
                name,
                None if meta is None else json.loads(meta),
                tuple(json.loads(origins)),
                PinStatus(status),
                *rest,
            )
            self._enter(row)
            row.seq = seq
            self._index[row.status].append((row.created, seq, row))
        for keys in self._index.values():
            keys.sort()
        self._seq = db.execute("SELECT seq FROM counter").fetchone()[0]


def _pick(spans: list[tuple[list[_Key], int, int]], place: int) -> Row:
    for keys, start, end in spans:
        if place < end - start:
            return keys[start + place][2]
        place -= end - start
    raise IndexError(place)


def _open(path: Path) -> sqlite3.Connection:
    # The server answers in a thread of its own; the emulator's lock keeps callers apart.
    try:
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise EmulatorError(
            f"the emulator's pins cannot be kept in {path}: {error}; give --db another place"
        ) from error
    try:
        application = db.execute("PRAGMA application_id").fetchone()[0]
        version = db.execute("PRAGMA user_version").fetchone()[0]
        empty = not db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        if not empty and (application, version) != (_APPLICATION, _VERSION):
            raise EmulatorError(
                f"{path} is not a database of this emulator (or of another version of it); "
                "nothing was changed in it: give --db another file"
            )
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")
        if empty:
            db.executescript(
                f"BEGIN; {_SCHEMA} PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {_VERSION}; COMMIT;"
            )
    except sqlite3.Error as error:
        db.close()
        raise EmulatorError(f"the emulator's pins cannot be kept in {path}: {error}; give --db another file") from error
    except EmulatorError:
        db.close()
        raise
    return db
