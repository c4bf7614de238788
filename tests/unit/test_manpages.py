"""The man pages: one for each command and file format, in step with `--help`, and without a complaint of those who
read such pages."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tools.manpages import write
from tools.roff import from_markdown, quoted, text

from tests.unit.test_docs import COMMANDS, ROOT, options


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {path.name: path for path in write(tmp_path_factory.mktemp("man"))}


def test_every_command_has_a_page_with_its_options(pages: dict[str, Path]) -> None:
    assert set(pages) == {"pinsync.1", "pinsync-config.5", "pinsync-manifest.5"} | {
        f"pinsync-{name.replace(' ', '-')}.1" for name in COMMANDS
    }
    for name, command in COMMANDS.items():
        shown = pages[f"pinsync-{name.replace(' ', '-')}.1"].read_text().replace("\\-", "-")
        tagged = set(re.findall(r"\\fB(--?[a-z][a-z-]*)\\fR", shown.split(".SH OPTIONS")[-1]))
        assert options(command) <= tagged, name


def test_a_build_knows_every_command(tmp_path: Path) -> None:
    """A process of its own: here the tests have imported all that there is."""
    subprocess.run([sys.executable, "-m", "tools.manpages", str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    made = {path.stem.removeprefix("pinsync-") for path in (tmp_path / "man1").iterdir()}
    assert made - {"pinsync"} == {name.replace(" ", "-") for name in COMMANDS}


def test_pages_lead_to_pages_that_are_there(pages: dict[str, Path]) -> None:
    for path in pages.values():
        shown = path.read_text().replace("\\-", "-")
        for name, section in re.findall(r"^\.BR (pinsync\S*) \((\d)\)", shown, re.MULTILINE):
            assert f"{name}.{section}" in pages, path.name


@pytest.mark.skipif(not shutil.which("mandoc"), reason="mandoc is not installed")
def test_mandoc_has_nothing_to_complain_of(pages: dict[str, Path]) -> None:
    said = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", *map(str, pages.values())], capture_output=True, text=True
    )
    assert said.stdout + said.stderr == ""


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
def test_groff_has_nothing_to_complain_of(pages: dict[str, Path]) -> None:
    for path in pages.values():
        said = subprocess.run(
            ["groff", "-man", "-K", "utf8", "-T", "utf8", "-ww", "-z", str(path)], capture_output=True, text=True
        )
        assert said.stderr == "", path.name


def test_a_build_finds_every_command_by_itself(tmp_path: Path) -> None:
    """In a process of its own, where nothing else has imported the modules that register commands."""
    subprocess.run([sys.executable, "-m", "tools.manpages", str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    made = {path.name for path in tmp_path.rglob("pinsync-*.1")}
    assert made == {f"pinsync-{name.replace(' ', '-')}.1" for name in COMMANDS}


def test_the_page_of_a_build_is_the_same_whenever_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1790000000")
    first = [path.read_text() for path in write(tmp_path / "a")]
    assert first == [path.read_text() for path in write(tmp_path / "b")]
    assert "2026-09-21" in first[0]


@pytest.mark.parametrize(
    ("markdown", "roff"),
    [
        (".hidden files", "\\&.hidden files"),
        ("a\\b - c ~ `d-e`", "a\\eb \\- c \\(ti \\fBd\\-e\\fR"),
        ("see [the `[kubo]` table](x.md#kubo)", "see the \\fB[kubo]\\fR table"),
        ("[`[safety]`](#safety)", "\\fB[safety]\\fR"),
        ("*never* and **always**", "\\fInever\\fR and \\fBalways\\fR"),
    ],
)
def test_markdown_in_a_line(markdown: str, roff: str) -> None:
    assert text(markdown) == roff
    assert quoted("") == ""


def test_blocks_of_markdown() -> None:
    document = (
        "One\ntwo.\n\n- a\n  b\n- c\n\n    code here\n    .more\n\n| k | d | m |\n|---|---|---|\n| `x` | `1` | y |\n"
    )
    assert list(from_markdown(document)) == [
        "One two.", ".IP \\(bu 2", "a b", ".IP \\(bu 2", "c", ".PP", ".RS 4", ".nf", "code here", "\\&.more", ".fi",
        ".RE", ".TP", "\\fBx\\fR", "y (d: \\fB1\\fR)",
    ]  # fmt: skip
