"""The daemon's end of the control socket: made safely, served by uvicorn, removed at the end."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import logging
import os
import pwd
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from pinsync.asgi import EmbeddedServer
from pinsync.errors import StateError, StateHeld

from .protocol import Protocol

PEER = "pinsync.peer"
"""The key in the scope's `state` under which the user at the other end stands, where the system tells."""

_MASK = 0o117  # of 0777: owner and group may connect
_BACKLOG = 64
_FAREWELL = 1  # seconds for answers under way when the daemon ends


def open_socket(path: Path, group: str = "") -> socket.socket:
    """Listen at `path`, for owner and group alone. A socket that a killed daemon left behind is replaced.

    `group`: whose members may ask, where there is such a group and this user may give it.

    Raises `StateHeld` when somebody answers there, `StateError` when the place cannot be had; what is no socket is
    never touched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        _clear(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # The file is made with its mode: a chmod afterwards would leave a moment in which anybody may connect.
        before = os.umask(_MASK)
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
            f"the control socket {path} cannot be made: {error.strerror or error}. Nothing was done; let this user "
            f"write {path.parent}, or set [state] path to a place of its own"
        ) from error
    return sock


def _clear(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise StateError(
            f"{path} is in the way of the control socket and is no socket, so it was not touched. "
            "Move it away and start pinsync again"
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
            raise StateHeld(
                f"another pinsync answers at {path}. Nothing was done; end it, or set [state] path to a file in a "
                "directory of its own"
            )
    path.unlink(missing_ok=True)


@contextlib.contextmanager
def listening(path: Path, group: str = "") -> Iterator[socket.socket]:
    """`open_socket`, closed and removed afterwards unless another one lies there by then."""
    sock = open_socket(path, group)
    mine = _identity(path)
    try:
        yield sock
    finally:
        sock.close()
        if mine is not None and _identity(path) == mine:
            with contextlib.suppress(OSError):
                path.unlink()


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
