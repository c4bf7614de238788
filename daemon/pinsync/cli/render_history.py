"""`history` for people: passes and what people said, in the order of time; the life of a pin. Pure, from their JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from pinsync.words import bare

from .text import (
    Cell,
    Line,
    clock,
    counted,
    day,
    duration,
    line,
    listed,
    local,
    number,
    paragraph,
    parse_time,
    placed,
    table,
)

_VERDICT = {
    0: ("in sync", "green"), 1: ("failing", "red"), 2: ("manifest wrong", "red"), 3: ("converging", "cyan"),
    4: ("held", "magenta"),
}  # fmt: skip
_DID = ("added", "updated", "removed", "retried", "refused")
_STAND = ("waiting", "held")
_STYLE = {"failed": "red", "unclear": "yellow", "open": "yellow", "moot": "dim"}
_UNCLEAR = {"unclear": "no clear answer", "open": "no answer noted"}
_ROOM = 30  # columns that words have room in beside others
_SLOW = 10.0  # seconds from a request to its answer that are told apart

Pass = Mapping[str, Any]


def history_lines(found: Mapping[str, Any], *, width: int | None, verbose: bool = False) -> Iterator[Line]:
    """The lines of `pinsync history`. Passes in a row that found the same and did nothing are one line."""
    if not found["passes"] and not found["events"]:
        yield line("nothing has happened yet" if not found["more"] else "nothing to show")
        return
    if found["more"]:
        yield line(("… and earlier ones: --limit N, or --since TIME", "dim"))
    things = [(one["started_at"], [one]) for one in found["passes"]]
    told: list[tuple[str, Any]] = [(at, ("pass", ones)) for at, ones in _grouped(things, verbose)]
    events = found["events"] if verbose else list(_with_receivers(found["events"]))
    told += [(one["at"], ("event", one)) for one in events]
    told.sort(key=lambda one: one[0])
    rows: list[list[Cell]] = []
    below: list[list[Line]] = []
    for _, (what, thing) in told:
        if what == "event":
            rows.append(_event(thing))
            below.append([])
        else:
            rows.append(_passes(thing, newest=thing[-1] is found["passes"][-1]))
            below.append(list(_below(thing[-1], width, verbose)))
    for row, shown, more in zip(rows, table(rows, "<<><<", indent=0), below, strict=True):
        if row[-1]:
            yield from _folded(shown, width)
        else:
            yield shown
        yield from more


def _with_receivers(events: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """One line for each change: whom it was told to stands with it, the last of those that came at the same time."""
    changes = [place for place, one in enumerate(events) if one["kind"] == "verdict"]
    heard: dict[int, list[str]] = {}
    left: set[int] = set()
    for place, one in enumerate(events):
        of = max((change for change in changes if change < place), default=None)
        if one["kind"] == "notified" and of is not None:
            heard.setdefault(of, []).append((one["details"] or "").partition(": pinsync on ")[0])
            left.add(place)
    for place, one in enumerate(events):
        if told := [*dict.fromkeys(heard.get(place, ()))]:
            yield {**one, "details": f"{(one['details'] or '').rstrip('.')}; told: {listed(told)}"}
        elif place not in left:
            yield one


def _grouped(things: Sequence[tuple[str, list[Pass]]], verbose: bool) -> Iterator[tuple[str, list[Pass]]]:
    if verbose:
        yield from things
        return

    def alike(thing: tuple[str, list[Pass]]) -> object:
        one = thing[1][0]
        if _sums(one, _DID) or one["finished_at"] is None:
            return one["number"]
        return "quiet", one["exit_code"], [error["message"] for error in one["errors"]], one["paused"]

    for _, same in groupby(things, alike):
        ones = [one for _, (one,) in same]
        yield ones[0]["started_at"], ones


def _sums(one: Pass, names: Sequence[str]) -> list[str]:
    sums = {name: sum(remote[name] for remote in one["remotes"]) for name in names}
    return [f"{number(count)} {name}" for name, count in sums.items() if count]


def _passes(ones: list[Pass], newest: bool) -> list[Cell]:
    one = ones[-1]
    began = local(parse_time(ones[0]["started_at"]) or 0.0)
    if len(ones) > 1:
        until = local(parse_time(one["started_at"]) or 0.0)
        if until != began:
            began += f" – {until[11:] if until[:10] == began[:10] else until}"
    trigger = one["trigger"] if len(ones) == 1 else counted(len(ones), "pass", "passes")
    if one["finished_at"] is None:
        return [began, trigger, "", ("under way or interrupted" if newest else "interrupted", "yellow"), ""]
    took = duration(one["seconds"]) if len(ones) == 1 else ""
    did = _sums(one, _DID) or ["nothing to do"]
    did += [*_sums(one, _STAND), *([f"{listed(one['paused'])} paused"] if one["paused"] else [])]
    return [began, trigger, took, _VERDICT.get(one["exit_code"], (str(one["exit_code"]), "")), ", ".join(did)]


def _below(one: Pass, width: int | None, verbose: bool) -> Iterator[Line]:
    for error in one["errors"]:
        yield from paragraph(placed(error["where"], error["message"]), width=width, indent=4, style="red")
    if verbose:
        for remote in one["remotes"]:
            did = _sums({"remotes": [remote]}, (*_DID, *_STAND)) or ["nothing to do"]
            whole = "" if remote["complete"] else ", list not complete"
            asked = counted(remote["requests"], "request")
            yield line(
                (f"    {remote['name']}: {', '.join(did)}; {asked}, {duration(remote['seconds'])}{whole}", "dim")
            )


def _event(one: Mapping[str, Any]) -> list[Cell]:
    at = local(parse_time(one["at"]) or 0.0)
    if one["kind"] == "verdict" and one["details"]:  # `remote nft: failing: why`, where why may name the remote again
        part, _, rest = one["details"].partition(": ")
        verdict, colon, why = rest.partition(": ")
        words = placed(part, f"{verdict}{colon}{bare(part, why)}")
        return [at, "", "", (one["kind"], "bold"), words]
    what = counted(one["pins"], "pin") if one["pins"] > 1 else one["cid"] or ""
    where = f"at {one['remote']}" if one["remote"] else ""
    told = " ".join(part for part in (what, where) if part)
    said = one["details"] or ""
    return [at, one["who"] or "", "", (one["kind"], "bold"), ": ".join(part for part in (told, said) if part)]


def life_lines(found: Mapping[str, Any], *, width: int | None) -> Iterator[Line]:
    """The lines of `pinsync history CID`: below each thing that was done, its requests and their answers."""
    yield line((found["cid"], "bold"))
    if not found["history"]:
        yield line("nothing has happened to it, as far as the ledger goes back")
        return
    if found["more"]:
        yield line(("… and earlier: --limit N, or --since TIME", "dim"))
    rows: list[list[Cell]] = []
    for one in found["history"]:
        at = parse_time(one["at"]) or 0.0
        rows.append([(f"{day(at)} {clock(at, seconds=True)}", "dim"), one["remote"] or "", (one["kind"], "bold"),
                     _outcome(one)])  # fmt: skip
    for one, shown in zip(found["history"], table(rows, "<<<<", width=None), strict=True):
        yield from _folded(shown, width)
        for request in one["requests"]:
            came = request["error"] if request["status"] is None else str(request["status"])
            ms = f"{request['seconds'] * 1000:.0f} ms"
            path = request["path"] if len(request["path"]) <= 80 else f"{request['path'][:79]}…"
            yield line(("      ", ""), (f"{request['method']} {path} → {came or 'no answer'} in {ms}", "dim"))


def _folded(shown: Line, width: int | None) -> Iterator[Line]:
    """A row whose last cell, the words, goes on in further lines where it is too long."""
    *before, (words, style) = shown
    indent = sum(len(text) for text, _ in before)
    if width is None or indent + len(words) <= width:
        yield shown
        return
    if width - indent < _ROOM:  # no room beside the other columns
        yield before
        yield from paragraph(words, width=width, indent=4, style=style)
        return
    first, *rest = list(paragraph(words, width=width, indent=indent, style=style))
    yield [*before, first[-1]]
    yield from rest


def _outcome(one: Mapping[str, Any]) -> Cell:
    told = one["outcome"] or ""
    if one["step"] is None:
        return f"{told}, by {one['who']}" if one["who"] and told else one["who"] or told
    parts = [] if one["state"] == "done" else [_UNCLEAR.get(one["state"], one["state"])]
    parts += [told] if told else []
    by = ", approved" if one["approved"] else ""
    return f"{one['step'].upper()}: {', '.join(parts) or 'done'}{by}", _STYLE.get(one["state"], "")
