"""docs/troubleshooting.md is found by message: what it quotes is said somewhere, and what is said is found in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.unit.test_docs import ROOT, rows

SOURCE = ROOT / "daemon/pinsync"
PAGE = ROOT / "docs/troubleshooting.md"
GAP = "\0"  # what differs from case to case

# Every error raised here is on the page. Configuration and manifest are told by their commoner ones: each of theirs
# names its line and what to write instead.
WHOLE = [
    "house.py", "people.py", "steering.py", "cli/asking.py", "cli/people.py", "cli/steering.py", "cli/ui.py",
    "ledger/copies.py", "ledger/lock.py", "ledger/store.py", "service/client.py", "service/listen.py",
    "setup/checks.py", "setup/machine.py", "cli/service.py", "cli/service_choice.py",
    "remote/classify.py", "sources/kubo_failures.py",
]  # fmt: skip
# What is held and what waits is no error, but what most people look for.
REASONS = ["planning/diff.py", "planning/guard.py", "planning/witness.py", "steps/doubts.py", "steps/removing.py"]
# The middle of a sentence that is found by another part of it, or what is no message.
PARTS = [
    "\0. What was under way is given up", "\0; nothing more was done", "\0. Until it answers, no pin is removed",
    "the file is cut off", "the table \0 is missing", " after \0 in the last 24 h",
    "`pinsync approve --remote \0` releases it", "remote \0, pin \0 (\0)",
]  # fmt: skip


def text_of(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return re.sub(r"%(?:s|r|d|\.0f)", GAP, node.value) if isinstance(node.value, str) else GAP
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) for part in node.values)
    return GAP


def texts(tree: ast.AST) -> Iterator[str]:
    """Every text in a piece of source, f-strings with gaps where they have values."""
    parts = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for inner in node.values}
    for node in ast.walk(tree):
        whole = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts
        if isinstance(node, ast.JoinedStr) or whole:
            yield text_of(node)  # type: ignore[arg-type]


@cache
def said(path: Path) -> tuple[str, ...]:
    """Whatever a module can say: its texts without docstrings and what looks like no sentence."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [one for one in node.body if not _only_text(one)] or [ast.Pass()]
    return tuple(text for text in texts(tree) if " " in text.strip())


def _only_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def everything() -> str:
    return "\n".join(text for path in sorted(SOURCE.rglob("*.py")) for text in said(path))


def quotes() -> list[str]:
    """What the page quotes: in italics, in the first cell of a row or at the start of a paragraph."""
    page = PAGE.read_text()
    cells = [row[0] for row in rows(page)]
    cells += re.findall(r"^\*[^*].*", page, re.MULTILINE)
    return [quote for cell in cells for quote in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", cell)]


def pattern(quote: str) -> re.Pattern[str]:
    return re.compile(r"[^\n]*".join(re.escape(part.strip()) for part in quote.split("…")))


def found_on_the_page(text: str) -> bool:
    """Whether some quote is a part of a message."""
    flat = text.replace("\n", " ")
    return any(quote.search(flat) for quote in patterns())


@cache
def patterns() -> list[re.Pattern[str]]:
    return [pattern(quote) for quote in quotes()]


def test_what_is_quoted_is_said_somewhere() -> None:
    source = everything()
    assert len(quotes()) > 130
    assert [quote for quote in quotes() if not pattern(quote).search(source)] == []


@pytest.mark.parametrize("module", WHOLE)
def test_every_error_of_these_is_on_the_page(module: str) -> None:
    tree = ast.parse((SOURCE / module).read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Raise) or _makes_an_error(node)]
    messages = {text for node in calls for text in texts(node)}
    assert missing(messages) == []


@pytest.mark.parametrize("module", REASONS)
def test_every_reason_of_these_is_on_the_page(module: str) -> None:
    assert missing(said(SOURCE / module)) == []


def missing(messages: Iterable[str]) -> list[str]:
    """What is long enough to be a message, and is not on the page."""
    sql = re.compile("(SELECT|DELETE|INSERT|UPDATE) ")
    return [text for text in messages if len(text.split()) > 4 and text not in PARTS and not sql.match(text)
            and not found_on_the_page(text)]  # fmt: skip


def _makes_an_error(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name.endswith("Error") or name in ("out", "error", "damaged", "PinRefused", "OutOfService", "BadAnswer")
