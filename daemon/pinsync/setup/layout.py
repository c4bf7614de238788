"""Where the parts of an installed service lie: the system's, or one of a user's own. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pinsync.errors import ConfigError, Problem
from pinsync.settings.places import SYSTEM_CONFIG, SYSTEM_STATE, xdg

UNIT = "pinsync.service"
CREDENTIALS = "credentials.conf"
_PLAIN = re.compile(r"[A-Za-z0-9/._+@:=,%$-]+")  # what stands in ExecStart= without quotes


@dataclass(frozen=True, slots=True)
class Layout:
    """The places of one service. All paths lie below `root`, which is `/` but for tests.

    `packaged` are where a package of the distribution would have put the unit, and `sysusers` both places of the file
    that describes the user, ours first; of these none for a user's own service.
    """

    user: bool
    root: Path
    unit: Path
    packaged: tuple[Path, ...]
    sysusers: tuple[Path, ...]
    config: Path
    state: Path

    @property
    def config_dir(self) -> Path:
        """The directory of the configuration; tokens lie there too."""
        return self.config.parent

    @property
    def drop_ins(self) -> Path:
        """The directory of what adds to the unit."""
        return self.unit.with_name(f"{UNIT}.d")

    @property
    def credentials(self) -> Path:
        """Our own drop-in, which passes tokens to the service."""
        return self.drop_ins / CREDENTIALS

    @property
    def systemctl(self) -> tuple[str, ...]:
        return ("systemctl", "--user") if self.user else ("systemctl",)

    @property
    def scope(self) -> str:
        return "user" if self.user else "system"

    @property
    def journal(self) -> str:
        """The command that shows the service's log."""
        return f"journalctl {'--user ' if self.user else ''}-u pinsync"

    @property
    def again(self) -> str:
        """The command that installs."""
        return f"pinsync service install{' --user' if self.user else ''}"

    def token(self, remote: str) -> Path:
        """The file for the token of a remote."""
        return self.config_dir / f"{remote}.token"

    def inside(self, path: Path) -> Path:
        """The path as the service sees it."""
        return Path("/") / path.relative_to(self.root) if path.is_relative_to(self.root) else path


def system(root: Path = Path("/")) -> Layout:
    """The system's service, as docs/install.md has it."""

    def at(path: Path | str) -> Path:
        return root / str(path).lstrip("/")

    return Layout(
        user=False,
        root=root,
        unit=at(f"/etc/systemd/system/{UNIT}"),
        packaged=(at(f"/usr/lib/systemd/system/{UNIT}"), at(f"/lib/systemd/system/{UNIT}")),
        sysusers=(at("/etc/sysusers.d/pinsync.conf"), at("/usr/lib/sysusers.d/pinsync.conf")),
        config=at(SYSTEM_CONFIG),
        state=at(SYSTEM_STATE),
    )


def of_user(env: Mapping[str, str], root: Path = Path("/")) -> Layout:
    """The service of whoever runs this. Raises `ConfigError` where there is no home directory."""
    config, state = xdg(env, "XDG_CONFIG_HOME", ".config"), xdg(env, "XDG_STATE_HOME", ".local/state")
    if config is None or state is None:
        raise ConfigError([Problem("$HOME", None, "there is no home directory to put a service of your own into")])
    return Layout(
        user=True,
        root=root,
        unit=config / "systemd/user" / UNIT,
        packaged=(root / "usr/lib/systemd/user" / UNIT,),
        sysusers=(),
        config=config / "pinsync/config.toml",
        state=state / "pinsync",
    )


def with_program(unit: str, program: Path) -> str:
    """The shipped unit, for a pinsync that lies at `program`. Raises `ValueError` for a path that no unit can name."""
    text = str(program).replace("%", "%%").replace("$", "$$")
    if not _PLAIN.fullmatch(text):
        if not text.isprintable() or '"' in text or "\\" in text:
            raise ValueError(f"no unit can name {text!r}")
        text = f'"{text}"'
    return re.sub(r"(?m)^ExecStart=\S+", lambda found: f"ExecStart={text}", unit, count=1)


def program_of(unit: str) -> str:
    """What a unit starts, as it stands there; "" where it starts nothing."""
    found = re.search(r'(?m)^ExecStart=(?:"([^"]*)"|(\S+))', unit)
    return (found[1] or found[2]) if found else ""
