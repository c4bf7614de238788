"""What `service install` has to know before it plans: the node, the remotes, where each token is or comes from."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pinsync.errors import ConfigError, UsageError
from pinsync.paths import is_folder
from pinsync.settings.credentials import CredentialError, load_token
from pinsync.setup import planning
from pinsync.setup.host import Host
from pinsync.setup.layout import Layout
from pinsync.setup.machine import read, systemd_version
from pinsync.setup.node import Node, ask_nodes, find_node

from . import service_asking as asking_for
from .render_service import node_lines
from .service_asking import Asked, Person
from .ui import Ui, chosen

if TYPE_CHECKING:
    from pinsync.settings.model import RemoteSettings, Settings

_SYSTEMD = 252  # Debian 12


@dataclass(slots=True)
class Choice:
    """What was found out before anything is planned."""

    settings: Settings
    nodes: list[Node]
    config: bytes | None = None
    tokens: dict[Path, bytes] = field(default_factory=dict, repr=False)
    secrets: list[Path] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def remembered(layout: Layout, host: Host) -> Settings | None:
    """The configuration that is there, read as the service reads it. Raises `ConfigError`."""
    from pinsync.settings.load import load

    if read(layout.config) is None:
        return None
    return load(layout.config, env=host.service_env(layout))


def choose(ui: Ui, layout: Layout, asked: Asked, host: Host, person: Person | None) -> Choice:
    """Reads the configuration, or makes a first one; asks nodes, and for tokens. Raises `UsageError`, `ConfigError`."""
    env = host.service_env(layout)
    settings = remembered(layout, host)
    if settings is None:
        choice = _first(ui, layout, asked, host, person)
    else:
        for option, value in (("endpoint", asked.endpoint), ("auth", asked.auth), ("api", asked.api)):
            if value is not None:
                raise UsageError(
                    f"{layout.config} is there and is not overwritten, so --{option} has no place: edit the file"
                )
        chosen(settings, asked.remote)
        choice = Choice(settings, ask_nodes(settings.nodes, env, host.clock), warnings=list(settings.warnings))
    if (version := systemd_version(host.runner)) is not None and version < _SYSTEMD:
        choice.warnings.append(f"this is systemd {version}; the unit is made for {_SYSTEMD} and newer")
    for node in choice.nodes:
        if node.error:
            choice.warnings.append(f"{node.error}. The service waits for it")
        elif node.socket and not layout.user:
            choice.warnings.append(
                f"the user pinsync must be allowed to use {node.address}: systemd/examples/kubo-unix-socket.conf, with "
                "the group of the node"
            )
    _tokens(layout, choice, asked, env, person)
    return choice


def _first(ui: Ui, layout: Layout, asked: Asked, host: Host, person: Person | None) -> Choice:
    """A configuration where there is none yet."""
    node = find_node(asked.api, host.service_env(layout), host.env, host.clock)
    if person:
        ui.show(node_lines([node], width=ui.width))
    name, endpoint, auth = asking_for.remote(asked, node.services, person)
    own = layout.token(name) if layout.user and auth != "none" else None
    token_file = own.name if own else ""
    text = planning.configuration(name=name, endpoint=endpoint, auth=auth, api=node.api, token_file=token_file)
    settings = _checked(text, layout)
    settings = replace(settings, remotes=tuple(replace(one, token_file=own) for one in settings.remotes))
    return Choice(settings, [node], config=text)


def _checked(text: bytes, layout: Layout) -> Settings:
    """The settings in a configuration that is not written yet. Raises `UsageError` with what an option did wrong."""
    from pinsync.settings.load import load

    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / layout.config.name
        file.write_bytes(text)
        try:
            return load(file, env={"HOME": directory})
        except ConfigError as error:
            problems = "; ".join(problem.message for problem in error.problems)
            raise UsageError(f"--remote, --endpoint, --auth or --api: {problems}. Nothing was changed") from None


def _tokens(layout: Layout, choice: Choice, asked: Asked, env: Mapping[str, str], person: Person | None) -> None:
    """Which tokens are there, and which are to be written. Raises `UsageError` where there would be none at all."""
    lacking: list[tuple[RemoteSettings, str]] = []
    elsewhere = planning.passed(drop_ins(layout))
    needing = [one for one in choice.settings.remotes if one.auth != "none" and f"{one.name}.token" not in elsewhere]
    usable = len(choice.settings.remotes) - len(needing)
    for remote in needing:
        try:
            there = load_token(remote, env)
        except CredentialError as error:
            lacking.append((remote, error.problems[0].message))
            continue
        usable += 1
        if _place(layout, remote) == layout.token(remote.name):
            choice.secrets.append(layout.token(remote.name))
        elif there:
            choice.warnings += there.warnings
    if asked.token_file is not None:
        given = _given(choice, asked, [remote for remote, _ in lacking])
        path = _place(layout, given)
        if path is None:
            raise UsageError(f"{_by_hand(layout, given)}; nothing was changed")
        choice.tokens[path] = asking_for.token_from(given, asked.token_file)
        usable += 1
        lacking = [one for one in lacking if one[0] is not given]
    for remote, why in lacking:
        content = _asked_for(layout, remote, asked, person)
        if content is not None:
            choice.tokens[_place(layout, remote) or layout.token(remote.name)] = content
            usable += 1
        elif _place(layout, remote) is None:
            choice.warnings.append(f"{remote.name} has no token: {why}. {_by_hand(layout, remote)}")
        else:
            choice.warnings.append(f"{remote.name} has no token: {why}")
    if not usable:
        told = "\n".join(f"remote {remote.name}: {why}" for remote, why in lacking)
        raise UsageError(f"{told}\ngive it with --token-file FILE, or - for standard input; nothing was changed")


def _asked_for(layout: Layout, remote: RemoteSettings, asked: Asked, person: Person | None) -> bytes | None:
    """The token from whoever can be asked; empty where nothing is to be done with it."""
    path = _place(layout, remote)
    if path is None:
        return None
    if asked.dry_run:
        return b""
    who = "you" if layout.user else "root (and by systemd the service)"
    return asking_for.token(remote, layout.inside(path), who, person) if person else None


def _place(layout: Layout, remote: RemoteSettings) -> Path | None:
    """Where we write its token; None where that is for people: the service could not read what we write."""
    if layout.user:
        return remote.token_file
    return layout.token(remote.name) if remote.token_file is None else None


def _given(choice: Choice, asked: Asked, lacking: Sequence[RemoteSettings]) -> RemoteSettings:
    """The remote that `--token-file` is for. Raises `UsageError`."""
    remotes = [one for one in choice.settings.remotes if one.auth != "none"]
    named = [one for one in remotes if one.name == asked.remote] if asked.remote else list(lacking) or remotes
    if len(named) != 1:
        names = "|".join(one.name for one in remotes)
        raise UsageError(f"say whose token --token-file has: --remote {names}" if names else "no token is needed")
    return named[0]


def _by_hand(layout: Layout, remote: RemoteSettings) -> str:
    if layout.user:
        return f'Add token_file = "{layout.token(remote.name).name}" to its [[remote]] in {layout.config}'
    return (
        f"Its token_file {remote.token_file} must be for the service to read, by hand: "
        f"install -m 0640 -g pinsync /dev/stdin {remote.token_file}"
    )


def drop_ins(layout: Layout) -> list[str]:
    """The drop-ins of others."""
    paths = sorted(layout.drop_ins.glob("*.conf")) if is_folder(layout.drop_ins) else []
    return [file.content.decode("utf-8", "replace") for path in paths
            if path != layout.credentials and (file := read(path))]  # fmt: skip
