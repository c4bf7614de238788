"""What `pinsync history` shows: the passes that were, or the life of one pin. Pure reading, no network."""

from __future__ import annotations

from typing import Any

from .cid import Cid
from .clock import rfc3339
from .ledger.ledger import Ledger
from .ledger.life import Happening, happenings, life, passes

MOST = 50
"""Passes, or things that happened to a pin, that are shown where nothing else is asked for."""
MOST_EVENTS = 1000


def history(
    ledger: Ledger | None, *, now: float, since: float | None = None, remote: str | None = None,
    most: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The object that `history --json` prints: passes that began `since`, and what people and time brought meanwhile.

    The newest `most` of them (None: `MOST` where `since` is None, else all), in the order in which they were.
    """
    limit = MOST if most is None and since is None else most
    found, more = ([], False) if ledger is None else passes(ledger, since=since or 0.0, remote=remote, most=limit)
    begin = found[0]["started_at"] if more else since or 0.0
    told = happenings(ledger, since=begin, until=now, remote=remote, most=MOST_EVENTS) if ledger else []
    return {
        "format": 1,
        "passes": [_pass(row, remote) for row in found],
        "events": [_event(one) for one in told],
        "more": more,
    }


def cid_history(
    ledger: Ledger | None, cid: Cid, *, since: float | None = None, remote: str | None = None,
    most: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The object that `history CID --json` prints: every request and answer, every change seen, every word about it."""
    limit = MOST if most is None and since is None else most
    found, more = (
        ([], False) if ledger is None else life(ledger, cid.key, since=since or 0.0, remote=remote, most=limit)
    )
    return {
        "format": 1,
        "cid": str(cid),
        "history": [
            {
                "at": rfc3339(row["at"]),
                "remote": row["remote"] or None,
                "kind": row["kind"],
                "step": row["step"],
                "requestid": row["requestid"],
                "state": row["state"],
                "outcome": row["outcome"] or None,
                "settled_at": rfc3339(row["settled_at"]),
                "pass": row["run"],
                "approved": row["approved"],
                "who": row["who"] or None,
                "requests": row["requests"],
            }
            for row in found
        ],
        "more": more,
    }


def _pass(row: dict[str, Any], remote: str | None) -> dict[str, Any]:
    report = row["report"] or {}
    ended = row["finished_at"]
    return {
        "number": row["id"],
        "trigger": row["trigger"],
        "started_at": rfc3339(row["started_at"]),
        "finished_at": rfc3339(ended),
        "progress_at": rfc3339(row["progress_at"]),
        "seconds": None if ended is None else round(ended - row["started_at"], 3),
        "good": None if row["good"] is None else bool(row["good"]),
        "exit_code": row["exit_code"],
        "remotes": [one for one in report.get("remotes", []) if remote in (None, one["name"])],
        "paused": report.get("paused", []),
        "errors": report.get("errors", []),
    }


def _event(one: Happening) -> dict[str, Any]:
    event = one.event
    return {
        "at": rfc3339(event.at),
        "kind": event.kind,
        "who": event.who or None,
        "remote": event.remote or None,
        "cid": event.cid or None,
        "pins": one.count if event.cid else 0,
        "details": event.details or None,
    }
