"""What is kept beside the ledger: a copy from before a migration, and a damaged file. None is written over."""

from __future__ import annotations

import errno
import filecmp
import os
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from pinsync.errors import StateError

from .owner import entrust


def backup(connection: sqlite3.Connection, path: Path, label: str) -> Path:
    """A consistent copy of the ledger beside it, named `<file>.<label>`; on the disk when this returns.

    A copy of that name that is there already is kept, whatever it holds: the same content is not copied twice, and
    another content gets a number behind its name. Raises `StateError` when there is no room for it.
    """
    first = path.with_name(f"{path.name}.{label}")
    part = path.with_name(f"{path.name}.{label}.part")
    try:
        with suppress(FileNotFoundError):
            part.unlink()  # of a copy that was interrupted
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640))
        entrust(part)
        with closing(sqlite3.connect(part, isolation_level=None)) as copy:
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
        _flush(part)
        target = first
        for number in count(2):
            if not target.exists():
                break
            if filecmp.cmp(part, target, shallow=False):
                part.unlink()
                return target
            target = first.with_name(f"{first.name}-{number}")
        part.rename(target)
        _flush(path.parent)
    except (OSError, sqlite3.OperationalError) as error:
        with suppress(OSError):
            part.unlink()
        full = getattr(error, "errno", None) == errno.ENOSPC or "full" in str(error)
        why = "the disk is full" if full else str(error)
        raise StateError(
            f"the ledger {path} has to be brought to this version's schema, and no copy of it could be made before "
            f"that ({why}); it was not touched. Make room for {path.stat().st_size >> 20} MiB beside it and try again"
        ) from error
    return target


def set_aside(path: Path, now: float) -> Path:
    """Rename the ledger, with what SQLite keeps beside it, to `<file>.damaged-<UTC time>`; returns the new path.

    Connections to it that are open afterwards write nothing any more, because SQLite sees that the file has moved.
    Raises `StateError`.
    """
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    for number in count(1):
        target = path.with_name(f"{path.name}.damaged-{stamp}{f'-{number}' if number > 1 else ''}")
        if not target.exists():
            break
    try:
        for suffix in ("-wal", "-shm", ""):  # the log first: beside a new database SQLite would delete it
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(target.with_name(target.name + suffix))
        _flush(path.parent)
    except OSError as error:
        raise StateError(
            f"the ledger {path} is damaged and cannot be set aside ({error.strerror}); nothing was done. "
            "Move it away by hand; the next pass makes a new one"
        ) from error
    return target


def _flush(path: Path) -> None:
    """What was written to a file, or the names in a directory, are on the disk when this returns."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
