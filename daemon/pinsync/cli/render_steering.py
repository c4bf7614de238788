"""`retry`, `disown`, `pause` and `resume` for people. Pure, from their JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .text import CID_WIDTH, NARROW, Cell, Line, counted, line, middle, paragraph, table, when

MOST = 50

Found = Mapping[str, Any]


def retried_lines(found: Found, *, width: int | None) -> Iterator[Line]:
    """What is due again."""
    pins, opened = found["retried"], found["opened"]
    if not pins and not opened:
        yield line("nothing has failed or been refused, so there is nothing to try again")
        return
    if pins:
        yield line((f"{counted(len(pins), 'pin is', 'pins are')} due again.", "bold"))
        yield from _rows(
            [[one["status"], _cid(one, width), f"at {one['remote']}", one["error"] or ""] for one in pins], width
        )
    for one in opened:
        yield line(f"{one['remote']} is asked for {one['what']} again.")
    after = "the daemon makes a pass for it now" if found["pass_asked"] else "the next pass does it: `pinsync sync`"
    yield line((f"{after[0].upper()}{after[1:]}.", "dim"))


def disowned_lines(found: Found, *, width: int | None) -> Iterator[Line]:
    """What is not ours any more, and what that rests on."""
    pins = found["disowned"]
    yield line((f"{counted(len(pins), 'pin is', 'pins are')} not ours any more.", "bold"))
    yield from _rows([[_cid(one, width), f"at {one['remote']}", one["requestid"]] for one in pins], width)
    yield from paragraph(
        "They stay as they are, with our mark in their meta where the service keeps it. The ledger, and what is noted "
        "beside it, know better than the mark; should both be lost, this has to be said again.",
        width=width, indent=0, style="dim",
    )  # fmt: skip


def paused_lines(found: Found, *, width: int | None, now: float, daemon: bool) -> Iterator[Line]:
    """What is paused now, after `pause` or `resume`."""
    for one in found["ended"]:
        yield line((f"{_what(one)} goes on.", "bold"))
    if found["ended"]:
        after = "The daemon makes a pass now." if daemon else "The next pass is yours: `pinsync sync`."
        yield line((after, "dim"))
    elif not found["paused"]:
        yield line("nothing is paused")
    for one in found["paused"]:
        yield from paragraph(f"{pause_words(one, now)}.", width=width, indent=0, style="bold magenta")
    if found["paused"] and not found["ended"]:
        yield line(("What was sent already may still be answered. `pinsync resume` ends the pause.", "dim"))


def pause_words(one: Found, now: float) -> str:
    """A pause of JSON, without a full stop."""
    end = f"until {when(one['until'], now)}" if one["until"] else "until it is resumed"
    who = f", by {one['by']}" if one["by"] else ""
    why = f": {one['reason']}" if one["reason"] else ""
    return f"{_what(one)} is paused {end}{who}{why}"


def _what(one: Found) -> str:
    return f"Remote {one['remote']}" if one["remote"] else "Everything"


def _rows(rows: Sequence[list[Cell]], width: int | None) -> Iterator[Line]:
    yield from table(rows[:MOST], "<" * len(rows[0]), width=width)
    if len(rows) > MOST:
        yield line((f"  … and {counted(len(rows) - MOST, 'more pin', 'more pins')}", "dim"))


def _cid(one: Found, width: int | None) -> str:
    return middle(one["cid"], CID_WIDTH if width is not None and width < NARROW else 64)
