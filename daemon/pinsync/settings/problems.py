"""What is wrong with a configuration, in words, each with the place to mend it. No message shows a value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pinsync.errors import Problem

from .model import NAME, secret_name
from .toml_lines import Loc, line_index, line_of

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_MOST = 100
_TOKEN_KEYS = {"token", "key", "apikey", "api_key", "secret", "password", "access_token", "jwt", "bearer"}
_NO_REMOTE = (
    "no remote, so there is nowhere to mirror to. Add one, its token in a token_file or PINSYNC_TOKEN_NFTSTORAGE:\n"
    "    [[remote]]\n"
    '    name = "nftstorage"'
)
_TYPES = {
    "string_type": "must be text in quotes",
    "string_unicode": "must be valid UTF-8",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "list_type": "must be a list in [ ]",
    "model_type": "must be a table",
    "missing": "is missing",
}


@dataclass
class Origin:
    """Where the values came from: a file's name and text, and the variables by the place that each sets.

    `merged` is what they came to together, before validation: it tells which entry of a list has which name.
    """

    file: str
    text: str
    variables: Mapping[tuple[str, ...], str]
    merged: Mapping[str, Any] = field(default_factory=dict)
    _lines: dict[Loc, int] | None = None

    def problem(self, loc: Loc, message: str) -> Problem:
        """A problem with the value at `loc`, placed where the one that applies was written."""
        if variable := self.variable(loc):
            return Problem(f"environment variable {variable}", None, message)
        return Problem(self.file, self.line(loc), message)

    def variable(self, loc: Loc) -> str | None:
        keys = tuple(part for part in loc if isinstance(part, str))
        return next(
            (self.variables[keys[:end]] for end in range(len(keys), 0, -1) if keys[:end] in self.variables), None
        )

    def line(self, loc: Loc) -> int | None:
        if self._lines is None:
            self._lines = line_index(self.text)
        if loc[:2] not in self._lines and len(loc) > 1 and loc[1] == 0:
            loc = (loc[0], *loc[2:])  # [kubo], which counts as a list of one
        return line_of(self._lines, loc)

    def place(self, loc: Loc) -> str:
        """Where a value stands, for a message about another."""
        if variable := self.variable(loc):
            return f"in {variable}"
        return f"on line {self.line(loc)}"

    def label(self, loc: Loc) -> str:
        """`safety.grace`, `remote nftstorage: rate`, `kubo.only_names[1]`."""
        head, rest = str(loc[0]), loc[1:]
        if rest and isinstance(rest[0], int):
            entries = self.merged.get(head)
            if isinstance(entries, list):
                name = _name(entries[rest[0]])
                head = f"{head} {name}" if name else f"{head} number {rest[0] + 1}"
                keys = _dotted(rest[1:])
                return f"{head}: {keys}" if keys else head
            rest = rest[1:]
        return _dotted((head, *rest))


def explain(errors: Iterable[ErrorDetails], origin: Origin) -> list[Problem]:
    """The findings of validation as problems."""
    return [
        origin.problem(error["loc"], _words(error, origin, hint=number < _MOST * 5))
        for number, error in enumerate(errors)
    ]


def cross_check(origin: Origin) -> list[Problem]:
    """What is wrong between tables: no remote, names that occur twice, variables that collide.

    Works on the merged values before validation, so that it is reported together with everything else.
    """
    found: list[Problem] = []
    remotes = _names(origin.merged.get("remote"))
    if not origin.merged.get("remote"):
        found.append(origin.problem(("remote",), _NO_REMOTE))
    found += _twice("remote", remotes, origin)
    by_secret: dict[str, int] = {}
    for index, name in remotes.items():
        first = by_secret.setdefault(secret_name(name), index)
        if remotes[first] != name:
            found.append(origin.problem(("remote", index, "name"), (
                f"remote {name}: its token would be PINSYNC_TOKEN_{secret_name(name)}, as that of remote "
                f"{remotes[first]} {origin.place(('remote', first, 'name'))}; rename one of them"
            )))  # fmt: skip
    nodes = origin.merged.get("kubo")
    if isinstance(nodes, list):
        if not nodes:
            found.append(origin.problem(("kubo",), (
                "kubo: at least one node is needed; to mirror the manifest alone set mirror = false in [kubo]"
            )))  # fmt: skip
        if len(nodes) > 1:
            found += [
                origin.problem(
                    ("kubo", index, "name"), f"kubo number {index + 1}: name is missing; each of several needs one"
                )
                for index, node in enumerate(nodes)
                if isinstance(node, dict) and "name" not in node
            ]
        found += _twice("kubo", _names(nodes), origin)
    return found


def in_order(problems: Sequence[Problem], file: str) -> list[Problem]:
    """In the order of the file, then the rest; a great many are cut with a word about how many there were."""
    ordered = sorted(dict.fromkeys(problems), key=lambda one: (one.file != file, one.line or 0))
    if len(ordered) > _MOST:
        ordered[_MOST:] = [Problem(file, None, f"and {len(ordered) - _MOST} more problems")]
    return ordered


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was most likely meant to be."""
    from difflib import get_close_matches

    if len(word) > 40:
        return None
    return next(iter(get_close_matches(word.lower().replace("-", "_"), list(known), 1, 0.6)), None)


