"""The lives of pins and the passes that were, read from the ledger for people: what `pinsync history` shows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import merge
from typing import TYPE_CHECKING, Any

from pinsync.planning.plan import Entry, PinState

from .records import Event, exchanges_of

if TYPE_CHECKING:
    from .ledger import Ledger


def changes(before: Entry, after: Entry | None) -> Iterator[tuple[Entry, str, str]]:
    """What a pass found to have changed about a pin, as rows of its life: the entry, what, and in which words."""
    if after is None:
        yield before, "forgotten", "not wanted, and none of ours is there any more"
        return
    if before.wanted and not after.wanted:
        why = f"a change of the configuration ({after.unwanted_why})" if after.unwanted_why else "no source wants it"
        yield after, "unwanted", why
    elif after.wanted and not before.wanted:
        yield after, "wanted", f"again, by {after.sources.replace(' ', ' and ')}"
    if after.state is not before.state or after.was_there != before.was_there != "":
        whose = ", not ours" if after.was_there == "foreign" and after.state is not PinState.MISSING else ""
        words = f": {after.error}" if after.state in (PinState.FAILED, PinState.REFUSED) and after.error else ""
        yield after, "seen", f"{after.state.value}{whose}{words}"


def passes(ledger: Ledger, *, since: float, remote: str | None, most: int | None) -> tuple[list[dict[str, Any]], bool]:
    """The newest passes that began since then, at most so many, in the order in which they were; and whether there
    are more.

    `remote`: those that looked at it. Each is a row of `runs`, its `report` (`sync --json`) as a value, None for a pass
    that did not end.
    """
    sql = "SELECT * FROM runs WHERE started_at >= ? ORDER BY id DESC"
    found: list[dict[str, Any]] = []
    for row in ledger.store.db.query(sql, [since]):
        row["report"] = _report(row["report"])
        if remote is not None and remote not in [one["name"] for one in (row["report"] or {}).get("remotes", ())]:
            continue
        if most is not None and len(found) == most:
            return found[::-1], True
        found.append(row)
    return found[::-1], False


def _report(text: str | None) -> dict[str, Any] | None:
    try:
        found = json.loads(text or "null")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


@dataclass(frozen=True, slots=True)
class Happening:
    """An event, or as many of one kind as one word of a person or one moment brought about."""

    event: Event
    count: int


def happenings(ledger: Ledger, *, since: float, until: float, remote: str | None, most: int) -> list[Happening]:
    """What happened between then and then that was no request, the newest, in the order in which it was.

    What was said of many pins at once is one.
    """
    if ledger.schema < 2:
        return []
    sql = (
        "SELECT at, kind, who, remote, min(cid), max(details), count(*) FROM events WHERE at >= ? AND at <= ? "
        "AND (? IS NULL OR remote IN ('', ?)) GROUP BY at, kind, who, remote, CASE WHEN key IS NULL THEN id END "
        "ORDER BY max(id) DESC LIMIT ?"
    )
    rows = ledger.store.execute(sql, (since, until, remote, remote, most)).fetchall()
    return [Happening(Event(*row[:6]), row[6]) for row in reversed(rows)]


def life(
    ledger: Ledger, key: bytes, *, since: float, remote: str | None, most: int | None
) -> tuple[list[dict[str, Any]], bool]:
    """What happened to one CID since then, at most so many, in the order in which it was; and whether there is more.

    Each has `at`, `kind`, `step` (None where nothing was requested), `remote`, `requestid`, `state`, `outcome`,
    `settled_at`, `run`, `approved`, `who` and `requests`.
    """
    old = ledger.schema < 2
    limit = -1 if most is None else most + 1
    where = "key = ? AND at >= ? AND (? IS NULL OR remote IN ('', ?)) ORDER BY id DESC LIMIT ?"
    given = [key, since, remote, remote, limit]
    rows = ledger.store.db.query(
        "SELECT at, kind, nullif(step, 'event') AS step, remote, requestid, state, outcome, settled_at, run, approved, "
        f"NULL AS who, {'NULL AS ' if old else ''}requests FROM journal WHERE {where}",
        given,
    )
    words: Iterable[dict[str, Any]] = (
        ()
        if old
        else ledger.store.db.query(
            "SELECT at, kind, NULL AS step, remote, NULL AS requestid, NULL AS state, details AS outcome, "
            f"NULL AS settled_at, NULL AS run, 0 AS approved, who, NULL AS requests FROM events WHERE {where}",
            given,
        )
    )
    both = list(merge(list(rows)[::-1], list(words)[::-1], key=lambda row: row["at"]))
    for row in both:
        row["requests"] = exchanges_of(row["requests"])
        row["approved"] = bool(row["approved"])
    if most is not None and len(both) > most:
        return both[len(both) - most :], True
    return both, False
