"""The configuration in force: taken over when it changes and is right, kept as it was when it is not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from pinsync.clock import Clock
from pinsync.errors import ConfigError
from pinsync.house import House
from pinsync.settings.model import Settings

from .contents import Contents


class Configuration:
    """What the daemon goes by. `error` is what is wrong with the configuration on disk, "" for nothing.

    `restart_needed` says which part of the one in force waits for a restart, "" for nothing. Making one raises
    `ConfigError`: without a first good configuration there is no daemon.
    """

    def __init__(
        self, load: Callable[[], Settings], env: Mapping[str, str], clock: Clock, stop: asyncio.Event,
        log: logging.Logger,
    ) -> None:  # fmt: skip
        self.error = ""
        self.restart_needed = ""
        self._load, self._log = load, log
        self._warned: set[str] = set()
        settings = load()
        self.contents = Contents.of(files_of(settings, env))
        self.house = House(settings, env, clock, stop)
        self._warn(self.house.unlock())

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.house.settings

    def refresh(self, *, force: bool = False) -> bool:
        """Read everything again if its content changed (or `force`); True when something else is in force now."""
        if not force and not self.contents.changed():
            return False
        old = self.house
        before = self.contents
        # Looked at before it is read: what is written in between is then found at the next look.
        self.contents = Contents.of(files_of(old.settings, old.env))
        try:
            wanted = self._load()
            self._look_at_too(wanted)
            settings = replace(wanted, state=old.settings.state)
            house = House(settings, old.env, old.clock, old.stop, limiters=old.limiters, observer=old.observer)
            warnings = house.unlock(strict=True)
        except ConfigError as error:
            self.error = str(error)
            self._log.error(
                "the configuration is wrong, and the last good one stays in force until it is mended:\n%s",
                "\n".join(f"  {problem}" for problem in error.problems),
            )
            return False
        self._say_restart(wanted, settings)
        if self.error:
            self._log.info("the configuration is right again")
        self.error = ""
        self.house = house
        self._warn(warnings)
        different = settings != old.settings or house.tokens != old.tokens or self._secrets_differ(before)
        if different:
            self._log.info("the changed configuration is in force")
        return different

    def _look_at_too(self, wanted: Settings) -> None:
        """A token file that is named anew is waited for, should it be missing."""
        new = [path for path in files_of(wanted, self.house.env) if path not in self.contents.seen]
        self.contents.seen |= Contents.of(new).seen

    def _secrets_differ(self, before: Contents) -> bool:
        source = self.settings.source.path
        return any(
            before.seen[path].content != seen.content
            for path, seen in self.contents.seen.items()
            if path != source and path in before.seen
        )

    def _say_restart(self, wanted: Settings, settings: Settings) -> None:
        said = ""
        if wanted.state != settings.state:
            said = (
                f"[state] path is now {wanted.state.path}; the ledger stays {settings.state.path} until pinsync is "
                "restarted, and everything else of the changed configuration is in force"
            )
        if said and said != self.restart_needed:
            self._log.error("%s", said)
        self.restart_needed = said

    def _warn(self, warnings: list[str]) -> None:
        current = {*self.settings.warnings, *warnings}
        for warning in sorted(current - self._warned):
            self._log.warning("%s", warning)
        self._warned = current


def files_of(settings: Settings, env: Mapping[str, str]) -> list[Path]:
    """The files whose content decides how a pass goes, besides the manifest: the configuration and the secrets."""
    found = [settings.source.path]
    found += [path for remote in settings.remotes for path in (remote.token_file, remote.ca_file)]
    found += [node.authorization_file for node in settings.nodes]
    if directory := env.get("CREDENTIALS_DIRECTORY"):
        names = [f"{remote.name}.token" for remote in settings.remotes]
        names += [f"{node.name}.authorization" for node in settings.nodes] + ["kubo.authorization"]
        found += [Path(directory) / name for name in names]
    return list(dict.fromkeys(path for path in found if path is not None))
