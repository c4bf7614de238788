"""The tables of keys in docs/configuration.md, made from `pinsync.settings.schema`: `python -m tools.configuration`.

What is said of a key is the text below it there; its default is what it is without a file. Everything else in the
document is written by hand and stays as it is.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from collections.abc import Iterator
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "daemon"))

DOCUMENT = ROOT / "docs/configuration.md"
HEAD = "| key | default | meaning |\n|---|---|---|\n"
# Defaults that are no value: they depend on the host or the place, or there is none.
IN_WORDS = {
    ("remote", "name"): "none; needed",
    ("remote", "rate"): "by host",
    ("remote", "safety"): "none",
    ("state", "path"): "by place",
}


def heading(table: str) -> str:
    """The line above a table of keys."""
    return "## `[[remote]]`" if table == "remote" else f"## `[{table}]`"


def generated(document: str) -> str:
    """The document with every table of keys made anew. Raises `ValueError` where one has no place in it."""
    from pinsync.settings.schema import TABLES

    for table in TABLES:
        place = re.compile(
            rf"(^{re.escape(heading(table))}\n(?:(?!## ).*\n)*?)\| key \|(?:.*\n)(?:\|.*\n)*", re.MULTILINE
        )
        if not place.search(document):
            raise ValueError(f"docs/configuration.md has no table of keys below {heading(table)}")
        rows = HEAD + "".join(f"{row}\n" for row in _rows(table))
        document = place.sub(lambda found, rows=rows: found[1] + rows, document, count=1)  # type: ignore[misc]
    return document


def _rows(table: str) -> Iterator[str]:
    from pinsync.settings.schema import TABLES

    model = TABLES[table]
    told = _told(model)
    for key, field in model.model_fields.items():
        default = IN_WORDS.get((table, key)) or f"`{_toml(key, field.default)}`"
        yield f"| `{key}` | {default} | {told[key]} |"


def _told(model: type) -> dict[str, str]:
    """Key → the text below it in the source, in one line."""
    [body] = [node.body for node in ast.parse(inspect.getsource(model)).body if isinstance(node, ast.ClassDef)]
    found: dict[str, str] = {}
    for before, node in pairwise(body):
        match (before, node):
            case (ast.AnnAssign(target=ast.Name(id=key)), ast.Expr(value=ast.Constant(value=str(text)))):
                found[key] = " ".join(text.split())
    return found


def _toml(key: str, value: Any) -> str:
    """A default as it would be written. Every number that is no whole one is a duration, but for shares."""
    from pydantic import SecretStr

    from pinsync.settings.units import format_duration

    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, float):
        value = int(value) if key.endswith("_share") else format_duration(value)
    return json.dumps(value)


def main() -> None:
    """Writes the document where something in it has changed."""
    before = DOCUMENT.read_text(encoding="utf-8")
    after = generated(before)
    if after != before:
        DOCUMENT.write_text(after, encoding="utf-8")
        sys.stdout.write(f"{DOCUMENT.relative_to(ROOT)} is written anew\n")


if __name__ == "__main__":
    main()
