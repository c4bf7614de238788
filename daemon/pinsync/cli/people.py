"""`approve` and `adopt`: what a person says to a mirror. The daemon writes it down where one runs, else this does."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pinsync.cid import Cid, CidError, parse_cid
from pinsync.errors import ConfigError, UsageError

from . import asking
from .render_people import adopted_lines, held_lines, released_lines
from .ui import Ui, chosen

if TYPE_CHECKING:
    from pinsync.service.client import DaemonClient
    from pinsync.settings.model import RemoteSettings, Settings

HELD = 4


def approve(ui: Ui, remote: str | None, texts: Sequence[str], everything: bool, now: bool) -> int:
    """`pinsync approve`."""
    settings, daemon = asking.in_force(ui, remote)
    cids = parsed(texts)
    if cids and everything:
        raise UsageError("give CIDs or --all, not both")
    if now and not cids:
        raise UsageError("--now needs the CIDs that are to go before their grace is over; nothing was released")
    if not cids and not everything and not ui.interactive:
        raise UsageError(
            "say what to release: CIDs, or --all for everything that the last pass held; `pinsync plan` shows it"
        )
    daemon = daemon or asking.find(settings)
    shown = False
    digest: str | None = None
    if not cids:
        held = _held(settings, daemon, remote)
        if not held["held"] and not held["doubts"]:
            if ui.json:
                ui.emit({"released": [], "doubts": []})
            ui.tell("nothing is held, so nothing was released")
            return 0
        if not everything:
            ui.show(held_lines(held, width=ui.width, verbose=ui.verbose))
            shown = True
            if not _agreed("Release all of this?"):
                ui.tell("nothing was released")
                return HELD
            digest = held.get("digest")
    released = _approve(ui, settings, daemon, remote, cids, now, digest)
    if ui.json:
        ui.emit(released)
    elif not ui.quiet:
        after = released_lines(released, daemon is not None, width=ui.width, shown=shown, verbose=ui.verbose)
        ui.show(after)
    return 0


def _held(settings: Settings, daemon: DaemonClient | None, remote: str | None) -> dict[str, Any]:
    from pinsync.house import reading
    from pinsync.people import held
    from pinsync.service.answers import held_json

    if daemon is not None:
        return daemon.held(remote)
    with reading(settings) as ledger:
        return held_json(held(ledger, remote)) if ledger else {"held": [], "doubts": [], "digest": ""}


def _approve(
    ui: Ui, settings: Settings, daemon: DaemonClient | None, remote: str | None, cids: Sequence[Cid], now: bool,
    shown: str | None,
) -> dict[str, Any]:  # fmt: skip
    from pinsync.house import writing
    from pinsync.people import approve
    from pinsync.service.answers import approved_json

    if daemon is not None:
        return daemon.approve(remote, [str(cid) for cid in cids], now=now, by=somebody(), shown=shown)
    with writing(settings, "approve") as state:
        for note in state.notes:
            ui.warn(note)
        at, by = time.time(), somebody()
        return approved_json(approve(state.ledger, remote, cids, now_too=now, at=at, by=by, shown=shown))


def adopt(ui: Ui, remote: str | None, texts: Sequence[str], everything: bool) -> int:
    """`pinsync adopt`."""
    settings = ui.settings()
    where = chosen(settings, remote, "adopt pins at")
    assert where is not None
    cids = parsed(texts)
    if bool(cids) == everything:
        raise UsageError("say what to adopt: CIDs, or --all for every wanted pin there that is not ours; not both")
    daemon = asking.find(settings)
    if daemon is not None:
        found = daemon.adopt(where.name, [str(cid) for cid in cids])
    else:
        found = _adopt_here(ui, settings, where, cids)
    if ui.json:
        ui.emit(found)
    elif not ui.quiet:
        ui.show(adopted_lines(found, width=ui.width))
    return 0


def _adopt_here(ui: Ui, settings: Settings, where: RemoteSettings, cids: Sequence[Cid]) -> dict[str, Any]:
    import asyncio

    from pinsync.house import House, writing
    from pinsync.ledger.ledger import mirror_ids
    from pinsync.people import adopt
    from pinsync.service.answers import adopted_json

    house = House(settings, os.environ)
    try:
        for warning in house.unlock(where.name):
            ui.warn(warning)
    except ConfigError as error:
        raise asking.Alone(error) if getattr(error, "elsewhere", False) else error from None
    with writing(settings, "adopt") as state:
        for note in state.notes:
            ui.warn(note)
        ids, by = mirror_ids(state.mirror_id, state.ledger), somebody()

        async def run() -> dict[str, Any]:
            async with house.remote(where, state.ledger.remote(where.name)) as client:
                return adopted_json(where.name, await adopt(state.ledger, client, ids, cids, house.clock, by))

        return asyncio.run(run())


def parsed(texts: Sequence[str]) -> list[Cid]:
    """CIDs from the command line. Raises `UsageError` with every one that is none."""
    found: list[Cid] = []
    faults: list[str] = []
    for text in texts:
        try:
            found.append(parse_cid(text))
        except CidError as error:
            faults.append(str(error))
    if faults:
        raise UsageError("\n".join([*faults, "nothing was done"]))
    return found


def _agreed(question: str) -> bool:
    sys.stdout.flush()
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def somebody() -> str:
    """Who runs this command, by name where there is one."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user id without a name
        return f"uid {os.getuid()}"
