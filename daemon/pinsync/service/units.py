"""The unit files, as the wheel carries them (`pinsync/systemd/`) or as they lie in a checkout (`systemd/`)."""

from __future__ import annotations

from pathlib import Path

SYSTEM = "pinsync.service"
USER = "user/pinsync.service"
SYSUSERS = "pinsync.sysusers"

_PACKAGE = Path(__file__).resolve().parents[1]


def units() -> Path:
    """The directory with `SYSTEM`, `USER`, `SYSUSERS` and `examples/*.conf`. Raises `FileNotFoundError`."""
    for directory in (_PACKAGE / "systemd", _PACKAGE.parents[1] / "systemd"):
        if (directory / SYSTEM).is_file():
            return directory
    raise FileNotFoundError(f"the unit files are not in {_PACKAGE / 'systemd'}: this pinsync was not installed whole")
