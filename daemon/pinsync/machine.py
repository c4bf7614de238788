"""Which machine this is, as far as it can be known: to notice a state directory that was copied to another one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from pinsync.paths import present

_ID = re.compile(r"[0-9a-f]{32}")
_SALT = b"pinsync: which machine a mirror runs on"
_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_CONTAINER = (Path("/.dockerenv"), Path("/run/.containerenv"))


def machine_of(env: Mapping[str, str], root: Path = Path("/")) -> str | None:
    """16 hexadecimal digits for this machine; None where nothing lasting tells it from another.

    Hashed, since machine-id(5) asks that the id itself not be shown around. In a container there is none, or a new one
    with each start, so nothing is concluded there.
    """
    if (
        env.get("container")
        or env.get("KUBERNETES_SERVICE_HOST")
        or any(present(_under(root, one)) for one in _CONTAINER)
    ):
        return None
    for path in _FILES:
        try:
            found = _under(root, path).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if _ID.fullmatch(found) and found.strip("0"):
            return hashlib.blake2b(found.encode(), key=_SALT, digest_size=8).hexdigest()
    return None


def _under(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")
