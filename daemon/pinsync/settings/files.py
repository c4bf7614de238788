"""Reads a small file that a person made, and says in words why it cannot."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class Unreadable(Exception):
    """The message follows the file's name. `elsewhere`: another user might read it, or it might come to be there."""

    def __init__(self, message: str, *, elsewhere: bool = False) -> None:
        super().__init__(message)
        self.elsewhere = elsewhere


def read_small(path: Path, limit: int) -> tuple[bytes, int]:
    """The content and the permission bits of a regular file of at most `limit` bytes. Raises `Unreadable`."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise Unreadable("is a directory, not a file")
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("is not a regular file (a pipe, a socket or a device)")
        if status.st_size > limit:
            raise Unreadable(f"has {status.st_size} bytes; more than {limit} are not read")
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError:
        what = "is a link to a file that is not there" if path.is_symlink() else "is not there"
        raise Unreadable(what, elsewhere=True) from None
    except PermissionError:
        raise Unreadable(f"may not be read by this user (uid {os.getuid()})", elsewhere=True) from None
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from None
    if len(content) > limit:
        raise Unreadable(f"grew beyond {limit} bytes while it was read")
    return content, stat.S_IMODE(status.st_mode)


def decode(content: bytes) -> str:
    """Text from UTF-8, with or without a byte order mark. Raises `Unreadable` with the line where it is not that."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable("is written in UTF-16; save it as UTF-8")
    if b"\0" in content:
        raise Unreadable("is not text: it holds zero bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"is not UTF-8 (line {line}); save it as UTF-8") from None
