"""`doctor`: what was found, part by part as it is found, and what to do next."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING

from pinsync.errors import ConfigError, PinsyncError

from . import asking
from .text import Line, counted, line, paragraph
from .ui import Ui, chosen

if TYPE_CHECKING:
    from pinsync.doctor.finding import Finding
    from pinsync.settings.model import Settings

_STYLE = {"ok": "green", "warn": "yellow", "fail": "bold red", "skip": "dim"}
_INDENT = 8


def doctor(ui: Ui, remote: str | None) -> int:
    """`pinsync doctor`: exit code 0, 1 when something fails, 2 when configuration or manifest are wrong."""
    from pinsync.clock import SystemClock
    from pinsync.doctor.examine import examine, examine_without
    from pinsync.doctor.finding import exit_code
    from pinsync.settings.load import load
    from pinsync.settings.places import find_config

    clock = SystemClock()
    settings: Settings | None = None
    try:
        settings = load(ui.config)
    except ConfigError as error:
        parts = examine_without(find_config(ui.config, os.environ), error, os.environ, clock)
    else:
        chosen(settings, remote)
        parts = examine(settings, os.environ, clock, only=remote)
    found = asyncio.run(_collect(ui, settings, remote, parts))
    code = exit_code(found)
    if ui.json:
        ui.emit(
            {
                "ok": code == 0,
                "counts": {result: _count(found, result) for result in _STYLE},
                "checks": [one.as_json() for one in found],
            }
        )
    else:
        ui.show([*([] if ui.quiet else [line()]), _summary(found)])
    return code


async def _collect(
    ui: Ui, settings: Settings | None, remote: str | None, parts: AsyncIterator[tuple[str, list[Finding]]]
) -> list[Finding]:
    """Everything, shown as it comes; what this user may not see is the daemon's to tell, where one answers."""
    found: list[Finding] = []
    theirs: dict[str, list[Finding]] | None = None
    async for part, findings in parts:
        shown, whose = findings, ""
        if settings is not None and any(one.elsewhere for one in findings):
            theirs = _of_daemon(settings, remote) if theirs is None else theirs
            if told := theirs.get(part):
                shown, whose = told, "as the daemon sees it"
        found += shown
        ui.show(_lines(part, shown, ui, whose))
    return found


def _of_daemon(settings: Settings, remote: str | None) -> dict[str, list[Finding]]:
    """What the daemon finds, by part; nothing where none answers."""
    from pinsync.doctor.finding import Finding

    try:
        client = asking.find(settings)
        told = client.doctor(remote)["checks"] if client else []
    except PinsyncError:
        return {}  # the part about the daemon says why
    found: dict[str, list[Finding]] = {}
    for one in map(Finding.of_json, told):
        found.setdefault(one.about, []).append(one)
    return found


def _lines(part: str, findings: Sequence[Finding], ui: Ui, whose: str) -> Iterator[Line]:
    shown = [one for one in findings if not ui.quiet or one.result in ("warn", "fail")]
    if not shown:
        return
    yield line((part, "bold"), (f"  {whose}" if whose else "", "dim"))
    for one in shown:
        style = _STYLE[one.result.value]
        word = one.result.value.upper() if one.result == "fail" else one.result.value
        yield from paragraph(
            f"{one.check}: {one.found}", width=ui.width, indent=_INDENT, first=f"  {word}", style=style
        )
        if one.todo:
            yield from paragraph(one.todo, width=ui.width, indent=_INDENT + 2, first=" " * _INDENT + "→", style="bold")


def _summary(found: Sequence[Finding]) -> Line:
    failed, warned = _count(found, "fail"), _count(found, "warn")
    tried = counted(_count(found, "ok") + failed + warned, "check")
    if failed:
        more = f", {counted(warned, 'warning')}" if warned else ""
        return line((f"{failed} of {tried} {'fails' if failed == 1 else 'fail'}{more}.", "bold red"))
    if warned:
        return line((f"{tried}: nothing fails, {counted(warned, 'warning')}.", "bold yellow"))
    return line((f"{tried}: all is well.", "bold green"))


def _count(found: Sequence[Finding], result: str) -> int:
    return sum(one.result == result for one in found)
