"""What a benchmark found, and how it is printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_HEAD = ("benchmark", "ours", "rival", "ratio", "goal", "met?")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `met` None where there is no goal."""

    benchmark: str
    ours: str
    rival: str
    ratio: str
    goal: str = ""
    met: bool | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """The line's texts, in the order of the columns."""
        met = "" if self.met is None else "yes" if self.met else "NO"
        return (self.benchmark, self.ours, self.rival, self.ratio, self.goal, met)


@dataclass(frozen=True, slots=True)
class Found:
    """A benchmark's lines, and in words what they rest on."""

    rows: Sequence[Row]
    notes: Sequence[str] = ()


def at_least(benchmark: str, ours: float, rival: float, goal: float, *, scaled: str = "") -> Row:
    """How many times as fast we are: seconds against seconds. `scaled` says how the rival's were come by."""
    ratio = rival / ours
    return Row(
        benchmark, f"{ours:.2f} s", f"{rival:.2f} s{scaled}", f"{ratio:.1f} ×", f"≥ {goal:g} ×", met=ratio >= goal
    )


def at_most(benchmark: str, ours: float, rival: float, goal: float) -> Row:
    """How many times as long we take: seconds against seconds."""
    ratio = ours / rival
    return Row(benchmark, f"{ours:.2f} s", f"{rival:.2f} s", f"{ratio:.2f} ×", f"≤ {goal:g} ×", met=ratio <= goal)


def lines(rows: Sequence[Row]) -> list[str]:
    """The table, aligned."""
    cells = [_HEAD, *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEAD))]
    shown = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return [shown[0], "─" * (sum(widths) + 2 * (len(widths) - 1)), *shown[1:]]
