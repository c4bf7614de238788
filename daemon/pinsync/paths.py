"""What lies at a path, for who may not be let in: `Path.exists` and its like raise where a directory is closed."""

from __future__ import annotations

from pathlib import Path


def present(path: Path, *, unknown: bool = False) -> bool:
    """Whether anything is there; `unknown` where a directory on the way is closed to this user. Raises nothing."""
    try:
        return path.exists()
    except OSError:
        return unknown


def is_folder(path: Path) -> bool:
    """Whether it is a directory, as far as this user can see. Raises nothing."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Whether it is a plain file, as far as this user can see. Raises nothing."""
    try:
        return path.is_file()
    except OSError:
        return False
