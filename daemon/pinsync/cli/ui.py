"""The options that every command has, and the ways out: one JSON object, lines for people, words on standard error."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from pinsync.errors import PinsyncError, UsageError

from .text import Line, line, placed, plain

if TYPE_CHECKING:
    from pinsync.settings.model import RemoteSettings, Settings

FORMAT = 1
_encode = json.JSONEncoder(ensure_ascii=False).encode  # made once: `json.dumps` makes one for each of a million pins


@dataclass(slots=True)
class Ui:
    """How one command was asked to speak. `json`: one object on standard output, everything else on standard error."""

    config: Path | None = None
    json: bool = False
    quiet: bool = False
    verbose: bool = False

    def settings(self) -> Settings:
        """The configuration in force; its warnings are told. Raises `ConfigError`."""
        from pinsync.settings.load import load

        settings = load(self.config)
        for warning in settings.warnings:
            self.warn(warning)
        return settings

    # -- out ----------------------------------------------------------------------------------------------------------

    def emit(self, found: Mapping[str, Any]) -> None:
        """Print the one JSON object; iterators in it are written as they are read."""
        for chunk in chunks({"format": FORMAT, **found}):
            sys.stdout.write(chunk)
        sys.stdout.write("\n")

    def show(self, lines: Iterable[Line]) -> None:
        """Print lines for people on standard output; nothing with `--json`, which has said it all."""
        if not self.json:
            write(sys.stdout, lines)

    def tell(self, *texts: str) -> None:
        """Say something that a person wants to hear and a script does not, on standard error."""
        if not self.quiet:
            write(sys.stderr, ([(text, "")] for text in texts))

    def warn(self, text: str) -> None:
        """Say on standard error what is not right but hinders nothing."""
        if not self.quiet:
            write(sys.stderr, [line(("warning: ", "yellow"), text)])

    def complain(self, text: str) -> None:
        """Say on standard error what went wrong. Never silenced."""
        first, *rest = text.split("\n")
        write(sys.stderr, [line(("error: ", "red"), first), *(line(f"       {more}") for more in rest)])

    def troubles(self, errors: Iterable[Mapping[str, str]]) -> None:
        """Say the `errors` of a report."""
        for error in errors:
            self.complain(placed(error["where"], error["message"]))

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None in a pipe, where nothing is cut."""
        return terminal_width(sys.stdout)

    @property
    def interactive(self) -> bool:
        """Whether somebody can be asked."""
        return sys.stdin.isatty() and sys.stdout.isatty() and not self.json


def terminal_width(out: TextIO) -> int | None:
    """Columns, where `out` is a terminal."""
    return shutil.get_terminal_size().columns if out.isatty() else None


def coloured(out: TextIO) -> bool:
    """Whether colour is wanted: on a terminal that can, unless `NO_COLOR` is set."""
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def write(out: TextIO, lines: Iterable[Line]) -> None:
    """Write lines: with their styles where colour is wanted, else as plain text."""
    if not coloured(out):
        for one in lines:
            out.write(plain(one) + "\n")
        return
    from rich.console import Console

    console = Console(file=out, highlight=False, emoji=False, markup=False, soft_wrap=True)
    for one in lines:
        console.print(rich_text(one), soft_wrap=True)


def rich_text(one: Line) -> Any:
    """A line as Rich has it."""
    from rich.text import Text

    from .text import clean

    return Text.assemble(*((clean(text), style) for text, style in one))


def chunks(value: Any) -> Iterator[str]:
    """A value as JSON, piece by piece. Iterators become arrays; what is in them is written at once."""
    if isinstance(value, Mapping):
        opening = "{"
        for key, inner in value.items():
            yield f"{opening}{json.dumps(key)}: "
            yield from chunks(inner)
            opening = ", "
        yield "}" if opening == ", " else "{}"
    elif isinstance(value, list) and any(isinstance(inner, Mapping) and _lazy(inner) for inner in value):
        yield from _array(chunks(inner) for inner in value)
    elif isinstance(value, Iterator):
        yield from _array((_encode(inner),) for inner in value)
    else:
        yield _encode(value)


def _lazy(value: Mapping[str, Any]) -> bool:
    return any(isinstance(inner, Iterator) for inner in value.values())


def _array(items: Iterable[Iterable[str]]) -> Iterator[str]:
    opening = "["
    for item in items:
        yield opening
        yield from item
        opening = ", "
    yield "]" if opening == ", " else "[]"


def chosen(settings: Settings, remote: str | None, what: str = "") -> RemoteSettings | None:
    """The remote that `--remote` names; None where it names none.

    With `what` one is needed: the only one there is, or a `UsageError` that asks for it. Raises `UsageError` for a name
    that the configuration does not have, with those it has.
    """
    names = [one.name for one in settings.remotes]
    if remote is None:
        if not what:
            return None
        if len(names) == 1:
            return settings.remotes[0]
        raise UsageError(f"there are several remotes: say which one to {what}, with --remote {'|'.join(names)}")
    for one in settings.remotes:
        if one.name == remote:
            return one
    from difflib import get_close_matches

    near = get_close_matches(remote, names, 1)
    hint = f"did you mean {near[0]}?" if near else ""
    raise UsageError(f"no remote is called {remote!r}; {hint or 'there are: ' + ', '.join(names)}")


def said(error: PinsyncError) -> list[dict[str, str]]:
    """An error as the `errors` of JSON: one for each problem, `where` being the file and line or the remote."""
    problems = getattr(error, "problems", None)
    if problems:
        return [
            {"where": f"{one.file}:{one.line}" if one.line else one.file, "message": one.message} for one in problems
        ]
    for attribute, kind in (("remote", "remote"), ("node", "node")):
        if name := getattr(error, attribute, None):
            return [{"where": f"{kind} {name}", "message": str(error)}]
    return [{"where": _WHERE.get(type(error).__name__, "pinsync"), "message": str(error)}]


_WHERE = {"UsageError": "command line", "StateError": "state", "StateHeld": "state", "EmulatorError": "emulator"}
