"""A manifest's TOML read table by table, so that every entry has a line and no file is held parsed as a whole.

The text is cut before each line that looks like a `[[pin]]` or `[[ignore]]` header, and the pieces are parsed one after
the other. That is exact, not a guess: a piece that parses alone ends between two statements, so the next cut is a real
header. A cut inside a multi-line string leaves a piece that does not parse alone; it is then read together with the
pieces after it.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from typing import Any, NamedTuple

import tomli

_HEADER = re.compile(r"""^[ \t]*\[\[[ \t]*(["']?)(?:pin|ignore)\1[ \t]*\]\]""", re.MULTILINE)
_LOOK_AHEAD = 1 << 24  # characters a file may cost in pieces that are read again because of multi-line strings
_BARE_TAIL = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\r?\n|[ \t]*(?:#[^\n]*)?\Z)")


class Broken(NamedTuple):
    """Where and why a piece is not TOML. `at_end`: the text stopped before it was finished."""

    line: int
    column: int | None
    message: str
    at_end: bool


class Block(NamedTuple):
    """A piece of the file: what stands before the first header, or one table with its header.

    `start` is its offset in the text, `line` the line of its first character, `header` whether it opens with one.
    """

    text: str
    start: int
    line: int
    header: bool
    data: dict[str, Any]
    broken: Broken | None = None

    def line_of(self, key: str, value: str = "") -> int:
        """The line where `key` is set, or of `value` after it; the block's first line where it cannot be told."""
        quoted = re.escape(key)
        found = re.search(
            rf"""^[ \t]*(?:\[+[ \t]*(?:["']?\w+["']?[ \t]*\.[ \t]*)?)?(["']?){quoted}\1[ \t]*[=.\]]""",
            self.text,
            re.MULTILINE,
        )
        if not found:
            return self.line
        at = self.text.find(value, found.end()) if value else -1
        return self.line_at(at if at >= 0 else found.end())

    def line_at(self, offset: int) -> int:
        """The line of a character of this block."""
        return self.line + self.text.count("\n", 0, offset)


def blocks(text: str) -> Iterator[Block]:
    """Cuts and parses; a piece that is no TOML comes with `broken` set and no data, and reading goes on after it."""
    cuts = array("q", [0])
    cuts.extend(match.start() for match in _HEADER.finditer(text) if match.start())
    cuts.append(len(text))
    line, index, patience = 1, 0, _LOOK_AHEAD
    while index < len(cuts) - 1:
        start, stop = cuts[index], index + 1
        piece = text[start : cuts[stop]]
        data, broken = _parse(piece, line)
        if broken and ('"""' in piece or "'''" in piece):
            while broken and stop < len(cuts) - 1 and patience > 0:
                stop += 1
                longer = text[start : cuts[stop]]
                patience -= len(longer)
                data, still = _parse(longer, line)
                if not still:
                    piece, broken = longer, None
            if broken:
                stop = index + 1
        yield Block(piece, start, line, _HEADER.match(piece) is not None, data, broken)
        line += piece.count("\n")
        index = stop


def body_end(block: Block) -> int:
    """Where in the block its last statement ends, line end included; comments and blank lines may follow."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", block.text)
    end = len(block.text)
    for tail in reversed(lines):
        if not _BARE_TAIL.fullmatch(tail):
            break
        end -= len(tail)
    return end


def _parse(piece: str, line: int) -> tuple[dict[str, Any], Broken | None]:
    try:
        return tomli.loads(piece), None
    except tomli.TOMLDecodeError as error:
        at_end = not piece[error.pos :].strip()
        message = error.msg[:1].lower() + error.msg[1:]
        return {}, Broken(line + error.lineno - 1, error.colno, message, at_end)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, arrays nested hundreds deep
        return {}, Broken(line, None, str(error).split(";")[0], at_end=False)


def quote(text: str) -> str:
    """`text` as a TOML basic string."""
    return '"' + re.sub(r'[\x00-\x1f\x7f"\\]', _escape, text) + '"'


def quote_key(text: str) -> str:
    """`text` as a TOML key, bare where it may be."""
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else quote(text)


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    return "\\" + char if char in '"\\' else f"\\u{ord(char):04x}"
