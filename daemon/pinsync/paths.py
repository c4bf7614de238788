"""What lies at a path, for who may not be let in: `Path.exists` and its like raise where a directory is closed."""

from __future__ import annotations

import grp
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


def to_close(path: Path, *, system: Path = Path("/etc"), group: str = "pinsync") -> str:
    """The command that closes a file to other users, and not to the service that reads it. Raises nothing.

    What lies in /etc is root's, and the service reads it as a member of its group: systemd/pinsync.service.
    """
    plain = f"chmod o-rwx {path}"
    try:
        if path.is_relative_to(system) and path.stat().st_gid != grp.getgrnam(group).gr_gid:
            return f"chgrp {group} {path} && chmod 0640 {path}"
    except (OSError, KeyError):
        return plain
    return plain
