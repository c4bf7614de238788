"""`status CID` for people. Pure, from its JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .text import Cell, Line, line, listed, local, paragraph, parse_time, table, when

_STYLE = {
    "pinned": "green",
    "queued": "cyan",
    "pinning": "cyan",
    "failed": "red",
    "refused": "red",
    "missing": "yellow",
}


def cid_lines(found: Mapping[str, Any], *, width: int | None, now: float) -> Iterator[Line]:
    """The lines of `pinsync status CID`."""
    yield line((found["cid"], "bold"))
    remotes = found["remotes"]
    wanted = [one["name"] for one in remotes if one["wanted"]]
    if wanted:
        yield line(f"wanted at {listed(wanted)}")
    elif any(one["status"] for one in remotes):
        yield line("not wanted any more")
    else:
        yield line("not wanted anywhere, and no remote is known to have it")
    for one in remotes:
        yield from _remote(one, width, now)
    if found["history"]:
        yield []
        yield line(("History", "bold"))
        rows: list[list[Cell]] = []
        for event in found["history"]:
            at = parse_time(event["at"])
            did = event["kind"] if event["step"] == "event" else f"{event['kind']} ({event['step']})"
            said = event["outcome"] or ""
            if who := event.get("who"):
                said = f"{said}, by {who}" if said else f"by {who}"
            rows.append([(local(at) if at else "", "dim"), did, event["remote"], event["state"], said])
        yield from table(rows, "<<<<<", width=width)


def _remote(one: Mapping[str, Any], width: int | None, now: float) -> Iterator[Line]:
    yield []
    state = one["status"] or "not there"
    whose = "" if not one["requestid"] else ", ours" if one["ours"] else ", not ours"
    yield line((one["name"], "bold"), "  ", (state, _STYLE.get(state, "dim")), whose)
    facts: list[tuple[str, str]] = []
    if one["wanted"]:
        facts.append(("wanted", f"by {listed(one['wanted_by'] or ['?'])} since {when(one['wanted_since'], now)}"))
    elif one["unwanted_since"]:
        facts.append(("unwanted", f"since {when(one['unwanted_since'], now)}"))
    if one["requestid"]:
        facts.append(("request id", one["requestid"]))
    if one["created"]:
        facts.append(("created", when(one["created"], now)))
    if one["attempts"]:
        facts.append(("attempts", str(one["attempts"])))
    if one["last_error"]:
        facts.append(("last error", one["last_error"]))
    if one["next_try"]:
        facts.append(("next try", when(one["next_try"], now)))
    for wait in one["waiting"]:
        until = f", until {when(wait['until'], now)}" if wait["until"] else ""
        facts.append((wait["state"], f"{wait['kind']}: {wait['reason']}{until}"))
    for what, text in facts:
        yield from paragraph(text, width=width, indent=14, first=f"  {what}")
