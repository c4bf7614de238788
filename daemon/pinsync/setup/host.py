"""What installing needs of the process and the machine, passed in."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pinsync.clock import Clock, SystemClock
from pinsync.settings.places import SYSTEM_STATE, expand_home

from .checks import Program, running
from .layout import Layout, of_user, system
from .machine import Runner, run

_OF_A_USER = ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")


@dataclass(frozen=True, slots=True)
class Host:
    """The machine below `root`, and who asks: `env`, `uid`, and `argv0`, which says where this program lies."""

    root: Path = Path("/")
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    uid: int = field(default_factory=os.getuid)
    argv0: str = field(default_factory=lambda: sys.argv[0])
    runner: Runner = run
    clock: Clock = field(default_factory=SystemClock)
    program_is: Program | None = None

    def layout(self, user: bool) -> Layout:
        return of_user(self.env, self.root) if user else system(self.root)

    def program(self, layout: Layout) -> Program:
        """This pinsync. Raises `SetupError` where it has no command."""
        home = expand_home("~", self.env) if layout.user else None
        return self.program_is or running(self.argv0, home)

    def service_env(self, layout: Layout) -> dict[str, str]:
        """The environment that the service will have, as far as it decides where things are.

        Credentials are looked for where systemd takes them from.
        """
        if layout.user:
            return {name: self.env[name] for name in _OF_A_USER if name in self.env}
        return {"HOME": str(SYSTEM_STATE), "CREDENTIALS_DIRECTORY": str(layout.config_dir)}
