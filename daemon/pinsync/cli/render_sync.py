"""`sync` for people: what the pass did, in a sentence, then remote by remote. Pure, from `sync --json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .render_plan import NO_REMOVAL
from .text import Cell, Line, counted, duration, line, listed, number, paragraph, table

_DONE = ("added", "updated", "removed", "retried", "refused")
_LEFT = ("waiting", "held")
_STYLE = {"added": "green", "updated": "cyan", "removed": "red", "retried": "yellow", "refused": "red",
          "waiting": "dim", "held": "bold magenta"}  # fmt: skip
_AFTERWARDS = {
    0: ": everything is as it should be",
    1: ", but some wanted pins have failed or been refused: `pinsync status` says why",
    3: "; some pins are still on their way, as `pinsync status` shows",
}
_WORDS = {"retried": "tried again"}


def sync_lines(found: Mapping[str, Any], code: int, *, width: int | None) -> Iterator[Line]:
    """The lines after `pinsync sync`; `code` is what it exits with."""
    remotes = found["remotes"]
    total = {what: sum(int(remote[what]) for remote in remotes) for what in (*_DONE, *_LEFT)}
    done = [f"{number(total[what])} {_WORDS.get(what, what)}" for what in _DONE if total[what]]
    left = [f"{number(total[what])} {what}" for what in _LEFT if total[what]]
    if found["errors"]:
        nothing = "Nothing was changed, and not everything could be read"
        said = f"Not everything went well: {listed(done)}" if done else nothing
        yield line((f"{said}{'; ' + listed(left) if left else ''}.", "bold red"))
    elif done:
        yield line((f"Done: {listed(done)}{'; ' + listed(left) if left else ''}.", "bold"))
    elif not left and (doubts := found.get("doubts")):
        waits = counted(len(doubts), "doubt waits", "doubts wait")
        yield line((f"Nothing to change, and nothing is removed while {waits} for your word.", "bold magenta"))
    elif left:
        yield line((f"Nothing to change now; {listed(left)}.", "bold"))
    else:
        yield line((f"Nothing to change{_AFTERWARDS.get(code, '')}.", "bold green" if code == 0 else "bold"))
    shown = [what for what in (*_DONE, *_LEFT) if total[what]]
    rows: list[list[Cell]] = []
    for remote in remotes:
        row: list[Cell] = [(remote["name"], "bold")]
        for what in shown:
            row.append((f"{number(remote[what])} {_WORDS.get(what, what)}", _STYLE[what] if remote[what] else "dim"))
        spent = f"{counted(remote['requests'], 'request')}, {duration(remote['seconds'])}"
        row.append((spent if remote["complete"] else f"{spent}; its list was not complete", "dim"))
        rows.append(row)
    yield from table(rows, "<" + ">" * len(shown) + "<", width=width)
    for doubt in found.get("doubts", ()):
        text = f"{doubt['reason']}: {NO_REMOVAL}"
        yield from paragraph(text, width=width, indent=9, first="  doubt", style="magenta")
    if total["held"]:
        yield line("  ", ("`pinsync plan` shows what is held and why, `pinsync approve` releases it.", "magenta"))
