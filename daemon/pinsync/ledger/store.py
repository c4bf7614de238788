"""Opening the ledger: to write it (one process, under the lock) or to read it (anyone)."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pinsync.errors import LedgerDamaged, StateError
from pinsync.paths import is_folder

from .copies import backup
from .owner import entrust
from .schema import APPLICATION_ID, MIGRATIONS, VERSION

if TYPE_CHECKING:
    from sqlite_utils import Database

TABLES = {"facts", "remotes", "entries", "owned", "journal", "pending", "approvals", "sources", "manifest", "runs"}
MAGIC = b"SQLite format 3\0"
HEADER = 512  # bytes; no database is smaller
CHECKED = 256 << 20  # bytes; a larger file is looked through only after a process that did not end well


class Store:
    """A connection to the ledger's file. All that is written goes through `transaction`.

    SQLite's errors leave as `StateError`, which names the file and what to do.
    """

    def __init__(self, path: Path, db: Database, *, readonly: bool) -> None:
        self.path = path
        self.db = db
        self.readonly = readonly
        self._depth = 0

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open for writing; make the file or bring it to this version (with a copy kept beside it) where needed.

        A file of a moderate size is looked through for damage, a larger one after an end that left its log behind: a
        tenth of a second for 100 000 pins. The caller holds the `StateLock`. Raises `StateError`; `LedgerDamaged` where
        the file holds no ledger any more: it is as it was then.
        """
        with guarded(path):
            no_directory(path)
            fresh = not path.exists() or path.stat().st_size == 0
            whole(path)
            doubtful = not fresh and (path.stat().st_size <= CHECKED or _size(wal_of(path)) > 0)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            if fresh:
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o640))
                entrust(path)
            elif not os.access(path, os.W_OK):
                raise StateError(f"the ledger {path} is read-only for this user; nothing was done")
            connection = sqlite3.connect(path, isolation_level=None, timeout=10.0)
            try:
                store = cls(path, _database(connection), readonly=False)
                store._prepare(fresh, doubtful)
            except BaseException:
                connection.close()
                raise
            return store

    @classmethod
    def read(cls, path: Path) -> Store | None:
        """Open for reading alone; None where there is no ledger yet. Raises `StateError`."""
        with guarded(path):
            no_directory(path)
            if not path.exists() or path.stat().st_size == 0:
                return None
            if not os.access(path, os.R_OK):
                raise StateError(f"the ledger {path} may not be read by this user; join its group, or use sudo")
            whole(path)
            try:
                return cls._read(path, "mode=ro")
            except sqlite3.OperationalError as error:
                # Without its -shm file a WAL database in a directory that we may not write opens only as immutable;
                # that is safe, since no writer has it open when the file is missing.
                closed = "unable to open" in str(error) or "readonly" in str(error)
                if not closed or path.with_name(path.name + "-shm").exists():
                    raise
                return cls._read(path, "immutable=1")

    @classmethod
    def _read(cls, path: Path, how: str) -> Store | None:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, timeout=10.0, isolation_level=None)
        try:
            store = cls(path, _database(connection), readonly=True)
            if store._check_version() == 0:
                connection.close()
                return None
        except BaseException:
            connection.close()
            raise
        return store

    def close(self) -> None:
        """Close the connection."""
        self.db.conn.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Group writes: all of them or none. Nested use joins the outer one."""
        if self._depth:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            return
        with guarded(self.path):
            self.db.conn.execute("BEGIN IMMEDIATE")
            self._depth = 1
            try:
                yield
                self.db.conn.execute("COMMIT")
            except BaseException:
                # A COMMIT that failed (a full disk) can leave the transaction open, and none could begin after it.
                if self.db.conn.in_transaction:
                    self.db.conn.execute("ROLLBACK")
                raise
            finally:
                self._depth = 0

    def execute(self, sql: str, params: Any = ()) -> sqlite3.Cursor:
        """Run one statement."""
        with guarded(self.path):
            cursor: sqlite3.Cursor = self.db.conn.execute(sql, params)
            return cursor

    def executemany(self, sql: str, rows: Any) -> None:
        """Run one statement for many rows."""
        with guarded(self.path):
            self.db.conn.executemany(sql, rows)

    def check(self) -> None:
        """Look through the whole file. Raises `LedgerDamaged`."""
        with guarded(self.path):
            found = [str(row[0]) for row in self.db.conn.execute("PRAGMA quick_check(3)")]
            names = {str(row[0]) for row in self.db.conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            version = int(self.db.conn.execute("PRAGMA user_version").fetchone()[0])
        if found != ["ok"]:
            raise damaged(self.path, "; ".join(found).replace("\n", " ")[:300], certain=True)
        if version and (missing := TABLES - names):
            raise damaged(self.path, f"the table {min(missing)} is missing", certain=True)

    def _prepare(self, fresh: bool, doubtful: bool) -> None:
        conn = self.db.conn
        conn.execute("PRAGMA busy_timeout = 10000")
        if fresh:
            conn.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        version = self._check_version(fresh)
        if doubtful:
            self.check()
        self.db.enable_wal()
        conn.execute("PRAGMA synchronous = FULL")
        conn.execute("PRAGMA cache_size = -8000")
        if version == VERSION:
            return
        if version:
            backup(conn, self.path, f"before-v{VERSION}")
        for step in range(version, VERSION):
            with self.transaction():
                for statement in MIGRATIONS[step]:
                    conn.execute(statement)
                conn.execute(f"PRAGMA user_version = {step + 1}")

    def _check_version(self, fresh: bool = False) -> int:
        version = int(self.db.conn.execute("PRAGMA user_version").fetchone()[0])
        app = int(self.db.conn.execute("PRAGMA application_id").fetchone()[0])
        if app != APPLICATION_ID and not fresh:
            raise StateError(
                f"{self.path} is a database of something else, not a ledger of pinsync; it was not touched. "
                "Set [state] path to another file"
            )
        if version > VERSION:
            raise StateError(
                f"the ledger {self.path} was written by a newer pinsync (schema {version}, this one knows {VERSION}); "
                "nothing was done. Install that version again, or go back to the copy that it made beside the file"
            )
        return version


def _database(connection: sqlite3.Connection) -> Database:
    from sqlite_utils import Database  # 30 ms, which a command without a ledger need not wait for

    return Database(connection, execute_plugins=False)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors about this file into `StateError`, also those that rows raise while they are fetched."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        # SQLite repeats what it cannot read, and a terminal must not act on it.
        text = "".join(char if char.isprintable() else "\ufffd" for char in str(error)[:300])
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "Could not decode" in text:
            raise damaged(path, text, certain=False) from error
        if "readonly" in text:
            raise StateError(f"the ledger {path} is read-only for this user; nothing was done") from error
        if "full" in text or "disk I/O" in text:
            raise StateError(
                f"the disk that holds the ledger {path} is full or fails ({text}); nothing more was done"
            ) from error
        raise StateError(f"the ledger {path} cannot be used: {text}; nothing more was done") from error


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """`explained`, and the same for what the operating system says of the file."""
    try:
        with explained(path):
            yield
    except OSError as error:
        raise StateError(f"the ledger {path} cannot be used: {error.strerror or error}") from error


def damaged(path: Path, cause: str, *, certain: bool) -> LedgerDamaged:
    """The error for a ledger that is none any more; `certain`: the file itself was found to be wrong."""
    return LedgerDamaged(
        f"the ledger {path} is damaged ({cause}); it was not touched. The next pass sets it aside, begins a new one "
        "and finds our pins again by their marks; nothing is removed until then",
        cause,
        certain=certain,
    )


def whole(path: Path) -> None:
    """Raise `LedgerDamaged` for a file that ends in its own header: SQLite takes it for an empty database."""
    if 0 < _size(path) < HEADER and path.read_bytes().startswith(MAGIC[: _size(path)]):
        raise damaged(path, "the file is cut off", certain=True)


def no_directory(path: Path) -> None:
    """Raise `StateError` for a directory in the ledger's place."""
    if is_folder(path):
        raise StateError(
            f"the ledger {path} is a directory; nothing was done. Move it away, or set [state] path to a file, "
            f"as {path / 'pinsync.db'}"
        )


def is_sqlite(path: Path) -> bool:
    """Whether a file begins as a database of SQLite does."""
    with path.open("rb") as file:
        return MAGIC.startswith(file.read(len(MAGIC)) or b"-")


def wal_of(path: Path) -> Path:
    """SQLite's log beside a database."""
    return path.with_name(f"{path.name}-wal")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
