"""How the manifest's files are reached: bytes, directories and glob patterns, behind a seam that tests can fill."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple, Protocol

from pinsync.paths import is_folder

MAX_FILE = 64 << 20  # bytes; a million CIDs with names fit
MAX_TOTAL = 256 << 20  # bytes of all files together
_WILD = frozenset("*?[")
_MAX_DIRECTORIES = 10_000  # that one pattern may look into; more is a `**` at the wrong place
_DROPPINGS = ("~", ".swp", ".swo", ".swx", ".tmp", ".bak", ".orig", ".rej")


class Entry(NamedTuple):
    """A name in a directory. `folder` is true for a real directory and for a link to one, `link` for any link."""

    name: str
    folder: bool = False
    link: bool = False


class Files(Protocol):
    """What reading a manifest asks of a file system. Every method may raise `OSError`."""

    def read(self, path: Path, limit: int) -> bytes:
        """The whole content; `TooLarge` when it has more than `limit` bytes."""

    def size(self, path: Path) -> int:
        """Bytes, by the directory's word."""

    def entries(self, directory: Path) -> Sequence[Entry]:
        """What the directory holds, in any order."""

    def is_dir(self, path: Path) -> bool:
        """Whether a directory lies there; False when nothing does."""

    def real(self, path: Path) -> Path:
        """The path with every link followed: what makes two paths the same file."""


class TooLarge(OSError):
    """The file has more bytes than may be read. `size` is what it has."""

    def __init__(self, size: int) -> None:
        super().__init__(errno.EFBIG, os.strerror(errno.EFBIG))
        self.size = size


class Unsettled(OSError):
    """The file changed while it was read, twice."""


class NotAFile(OSError):
    """A device, pipe or socket."""


class Disk:
    """The machine's own files."""

    def read(self, path: Path, limit: int) -> bytes:
        for _ in range(2):
            # Without O_NONBLOCK, opening a named pipe waits until somebody writes to it.
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(handle, "rb", closefd=True) as file:  # noqa: PTH123 - a descriptor, not a path
                before = os.fstat(handle)
                if stat.S_ISDIR(before.st_mode):
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                if not stat.S_ISREG(before.st_mode):
                    raise NotAFile(errno.EINVAL, os.strerror(errno.EINVAL))
                if before.st_size > limit:
                    raise TooLarge(before.st_size)
                data = file.read(before.st_size + 1)  # room for what is there, not for what may be
                after = os.fstat(handle)
            # By its path too: an editor may have put another file in its place meanwhile.
            if len(data) == before.st_size and _state(before) == _state(after) == _state(path.stat()):
                return data
        raise Unsettled(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def size(self, path: Path) -> int:
        return path.stat().st_size

    def entries(self, directory: Path) -> Sequence[Entry]:
        with os.scandir(directory) as found:
            return [Entry(entry.name, _is_folder(entry), entry.is_symlink()) for entry in found]

    def is_dir(self, path: Path) -> bool:
        return is_folder(path)

    def real(self, path: Path) -> Path:
        return Path(os.path.realpath(path))


class Overlay:
    """The disk as it would be with `content` at `main`."""

    def __init__(self, disk: Files, main: Path, content: bytes) -> None:
        self._disk, self._main, self._content = disk, main, content
        self._real = disk.real(main)

    def read(self, path: Path, limit: int) -> bytes:
        return self._content if self._disk.real(path) == self._real else self._disk.read(path, limit)

    def size(self, path: Path) -> int:
        return len(self._content) if self._disk.real(path) == self._real else self._disk.size(path)

    def entries(self, directory: Path) -> Sequence[Entry]:
        found = list(self._disk.entries(directory))
        if self._disk.real(directory) == self._real.parent and all(one.name != self._main.name for one in found):
            found.append(Entry(self._main.name))
        return found

    def is_dir(self, path: Path) -> bool:
        return self._disk.is_dir(path)

    def real(self, path: Path) -> Path:
        return self._disk.real(path)


class TooMany(Exception):
    """A pattern leads through more directories than a manifest can mean."""


def has_wildcard(pattern: str) -> bool:
    """Whether the pattern may match any number of files, none included."""
    return not _WILD.isdisjoint(pattern)


def expand(files: Files, base: Path, pattern: str, looked_into: dict[Path, None]) -> list[Path]:
    """The files that a glob pattern matches, sorted; `*`, `?`, `[…]` within a name and `**` for any depth.

    Hidden files and what editors drop (`.#x`, `x~`, `.x.swp`, `#x#`) match only a part that itself starts with a dot.
    `**` does not follow links. Adds every directory on the way to `looked_into`, also those that are not there yet.
    Raises `OSError` where a directory cannot be read, `TooMany`.
    """
    root = Path("/") if pattern.startswith("/") else base
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    seen = 0

    def look(directory: Path) -> Sequence[Entry]:
        nonlocal seen
        seen += 1
        if seen > _MAX_DIRECTORIES:
            raise TooMany
        looked_into.setdefault(directory)
        try:
            return files.entries(directory)
        except (FileNotFoundError, NotADirectoryError):
            return ()

    def walk(directory: Path, index: int) -> Iterator[Path]:
        part, last = parts[index], index == len(parts) - 1
        if part == "**":
            if not last:
                yield from walk(directory, index + 1)
            for entry in look(directory):
                if _ignored(entry.name):
                    continue
                if entry.folder and not entry.link:
                    yield from walk(directory / entry.name, index)
                elif last and not entry.folder:
                    yield directory / entry.name
        elif not last and not has_wildcard(part):
            looked_into.setdefault(directory)
            yield from walk(directory / part, index + 1)
        else:
            for entry in look(directory):
                if not fnmatchcase(entry.name, part) or (_ignored(entry.name) and not part.startswith(".")):
                    continue
                if not last and entry.folder:
                    yield from walk(directory / entry.name, index + 1)
                elif last and not entry.folder:
                    yield directory / entry.name

    return sorted(set(walk(root, 0))) if parts else []


def _ignored(name: str) -> bool:
    return name.startswith(".") or name.endswith(_DROPPINGS) or (name[0] == "#" == name[-1])


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself; reading it will say so
        return False


def _state(of: os.stat_result) -> tuple[int, int, int, int]:
    return of.st_dev, of.st_ino, of.st_size, of.st_mtime_ns


def explain(error: OSError) -> str:
    """Why a file cannot be read and what to do about it."""
    match error:
        case FileNotFoundError():
            return "there is no such file; create it (an empty one is a valid manifest) or correct its path"
        case PermissionError():
            return "no permission to read it; make it readable for the user that pinsync runs as"
        case IsADirectoryError():
            return "this is a directory where a file is expected"
        case NotAFile():
            return "this is a device, pipe or socket, not a file"
        case TooLarge():
            limits = f"one file may have {MAX_FILE >> 20} MiB, all together {MAX_TOTAL >> 20}"
            return f"{error.size >> 20} MiB is too large for a manifest: {limits}. Is this the right file?"
        case Unsettled():
            return "it is being written at this moment; it is read again on the next occasion"
        case _:
            return f"cannot be read: {error.strerror or error}"
