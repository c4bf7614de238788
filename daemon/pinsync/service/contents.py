"""What watched files held when they were last looked at, so that a look can tell a change from a mere touch."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pinsync.errors import Problem
from pinsync.sources.manifest import UnusableManifest, read_manifest
from pinsync.sources.manifest_files import MAX_FILE, Disk, Entry

_SETTLED = 2.0  # seconds: a file written later than this before a look may be written again within its time's grain
_DROPPINGS = ("~", ".swp", ".swx", ".tmp")

Stat = tuple[int, int, int, int] | None


@dataclass(frozen=True, slots=True)
class Seen:
    """A file or directory at one look: by its directory entry, and by what it holds (a digest, or why there is none).

    `settled`: an equal `stat` later means equal content.
    """

    stat: Stat
    content: str
    settled: bool


@dataclass(slots=True)
class Contents:
    """A set of paths, and what they held."""

    seen: dict[Path, Seen] = field(default_factory=dict)

    @classmethod
    def of(cls, paths: Iterable[Path]) -> Contents:
        """Look at these paths now."""
        return cls({path: look(path) for path in paths})

    def stirred(self) -> bool:
        """Whether a look could find something new, by directory entries alone: cheap enough for every two seconds."""
        return any(stat_of(path) != seen.stat for path, seen in self.seen.items())

    def changed(self) -> bool:
        """Whether one of them holds something else than when it was last looked at. Reads only what may differ."""
        for path, before in self.seen.items():
            if before.settled and stat_of(path) == before.stat:
                continue
            now = look(path)
            if now.content != before.content:
                return True
            self.seen[path] = now
        return False


def stat_of(path: Path) -> Stat:
    """A file's identity, size and time of change (chmod included), links followed; None where nothing can be seen."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns


def look(path: Path) -> Seen:
    """A path as it is now."""
    at = stat_of(path)  # before the content: what is written in between shows as a difference later
    return Seen(at, _content(path, Disk()), _settled(at))


def _settled(at: Stat) -> bool:
    return at is None or at[3] / 1e9 < time.time() - _SETTLED


def _content(path: Path, disk: Disk) -> str:
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            return _names(disk.entries(path))
        return hashlib.sha256(disk.read(path, MAX_FILE)).hexdigest()
    except (OSError, ValueError) as error:
        return _why_not(error)


def _names(entries: Sequence[Entry]) -> str:
    """A directory's content is what its patterns could match."""
    names = sorted(one.name for one in entries if not one.name.startswith(".") and not one.name.endswith(_DROPPINGS))
    return hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).hexdigest()


def _why_not(error: OSError | ValueError) -> str:
    return f"not read: {type(error).__name__} {getattr(error, 'errno', '')}"


class Recorder(Disk):
    """The disk for `read_manifest`, noting what was read: the very bytes, not those that lie there a moment later."""

    def __init__(self) -> None:
        self.seen: dict[Path, Seen] = {}

    def read(self, path: Path, limit: int) -> bytes:
        at = stat_of(path)
        try:
            data = super().read(path, limit)
        except OSError as error:
            self.seen[path] = Seen(at, _why_not(error), _settled(at))
            raise
        self.seen[path] = Seen(at, hashlib.sha256(data).hexdigest(), _settled(at))
        return data

    def entries(self, directory: Path) -> Sequence[Entry]:
        at = stat_of(directory)
        try:
            found = super().entries(directory)
        except OSError as error:
            self.seen[directory] = Seen(at, _why_not(error), _settled(at))
            raise
        self.seen[directory] = Seen(at, _names(found), _settled(at))
        return found


@dataclass(frozen=True, slots=True)
class Survey:
    """A manifest as it was read for watching. Two readings with equal `digest` and `problems` say the same."""

    contents: Contents = field(default_factory=Contents)
    digest: str = ""
    problems: tuple[Problem, ...] = ()

    def says_the_same(self, other: Survey) -> bool:
        """Whether a pass would find the same manifest."""
        return (self.digest, self.problems) == (other.digest, other.problems)


def survey(path: Path | None, remotes: Collection[str]) -> Survey:
    """Read the manifest at `path` to learn which files it consists of; one that is wrong has files to watch too."""
    if path is None:
        return Survey()
    disk = Recorder()
    try:
        manifest = read_manifest(path, remotes=remotes, files=disk)
    except UnusableManifest as error:
        digest, problems, files = "", error.problems, error.files
    else:
        digest, problems, files = manifest.digest, (), manifest.files
    paths = dict.fromkeys((path, Path(os.path.realpath(path)), *files))
    return Survey(Contents({one: disk.seen.get(one) or look(one) for one in paths}), digest, problems)
