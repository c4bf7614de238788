"""Times, numbers and lines for people. Pure."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from pinsync import words

counted, number, placed = words.counted, words.number, words.placed

Span = tuple[str, str]
"""A text and its style, in Rich's words ("bold", "green", ""), which a pipe never sees."""
Line = list[Span]
Cell = str | Span

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
NARROW = 100  # columns under which CIDs are cut in the middle
CID_WIDTH = 20


def line(*parts: Cell) -> Line:
    """A line of texts with and without a style."""
    return [part if isinstance(part, tuple) else (part, "") for part in parts]


def plain(one: Line) -> str:
    """A line without its styles, nothing unprintable in it: a name must not move the cursor or break the line."""
    return "".join(clean(text) for text, _ in one).rstrip()


def clean(text: str) -> str:
    """`text` with whatever is not printable replaced."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "�" for c in text)


def duration(seconds: float) -> str:
    """The two largest units: `6 d 3 h`, `12 min`, `4.2 s` under ten seconds."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    left = round(seconds)
    for place, (size, name) in enumerate(_UNITS):
        if left >= size:
            text = f"{left // size} {name}"
            if place + 1 < len(_UNITS):
                smaller, unit = _UNITS[place + 1]
                rest = left % size // smaller
                if rest and (size > 60 or left < 600):
                    text += f" {rest} {unit}"
            return text
    return "0 s"


def relative(at: float, now: float) -> str:
    """`in 6 d 3 h`, `3 min ago`, `now`."""
    distance = at - now
    if abs(distance) < 1:
        return "now"
    told = duration(max(abs(distance), 10.0)) if abs(distance) >= 9.5 else f"{abs(distance):.0f} s"
    return f"in {told}" if distance > 0 else f"{told} ago"


def parse_time(text: str | None) -> float | None:
    """Epoch seconds of an RFC 3339 time, as all times in JSON are."""
    return None if text is None else datetime.fromisoformat(text).timestamp()


def when(text: str | None, now: float) -> str:
    """A time of JSON as `2026-11-23 04:42 (3 min ago)`, in local time; `never` for none."""
    at = parse_time(text)
    return "never" if at is None else f"{local(at)} ({relative(at, now)})"


def ago(text: str | None, now: float) -> str:
    """A time of JSON, relative alone; `never` for none."""
    at = parse_time(text)
    return "never" if at is None else relative(at, now)


def local(at: float) -> str:
    """Epoch seconds as `2026-11-23 04:42` in the local time zone."""
    return _minute(int(at // 60))


def day(at: float) -> str:
    """Epoch seconds as `2026-11-23` in the local time zone."""
    return local(at)[:10]


def clock(at: float, *, seconds: bool = False) -> str:
    """Epoch seconds as `04:42`, or `04:42:07`, in the local time zone."""
    return local(at)[11:] + (f":{int(at % 60):02}" if seconds else "")


@lru_cache(maxsize=1024)
def _minute(minutes: int) -> str:
    return datetime.fromtimestamp(minutes * 60, UTC).astimezone().strftime("%Y-%m-%d %H:%M")


def width_of(text: str) -> int:
    """Columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def middle(text: str, width: int) -> str:
    """`text` with its middle left out where it is longer: CIDs differ at both ends."""
    if len(text) <= width:
        return text
    head = width * 3 // 5
    return f"{text[:head]}…{text[head + 1 - width :]}"


def cut(text: str, width: int) -> str:
    """`text` with its end left out where it takes more columns."""
    if width_of(text) <= width:
        return text
    while text and width_of(text) >= width:
        text = text[:-1]
    return f"{text}…"


def table(rows: Sequence[Sequence[Cell]], align: str, *, indent: int = 2, width: int | None = None) -> Iterator[Line]:
    """Rows in columns, two spaces between them; `align` has `<` or `>` for each. Columns without anything vanish.

    The last one is cut at `width`.
    """
    cells = [[_measured(cell) for cell in row] for row in rows]
    sizes = [max((size for _, _, size in column), default=0) for column in zip(*cells, strict=True)]
    last = len(sizes) - 1
    for row in cells:
        out: Line = [(" " * indent, "")]
        used = indent
        for place, (text, style, size) in enumerate(row):
            full = sizes[place]
            if not full:
                continue
            if used > indent:
                out.append(("  ", ""))
            gap = " " * (full - size)
            if align[place] == ">":
                out.append((gap, ""))
            tight = place == last and width is not None and used + size > width
            out.append((cut(text, max(width - used, 12)) if width is not None and tight else text, style))
            if gap and align[place] == "<" and place != last:
                out.append((gap, ""))
            used += full + 2
        while out and not out[-1][0].strip():
            out.pop()
        yield out


def _measured(cell: Cell) -> tuple[str, str, int]:
    text, style = cell if isinstance(cell, tuple) else (cell, "")
    shown = clean(text)
    return shown, style, width_of(shown)


def paragraph(text: str, *, width: int | None, indent: int = 2, style: str = "", first: str = "") -> Iterator[Line]:
    """A text as lines of at most `width` columns; whole where there is no width. `first` stands in the indent."""
    text = clean(text)
    lead = first.ljust(indent)
    inner = None if width is None else max(width - indent, 20)
    lines = textwrap.wrap(text, inner, break_on_hyphens=False, break_long_words=False) if inner else [text]
    for place, part in enumerate(lines or [""]):
        yield [(lead if place == 0 else " " * indent, style if place == 0 else ""), (part, style)]


def listed(parts: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last
