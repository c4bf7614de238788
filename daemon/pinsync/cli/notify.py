"""`notify`: who is told when something is the matter, and a trial of it; and telling after a pass without a daemon."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pinsync.errors import StateError, UsageError

from . import asking
from .text import Cell, Line, line, table
from .ui import Ui

if TYPE_CHECKING:
    from pinsync.house import House, State
    from pinsync.settings.model import Settings
    from pinsync.steps.report import PassReport

PATIENCE = 5.0  # seconds that `sync` waits for receivers; what is left is tried by the next pass
STOPPED = 1.0  # seconds, when a signal wants it to end

_NOBODY = (
    "nobody is told when something is the matter: [notify] in the configuration has no command, webhook or heartbeat"
)


def notify(ui: Ui, test: bool) -> int:
    """`pinsync notify`: who is told. With `test` each is told that it is a trial; exit code 1 when one cannot be."""
    settings = ui.settings()
    found = _tried(ui, settings) if test else _listed(settings)
    if not found["receivers"] and test:
        raise UsageError(_NOBODY)
    if ui.json:
        ui.emit({"receivers": found["receivers"]})
    else:
        ui.show(_lines(found["receivers"], ui.width))
        if not found["receivers"]:
            ui.tell(_NOBODY)
        elif not test:
            ui.tell("try them with: pinsync notify --test")
    return 1 if any(one["ok"] is False for one in found["receivers"]) else 0


def _tried(ui: Ui, settings: Settings) -> dict[str, Any]:
    """By the daemon where one runs: it has the credentials, and what its unit forbids is forbidden to the command."""
    daemon = asking.find(settings)
    if daemon is not None:
        found = daemon.notify()
        ui.tell(f"told by the daemon that answers at {daemon.path}")
        return found
    from pinsync.clock import SystemClock
    from pinsync.house import mirror_id
    from pinsync.service.teller import trial, trial_json

    try:
        mirror = mirror_id(settings, None)
    except StateError:
        mirror = ""
    return trial_json(asyncio.run(trial(settings, mirror, SystemClock(), os.environ)))


def _listed(settings: Settings) -> dict[str, Any]:
    from pinsync.service.receivers import configured, whereto
    from pinsync.settings.credentials import CredentialError

    found: list[dict[str, Any]] = []
    for receiver in configured(settings.notify, os.environ):
        one: dict[str, Any] = {"receiver": receiver, "ok": None, "where": "", "answer": None, "seconds": None}
        try:
            one["where"] = whereto(settings.notify, receiver, os.environ)
        except CredentialError as error:
            one |= {"ok": None if error.elsewhere else False, "answer": str(error)}
        found.append(one)
    return {"receivers": found}


def _lines(found: list[Mapping[str, Any]], width: int | None) -> Iterator[Line]:
    rows: list[list[Cell]] = []
    for one in found:
        word: Cell = "" if one["ok"] is None else ("ok", "green") if one["ok"] else ("failed", "bold red")
        took = f" in {one['seconds']:.1f} s" if one["seconds"] else ""
        rows.append([one["receiver"], word, one["where"], f"{one['answer'] or ''}{took}"])
    yield from table(rows, "<<<<", indent=0, width=width)
    if not rows:
        yield line("none")


def tell_after(ui: Ui, house: House, state: State, report: PassReport, *, whole: bool, stopped: bool) -> None:
    """After a pass of `pinsync sync`: people who use a timer in place of the daemon are told as well."""
    from pinsync.service.teller import Teller

    log = logging.Logger("pinsync.notify")
    log.addHandler(_Warnings(ui))

    async def tell() -> None:
        teller = Teller(state, house.clock, house.env, log)
        teller.after_pass(house.settings, report, whole=whole)
        await teller.finish(STOPPED if stopped else PATIENCE)
        await teller.close(grace=0.0)

    asyncio.run(tell())


class _Warnings(logging.Handler):
    """What the teller logs, as this command says things."""

    def __init__(self, ui: Ui) -> None:
        super().__init__(logging.WARNING)
        self._ui = ui

    def emit(self, record: logging.LogRecord) -> None:
        self._ui.warn(record.getMessage())
