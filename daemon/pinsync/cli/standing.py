"""`status`: read from the ledger, or asked of the daemon where this user may not read it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pinsync.cid import CidError, parse_cid
from pinsync.errors import ConfigError, PinsyncError, StateError, UsageError

from . import asking
from .render_cid import cid_lines
from .render_status import brief, status_lines
from .text import Line, line, local
from .ui import Ui, chosen, coloured, rich_text

if TYPE_CHECKING:
    from pinsync.cid import Cid
    from pinsync.settings.model import Settings

EVERY = 2.0  # seconds between two looks with --watch


def status(ui: Ui, cid: str | None, remote: str | None, watch: bool) -> int:
    """`pinsync status`."""
    if watch and ui.json:
        raise UsageError("--watch shows things to a person and --json to a program: give one of them")
    try:
        settings = ui.settings()
    except ConfigError:
        ui.tell("the configuration cannot be used; a daemon that runs already goes on with the last good one")
        raise
    chosen(settings, remote)
    if watch:
        return _watch(ui, settings, remote, cid)
    found, code = read(settings, remote, cid)
    if ui.json:
        ui.emit(found)
    else:
        ui.show(_lines(ui, found, cid, settings, ui.width))
    return code


def read(settings: Settings, remote: str | None, cid: str | None = None) -> tuple[dict[str, Any], int]:
    """The report, or that of one CID, and the exit code. Raises `UsageError`, `StateError`, `Alone`."""
    from pinsync.house import reading
    from pinsync.status import cid_status, exit_code
    from pinsync.status import status as report_of

    which = _cid(cid) if cid is not None else None
    try:
        daemon = _daemon(settings)
        with reading(settings) as ledger:
            if which is not None:
                found = cid_status(ledger, settings, which, remote)
                return found, cid_exit_code(found, known=ledger is not None)
            if daemon["running"] and ledger is not None and (wrong := ledger.fact("config_error")):
                daemon["config_error"] = wrong
            found = report_of(ledger, settings, time.time(), daemon, remote)
    except StateError as error:
        client = asking.instead(settings, error)
        found = client.status(remote, str(which) if which else None)
        return found, cid_exit_code(found, known=True) if which else exit_code(found)
    found["config_why"] = settings.source.why
    return found, exit_code(found)


def cid_exit_code(found: Mapping[str, Any], *, known: bool) -> int:
    """0 where it is pinned wherever it is wanted, and not on its way out."""
    remotes = found["remotes"]
    wanted = [one for one in remotes if one["wanted"]]
    if not known:
        return 5
    if any(one["status"] in ("failed", "refused") for one in wanted):
        return 1
    states = {wait["state"] for one in remotes for wait in one["waiting"]}
    if "held" in states:
        return 4
    return 3 if states or any(one["status"] != "pinned" for one in wanted) else 0


def _daemon(settings: Settings) -> dict[str, Any]:
    """What the daemon says about itself; `running` False where none answers."""
    try:
        client = asking.find(settings)
        if client is None:
            return {"running": False}
        told: dict[str, Any] = dict(client.status(None, None)["daemon"])
    except PinsyncError as error:
        return {"running": True, "error": str(error)}
    return {**told, "running": True}


def _cid(text: str) -> Cid:
    try:
        return parse_cid(text)
    except CidError as error:
        raise UsageError(str(error)) from None


def _lines(ui: Ui, found: dict[str, Any], cid: str | None, settings: Settings, width: int | None) -> Iterator[Line]:
    if cid is not None:
        return cid_lines(found, width=width, now=time.time())
    return status_lines(
        found, width=width, now=time.time(), verbose=ui.verbose, quiet=ui.quiet, every=settings.schedule.every
    )


def _watch(ui: Ui, settings: Settings, remote: str | None, cid: str | None) -> int:
    """Until ^C: redrawn on a terminal that can, a line for each change elsewhere."""
    if not coloured(sys.stdout):
        last = ""
        while True:
            found, _ = read(settings, remote, cid)
            now = " ".join(part for part in brief(found))
            if now != last:
                sys.stdout.write(f"{local(time.time())}  {now}\n")
                sys.stdout.flush()
                last = now
            time.sleep(EVERY)
    from rich.console import Group
    from rich.live import Live

    with Live(auto_refresh=False, screen=True) as live:
        while True:
            found, _ = read(settings, remote, cid)
            shown = [*_lines(ui, found, cid, settings, live.console.width), [], line(("^C ends this", "dim"))]
            live.update(Group(*map(rich_text, shown)), refresh=True)
            time.sleep(EVERY)
