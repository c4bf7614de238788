"""`history`: read from the ledger, or asked of the daemon where this user may not read it."""

from __future__ import annotations

import time
from typing import Any

from pinsync.errors import StateError

from . import asking
from .people import parsed
from .render_history import history_lines, life_lines
from .times import back
from .ui import Ui


def history(ui: Ui, cid: str | None, remote: str | None, since: str | None, limit: int | None) -> int:
    """`pinsync history`; exit code 0, whatever there is to tell."""
    from pinsync.history import cid_history
    from pinsync.history import history as history_of
    from pinsync.house import reading

    settings, theirs = asking.in_force(ui, remote)
    now = time.time()
    begin = None if since is None else back("--since", since, now)
    which = None if cid is None else parsed([cid])[0]
    found: dict[str, Any]
    try:
        daemon = theirs
        if daemon is None:
            with reading(settings) as ledger:
                if which is not None:
                    found = cid_history(ledger, which, since=begin, remote=remote, most=limit)
                else:
                    found = history_of(ledger, now=now, since=begin, remote=remote, most=limit)
    except StateError as error:
        daemon = asking.instead(settings, error)
    if daemon is not None:
        found = daemon.history(None if which is None else str(which), remote, begin, limit)
    if ui.json:
        ui.emit(found)
    elif which is not None:
        ui.show(life_lines(found, width=ui.width))
    else:
        ui.show(history_lines(found, width=ui.width, verbose=ui.verbose))
    return 0
