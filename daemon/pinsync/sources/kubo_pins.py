"""What Kubo's `pin/ls` says, line by line, and the filters on pin names. No network."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pinsync.cid import CidError, key_of, shorten
from pinsync.model import NodeReading
from pinsync.secrecy import hidden

PinRow = tuple[bytes, str, str | None]
"""A recursive pin: normalised CID, the node's spelling, its name (None: the node does not tell)."""

_BATCH = 1000
_MAX_LINE = 1 << 20
_MAX_LIST = 1 << 33  # bytes: some eighty million pins


class BrokenListError(Exception):
    """The list cannot be read on. `passing`: another try may do better."""

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class PinLines:
    """Reads the streamed answer of `pin/ls?type=recursive` and delivers its pins in batches of about a thousand.

    `tells_names`: the node is known to tell names, so a row without one is a pin without a name (Kubo leaves an empty
    name out of its stream), else such a row's name is unknown. `progress` is called with the number of pins so far.
    `hide` holds secrets that no message may repeat.
    """

    def __init__(
        self,
        on_batch: Callable[[Sequence[PinRow]], None],
        *,
        tells_names: bool,
        progress: Callable[[int], None] | None = None,
        hide: Sequence[str] = (),
    ) -> None:
        self._hide = hide
        self.count = 0
        self.nameless = 0  # pins whose name is unknown
        self.unreadable = 0
        self.first_unreadable = ""
        self._on_batch = on_batch
        self._progress = progress
        self._missing = "" if tells_names else None
        self._rows: list[PinRow] = []
        self._rest = b""
        self._bytes = 0

    def feed(self, data: bytes) -> None:
        """Takes the next bytes of the answer. Raises `BrokenListError`; the pins before the break are kept."""
        self._bytes += len(data)
        if self._bytes > _MAX_LIST:
            raise BrokenListError(f"it is longer than {_MAX_LIST >> 30} GiB, which no pin list is")
        whole, newline, rest = data.rpartition(b"\n")
        if newline:
            whole, self._rest = self._rest + whole, rest
        else:
            self._rest += data
        if len(self._rest) > _MAX_LINE:
            raise BrokenListError(f"a line is longer than {_MAX_LINE >> 20} MiB, which no pin is")
        if newline:
            self._take([line for line in whole.split(b"\n") if line])
            if len(self._rows) >= _BATCH:
                self.flush()

    def end(self) -> None:
        """The answer has ended as HTTP goes. Raises `BrokenListError` when it ends within a line."""
        rest, self._rest = self._rest, b""
        if rest.strip():
            try:
                found = json.loads(rest)
            except (ValueError, RecursionError):
                if rest.lstrip().startswith(b"{"):
                    raise BrokenListError(
                        f"the list ends within a line: {quote(rest, self._hide)}", passing=True
                    ) from None
                raise BrokenListError(f"not a line of Kubo's pin list: {quote(rest, self._hide)}") from None
            self._row(found)
        self.flush()

    def flush(self) -> None:
        """Delivers what has been read."""
        rows, self._rows = self._rows, []
        if rows:
            self._on_batch(rows)
            if self._progress is not None:
                self._progress(self.count)

    def _take(self, lines: list[bytes]) -> None:
        try:
            # one call for all of them takes a third of the time of one call each
            objects = json.loads(b"[" + b",".join(lines) + b"]")
            if len(objects) != len(lines):
                raise ValueError
        except (ValueError, RecursionError):
            for line in lines:
                try:
                    self._row(json.loads(line))
                except (ValueError, RecursionError):
                    raise BrokenListError(f"not a line of Kubo's pin list: {quote(line, self._hide)}") from None
        else:
            for found in objects:
                self._row(found)

    def _row(self, found: Any) -> None:
        try:
            cid, kind, name = found["Cid"], found["Type"], found.get("Name", self._missing)
        except (TypeError, KeyError, AttributeError):
            self._strange(found)
            return
        if kind != "recursive":
            if kind != "direct" and not str(kind).startswith("indirect"):
                self._strange(found)
            return
        try:
            key = key_of(cid)
            if name is None:
                self.nameless += 1
            elif not name.isascii():
                name = name.encode("utf-8", "replace").decode()  # half a surrogate pair is no text
        except (CidError, TypeError, AttributeError):
            self._strange(found)
            return
        self.count += 1
        self._rows.append((key, cid, name))

    def _strange(self, found: Any) -> None:
        if isinstance(found, dict):
            if isinstance(found.get("Message"), str) and "Cid" not in found:
                raise BrokenListError(f"Kubo says: {printable(found['Message'], hide=self._hide)}", passing=True)
            if "Keys" in found:
                raise BrokenListError(
                    "the node answers the whole list in one object, as go-ipfs before 0.5 does; update it"
                )
        self.unreadable += 1
        self.first_unreadable = self.first_unreadable or printable(json.dumps(found), 200, self._hide)


@dataclass(frozen=True, slots=True)
class KuboReading(NodeReading):
    """A `NodeReading`; `names_known` is False where at least one pin came without the node telling its name."""

    names_known: bool = True


def judged(reading: KuboReading, names: NameFilter) -> KuboReading:
    """The reading, made incomplete where `names` filters and the node did not tell the names to judge by."""
    if reading.names_known or not names.needs_names:
        return reading
    why = (
        f"Kubo node {reading.name!r} ({reading.version or 'of unknown version'}) does not tell the names of its pins, "
        "which only_names and skip_names are about; update it to 0.27 or later, or take the filters out"
    )
    return replace(reading, complete=False, reason=f"{reading.reason}; {why}" if reading.reason else why)


class NameFilter:
    """The globs `only_names` and `skip_names` of a node: case-sensitive, on the whole name, `skip` over `only`.

    A pin without a name has the name "", which `*` matches.
    """

    def __init__(self, only: Sequence[str] = (), skip: Sequence[str] = ()) -> None:
        self._only = _any_of(only)
        self._skip = _any_of(skip)

    @property
    def needs_names(self) -> bool:
        """Whether there is anything to filter, so that a node which does not tell names cannot be judged."""
        return self._only is not None or self._skip is not None

    def wants(self, name: str | None) -> bool:
        """Whether a pin of this name is to be mirrored.

        False for an unknown name (None) where there is a filter: it is neither added nor, since such a reading is not
        complete (`judged`), removed.
        """
        if name is None:
            return not self.needs_names
        if self._skip is not None and self._skip.match(name):
            return False
        return self._only is None or self._only.match(name) is not None


def printable(text: str, width: int = 300, hide: Sequence[str] = ()) -> str:
    """A server's words made fit for a message: one line, no control characters, no secret of `hide`, not endless."""
    line = " ".join(hidden(text, hide)[: 4 * width].split())
    return shorten("".join(c if c.isprintable() else "\ufffd" for c in line), width)


def quote(data: bytes, hide: Sequence[str] = ()) -> str:
    """The beginning of what a server sent, in quotes, for a message."""
    return repr(printable(data.decode("utf-8", "replace"), 80, hide))


def _any_of(globs: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(map(fnmatch.translate, globs))) if globs else None