def quoted(word: str) -> str:
    """A key for a message: cut, and without anything that a terminal would act on."""
    return json.dumps(word if len(word) <= 40 else word[:39] + "…", ensure_ascii=not word.isprintable())


def _words(error: ErrorDetails, origin: Origin, *, hint: bool) -> str:
    loc, kind = error["loc"], error["type"]
    if kind == "extra_forbidden":
        return _unknown(loc, origin) if hint else f"unknown key {quoted(str(loc[-1]))}"
    label = origin.label(loc)
    context = error.get("ctx", {})
    if kind == "value_error":
        return f"{label} {context['error']}"
    if kind in ("enum", "literal_error"):
        return f"{label} must be {context['expected']}".replace("'", '"')
    if kind == "missing":
        return f"{label} is missing"
    if loc[0] in ("remote", "kubo") and len(loc) <= 2:
        if origin.variable(loc):
            return f'{label} must be a list of tables as JSON, such as [{{"name": "…"}}]'
        return f"{label} must be a table: write [[{loc[0]}]], with two brackets, above its keys"
    if kind == "model_type":
        return (
            f"{label} must be a table: write [{loc[0]}] above its keys" if len(loc) == 1 else f"{label} must be a table"
        )
    if kind == "list_type" and origin.variable(loc):
        return f'{label} must be a list as JSON, such as ["one", "two"]'
    return f"{label} {_TYPES.get(kind, 'is not valid here')}"


def _unknown(loc: Loc, origin: Origin) -> str:
    from .schema import TABLES

    key, tables = str(loc[-1]), {name: list(table.model_fields) for name, table in TABLES.items()}
    around = str(loc[0]) if len(loc) > 1 else None
    known: list[str] = tables["safety" if "safety" in loc[:-1] else around] if around else list(tables)
    where = f" in {origin.label(loc[:-1])}" if around else ""
    what = f"unknown key {quoted(key)}{where}"
    if around == "remote" and key.lower().replace("-", "_") in _TOKEN_KEYS:
        return f"{what}: a token has no place in the configuration; put it in a file and name that in token_file"
    if meant := closest(key, known):
        return f'{what}; did you mean "{meant}"?'
    for name, keys in tables.items():
        if key in keys:
            return f"{what}; it belongs in [{name}]"
    if meant := closest(key, (one for keys in tables.values() for one in keys)):
        home = next(name for name, keys in tables.items() if meant in keys)
        return f'{what}; did you mean "{meant}" in [{home}]?'
    return f"{what}; known here: {', '.join(known)}"


def _twice(table: str, names: Mapping[int, str], origin: Origin) -> list[Problem]:
    found: list[Problem] = []
    first: dict[str, int] = {}
    for index, name in names.items():
        before = first.setdefault(name, index)
        if before != index:
            place = origin.place((table, before, "name"))
            message = f"{table} {name}: the same name is {place} already; rename one of them"
            found.append(origin.problem((table, index, "name"), message))
    return found


def _names(entries: object) -> dict[int, str]:
    if not isinstance(entries, list):
        return {}
    return {index: name for index, entry in enumerate(entries) if (name := _name(entry))}


def _name(entry: object) -> str | None:
    """The name of a table, if it is a valid one; anything else may be a token on the wrong line and is not shown."""
    name = entry.get("name") if isinstance(entry, dict) else None
    return name if isinstance(name, str) and NAME.fullmatch(name) else None


def _dotted(parts: Loc) -> str:
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
