"""`approve` and `adopt` for people. Pure, from their JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .text import CID_WIDTH, NARROW, Cell, Line, counted, line, listed, middle, paragraph, table

MOST = 50  # held changes shown one by one
_VERB = {"remove": "remove", "add": "add again", "update": "update", "retry": "try again"}


def held_lines(held: Mapping[str, Any], *, width: int | None, verbose: bool = False) -> Iterator[Line]:
    """What is held, before somebody is asked about it."""
    yield line((f"{_what(held, 'held')} held:", "bold magenta"))
    yield from _rows(held["held"], width, len(held["held"]) if verbose else MOST)
    yield from _doubts(held, width)
    doubts = {doubt["reason"] for doubt in held["doubts"]}
    for reason in dict.fromkeys(one["reason"] for one in held["held"] if one["reason"] not in doubts):
        yield from paragraph(reason, width=width, indent=11, first="  because", style="magenta")


def released_lines(
    released: Mapping[str, Any], daemon: bool, *, width: int | None, shown: bool, verbose: bool = False
) -> Iterator[Line]:
    """What an approval came to. `shown`: each was shown a moment ago."""
    yield line((f"Released: {_what(released, 'released')}.", "bold"))
    if not shown:
        yield from _rows(released["released"], width, len(released["released"]) if verbose else MOST)
        yield from _doubts(released, width)
    after = "the daemon's next pass acts on it" if daemon else "the next pass acts on it: `pinsync sync`"
    yield line((f"Only this, as it stands now, is released; {after}.", "dim"))


def adopted_lines(found: Mapping[str, Any], *, width: int | None) -> Iterator[Line]:
    """What became ours."""
    taken, skipped = found["adopted"], found["skipped"]
    if taken:
        yield line((f"{counted(len(taken), 'pin')} at {found['remote']} {'is' if len(taken) == 1 else 'are'} ours now.",
                    "bold green"))  # fmt: skip
        yield from _pins(taken, width)
    else:
        yield line(
            (f"Nothing at {found['remote']} was left to adopt: no wanted pin there is without an owner.", "bold")
        )
    if skipped:
        marks = listed(sorted({one["mark"] for one in skipped if one.get("mark")}) or ["another mirror"])
        yield line(f"{counted(len(skipped), 'pin')} of {marks} left alone; name the CIDs to take them all the same:")
        yield from _pins(skipped, width)


def _what(found: Mapping[str, Any], key: str) -> str:
    parts = [counted(len(found[key]), "change")] if found[key] else []
    parts += [counted(len(found["doubts"]), "doubt")] if found["doubts"] else []
    return listed(parts or ["nothing"])


def _doubts(found: Mapping[str, Any], width: int | None) -> Iterator[Line]:
    for doubt in found["doubts"]:
        yield from paragraph(doubt["reason"], width=width, indent=9, first="  doubt", style="magenta")


def _rows(pending: Sequence[Mapping[str, Any]], width: int | None, most: int) -> Iterator[Line]:
    rows: list[list[Cell]] = [
        [_VERB.get(one["kind"], one["kind"]), _cid(one, width), f"at {one['remote']}"] for one in pending[:most]
    ]
    yield from table(rows, "<<<", width=width)
    if len(pending) > most:
        more = counted(len(pending) - most, "more change", "more changes")
        yield line((f"  … and {more} (--verbose shows every one)", "dim"))


def _pins(pins: Sequence[Mapping[str, Any]], width: int | None) -> Iterator[Line]:
    rows: list[list[Cell]] = [[one["status"], _cid(one, width), one["name"] or ""] for one in pins[:MOST]]
    yield from table(rows, "<<<", width=width)
    if len(pins) > MOST:
        yield line((f"  … and {counted(len(pins) - MOST, 'more pin', 'more pins')}", "dim"))


def _cid(one: Mapping[str, Any], width: int | None) -> str:
    return middle(one["cid"], CID_WIDTH if width is not None and width < NARROW else 64)
