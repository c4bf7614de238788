"""A daemon that mirrors and cannot be asked, because its control socket could not be made. Cheap to import."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pinsync.ledger.lock import holder
from pinsync.settings.model import Settings
from pinsync.settings.places import socket_path

DAEMON = "pinsync run"
"""How the daemon names itself in the lock."""


def silent(settings: Settings, env: Mapping[str, str]) -> dict[str, Any] | None:
    """The `daemon` of a status where nobody answers, but the lock names a daemon that lives; None without one."""
    held = holder(settings.state.path)
    if held is None or held[0] != DAEMON:
        return None
    path = socket_path(settings, env)
    why, todo = _why(path)
    said = (
        f"the daemon, process {held[1]}, goes on mirroring, but no command can ask it anything: {why}. Until then "
        f"`sync`, `approve` and `pause` are refused, and nothing is lost. {todo}, and it makes the socket within 30 s"
    )
    return {"running": True, "answers": False, "pid": held[1], "error": said}


def _why(path: Path) -> tuple[str, str]:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return f"there is no control socket at {path}", f"Its log says why; see that there is room in {path.parent}"
    except OSError as error:
        return f"{path} cannot be looked at ({error.strerror or error})", "Its log says why; mend that"
    if not stat.S_ISSOCK(found.st_mode):
        return f"{path} is in the way of the control socket and is no socket", "Move it away"
    return f"nobody listens at {path}", "Its log says why; mend that"
