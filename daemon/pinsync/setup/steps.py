"""What installing and uninstalling does, as values: they can be shown, carried out, and taken back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was found. `mode` has the permission bits alone."""

    content: bytes = field(repr=False)
    mode: int


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    """A directory that is not there yet."""

    path: Path
    mode: int = 0o755

    def __str__(self) -> str:
        return f"make {self.path}, mode {self.mode:04o}"


@dataclass(frozen=True, slots=True)
class WriteFile:
    """A file, put in its place at once. `before` is what it takes the place of. The content is in no message."""

    path: Path
    content: bytes = field(repr=False)
    mode: int
    what: str
    before: File | None = field(default=None, repr=False)

    def __str__(self) -> str:
        verb = "write" if self.before is None else "replace"
        return f"{verb} {self.path}, mode {self.mode:04o}: {self.what}"


@dataclass(frozen=True, slots=True)
class SetMode:
    """Who may read a file that is right but for that."""

    path: Path
    mode: int
    before: int

    def __str__(self) -> str:
        return f"chmod {self.mode:04o} {self.path}, which has {self.before:04o}"


@dataclass(frozen=True, slots=True)
class RemoveFile:
    """A file that is there. `before` is what it holds, to be taken back."""

    path: Path
    what: str
    before: File | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"remove {self.path}: {self.what}"


@dataclass(frozen=True, slots=True)
class RemoveDirectory:
    """A directory, should nothing be left in it."""

    path: Path

    def __str__(self) -> str:
        return f"remove {self.path}, when it is empty"


@dataclass(frozen=True, slots=True)
class Run:
    """A command of the system."""

    argv: tuple[str, ...]

    def __str__(self) -> str:
        return f"run {' '.join(self.argv)}"


Step = MakeDirectory | WriteFile | SetMode | RemoveFile | RemoveDirectory | Run
