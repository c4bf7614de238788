"""Which line of a TOML text each value stands on: the parser tells values, not places.

The text must be one that the parser has accepted; this is for messages about it, and runs only when there are some.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

Loc = tuple[str | int, ...]
"""The way to a value: keys, and for lists and arrays of tables the position from 0."""

# Possessive quantifiers: nothing to go back over, and no memory used for it.
_STRING = (
    r'"""(?:[^"\\]|\\.|"(?!""))*+"{3,5}'
    r"|'''(?:[^']|'(?!''))*+'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*+"'
    r"|'[^'\n]*+'"
)
_SPACE = re.compile(r"(?:[\s,]++|#[^\n]*+)*+")
_VALUE = re.compile(rf"(?s:{_STRING})|[^,\]}}#\n]++")
_PART = rf"(?:[A-Za-z0-9_-]+|(?s:{_STRING}))"
_KEY = re.compile(rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*")


def line_index(text: str) -> dict[Loc, int]:
    """Every key, table and list element of `text` → its line, from 1; for a table never opened its first key's."""
    reader = _Reader(text)
    # TOML newer than this reader: a message without its line is better than none.
    with suppress(ValueError, IndexError):
        reader.read()
    return reader.found


def line_of(index: dict[Loc, int], loc: Loc) -> int | None:
    """The line of `loc`, or of the closest thing around it that has one: a missing key's table."""
    for end in range(len(loc), 0, -1):
        if (line := index.get(loc[:end])) is not None:
            return line
    return None


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text.replace("\r\n", "\n")
        self.at = 0
        self.line = 1
        self.found: dict[Loc, int] = {}
        self.last: dict[Loc, int] = {}  # array of tables → position of its newest table

    def read(self) -> None:
        table: Loc = ()
        self._space()
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._space()

    def _header(self) -> Loc:
        many = self.text.startswith("[[", self.at)
        line = self.line
        self._to(self.at + (2 if many else 1))
        self._space()
        *outer, last = self._key()
        self._space()
        self._to(self.at + (2 if many else 1))
        loc: Loc = ()
        for part in outer:
            loc = self._newest((*loc, part))
        loc = (*loc, last)
        if many:
            self.last[loc] = self.last.get(loc, -1) + 1
        self._note(loc, line)
        loc = self._newest(loc)
        self.found[loc] = line
        return loc

    def _pair(self, table: Loc) -> None:
        """One `key = value`, with everything inside the value."""
        open_: list[tuple[Loc, int | None]] = []  # lists and inline tables around us; a list's next position
        loc = self._named(table)
        while True:
            mark = self.text[self.at]
            if mark in "[{":
                open_.append((loc, 0 if mark == "[" else None))
                self._to(self.at + 1)
            else:
                self._match(_VALUE)
            while open_:
                self._space()
                if self.text[self.at] not in "]}":
                    break
                self._to(self.at + 1)
                open_.pop()
            if not open_:
                return
            around, position = open_[-1]
            if position is None:
                loc = self._named(around)
            else:
                open_[-1] = around, position + 1
                loc = (*around, position)
                self._note(loc, self.line)

    def _named(self, table: Loc) -> Loc:
        """Reads `key =`, notes the key and returns its place, standing on the value."""
        line = self.line
        loc = table
        for part in self._key():
            loc = (*loc, part)
            self._note(loc, line)
        self._space()
        self._to(self.at + 1)
        self._space()
        return loc

    def _key(self) -> list[str]:
        raw = self._match(_KEY)
        if '"' not in raw and "'" not in raw:
            return [part.strip() for part in raw.split(".")]
        import tomli

        parts: list[str] = []
        value: Any = tomli.loads(f"{raw} = 0")
        while isinstance(value, dict):
            [(part, value)] = value.items()
            parts.append(part)
        return parts

    def _newest(self, loc: Loc) -> Loc:
        return (*loc, self.last[loc]) if loc in self.last else loc

    def _note(self, loc: Loc, line: int) -> None:
        self.found.setdefault(loc, line)

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if not match:
            raise ValueError("not the TOML that this reader knows")
        self._to(match.end())
        return match[0]

    def _space(self) -> None:
        self._match(_SPACE)

    def _to(self, at: int) -> None:
        self.line += self.text.count("\n", self.at, at)
        self.at = at
