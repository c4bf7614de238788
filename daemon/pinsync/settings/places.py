"""Where things are: the configuration, the ledger, the control socket."""

from __future__ import annotations

import hashlib
import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from .model import ConfigFile, Settings

SYSTEM_CONFIG = Path("/etc/pinsync/config.toml")
SYSTEM_STATE = Path("/var/lib/pinsync")
SYSTEM_RUNTIME = Path("/run/pinsync")
SOCKET = "pinsync.sock"
GROUP = "pinsync"
SUMMARY = "summary.json"
_SOCKET_BYTES = 103  # sun_path holds 108 bytes on Linux and 104 on macOS, the closing NUL included


def find_config(explicit: Path | None, env: Mapping[str, str]) -> ConfigFile:
    """The configuration file by the documented order: `explicit`, `$PINSYNC_CONFIG`, the user's, the system's.

    A file that was named is returned without a look at it. Where one of the other two is something other than a
    readable file it is still the one: reading it then says what is wrong, instead of another file applying quietly.
    """
    if explicit is not None:
        return ConfigFile(absolute(explicit), "given by --config")
    if named := env.get("PINSYNC_CONFIG"):
        return ConfigFile(absolute(Path(named)), "named by $PINSYNC_CONFIG")
    for path, why in _searched(env):
        if _present(path):
            return ConfigFile(path, why)
    return ConfigFile(None, f"no file: neither {' nor '.join(str(path) for path, _ in _searched(env))} is there")


def searched(env: Mapping[str, str]) -> tuple[Path, ...]:
    """The two places where a configuration is looked for when none is named."""
    return tuple(path for path, _ in _searched(env))


def _searched(env: Mapping[str, str]) -> list[tuple[Path, str]]:
    user = xdg(env, "XDG_CONFIG_HOME", ".config")
    mine = [(user / "pinsync/config.toml", "the user's configuration")] if user else []
    return [*mine, (SYSTEM_CONFIG, "the system's configuration")]


def default_state(source: ConfigFile, env: Mapping[str, str]) -> Path | None:
    """The ledger's file where the configuration names none. None when there is no home directory to put it in."""
    if _is_system(source):
        return SYSTEM_STATE / "pinsync.db"
    home = xdg(env, "XDG_STATE_HOME", ".local/state")
    return home / "pinsync/pinsync.db" if home else None


def socket_path(settings: Settings, env: Mapping[str, str]) -> Path:
    """The control socket, the same for the daemon and for whoever asks it.

    `pinsync.sock` in `$RUNTIME_DIRECTORY` (systemd sets it, for the daemon alone), in `/run/pinsync` for the
    configuration in `/etc`, else beside the ledger. Where that is too long for a Unix socket, a name made from the
    ledger's path in `$XDG_RUNTIME_DIR` or else `/tmp`. In `/tmp` anybody can make a file of that name: check the owner.
    """
    if given := env.get("RUNTIME_DIRECTORY", "").split(":")[0]:
        path = Path(given) / SOCKET
    elif _is_system(settings.source):
        path = SYSTEM_RUNTIME / SOCKET
    else:
        path = settings.state.path.parent / SOCKET
    if _fits(path):
        return path
    name = f"pinsync-{hashlib.sha256(os.fsencode(settings.state.path)).hexdigest()[:16]}.sock"
    runtime = env.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/") and _fits(Path(runtime) / name):
        return Path(runtime) / name
    return Path("/tmp") / name  # noqa: S108 - the same for both sides, unlike $TMPDIR


def socket_group(settings: Settings) -> str:
    """The group whose members may ask the system's daemon; "" for a user's own."""
    return GROUP if _is_system(settings.source) else ""


def summary_path(settings: Settings, env: Mapping[str, str]) -> Path | None:
    """Where the daemon keeps what every user may read; None for one that is no service of the system.

    `summary.json` in `$RUNTIME_DIRECTORY`, else in `/run/pinsync` for the configuration in `/etc`: beside the socket.
    """
    if given := env.get("RUNTIME_DIRECTORY", "").split(":")[0]:
        return Path(given) / SUMMARY
    return SYSTEM_RUNTIME / SUMMARY if _is_system(settings.source) else None


def absolute(path: Path, base: Path | None = None) -> Path:
    """`path` from the root, taken from `base` or else the current directory.

    Links are followed only where `..` makes it necessary: a link that is switched to a new version keeps its name.
    """
    whole = (base or Path.cwd()) / path
    return whole.resolve() if ".." in whole.parts else whole


def expand_home(text: str, env: Mapping[str, str]) -> Path:
    """A path as written, `~` and `~/` standing for the home directory."""
    home = _home(env)
    if home and (text == "~" or text.startswith("~/")):
        return home / text[2:]
    return Path(text)


def xdg(env: Mapping[str, str], variable: str, otherwise: str) -> Path | None:
    """A base directory by the XDG rules: the variable if it holds an absolute path, else below the home directory."""
    if (given := env.get(variable, "")).startswith("/"):
        return Path(given)
    home = _home(env)
    return home / otherwise if home else None


def _home(env: Mapping[str, str]) -> Path | None:
    if (given := env.get("HOME", "")).startswith("/"):
        return Path(given)
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None  # an arbitrary user id in a container


def _is_system(source: ConfigFile) -> bool:
    return source.path is not None and source.path.is_relative_to("/etc")


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= _SOCKET_BYTES


def _present(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True
