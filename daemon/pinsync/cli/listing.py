"""`ls`: a remote's pins, sorted by CID, streamed: a million pins are never in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from pinsync.errors import ConfigError, StateError

from . import asking
from .progress import meter
from .text import CID_WIDTH, NARROW, Cell, Line, counted, local, middle, parse_time, table
from .ui import Ui, chosen

if TYPE_CHECKING:
    from pinsync.settings.model import RemoteSettings, Settings

_CHUNK = 1000  # rows whose columns are aligned together
_STATUS = {"pinned": "green", "queued": "cyan", "pinning": "cyan", "failed": "red"}

Pins = Iterator[dict[str, Any]]


def ls(ui: Ui, remote: str | None) -> int:
    """`pinsync ls`: exit code 1, and words, when it is not all."""
    settings = ui.settings()
    where = chosen(settings, remote, "list")
    assert where is not None
    from pinsync.remote.errors import RemoteError

    try:
        return _here(ui, settings, where)
    except RemoteError as error:
        if not ui.json:
            raise
        ui.emit({"remote": where.name, "complete": False, "reason": str(error), "pins": iter(()),
                 "errors": [{"where": f"remote {where.name}", "message": str(error)}]})  # fmt: skip
        ui.complain(str(error))
        return error.exit_code
    except (ConfigError, StateError) as error:
        daemon = asking.instead(settings, error)
    asking.tell_whose_requests(ui)
    with daemon.ls(where.name) as (reading, pins):
        return _print(ui, where.name, reading["complete"], reading["reason"], reading["count"], pins)


def _here(ui: Ui, settings: Settings, where: RemoteSettings) -> int:
    import asyncio

    from pinsync.house import House, mirror_id, reading
    from pinsync.inventory import rows, take
    from pinsync.ledger.ledger import mirror_ids
    from pinsync.model import Reading
    from pinsync.service.logs import shown_requests
    from pinsync.service.telling import watched
    from pinsync.spool import Spool

    house = House(settings, os.environ)
    for warning in house.unlock(where.name):
        ui.warn(warning)
    with reading(settings) as ledger, Spool() as spool:
        ids = mirror_ids(mirror_id(settings, None), ledger)

        async def read() -> Reading:
            async with house.remote(where, ledger.remote(where.name) if ledger else None) as client:
                return await take(
                    watched(client, log),
                    ledger,
                    spool,
                    lambda count, of: busy.reading(f"remote {where.name}", count, of),
                )

        with shown_requests(ui.verbose) as log, meter(ui) as busy:
            found = asyncio.run(read())
        pins = rows(spool, ledger, where.name, ids)
        return _print(ui, where.name, found.complete, found.reason, found.count, pins)


def _print(ui: Ui, remote: str, complete: bool, reason: str | None, count: int, pins: Pins) -> int:
    if ui.json:
        ui.emit({"remote": remote, "complete": complete, "reason": reason, "pins": pins})
    else:
        ui.show(_lines(pins, ui))
        ui.tell(f"{counted(count, 'pin')} at {remote}")
    if not complete:
        ui.complain(f"this is not all: the list of remote {remote!r} is not complete ({reason})")
        return 1
    return 0


def _lines(pins: Pins, ui: Ui) -> Iterator[Line]:
    width, head = ui.width, not ui.quiet
    narrow = width is not None and width < NARROW and not ui.verbose
    while batch := list(islice(pins, _CHUNK)):
        rows: list[list[Cell]] = []
        if head:
            rows.append([(title, "bold") for title in ("status", "ours", "created", "cid", "name")])
            head = False
        for pin in batch:
            created = parse_time(pin["created"])
            rows.append(
                [
                    (pin["status"], _STATUS.get(pin["status"], "")),
                    "ours" if pin["ours"] else "",
                    ("" if created is None else local(created), "dim"),
                    middle(pin["cid"], CID_WIDTH if narrow else 128),
                    pin["name"] or "",
                ]
            )
        yield from table(rows, "<<<<<", indent=0, width=None if ui.verbose else width)
