"""`service install`: asks for what is lacking, shows what is to be done, does it, and shows that it runs."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pinsync.errors import ConfigError, PinsyncError, UsageError
from pinsync.settings.credentials import CredentialError, load_token
from pinsync.setup import checks, planning
from pinsync.setup.host import Host
from pinsync.setup.layout import UNIT, Layout, with_program
from pinsync.setup.machine import Outcome, SetupError, carry_out, look, read
from pinsync.setup.node import Node, ask_nodes, find_node
from pinsync.setup.planning import Found, Wanted
from pinsync.setup.steps import Run, Step

from . import service_asking as asking_for
from .render_service import failed_text, node_lines, plan_lines
from .service_asking import Asked, AtTerminal, Person
from .text import line
from .ui import Ui, chosen

if TYPE_CHECKING:
    from pinsync.settings.model import RemoteSettings, Settings

READY = 20.0  # seconds to wait for the first pass
_LOOK_AGAIN = 0.2  # seconds
_JOURNAL = 8  # lines to show of a start that failed


@dataclass(slots=True)
class _Choice:
    """What was found out before anything is planned."""

    settings: Settings
    nodes: list[Node]
    config: bytes | None = None
    tokens: dict[Path, bytes] = field(default_factory=dict, repr=False)
    secrets: list[Path] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def install(ui: Ui, user: bool, asked: Asked, host: Host | None = None, person: Person | None = None) -> int:
    """`pinsync service install`. Exit code 1 also where it runs and its first pass fails."""
    host = host or Host()
    layout = host.layout(user)
    by_its_own_file(ui, layout)
    if person is None and ui.interactive and not asked.dry_run:
        person = AtTerminal()
    program = host.program(layout)
    if not asked.dry_run:
        checks.before_install(layout, program, host.uid, host.env)
    choice = _choose(ui, layout, asked, host, person)
    found, wanted = _compare(layout, choice, program.command, host)
    steps = planning.install(layout, found, wanted)
    difference = _difference(layout, found, wanted)
    if difference and not (person or asked.yes or asked.dry_run):
        raise SetupError(
            f"{layout.unit} is another than this pinsync's: `pinsync service show{' --user' * user}` shows how. "
            "With --yes it is replaced; your own changes belong into `systemctl edit pinsync`. Nothing was changed"
        )
    for warning in choice.warnings:
        ui.warn(warning)
    report: dict[str, Any] = {"scope": layout.scope, "dry_run": asked.dry_run, "difference": difference}
    ui.show(node_lines(choice.nodes, width=ui.width))
    ui.show(plan_lines(steps, difference, dry_run=asked.dry_run, verbose=ui.verbose))
    if asked.dry_run:
        return _told(ui, layout, report, Outcome(left=list(steps)), choice.warnings)
    if steps and person and not asked.yes and not asking_for.agreed(person, "Do this?"):
        ui.tell("nothing was changed")
        return _told(ui, layout, report, Outcome(left=list(steps)), choice.warnings)
    outcome = carry_out(steps, host.runner)
    if outcome.failed:
        text = failed_text(layout, outcome, _journal(layout, outcome.failed, host))
        ui.complain(text)
        return _told(ui, layout, report, outcome, choice.warnings, error=text)
    ui.show([line(("Nothing had to be changed." if not steps else "Installed, enabled and running.", "bold green"))])
    return _told(ui, layout, report, outcome, choice.warnings, verdict=_verdict(ui, layout, host))


def by_its_own_file(ui: Ui, layout: Layout) -> None:
    """Raises `UsageError` where `--config` names another file than the service's."""
    if ui.config is not None and ui.config.resolve() != layout.config.resolve():
        raise UsageError(f"the service goes by {layout.config}, so --config says nothing here")


def remembered(layout: Layout, host: Host) -> Settings | None:
    """The configuration that is there, read as the service reads it. Raises `ConfigError`."""
    from pinsync.settings.load import load

    if read(layout.config) is None:
        return None
    return load(layout.config, env=host.service_env(layout))


def _choose(ui: Ui, layout: Layout, asked: Asked, host: Host, person: Person | None) -> _Choice:
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
        choice = _Choice(settings, ask_nodes(settings.nodes, env, host.clock), warnings=list(settings.warnings))
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


def _first(ui: Ui, layout: Layout, asked: Asked, host: Host, person: Person | None) -> _Choice:
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
    return _Choice(settings, [node], config=text)


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


def _tokens(layout: Layout, choice: _Choice, asked: Asked, env: Mapping[str, str], person: Person | None) -> None:
    """Which tokens are there, and which are to be written. Raises `UsageError` where there would be none at all."""
    lacking: list[tuple[RemoteSettings, str]] = []
    elsewhere = planning.passed(_drop_ins(layout))
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


def _given(choice: _Choice, asked: Asked, lacking: Sequence[RemoteSettings]) -> RemoteSettings:
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


def _drop_ins(layout: Layout) -> list[str]:
    """The drop-ins of others."""
    paths = sorted(layout.drop_ins.glob("*.conf")) if layout.drop_ins.is_dir() else []
    return [file.content.decode("utf-8", "replace") for path in paths
            if path != layout.credentials and (file := read(path))]  # fmt: skip


