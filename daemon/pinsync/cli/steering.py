"""`retry`, `disown`, `pause`, `resume`: the daemon writes them down where one runs, else this does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pinsync.errors import UsageError

from . import asking
from .people import parsed, somebody
from .render_steering import disowned_lines, paused_lines, retried_lines
from .times import ahead, seconds
from .ui import Ui, chosen

if TYPE_CHECKING:
    from pinsync.settings.model import Settings

MOST_REASON = 500  # characters


def retry(ui: Ui, remote: str | None, texts: Sequence[str], failed: bool) -> int:
    """`pinsync retry`."""
    settings, daemon = asking.in_force(ui, remote)
    cids = parsed(texts)
    if bool(cids) == failed:
        raise UsageError("say what to try again: CIDs, or --failed for all that failed or were refused; not both")
    daemon = daemon or asking.find(settings)
    if daemon is not None:
        found = daemon.retry(remote, [str(cid) for cid in cids], by=somebody())
    else:
        from pinsync.house import writing
        from pinsync.service.answers import retried_json
        from pinsync.steering import retry

        with writing(settings, "retry") as state:
            for note in state.notes:
                ui.warn(note)
            done = retry(state.ledger, _names(settings, remote), cids, at=time.time(), by=somebody())
            found = retried_json(done, asked=False)
    return _told(ui, found, lambda: retried_lines(found, width=ui.width))


def disown(ui: Ui, remote: str | None, texts: Sequence[str]) -> int:
    """`pinsync disown`."""
    settings, daemon = asking.in_force(ui, remote)
    cids = parsed(texts)
    daemon = daemon or asking.find(settings)
    if daemon is not None:
        found = daemon.disown(remote, [str(cid) for cid in cids], by=somebody())
    else:
        from pinsync.house import writing
        from pinsync.service.answers import disowned_json
        from pinsync.steering import disown

        with writing(settings, "disown") as state:
            for note in state.notes:
                ui.warn(note)
            names = _names(settings, remote)
            found = disowned_json(disown(state.ledger, names, cids, at=time.time(), by=somebody()))
    return _told(ui, found, lambda: disowned_lines(found, width=ui.width))


def pause(ui: Ui, remote: str | None, length: str | None, until: str | None, reason: str | None) -> int:
    """`pinsync pause`."""
    settings, daemon = asking.in_force(ui, remote)
    now = time.time()
    if length is not None and until is not None:
        raise UsageError("give --for or --until, not both; nothing was paused")
    span = None if length is None else seconds("--for", length)
    end = None if until is None else ahead("--until", until, now)
    why = " ".join((reason or "").split())
    if len(why) > MOST_REASON:
        raise UsageError(f"--reason is longer than {MOST_REASON} characters; nothing was paused")
    daemon = daemon or asking.find(settings)
    if daemon is not None:
        found = daemon.pause(remote, span, end, why, by=somebody())
    else:
        from pinsync.house import writing
        from pinsync.ledger.pauses import pauses
        from pinsync.service.answers import paused_json
        from pinsync.steering import pause

        with writing(settings, "pause") as state:
            for note in state.notes:
                ui.warn(note)
            end = end if span is None else now + span
            pause(state.ledger, remote, until=end, reason=why, at=now, by=somebody())
            found = paused_json(pauses(state.ledger, now))
    return _told(ui, found, lambda: paused_lines(found, width=ui.width, now=now, daemon=daemon is not None))


def resume(ui: Ui, remote: str | None) -> int:
    """`pinsync resume`; exit code 0 also where nothing was paused."""
    settings, daemon = asking.in_force(ui, None)
    daemon = daemon or asking.find(settings)
    now = time.time()
    if daemon is not None:
        found = daemon.resume(remote, by=somebody())
    else:
        from pinsync.house import writing
        from pinsync.ledger.pauses import pauses
        from pinsync.service.answers import paused_json
        from pinsync.steering import resume

        with writing(settings, "resume") as state:
            for note in state.notes:
                ui.warn(note)
            if remote not in {one.remote for one in pauses(state.ledger, now)}:  # else it may have been renamed since
                chosen(settings, remote)
            ended = resume(state.ledger, remote, at=now, by=somebody())
            found = paused_json(pauses(state.ledger, now), ended)
    return _told(ui, found, lambda: paused_lines(found, width=ui.width, now=now, daemon=daemon is not None))


def _told(ui: Ui, found: dict[str, Any], lines: Any) -> int:
    if ui.json:
        ui.emit(found)
    elif not ui.quiet:
        ui.show(lines())
    return 0


def _names(settings: Settings, remote: str | None) -> list[str]:
    return [one.name for one in settings.remotes if remote in (None, one.name)]
