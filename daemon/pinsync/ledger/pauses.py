"""Pauses in the ledger: they outlast restarts and end by themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .records import Pause

if TYPE_CHECKING:
    from .ledger import Ledger

RESUMED = "resumed_at"
"""The fact that says when the last pause of everything was ended by a person."""


def pauses(ledger: Ledger | None, now: float) -> list[Pause]:
    """Those that stand, that of everything first."""
    return [one for one in all_pauses(ledger) if one.stands(now)]


def paused(ledger: Ledger | None, now: float, remote: str | None) -> Pause | None:
    """What pauses one remote, or for None everything."""
    where = ("", remote)
    return next((one for one in pauses(ledger, now) if one.remote in where), None)


def put_pause(ledger: Ledger, one: Pause) -> None:
    """Note a pause, in the place of one that stands there."""
    ledger.store.execute(
        "INSERT OR REPLACE INTO pauses (remote, since, until, reason, who) VALUES (?, ?, ?, ?, ?)",
        (one.remote, one.since, one.until, one.reason, one.who),
    )


def end_pauses(ledger: Ledger, ended: Iterable[Pause]) -> None:
    """Forget pauses."""
    ledger.store.executemany("DELETE FROM pauses WHERE remote = ?", [(one.remote,) for one in ended])


def over(ledger: Ledger, now: float) -> list[Pause]:
    """Those whose time is over, and that nobody has noted as ended yet."""
    return [one for one in all_pauses(ledger) if not one.stands(now)]


def fresh_since(ledger: Ledger | None, now: float) -> float | None:
    """From when on it is measured whether no pass has gone well for too long; None where none ever did.

    That is when the last one did (`Ledger.last_good`), or the end of a pause of everything; now, while that lasts.
    """
    good = ledger.last_good() if ledger else None
    if ledger is None or good is None or paused(ledger, now, None) is not None:
        return None if good is None else now
    ends = [one.until for one in over(ledger, now) if one.remote == "" and one.until is not None]
    return max([good, float(ledger.fact(RESUMED) or 0.0), *ends])


def all_pauses(ledger: Ledger | None) -> list[Pause]:
    """Those that were asked for, over or not."""
    if ledger is None or ledger.schema < 2:
        return []
    sql = "SELECT remote, since, until, reason, who FROM pauses ORDER BY remote"
    return [Pause(*row) for row in ledger.store.execute(sql)]
