"""What is to be done to install or to uninstall, from what was found. Pure.

Files come first, and are taken back when one of them cannot be written; only then is anything started.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pinsync.settings.model import RemoteSettings

from .layout import UNIT, Layout
from .steps import File, MakeDirectory, RemoveDirectory, RemoveFile, Run, SetMode, Step, WriteFile

SECRET = 0o600
_PUBLIC = 0o644
_PASSED = re.compile(r"(?m)^\s*(?:Load|Set)Credential(?:Encrypted)?=([^:\s]+):")


@dataclass(frozen=True, slots=True)
class UnitState:
    """What `systemctl show` says of the unit, with its own words."""

    load: str = "not-found"
    active: str = "inactive"
    sub: str = "dead"
    file_state: str = ""
    fragment: str = ""
    drop_ins: tuple[str, ...] = ()
    need_reload: bool = False
    result: str = ""
    pid: int = 0
    restarts: int = 0

    @property
    def up(self) -> bool:
        """It runs, or is about to: not one that failed and waits for its next start."""
        return self.active not in ("inactive", "failed") and self.sub != "auto-restart"

    @property
    def enabled(self) -> bool:
        return self.file_state in ("enabled", "static", "linked", "alias", "generated")


@dataclass(frozen=True, slots=True)
class Found:
    """The machine as it is. `files` has those of the layout's places and of the tokens that are there."""

    files: Mapping[Path, File]
    directories: frozenset[Path]
    unit: UnitState
    user_exists: bool
    outdated: bool = False
    """The daemon that runs is of another version than this program."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be there. None: as it is (`unit`, `sysusers`, `config`), or not there (`credentials`)."""

    unit: bytes | None
    sysusers: bytes | None
    config: bytes | None = None
    credentials: bytes | None = None
    tokens: Mapping[Path, bytes] = field(default_factory=dict, repr=False)
    secrets: Sequence[Path] = ()
    """Token files that are there already, and that nobody else may read."""


def install(layout: Layout, found: Found, wanted: Wanted) -> list[Step]:
    """The steps from `found` to `wanted`, the service started; none where everything is so already."""
    files: list[Step] = []
    changed = False

    def write(path: Path, content: bytes | None, mode: int, what: str) -> bool:
        before = found.files.get(path)
        if content is None or (before is not None and before.content == content and before.mode == mode):
            return False
        if before is not None and before.content == content:
            files.append(SetMode(path, mode, before.mode))
            return False
        files.append(WriteFile(path, content, mode, what, before))
        return True

    if layout.sysusers:
        write(layout.sysusers[0], wanted.sysusers, _PUBLIC, "the user and group pinsync")
    changed |= write(layout.unit, wanted.unit, _PUBLIC, "the unit")
    if wanted.credentials is None and layout.credentials in found.files:
        before = found.files[layout.credentials]
        files.append(RemoveFile(layout.credentials, "no token needs it any more", before))
        changed = True
    changed |= write(layout.credentials, wanted.credentials, _PUBLIC, "which tokens the service is given")
    write(layout.config, wanted.config, SECRET if layout.user else _PUBLIC, "the configuration")
    reload = changed or found.unit.need_reload or found.unit.load == "not-found"
    for path, content in wanted.tokens.items():
        changed |= write(
            path, content, SECRET, "the token, for you alone" if layout.user else "the token, root's alone"
        )
    for path in wanted.secrets:
        there = found.files.get(path)
        if there is not None and there.mode & 0o077 and path not in wanted.tokens:
            files.append(SetMode(path, SECRET, there.mode))
    return [
        *_directories(layout, found, files),
        *files,
        *_runs(layout, found, restart=changed or found.unit.need_reload or found.outdated, reload=reload),
    ]


def _directories(layout: Layout, found: Found, files: Iterable[Step]) -> list[Step]:
    needed = {parent for step in files if isinstance(step, WriteFile) for parent in step.path.parents}
    mode = 0o700 if layout.user else 0o755  # as the rules for XDG's directories have it
    return [MakeDirectory(path, mode) for path in sorted(needed - found.directories)]


