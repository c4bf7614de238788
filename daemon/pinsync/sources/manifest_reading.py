"""One reading of a manifest's files: includes followed, entries collected, every problem noted where it lies."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from pinsync.errors import Problem
from pinsync.model import Ignore, ManifestPin
from pinsync.sources.manifest_entry import TOP_KEYS, EntryReader, kind, unknown_key
from pinsync.sources.manifest_files import (
    MAX_FILE,
    MAX_TOTAL,
    Files,
    TooMany,
    expand,
    explain,
    has_wildcard,
)
from pinsync.sources.manifest_toml import Block, blocks

MAX_PROBLEMS = 1000  # that one error lists
_GIVE_UP = 50_000  # problems after which reading on helps nobody
_MAX_DEPTH = 32  # of includes within includes
_MAX_PATTERN = 500  # characters
_MAX_PATTERNS = 10_000  # in one file
_MISSES = 100  # CIDs of an array that are written with escapes, before their lines are not looked for any more


class Included(NamedTuple):
    """What one include pattern gave: how many files it matches, and how many entries these files hold themselves."""

    files: int
    entries: int


class GaveUp(Exception):
    """So much is wrong that the rest is not read."""


class Reading:
    """What was found so far. `start` reads everything and may raise `GaveUp`; if there are `faults`, nothing counts."""

    def __init__(self, files: Files, remotes: Collection[str]) -> None:
        self.pins: dict[bytes, ManifestPin] = {}
        self.ignores: dict[bytes | str, Ignore] = {}
        self.includes: dict[str, Included] = {}
        self.watched: dict[Path, None] = {}
        self.digest = hashlib.sha256()
        self.faults = 0
        self._files = files
        self._entry = EntryReader(remotes)
        self._problems: list[tuple[int, Problem]] = []
        self._order: dict[str, int] = {}  # files in the order in which they were reached
        self._own: dict[Path, int] = {}  # real path: entries that the file holds itself
        self._bytes = 0

    def problems(self, path: Path) -> list[Problem]:
        found = [problem for _, problem in sorted(self._problems, key=lambda one: (one[0], one[1].line or 0))]
        if more := self.faults - len(found):
            least = "at least " if self.faults >= _GIVE_UP else ""
            found.append(Problem(str(path), None, f"and {least}{more} more problems"))
        return found

    def complain(self, path: Path, line: int | None, message: str) -> None:
        name = str(path)
        self.faults += 1
        if self.faults <= MAX_PROBLEMS:
            self._problems.append((self._order.setdefault(name, len(self._order)), Problem(name, line, message)))
        elif self.faults >= _GIVE_UP:
            raise GaveUp

    def start(self, path: Path) -> None:
        if not self._files.is_dir(path):
            if path.suffix.lower() == ".txt":
                how = f'name it in a pins.toml: include = ["{path.name}"]'
                self.complain(path, None, f"a text list is not read as a manifest; {how}")
                return
            self.file(path, (), "")
            return
        found = self._matches(path, path, None, "*.toml")
        for file in found:
            self.file(file, (), "")
        self._count(str(path / "*.toml"), found)

    def file(self, path: Path, chain: tuple[Path, ...], named_by: str) -> None:
        """Reads one file and what it includes, unless it has been read. `chain`: the files that lead to it."""
        real = self._files.real(path)
        reals = [self._files.real(one) for one in chain]
        if real in reals:
            way = " includes ".join(map(str, (*chain[reals.index(real) :], path)))
            self.complain(chain[-1], _line_of(named_by), f"includes go in a circle: {way}; take one of them out")
            return
        if real in self._own:
            return
        self._own[real] = 0
        self._order.setdefault(str(path), len(self._order))
        self.watched[path] = self.watched[real] = None
        text = self._text(path, named_by)
        if text is None:
            return
        if path.suffix.lower() == ".txt":
            self._own[real] = self._list(path, text)
        else:
            self._own[real] = self._toml(path, text, chain)

    # --- one file's content

    def _text(self, path: Path, named_by: str) -> str | None:
        by = f" (included by {named_by})" if named_by else ""
        try:
            data = self._files.read(path, min(MAX_FILE, MAX_TOTAL - self._bytes))
        except OSError as error:
            self.complain(path, None, explain(error) + by)
            return None
        self._bytes += len(data)
        name = str(path).encode("utf-8", "surrogateescape")
        self.digest.update(b"%d:%b%d:" % (len(name), name, len(data)))
        self.digest.update(data)
        if (at := data.find(b"\0")) >= 0:
            utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
            what = "this is UTF-16" if utf16 else "this is a binary file, not text (it holds a NUL byte)"
            self.complain(path, data.count(b"\n", 0, at) + 1, f"{what}; save it as UTF-8 text")
            return None
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            self.complain(path, line, f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8")
            return None

    def _list(self, path: Path, text: str) -> int:
        count = number = start = 0
        while start < len(text):
            end = text.find("\n", start)
            line = text[start : end if end >= 0 else len(text)].strip()
            number, start = number + 1, end + 1 if end >= 0 else len(text)
            if not line or line[0] == "#":
                continue
            count += 1
            cut = end < 0

            def complain(_key: str, message: str, at: int = number, cut: bool = cut) -> None:
                hint = "; the file ends here without a line end: is it half-written?" if cut else ""
                self.complain(path, at, message + hint)

            pin = self._entry.listed(line, f"{path}:{number}", complain)
            if pin:
                self._keep(path, number, pin)
        return count

    def _toml(self, path: Path, text: str, chain: tuple[Path, ...]) -> int:
        count = 0
        inline: set[str] = set()  # arrays written as `pin = [{…}]` before the first header
        wanted: list[tuple[int, str]] = []
        for block in blocks(text):
            if block.broken:
                self._broken(path, block, text)
            for name, value in block.data.items():
                if name == "include":
                    wanted = self._patterns(path, block, value)
                elif name not in TOP_KEYS:
                    line = block.line_of(name) if self.faults < MAX_PROBLEMS else block.line
                    self.complain(path, line, unknown_key(name, "the manifest", TOP_KEYS))
                elif not (isinstance(value, list) and all(isinstance(one, dict) for one in value)):
                    how = f"write it directly under its [[{name}]]" if block.header else f"write [[{name}]]"
                    what = f"{name} must be a list of tables, not {kind(value)}"
                    self.complain(path, block.line_of(name), f"{what}; {how}")
                elif name in inline:
                    what = f"[[{name}]] after {name} = [ ] in the same file is not TOML"
                    self.complain(path, block.line, f"{what}; write all of them in one way")
                else:
                    if not block.header:
                        inline.add(name)
                    count += len(value)
                    self._tables(path, block, name, value)
        for line, pattern in wanted:
            self._include(path, line, pattern, chain)
        return count

    def _tables(self, path: Path, block: Block, name: str, tables: list[dict[str, Any]]) -> None:
        alone = block.header and len(tables) == 1
        line, offset, misses = block.line, 0, 0
        for table in tables:
            if not alone:  # an array: its entries lie where their CIDs do
                cid = table.get("cid")
                at = block.text.find(cid, offset) if cid and isinstance(cid, str) and misses < _MISSES else -1
                misses += at < 0
                if at >= 0:
                    line += block.text.count("\n", offset, at)
                    offset = at + 1

            def complain(key: str, message: str, line: int = line) -> None:
                self.complain(path, block.line_of(key) if alone and key else line, message)

            if name == "pin":
                pin = self._entry.pin(table, f"{path}:{line}", complain)
                if pin:
                    self._keep(path, line, pin)
            else:
                ignore = self._entry.ignore(table, f"{path}:{line}", complain)
                if ignore:
                    self._keep_ignore(path, line, ignore)

    def _broken(self, path: Path, block: Block, text: str) -> None:
        assert block.broken
        line, column, message, at_end = block.broken
        place = f"column {column}: " if column else ""
        last = block.start + len(block.text) == len(text)
        hint = "; the file ends in the middle of it: is it half-written?" if at_end and last else ""
        self.complain(path, line, f"not TOML, {place}{message}{hint}")

    def _keep(self, path: Path, line: int, pin: ManifestPin) -> None:
        first = self.pins.setdefault(pin.key, pin)
        if first is not pin:
            spelt = "" if first.cid == pin.cid else f" (there as {first.cid})"
            self.complain(path, line, f"{pin.cid} is already at {first.where}{spelt}; take one of the two out")

    def _keep_ignore(self, path: Path, line: int, ignore: Ignore) -> None:
        first = self.ignores.setdefault(ignore.key or ignore.name_glob or "", ignore)
        if first is not ignore:
            self.complain(path, line, f"the same [[ignore]] is already at {first.where}; take one of the two out")

    # --- includes

    def _patterns(self, path: Path, block: Block, value: object) -> list[tuple[int, str]]:
        if not isinstance(value, list):
            example = 'write include = ["lists/*.txt"]'
            self.complain(path, block.line_of("include"), f"include must be a list, not {kind(value)}; {example}")
            return []
        if len(value) > _MAX_PATTERNS:
            what = f"{len(value)} includes; a file may have {_MAX_PATTERNS}"
            self.complain(path, block.line_of("include"), f"{what}, so use patterns with wildcards")
            return []
        good: list[tuple[int, str]] = []
        for pattern in dict.fromkeys(one if isinstance(one, str) else repr(one) for one in value):
            line = block.line_of("include", pattern)
            if pattern not in value:
                self.complain(path, line, f"include must hold file names and patterns in quotes, not {pattern[:80]}")
            elif not pattern or len(pattern) > _MAX_PATTERN or not pattern.isprintable():
                self.complain(path, line, f"include {pattern[:80]!r} is no file name or pattern")
            else:
                good.append((line, pattern))
        return good

    def _include(self, path: Path, line: int, pattern: str, chain: tuple[Path, ...]) -> None:
        if len(chain) >= _MAX_DEPTH:
            self.complain(path, line, f"includes within includes deeper than {_MAX_DEPTH}; flatten them")
            return
        real = self._files.real(path)
        if has_wildcard(pattern):
            # A pattern that covers its own file means the others.
            found = [one for one in self._matches(path, path.parent, line, pattern) if self._files.real(one) != real]
        else:
            found = self._literal(path, line, pattern)
        readable = []
        for one in found:
            if one.suffix.lower() in (".toml", ".txt"):
                readable.append(one)
            else:
                what = f"include {pattern!r} matches {one}, which is neither a .toml nor a .txt"
                self.complain(path, line, f"{what}; rename it or narrow the pattern")
        if self._too_much(path, line, readable):
            return
        for one in readable:
            self.file(one, (*chain, path), f"{path}:{line}")
        self._count(f"{path}: {pattern}", readable)

    def _literal(self, path: Path, line: int, pattern: str) -> list[Path]:
        one = path.parent / pattern
        self.watched[one] = None
        try:
            if self._files.is_dir(one):
                better = pattern.rstrip("/") + "/*.txt"
                self.complain(path, line, f"include {pattern!r} is a directory; write {better!r}")
                return []
            self._files.size(one)
        except FileNotFoundError:
            self.complain(path, line, f"include {pattern!r}: there is no file {one}; create it or take the line out")
            return []
        except OSError as error:
            self.complain(path, line, f"include {pattern!r}: {explain(error)}")
            return []
        return [one]

    def _matches(self, path: Path, base: Path, line: int | None, pattern: str) -> list[Path]:
        try:
            found = expand(self._files, base, pattern, self.watched)
        except OSError as error:
            self.complain(path, line, f"{pattern!r} cannot be looked up: {explain(error)}")
            return []
        except TooMany:
            self.complain(path, line, f"{pattern!r} leads through too many directories; narrow it")
            return []
        for one in found:
            if not str(one).isprintable():
                what = f"{pattern!r} matches a file with an unprintable name, {str(one)!a}"
                self.complain(path, line, f"{what}; rename it")
        return [one for one in found if str(one).isprintable()]

    def _too_much(self, path: Path, line: int, found: list[Path]) -> bool:
        """Whether these files are too large together. Asked before any of them is read."""
        total = self._bytes
        for one in found:
            try:
                total += self._files.size(one) if self._files.real(one) not in self._own else 0
            except OSError:
                continue  # reading it will say why
        if total > MAX_TOTAL:
            what = f"with these files the manifest has {total >> 20} MiB; it may have {MAX_TOTAL >> 20}"
            self.complain(path, line, f"{what}; are these the right files?")
        return total > MAX_TOTAL

    def _count(self, name: str, found: list[Path]) -> None:
        self.includes[name] = Included(len(found), sum(self._own.get(self._files.real(one), 0) for one in found))


def _line_of(where: str) -> int | None:
    line = where.rpartition(":")[2]
    return int(line) if line.isdigit() else None
