"""`status`: read from the ledger, or asked of the daemon where this user may not read it."""

from __future__ import annotations

import os
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
from .ui import Ui, chosen, rich_text, said

if TYPE_CHECKING:
    from pinsync.cid import Cid
    from pinsync.settings.model import Settings

BRIEFLY = 5.0  # seconds for what the daemon can add to the ledger
EVERY = 2.0  # seconds between two looks with --watch


def status(ui: Ui, cid: str | None, remote: str | None, watch: bool) -> int:
    """`pinsync status`."""
    try:
        settings = ui.settings()
    except ConfigError as error:
        return _despite(ui, error, cid, remote)
    chosen(settings, remote)
    if watch:
        return _watch(ui, settings, remote, cid)
    found, code = read(settings, remote, cid)
    if ui.json:
        ui.emit(found)
    else:
        ui.show(_lines(ui, found, cid, settings, ui.width))
    return code


def _despite(ui: Ui, error: ConfigError, cid: str | None, remote: str | None) -> int:
    """What the daemon says, which goes on with the last good configuration; exit code 2. Raises `error` without one."""
    try:
        settings, daemon = asking.despite(ui, error)
    except ConfigError:
        ui.tell("the configuration cannot be used; a daemon that runs already goes on with the last good one")
        raise
    found = daemon.status(remote, str(_cid(cid)) if cid is not None else None)
    if cid is None:
        found["daemon"]["config_error"] = found["daemon"].get("config_error") or str(
            error
        )  # it may not have looked yet
    if ui.json:
        ui.emit({**found, "errors": said(error)})
    else:
        ui.show(_lines(ui, found, cid, settings, ui.width))
    ui.complain(str(error))
    return error.exit_code


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
        try:
            client = asking.instead(settings, error)
        except PinsyncError as closed:
            summary = _summary(settings, remote)
            if summary is None:
                raise
            if which is not None:
                raise PinsyncError(
                    "what is known of single pins is for root and for the members of the daemon's group; this user "
                    f"sees the counts of `pinsync status` alone. {closed}"
                ) from closed
            return summary, exit_code(summary)
        found = client.status(remote, str(which) if which else None)
        return found, cid_exit_code(found, known=True) if which else exit_code(found)
    found["config_why"] = settings.source.why
    return found, exit_code(found)


def _summary(settings: Settings, remote: str | None) -> dict[str, Any] | None:
    """What the system's daemon tells everybody, for a user who may read neither its ledger nor its socket."""
    from pinsync.service.client import whose_group
    from pinsync.service.summary import read as read_summary
    from pinsync.settings.places import summary_path

    path = summary_path(settings, os.environ)
    found = read_summary(path, time.time()) if path else None
    if found is None:
        return None
    found["sources"]["manifest"]["path"] = str(settings.manifest.path) if settings.manifest.path else None
    found["remotes"] = [one for one in found["remotes"] if remote in (None, one["name"])]
    own = {"config": str(settings.source.path), "config_why": settings.source.why, "state": str(settings.state.path)}
    return {**found, **own, "group": whose_group(settings, os.environ)}


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
    from pinsync.service.silent import silent

    try:
        client = asking.find(settings)
        if client is None:
            return silent(settings, os.environ) or {"running": False}
        told: dict[str, Any] = dict(client.status(patience=BRIEFLY)["daemon"])
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
    """Until ^C: redrawn on a terminal that can, a line for each change elsewhere, an object a line with `--json`.

    What goes wrong at the first look is raised; later it is shown, and the watching goes on: a daemon may be restarted.
    """
    found, _ = read(settings, remote, cid)
    looks = _looks(found, settings, remote, cid)
    if ui.json or not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        last: object = None
        for look in looks:
            if look != last:
                if ui.json:
                    ui.emit({"errors": said(look)} if isinstance(look, PinsyncError) else look)
                else:
                    now = _flat(look) if isinstance(look, PinsyncError) else " ".join(brief(look))
                    sys.stdout.write(f"{local(time.time())}  {now}\n")
                sys.stdout.flush()
            last = look
    from rich.console import Console, Group
    from rich.live import Live

    with Live(console=Console(highlight=False), auto_refresh=False, screen=True) as live:
        for look in looks:
            if not isinstance(look, PinsyncError):
                found = look
            shown = [*_lines(ui, found, cid, settings, live.console.width), [], line(("^C ends this", "dim"))]
            if isinstance(look, PinsyncError):
                shown = [line(("not current: ", "yellow"), _flat(look)), [], *shown]
            live.update(Group(*map(rich_text, shown)), refresh=True)
    return 0


def _flat(error: PinsyncError) -> str:
    return "; ".join(str(error).split("\n"))


def _looks(
    found: dict[str, Any], settings: Settings, remote: str | None, cid: str | None
) -> Iterator[dict[str, Any] | PinsyncError]:
    """What there is to see, again and again: the report, or why there is none."""
    yield found
    while True:
        time.sleep(EVERY)
        try:
            yield read(settings, remote, cid)[0]
        except PinsyncError as error:
            yield error
