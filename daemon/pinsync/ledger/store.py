"""Opening the ledger: to write it (one process, under the lock) or to read it (anyone)."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pinsync.errors import StateError

from .schema import APPLICATION_ID, MIGRATIONS, VERSION

if TYPE_CHECKING:
    from sqlite_utils import Database


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

        The caller holds the `StateLock`. Raises `StateError`.
        """
        with _explained(path):
            fresh = not path.exists() or path.stat().st_size == 0
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            if fresh:
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o640))
            elif not os.access(path, os.W_OK):
                raise StateError(f"the ledger {path} is read-only for this user; nothing was done")
            connection = sqlite3.connect(path, isolation_level=None, timeout=10.0)
            try:
                store = cls(path, _database(connection), readonly=False)
                store._prepare(fresh)
            except BaseException:
                connection.close()
                raise
            return store

    @classmethod
    def read(cls, path: Path) -> Store | None:
        """Open for reading alone; None where there is no ledger yet. Raises `StateError`."""
        with _explained(path):
            if not path.exists() or path.stat().st_size == 0:
                return None
            if not os.access(path, os.R_OK):
                raise StateError(f"the ledger {path} may not be read by this user")
            try:
                return cls._read(path, "mode=ro")
            except sqlite3.OperationalError as error:
                # Without its -shm file a WAL database in a directory that we may not write opens only as immutable;
                # that is safe, since no writer has it open when the file is missing.
                if "unable to open" not in str(error) or path.with_name(path.name + "-shm").exists():
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
        with _explained(self.path):
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
        with _explained(self.path):
            cursor: sqlite3.Cursor = self.db.conn.execute(sql, params)
            return cursor

    def executemany(self, sql: str, rows: Any) -> None:
        """Run one statement for many rows."""
        with _explained(self.path):
            self.db.conn.executemany(sql, rows)

    def _prepare(self, fresh: bool) -> None:
        conn = self.db.conn
        conn.execute("PRAGMA busy_timeout = 10000")
        if fresh:
            conn.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        version = self._check_version(fresh)
        self.db.enable_wal()
        conn.execute("PRAGMA synchronous = FULL")
        conn.execute("PRAGMA cache_size = -8000")
        if version == VERSION:
            return
        if version:
            self.backup(f"before-v{VERSION}")
        for step in range(version, VERSION):
            with self.transaction():
                for statement in MIGRATIONS[step]:
                    conn.execute(statement)
                conn.execute(f"PRAGMA user_version = {step + 1}")

    def backup(self, label: str) -> Path:
        """A consistent copy of the file beside it."""
        self.db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        target = self.path.with_name(f"{self.path.name}.{label}")
        shutil.copy2(self.path, target)
        return target

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
        text = str(error)
        if "not a database" in text or "malformed" in text:
            raise StateError(
                f"the ledger {path} is damaged ({text}); it was not touched and nothing was done. Move it aside: the "
                "next pass makes a new one and finds our pins again by their marks; nothing is removed until then"
            ) from error
        if "readonly" in text:
            raise StateError(f"the ledger {path} is read-only for this user; nothing was done") from error
        if "full" in text or "disk I/O" in text:
            raise StateError(
                f"the disk that holds the ledger {path} is full or fails ({text}); nothing more was done"
            ) from error
        raise StateError(f"the ledger {path} cannot be used: {text}; nothing more was done") from error


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        with explained(path):
            yield
    except OSError as error:
        raise StateError(f"the ledger {path} cannot be used: {error.strerror or error}") from error