def _runs(layout: Layout, found: Found, *, restart: bool, reload: bool) -> list[Step]:
    runs: list[Step] = []
    if layout.sysusers and not found.user_exists:
        runs.append(Run(("systemd-sysusers",)))
    if reload:
        runs.append(Run((*layout.systemctl, "daemon-reload")))
    if not found.unit.enabled:
        runs.append(Run((*layout.systemctl, "enable", UNIT)))
    if not found.unit.up:
        runs.append(Run((*layout.systemctl, "start", UNIT)))
    elif restart:
        runs.append(Run((*layout.systemctl, "restart", UNIT)))
    return runs


def uninstall(layout: Layout, found: Found, *, purge: bool, tokens: Sequence[Path]) -> list[Step]:
    """The steps that take away what `install` put there; with `purge` configuration and tokens too, never the state."""
    steps: list[Step] = []
    there = found.files
    if found.unit.load != "not-found" and (found.unit.active not in ("inactive", "failed") or found.unit.enabled):
        steps.append(Run((*layout.systemctl, "disable", "--now", UNIT)))
    ours = [(layout.unit, "the unit"), (layout.credentials, "which tokens the service is given")]
    gone = [RemoveFile(path, what) for path, what in ours if path in there]
    steps += gone
    if layout.drop_ins in found.directories:
        steps.append(RemoveDirectory(layout.drop_ins))
    if layout.sysusers and layout.sysusers[0] in there:
        steps.append(RemoveFile(layout.sysusers[0], "the user and group pinsync, which stay with the state"))
    if purge:
        steps += [RemoveFile(path, "a token") for path in tokens if path in there]
        if layout.config in there:
            steps.append(RemoveFile(layout.config, "the configuration"))
        if layout.config_dir in found.directories:
            steps.append(RemoveDirectory(layout.config_dir))
    if gone:
        steps.append(Run((*layout.systemctl, "daemon-reload")))
    if found.unit.active == "failed":
        steps.append(Run((*layout.systemctl, "reset-failed", UNIT)))
    return steps


def passed(texts: Iterable[str]) -> set[str]:
    """The names of the credentials that units and drop-ins pass on."""
    return {name for text in texts for name in _PASSED.findall(text)}


def credentials(layout: Layout, names: Iterable[str]) -> bytes | None:
    """The drop-in that passes the files of these names in the configuration's directory; None where there are none."""
    lines = [
        line
        for name in dict.fromkeys(names)
        for line in (
            f"LoadCredential={name}:{layout.inside(layout.config_dir / name)}",
            f"SetCredential={name}:\\n",
        )
    ]
    if not lines:
        return None
    head = f"# `{layout.again}` wrote this, and writes it anew: what you add belongs into a drop-in of another name."
    return "\n".join((head, "", "[Service]", *lines, "")).encode()


def from_credentials(remotes: Iterable[RemoteSettings]) -> list[RemoteSettings]:
    """The remotes whose token is passed as a credential."""
    return [one for one in remotes if one.auth != "none" and one.token_file is None]


def configuration(*, name: str, endpoint: str, auth: str, api: str, token_file: str) -> bytes:
    """A first config.toml; `token_file` is "" for a token that is passed as a credential."""

    def text(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    lines = [
        "# Made by `pinsync service install`. docs/configuration.md has all keys; `pinsync check` looks at this.",
        "",
    ]
    if api != "auto":
        lines += ["[kubo]", f"api = {text(api)}", ""]
    lines += ["[[remote]]", f"name = {text(name)}", f"endpoint = {text(endpoint)}"]
    if auth != "bearer":
        lines.append(f"auth = {text(auth)}")
    if token_file:
        lines.append(f"token_file = {text(token_file)}")
    return "\n".join((*lines, "")).encode()


def difference(before: bytes, after: bytes, name: str) -> list[str]:
    """From one file to the other, as `diff -u` shows it; nothing where they are the same."""
    old, new = (content.decode("utf-8", "replace").splitlines() for content in (before, after))
    return list(difflib.unified_diff(old, new, f"{name} (now)", f"{name} (this pinsync's)", lineterm="", n=1))
