"""`service install`: asks for what is lacking, shows what is to be done, does it, and shows that it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pinsync.errors import PinsyncError, UsageError
from pinsync.paths import is_file
from pinsync.setup import checks, planning
from pinsync.setup.host import Host
from pinsync.setup.layout import UNIT, Layout, with_program
from pinsync.setup.machine import Outcome, SetupError, carry_out, look
from pinsync.setup.planning import Found, Wanted
from pinsync.setup.steps import Run, Step

from . import service_asking as asking_for
from .render_service import failed_text, node_lines, plan_lines
from .service_asking import Asked, AtTerminal, Person
from .service_choice import Choice, choose, drop_ins, remembered
from .text import line
from .ui import Ui

if TYPE_CHECKING:
    from pinsync.settings.model import Settings

READY = 20.0  # seconds to wait for the first pass
_LOOK_AGAIN = 0.2  # seconds
_JOURNAL = 8  # lines to show of a start that failed


def install(ui: Ui, user: bool, asked: Asked, host: Host | None = None, person: Person | None = None) -> int:
    """`pinsync service install`. Exit code 1 also where it runs and its first pass fails."""
    host = host or Host()
    layout = host.layout(user)
    by_its_own_file(ui, layout)
    if person is None and ui.interactive and not asked.dry_run:
        person = AtTerminal()
    program = host.program(layout)
    refused: list[str] = []
    try:
        checks.before_install(layout, program, host.uid, host.env)
    except PinsyncError as error:
        if not asked.dry_run:
            raise
        refused.append(f"as things are it would be refused: {error}")
    choice = choose(ui, layout, asked, host, person)
    choice.warnings[:0] = refused
    found, wanted = _compare(layout, choice, program.command, host)
    steps = planning.install(layout, found, wanted)
    difference = _difference(layout, found, wanted)
    if difference and not (person or asked.yes or asked.dry_run):
        raise UsageError(
            f"{layout.unit} is another than this pinsync's: `pinsync service show{' --user' * user}` shows how. "
            "With --yes it is replaced; your own changes belong into `systemctl edit pinsync`. Nothing was changed"
        )
    for warning in choice.warnings:
        ui.warn(warning)
    report: dict[str, Any] = {"scope": layout.scope, "dry_run": asked.dry_run, "difference": difference}
    if not ((person and choice.config is not None) or ui.quiet):  # told before the questions
        ui.show(node_lines(choice.nodes, width=ui.width))
    if person or asked.dry_run or not ui.quiet:
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


def _compare(layout: Layout, choice: Choice, program: Path, host: Host) -> tuple[Found, Wanted]:
    unit, sysusers = checks.shipped(layout)
    outdated = choice.config is None and _outdated(choice.settings, layout, host)
    found = look(layout, [*choice.tokens, *choice.secrets], host.runner, outdated=outdated)
    if found.unit.load == "masked":
        raise SetupError(f"{UNIT} is masked: {' '.join(layout.systemctl)} unmask {UNIT}; nothing was changed")
    try:
        rendered = with_program(unit.decode(), program).encode()
    except ValueError as error:
        raise SetupError(f"{error}: install pinsync elsewhere; nothing was changed") from None
    theirs = [checks.starts(found.files[path].content) for path in layout.packaged if path in found.files]
    packaged = layout.unit not in found.files and str(program) in theirs
    names = [] if layout.user else _names(layout, choice, unit)
    return found, Wanted(
        unit=None if packaged else rendered,
        sysusers=sysusers if layout.sysusers and layout.sysusers[-1] not in found.files else None,
        config=choice.config,
        credentials=planning.credentials(layout, names),
        tokens=choice.tokens,
        secrets=choice.secrets,
    )


def _names(layout: Layout, choice: Choice, unit: bytes) -> list[str]:
    """The credentials that the unit and other drop-ins do not pass on: tokens, and others whose file is there."""
    names = [f"{one.name}.token" for one in planning.from_credentials(choice.settings.remotes)]
    others = [*(f"{node.name}.authorization" for node in choice.settings.nodes), "kubo.authorization",
              "notify.webhook", "notify.heartbeat"]  # fmt: skip
    names += [name for name in others if is_file(layout.config_dir / name)]
    passed = planning.passed([unit.decode(), *drop_ins(layout)])
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
    found["config_why"] = "the service's"
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
