"""Whether the file at the ledger's path is still the one that is open: people delete it, or put a backup there.

SQLite does not look: a connection goes on writing to a file that has no name any more, and by what its log holds it
does not see what was written over the file. (semantics: *The ledger*)
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from pinsync.errors import LedgerDamaged, StateError

from .ledger import Ledger
from .owner import entrust
from .remembered import GENERATION, LEDGER_ID, Remembered, remembered, restore
from .store import wal_of

GONE = "the file is gone"
ANOTHER = "another file is in its place"
OVERWRITTEN = "an older copy was written over it"


@dataclass(slots=True)
class Place:
    """Where an open ledger is: device and inode of its file and of its log, and what both files said at last.

    `written`: id and generation of the ledger that the file holds for certain, without the log beside it.
    """

    file: tuple[int, int] | None
    log: tuple[int, int] | None
    kept: Remembered | None = None
    written: tuple[str, int] | None = None

    @classmethod
    def of(cls, ledger: Ledger) -> Place:
        """The place of a ledger that was just opened to write."""
        path = ledger.store.path
        return cls(_inode(path), _inode(wal_of(path)), remembered(path))

    def note(self, ledger: Ledger) -> None:
        """Bring what the log holds into the file, as far as nobody reads what was before, and note what both say."""
        path = ledger.store.path
        self.kept = remembered(path) or self.kept
        try:
            busy, frames, done = ledger.store.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except LedgerDamaged:
            raise
        except StateError:
            return  # a full disk: it is all in the log
        if not busy and frames == done:
            self.written = _says(path)

    def lost(self, ledger: Ledger) -> str:
        """Why the file is not the one that is open any more; "" when it is. Raises `OSError`."""
        path = ledger.store.path
        found = _inode(path)
        if found != self.file:
            return GONE if found is None else ANOTHER
        says = _says(path) if self.written else None
        if says and self.written and (says[0] != self.written[0] or says[1] < self.written[1]):
            return OVERWRITTEN
        return ""

    def leave(self, ledger: Ledger) -> None:
        """Have what is at the path opened as it is: without our log, and with what was remembered beside the ledger.

        The open connections write nothing more there, because SQLite sees that their file has moved. Raises `OSError`.
        """
        path = ledger.store.path
        if _inode(wal_of(path)) == self.log:  # of the old file: replayed into another it would spoil it
            for suffix in ("-wal", "-shm"):
                with suppress(FileNotFoundError):
                    path.with_name(path.name + suffix).unlink()
        if _inode(path) == self.file:
            copy = path.with_name(f".{path.name}.new")
            shutil.copyfile(path, copy)
            entrust(copy)
            copy.replace(path)
        if self.kept is not None and remembered(path) is None:
            restore(path, self.kept)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _says(path: Path) -> tuple[str, int] | None:
    """Id and generation by the file alone; None where it has none, or makes no sense."""
    try:
        # Not opened in another way: closing it would give up the locks that this process has on it.
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as db:
            facts = dict(db.execute("SELECT name, value FROM facts WHERE name IN (?, ?)", (LEDGER_ID, GENERATION)))
        return str(facts[LEDGER_ID]), int(facts[GENERATION])
    except (sqlite3.DatabaseError, KeyError, ValueError, TypeError):
        return None