def _compare(layout: Layout, choice: _Choice, program: Path, host: Host) -> tuple[Found, Wanted]:
    unit, sysusers = checks.shipped(layout)
    outdated = choice.config is None and _outdated(choice.settings, layout, host)
    found = look(layout, [*choice.tokens, *choice.secrets], host.runner, outdated=outdated)
    if found.unit.load == "masked":
        raise SetupError(f"{UNIT} is masked: {' '.join(layout.systemctl)} unmask {UNIT}; nothing was changed")
    try:
        rendered = with_program(unit.decode(), program).encode()
    except ValueError as error:
        raise SetupError(f"{error}: install pinsync elsewhere; nothing was changed") from None
    packaged = layout.unit not in found.files and any(path in found.files for path in layout.packaged)
    names = [] if layout.user else _names(layout, choice, unit)
    return found, Wanted(
        unit=None if packaged else rendered,
        sysusers=sysusers if layout.sysusers and layout.sysusers[-1] not in found.files else None,
        config=choice.config,
        credentials=planning.credentials(layout, names),
        tokens=choice.tokens,
        secrets=choice.secrets,
    )


def _names(layout: Layout, choice: _Choice, unit: bytes) -> list[str]:
    """The credentials that the unit and other drop-ins do not pass on: tokens, and others whose file is there."""
    names = [f"{one.name}.token" for one in planning.from_credentials(choice.settings.remotes)]
    others = [*(f"{node.name}.authorization" for node in choice.settings.nodes), "kubo.authorization",
              "notify.webhook", "notify.heartbeat"]  # fmt: skip
    names += [name for name in others if (layout.config_dir / name).is_file()]
    passed = planning.passed([unit.decode(), *_drop_ins(layout)])
    return [name for name in names if name not in passed]


def _outdated(settings: Settings, layout: Layout, host: Host) -> bool:
    """Whether a daemon of another version runs."""
    from pinsync import __version__
    from pinsync.service.client import DaemonClient

    try:
        client = DaemonClient.find(settings, host.service_env(layout))
        return client is not None and client.status(None, None)["daemon"].get("version") != __version__
    except (PinsyncError, KeyError):
        return False


def _difference(layout: Layout, found: Found, wanted: Wanted) -> list[str]:
    before = found.files.get(layout.unit)
    if before is None or wanted.unit is None:
        return []
    return planning.difference(before.content, wanted.unit, UNIT)


def _journal(layout: Layout, failed: Step, host: Host) -> list[str]:
    """What the service said last, where it was to start."""
    if not isinstance(failed, Run) or not {"start", "restart"} & set(failed.argv):
        return []
    scope = ("--user",) if layout.user else ()
    ran = host.runner(("journalctl", *scope, "-u", UNIT, "-n", str(_JOURNAL), "-o", "cat", "--no-pager"))
    return ran.out.splitlines() if ran.code == 0 else []


def _verdict(ui: Ui, layout: Layout, host: Host) -> str | None:
    """Wait until the first pass is over, or at least under way; show the status, and tell its verdict."""
    import time

    from . import standing
    from .render_status import status_lines

    settings = remembered(layout, host)
    assert settings is not None
    _wait(settings, layout, host)
    try:
        found, _ = standing.read(settings, None)
    except PinsyncError as error:
        ui.warn(str(error))
        return None
    ui.show(status_lines(found, width=ui.width, now=time.time(), verbose=False, quiet=ui.quiet,
                         every=settings.schedule.every))  # fmt: skip
    return str(found["verdict"])


def _wait(settings: Settings, layout: Layout, host: Host) -> None:
    import asyncio

    from pinsync.service.client import DaemonClient

    end = host.clock.monotonic() + READY
    while host.clock.monotonic() < end:
        try:
            client = DaemonClient.find(settings, host.service_env(layout))
            told = client.status(None, None) if client else None
        except PinsyncError:
            told = None
        if told and told["daemon"].get("pass") is None and _passed(told):
            return
        asyncio.run(host.clock.sleep(_LOOK_AGAIN))


def _passed(told: Mapping[str, Any]) -> bool:
    """Whether a pass has ended since the daemon began."""
    last = told.get("last_pass") or {}
    return bool(last.get("finished_at")) and last["finished_at"] > told["daemon"]["since"]


def _told(
    ui: Ui, layout: Layout, report: Mapping[str, Any], outcome: Outcome, warnings: Sequence[str], *,
    verdict: str | None = None, error: str = "",
) -> int:  # fmt: skip
    """The report as JSON, where that is wanted, and the exit code."""
    from .render_service import steps_json

    if ui.json:
        ui.emit(
            {
                **report,
                "changed": bool(outcome.done),
                "steps": steps_json(outcome),
                "verdict": verdict,
                "warnings": list(warnings),
                "errors": [{"where": "service", "message": error}] if error else [],
            }
        )
    elif layout.user and outcome.done and not error:
        ui.tell("`loginctl enable-linger` lets it run while you are not logged in")
    return 1 if error or verdict == "failing" else 0
