"""One writer: a lock on a file beside the ledger, which also says who holds it."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from pinsync.errors import StateError, StateHeld

from .owner import entrust


class StateLock:
    """An advisory lock (`flock`) that vanishes with its process, however that ends.

    Raises `StateHeld` when another process has it, with what that process wrote about itself.
    """

    def __init__(self, database: Path) -> None:
        self.path = lock_of(database)
        self._fd: int | None = None

    def acquire(self, what: str) -> None:
        """Take the lock; `what` names the command, for those who come after."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
            entrust(self.path)
        except OSError as error:
            raise StateError(
                f"the state directory {self.path.parent} cannot be written: {error.strerror}; nothing was done. "
                "Set [state] path to a place that this user may write"
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(fd, 200, 0).decode(errors="replace").strip() or "a process that left no name"
            os.close(fd)
            raise StateHeld(
                f"another pinsync holds the state {self.path.parent}: {holder}. Nothing was done; "
                "`pinsync status` shows what it does"
            ) from error
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{what}, process {os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(fd)
            raise StateError(f"{self.path} cannot be written: {error.strerror}; nothing was done") from error
        self._fd = fd

    def release(self) -> None:
        """Give the lock back. Harmless when it is not held."""
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> StateLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def lock_of(database: Path) -> Path:
    """The file that is locked, beside the ledger."""
    return database.with_name(database.name + ".lock")


def holder(database: Path) -> tuple[str, int] | None:
    """Who holds the state, as (command, process id), or None. Takes no lock: asking must not get in anybody's way."""
    try:
        text = lock_of(database).read_text(encoding="utf-8").strip()
        what, _, pid = text.rpartition(", process ")
        number = int(pid)
    except (OSError, ValueError):
        return None
    with suppress(PermissionError):  # it lives, and is somebody else's
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return None
    return what, number
