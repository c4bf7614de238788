"""`plan` for people: the verdict with its counts first, then what is to be done, remote by remote. Pure."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from .text import (
    CID_WIDTH,
    Cell,
    Line,
    counted,
    cut,
    line,
    listed,
    local,
    middle,
    number,
    paragraph,
    parse_time,
    relative,
    table,
)

if TYPE_CHECKING:
    from pinsync.steps.plan import RemotePlan

MOST = 20  # actions of one kind and state that are shown one by one
WIDE = 150  # columns from which a row has room for its whole CID and the reason
_MOST_REASONS = 8
_CHUNK = 1000  # rows whose columns are aligned together
_KINDS = ("add", "retry", "update", "remove")
_STATES = ("do", "waiting", "held")
_STYLE = {"add": "green", "retry": "yellow", "update": "cyan", "remove": "red"}
_STATE_STYLE = {"do": "", "waiting": "dim", "held": "bold magenta"}
_TODO = {"add": "to add", "retry": "to try again", "update": "to update", "remove": "to remove"}
_NOUN = {"add": "add", "retry": "retry", "update": "update", "remove": "removal"}
NO_REMOVAL = "no removal. If it is meant, `pinsync approve --all`"
_NOUNS = {**{kind: f"{noun}s" for kind, noun in _NOUN.items()}, "retry": "retries"}


@dataclass(slots=True)
class PlanView:
    """The plan of one remote. `actions` can be called again and again, and gives them as `plan --json` has them."""

    name: str
    complete: bool
    reason: str | None
    actions: Callable[[], Iterator[Mapping[str, Any]]]

    @classmethod
    def of_json(cls, remote: Mapping[str, Any]) -> PlanView:
        """From `plan --json`."""
        actions: Sequence[Mapping[str, Any]] = remote["actions"]
        return cls(remote["name"], remote["complete"], remote["reason"], lambda: iter(actions))

    @classmethod
    def of_plan(cls, plan: RemotePlan) -> PlanView:
        """From a pass, whose actions stay in its spool."""
        from pinsync.steps.report import action_json

        view = plan.view
        return cls(
            view.settings.name, view.whole, view.reason or view.trouble,
            lambda: map(action_json, plan.actions()),
        )  # fmt: skip


@dataclass(slots=True)
class _Gathered:
    view: PlanView
    counts: Counter[tuple[str, str]]
    graced: int
    first: dict[tuple[str, str], list[Mapping[str, Any]]]


def plan_lines(
    views: Sequence[PlanView], trouble: bool, *, width: int | None, verbose: bool, quiet: bool = False,
    now: float | None = None, doubts: Sequence[str] = (), paused: Sequence[str] = (),
) -> Iterator[Line]:  # fmt: skip
    """The lines of `pinsync plan`. `trouble`: something could not be read, as the errors after it will say.

    `doubts`: why removals are held, whether there are any or not. `paused`: remotes that a person paused.
    """
    at = time.time() if now is None else now
    all_gathered = [_gather(view) for view in views]
    yield _verdict(all_gathered, trouble, len(doubts), paused)
    if quiet:
        return
    for doubt in doubts:
        yield from paragraph(f"{doubt}: {NO_REMOVAL}", width=width, indent=9, first="  doubt", style="magenta")
    for gathered in all_gathered:
        yield from _remote(gathered, width, verbose, at)


def _gather(view: PlanView) -> _Gathered:
    gathered = _Gathered(view, Counter(), 0, {})
    for action in view.actions():
        group = (action["kind"], action["state"])
        gathered.counts[group] += 1
        gathered.graced += group == ("remove", "waiting") and action["until"] is not None
        shown = gathered.first.setdefault(group, [])
        if len(shown) < MOST:
            shown.append(action)
    return gathered


def _verdict(remotes: Sequence[_Gathered], trouble: bool, doubts: int, paused: Sequence[str]) -> Line:
    total: Counter[tuple[str, str]] = Counter()
    for gathered in remotes:
        total.update(gathered.counts)
    graced = sum(gathered.graced for gathered in remotes)
    parts = [f"{number(total[kind, 'do'])} {_TODO[kind]}" for kind in _KINDS if total[kind, "do"]]
    for kind in _KINDS:
        waiting = total[kind, "waiting"] - (graced if kind == "remove" else 0)
        if kind == "remove" and graced:
            parts.append(f"{counted(graced, 'removal waits', 'removals wait')} for grace")
        if waiting:
            parts.append(f"{counted(waiting, _NOUN[kind], _NOUNS[kind])} {'waits' if waiting == 1 else 'wait'}")
    held = sum(total[kind, "held"] for kind in _KINDS)
    if held:
        kinds = [counted(total[k, "held"], _NOUN[k], _NOUNS[k]) for k in _KINDS if total[k, "held"]]
        parts.append(f"{listed(kinds)} held for you")
    if not held and doubts:
        parts.append(f"{counted(doubts, 'doubt waits', 'doubts wait')} for your word")
    if not parts:
        if trouble:
            return line(("Nothing is planned, but not everything could be read.", "bold red"))
        if paused:
            are = "is" if len(paused) == 1 else "are"
            return line((f"Nothing to do, and {listed(paused)} {are} paused.", "bold magenta"))
        return line(("Nothing to do: everything is as it should be.", "bold green"))
    style = "bold magenta" if held or doubts else "bold"
    return line((f"{', '.join(parts)}.", style), " Not everything could be read." if trouble else "")


def _remote(gathered: _Gathered, width: int | None, verbose: bool, now: float) -> Iterator[Line]:
    view = gathered.view
    if view.complete and not gathered.counts:
        return
    yield []
    yield line((view.name, "bold"))
    if not view.complete:
        why = view.reason or "its list could not be read whole"
        yield from paragraph(f"not read whole: {why}", width=width, style="red")
    if verbose:
        for batch in _batches(view.actions(), _CHUNK):
            yield from _rows(batch, now)
        return
    groups = [(kind, state) for kind in _KINDS for state in _STATES if (kind, state) in gathered.first]
    shown = [action for group in groups for action in gathered.first[group]]
    apart = width is not None and width < WIDE
    yield from _rows(shown, now, narrow=apart, width=width)
    for kind, state in groups:
        more = gathered.counts[kind, state] - MOST
        if more > 0:
            yield line(
                (f"  … and {counted(more, f'more {_NOUN[kind]}', f'more {_NOUNS[kind]}')}, {_SAID[state]}", "dim")
            )
    if any(gathered.counts[group] > MOST for group in groups):
        yield line(("  (--verbose shows every one)", "dim"))
    for kind, state in groups:
        if apart or state == "held":
            yield from _reasons(view.name, kind, state, gathered.first[kind, state], width)


_SAID = {"do": "to be done", "waiting": "waiting", "held": "held"}


def _reasons(
    remote: str, kind: str, state: str, actions: Sequence[Mapping[str, Any]], width: int | None
) -> Iterator[Line]:
    """What is said once below the rows: why, where the rows have no room for it; and what releases it."""
    reasons = dict.fromkeys(str(action["reason"]) for action in actions)
    for reason in islice(reasons, _MOST_REASONS):
        way = (
            ""
            if "pinsync approve" in reason or "pinsync resume" in reason or state != "held"
            else f"; `pinsync approve --remote {remote}` releases it"
        )
        first = f"  {kind}:" if state != "held" else "  held:"
        style = "magenta" if state == "held" else "dim"
        yield from paragraph(f"{reason}{way}", width=width, indent=10, first=first, style=style)


def _rows(
    actions: Iterable[Mapping[str, Any]], now: float, *, narrow: bool = False, width: int | None = None
) -> Iterator[Line]:
    rows: list[list[Cell]] = []
    for action in actions:
        kind, state = str(action["kind"]), str(action["state"])
        until = parse_time(action["until"])
        told = "" if until is None else relative(until, now) if narrow else f"{local(until)}, {relative(until, now)}"
        rows.append(
            [
                (kind, _STYLE.get(kind, "")),
                middle(str(action["cid"]), CID_WIDTH if narrow else 128),
                cut(str(action["name"] or ""), 28 if narrow else 255),
                (state, _STATE_STYLE.get(state, "")),
                told,
                ("" if narrow else str(action["reason"]), "dim"),
            ]
        )
    return table(rows, "<<<<<<", width=width)


def _batches(actions: Iterator[Mapping[str, Any]], size: int) -> Iterator[list[Mapping[str, Any]]]:
    while batch := list(islice(actions, size)):
        yield batch
