"""What has to be so before a service can be installed: a systemd, rights, a program that the service can reach."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pinsync.errors import UsageError
from pinsync.paths import is_file

from .layout import Layout, program_of
from .machine import SetupError

_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp", "/dev")  # noqa: S108 - what the unit does not let it see
_ELSEWHERE = (
    "install pinsync into a directory for everybody, such as /opt/pinsync (docs/install.md), and start from there"
)


@dataclass(frozen=True, slots=True)
class Program:
    """The pinsync that runs: `command` as a unit may name it, and all directories that it needs."""

    command: Path
    needs: tuple[Path, ...]


def running(argv0: str, home: Path | None = None) -> Program:
    """The program of this process. Raises `SetupError` where there is no command of it, as in a checkout.

    Where it has several names, the first of: those that units name by themselves (`home` for a user's), `/usr/bin`,
    the one in its environment. So a link to another version, made later, is enough for an upgrade.
    """
    package = Path(__file__).resolve().parents[1]
    own = Path(sys.prefix) / "bin/pinsync"
    called = Path(os.path.abspath(argv0))  # noqa: PTH100 - a link keeps its name
    called = called if called.name == "pinsync" and is_file(called) else own
    if not is_file(called):
        raise SetupError(
            f"there is no command {called}: it was started as a module of Python; install it (docs/install.md)"
        )
    first = Path(home / ".local/bin/pinsync") if home else Path("/usr/local/bin/pinsync")
    known = [first, Path("/usr/bin/pinsync"), own]
    command = next((path for path in known if is_file(path) and path.resolve() == called.resolve()), called)
    return Program(command, tuple(dict.fromkeys((command.resolve(), package, Path(sys.prefix), Path(sys.base_prefix)))))


def before_install(layout: Layout, program: Program, uid: int, env: Mapping[str, str]) -> None:
    """Raises `SetupError` or `UsageError` with what is wrong and what to do; nothing is changed by then."""
    rights(layout, uid, env)
    if not (layout.root / "run/systemd/system").is_dir():
        raise SetupError(
            "systemd does not run here, and the service is one of systemd's. Anything that keeps `pinsync run` alive "
            "will do instead (docs/install.md, docs/containers.md)"
        )
    if layout.user:
        return
    for path in program.needs:
        if hidden := next((one for one in _HIDDEN if path.is_relative_to(one)), None):
            raise SetupError(f"{path} lies below {hidden}, which the service does not see; {_ELSEWHERE}")
        if closed := _closed(path):
            raise SetupError(
                f"the user pinsync may not reach {path}: {closed} is closed to others; chmod -R o+rX {closed}, "
                f"or {_ELSEWHERE}"
            )


def rights(layout: Layout, uid: int, env: Mapping[str, str]) -> None:
    """Raises `UsageError` where another user has to do this."""
    if not layout.user and uid != 0:
        raise UsageError("the system's service needs root: sudo pinsync service …, or --user for a service of your own")
    if layout.user and uid == 0 and env.get("SUDO_UID", "0") != "0":
        raise UsageError("--user is for a service of your own: without sudo")


def _closed(path: Path) -> Path | None:
    """The first directory or file on the way that others may not pass or read."""
    for one in (*reversed(path.parents), path):
        try:
            mode = one.stat().st_mode
        except OSError:
            return one
        wanted = stat.S_IXOTH if stat.S_ISDIR(mode) else stat.S_IROTH | stat.S_IXOTH
        if mode & wanted != wanted:
            return one
    return None


def shipped(layout: Layout) -> tuple[bytes, bytes]:
    """The unit and the file for its user, as this pinsync brings them. Raises `SetupError`."""
    from pinsync.service.units import SYSTEM, SYSUSERS, USER, units

    try:
        directory = units()
        return (directory / (USER if layout.user else SYSTEM)).read_bytes(), (directory / SYSUSERS).read_bytes()
    except OSError as error:
        raise SetupError(str(error)) from None


def starts(unit: bytes) -> str:
    """The program that a unit starts."""
    return program_of(unit.decode("utf-8", "replace"))
