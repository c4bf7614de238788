"""The daemon's end of the control socket: made safely, served by uvicorn, removed at the end."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import logging
import os
import pwd
import re
import socket
import stat
import struct
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from starlette.types import ASGIApp

from pinsync.asgi import EmbeddedServer
from pinsync.errors import StateError, StateHeld

from .protocol import Protocol

PEER = "pinsync.peer"
"""The key in the scope's `state` under which the user at the other end stands, where the system tells."""

_OF_GROUP, _OF_OWNER = 0o117, 0o177  # taken from 0777: owner and group, or the owner alone, may connect
_BACKLOG = 64
AGAIN = 30.0  # seconds between two tries to have the socket
_MOST_PARTS = 8  # of an answer that are read to tell whose it is
_FAREWELL = 1  # seconds for answers under way when the daemon ends


def open_socket(path: Path, group: str = "") -> socket.socket:
    """Listen at `path`, for the owner alone, or with `group` for owner and group. One that was left behind is replaced.

    `group`: whose members may ask, where there is such a group and this user may give it; else the user's own group.

    Raises `StateHeld` when another pinsync answers there, `StateError` when the place cannot be had: a full disk, a
    directory that may not be written, another program that listens. What is no abandoned socket is never touched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        _clear(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # The file is made with its mode: a chmod afterwards would leave a moment in which anybody may connect.
        before = os.umask(_OF_GROUP if group else _OF_OWNER)
        try:
            sock.bind(str(path))
        except BaseException:
            sock.close()
            raise
        finally:
            os.umask(before)
        if group:
            with contextlib.suppress(KeyError, PermissionError):
                os.chown(path, -1, grp.getgrnam(group).gr_gid)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        raise StateError(
            f"the control socket {path} cannot be made: {error.strerror or error}. There must be room in "
            f"{path.parent}, and this user must be allowed to write it"
        ) from error
    return sock


def _clear(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise StateError(
            f"{path} is in the way of the control socket and is no socket, so it was not touched. Move it away"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            pass
        except OSError as error:  # TimeoutError: somebody listens and is slow
            raise StateError(f"the control socket {path} is somebody else's: {error.strerror or error}") from error
        else:
            if _is_pinsync(probe):
                raise StateHeld(
                    f"another pinsync answers at {path}. Nothing was done; end it, or set [state] path to a file in a "
                    "directory of its own"
                )
            raise StateError(
                f"another program listens at {path}, where the control socket should be, so it was not touched. End it"
            )
    path.unlink(missing_ok=True)


def _is_pinsync(sock: socket.socket) -> bool:
    """Whether what answers at the other end speaks as our daemons do."""
    told = b""
    try:
        sock.sendall(b"GET /v1/status HTTP/1.1\r\nHost: pinsync\r\nConnection: close\r\n\r\n")
        for _ in range(_MOST_PARTS):
            told += (part := sock.recv(1 << 16))
            if not part:
                break
    except OSError:
        pass
    return re.search(rb'"(format|error)"\s*:', told) is not None


class Door:
    """The control socket at `path` while the daemon lives: taken when it can be had, looked for again when it cannot.

    A daemon without one mirrors all the same. A context manager: closed and removed at the end, unless another one
    lies there by then.
    """

    def __init__(self, path: Path, log: logging.Logger, group: str = "") -> None:
        self.path, self._group = path, group
        self.sock: socket.socket | None = None
        self._log = log
        self._mine: tuple[int, int] | None = None
        self._trouble = ""

    def take(self, *, strict: bool = False) -> socket.socket | None:
        """The socket, or None for now; why is logged once. `strict`: raises `StateHeld` for another pinsync's."""
        try:
            self.sock = open_socket(self.path, self._group)
        except StateError as error:
            if strict and isinstance(error, StateHeld):
                raise
            if str(error) != self._trouble:
                self._trouble = str(error)
                self._log.error(
                    "%s. Mirroring goes on; until it is mended no command can ask this daemon anything. It is tried "
                    "again every %.0f s",
                    error,
                    AGAIN,
                )
            return None
        self._mine = _identity(self.path)
        if self._trouble:
            self._trouble = ""
            self._log.info("the control socket is %s now", self.path)
        return self.sock

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.sock is None:
            return
        self.sock.close()
        if self._mine is not None and _identity(self.path) == self._mine:
            with contextlib.suppress(OSError):
                self.path.unlink()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class ControlServer(EmbeddedServer):
    """The control socket's server, which does not wait for clients at the end."""

    def __init__(self, app: ASGIApp) -> None:
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # the app logs for itself
        super().__init__(app, _Protocol, farewell=_FAREWELL)


class _Protocol(Protocol):
    """A connection that tells the application who is at the other end."""

    def introduce(self, transport: asyncio.Transport) -> dict[str, Any]:
        return {PEER: peer_of(transport.get_extra_info("socket"))}


def peer_of(sock: object) -> str | None:
    """The user at the other end of a Unix socket, by name where there is one; None where the system does not tell."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None or not hasattr(sock, "getsockopt"):
        return None
    try:
        _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    except (OSError, struct.error):
        return None
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
