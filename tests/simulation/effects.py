"""Every effect of a process passes through here: it is counted; at some the process dies, or the disk is full.

Effects are requests (before, during: carried out and the answer lost, after), SQL statements that write, commits, and
the writing of the mirror id. Reading has no effect: dying before a read is dying after the effect before it.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import httpx
from httpx import _urls
from httpx._urlparse import urlparse

from pinsync import house
from pinsync.ledger import remembered
from pinsync.ledger import store as ledger_store

from .loop import Died, SimulatedLoop

FULL = "database or disk is full"
KINDS = ("request", "answer", "answered", "statement", "commit", "file")
"""What can be an effect: sending a request; its being carried out; its answer's arrival; SQL; the mirror id's file."""


class Effects:
    """The effects of one process. `crash_at(kind, n)`: it dies at its n-th effect (of this kind, or of any)."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self.dead = False
        self.count = 0
        self.counts: Counter[str] = Counter()
        self.died_at = ""
        self.full_hits = 0
        self._kind: str | None = None
        self._left = 0
        self._full_left = 0
        self._full_for = 0

    def crash_at(self, kind: str | None, number: int) -> None:
        self._kind, self._left = kind, number

    def disk_full_at(self, number: int, times: int) -> None:
        """The n-th write from now finds the disk full, and so do those after it, `times` in all."""
        self._full_left, self._full_for = number, times

    def calm(self) -> None:
        """No more faults."""
        self._left = self._full_left = self._full_for = 0

    def point(self, kind: str) -> None:
        """An effect is about to be had. Raises `Died`."""
        if self.dead:
            raise Died
        self.count += 1
        self.counts[kind] += 1
        if self._left and self._kind in (None, kind):
            self._left -= 1
            if not self._left:
                self.dead = True
                self.died_at = kind
                self._loop.stop()
                raise Died

    def write(self, kind: str) -> None:
        """As `point`, for what needs the disk. Raises `sqlite3.OperationalError` where that is full."""
        self.point(kind)
        if self._full_left:
            self._full_left -= 1
        elif not self._full_for:
            return
        if not self._full_left and self._full_for:
            self._full_for -= 1
            self.full_hits += 1
            raise sqlite3.OperationalError(FULL)


class _Current:
    effects: Effects | None = None


_READS = ("SELE", "PRAG", "SAVE", "RELE", "sele", "prag")  # a savepoint is what sqlite-utils reads in


class _Connection(sqlite3.Connection):
    """A connection of the process that was current when it was opened."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.effects = _Current.effects

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        effects = self.effects
        if effects is not None and sql[:4] not in _READS:
            if sql.startswith("ROLLBACK"):
                effects.point("statement")
            else:
                effects.write("commit" if sql.startswith("COMMIT") else "statement")
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        for row in parameters:
            self.execute(sql, row)
        return self.cursor()


def _connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:
    return sqlite3.connect(*args, factory=_Connection, **kwargs)


class _Sqlite:
    """The module `sqlite3` as the ledger sees it in a history."""

    connect = staticmethod(_connect)

    def __getattr__(self, name: str) -> Any:
        return getattr(sqlite3, name)


@contextmanager
def of(effects: Effects) -> Iterator[None]:
    """What is opened inside belongs to this process."""
    before, _Current.effects = _Current.effects, effects
    try:
        yield
    finally:
        _Current.effects = before


@contextmanager
def installed(chance: Callable[[], str]) -> Iterator[None]:
    """The ledger's connections, the mirror id's file and its chance are ours while inside."""
    write_once = house._write_once

    def written(path: Path, text: str) -> None:
        if _Current.effects is not None:
            _Current.effects.point("file")
        write_once(path, text)

    def noted(kept: remembered.Remembered) -> dict[str, Any]:  # the last call before the file is written
        if _Current.effects is not None:
            _Current.effects.point("file")
        return asdict(kept)

    by_chance = SimpleNamespace(token_hex=lambda _: chance())
    with ExitStack() as stack:
        for where, name, instead in (
            (ledger_store, "sqlite3", _Sqlite()), (house, "_write_once", written), (house, "secrets", by_chance),
            (remembered, "secrets", by_chance), (remembered, "asdict", noted),
            # A tenth of the time goes into reading the same addresses again, and cookies that nobody sends.
            (_urls, "urlparse", lru_cache(4096)(urlparse)),
            (httpx.Cookies, "extract_cookies", lambda self, response: None),
        ):  # fmt: skip
            stack.enter_context(patch.object(where, name, instead))
        yield
