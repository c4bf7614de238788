"""The ways out: JSON in pieces, lines with and without colour, and the remotes that people name."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinsync.cli.progress import Bars, Lines, Meter, meter
from pinsync.cli.text import line
from pinsync.cli.ui import Ui, chosen, chunks, said, write
from pinsync.errors import ConfigError, NodeError, Problem, UsageError
from pinsync.settings.load import load

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=4), values, max_size=4))
def test_json_in_pieces_is_the_same_json(value: dict[str, Any]) -> None:
    assert json.loads("".join(chunks(value))) == value


@given(st.lists(values, max_size=4))
def test_an_iterator_becomes_an_array_also_deep_inside(items: list[Any]) -> None:
    text = "".join(chunks({"a": iter(items), "b": [{"c": iter(items)}, {"c": iter(())}]}))
    assert json.loads(text) == {"a": items, "b": [{"c": items}, {"c": []}]}


def test_an_iterator_is_not_read_before_it_is_written() -> None:
    def endless() -> Any:
        number = 0
        while True:
            number += 1
            yield number

    pieces = chunks({"a": endless()})
    assert "".join(next(pieces) for _ in range(8)).startswith('{"a": [1, 2')


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal, pipe = Terminal(), io.StringIO()
    for out in (terminal, pipe):
        write(out, [line(("well", "green"))])
    assert "\x1b[" in terminal.getvalue()
    assert pipe.getvalue() == "well\n"


@pytest.mark.parametrize("variable", [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_color_is_obeyed(variable: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv(*variable)
    terminal = Terminal()
    write(terminal, [line(("well", "green"))])
    assert terminal.getvalue() == "well\n"


def test_progress_is_shown_where_somebody_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert type(meter(Ui())) is Meter
    assert isinstance(meter(Ui(verbose=True)), Lines)
    monkeypatch.setattr("sys.stderr", Terminal())
    assert isinstance(meter(Ui()), Bars)
    assert type(meter(Ui(quiet=True))) is Meter


def test_a_bar_shows_how_far_a_first_mirror_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Bars(patience=0.0) as bars:
        bars.reading("node kubo", 4000, None)
        bars.applying("nft", 10, 4000)
    assert "mirroring to nft" in terminal.getvalue()
    assert "10 of 4,000" in terminal.getvalue()


def test_progress_that_the_daemon_tells_is_shown_likewise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Bars(patience=0.0) as bars:
        bars.told({"step": "wait", "what": "waiting for the pass under way", "count": 0, "of": None})
        bars.told({"step": "apply", "what": "mirroring to nft", "count": 10, "of": 4000})
        bars.told({"something": "that a newer daemon says"})
    assert "waiting for the pass under way" in terminal.getvalue()
    assert "10 of 4,000" in terminal.getvalue()


SETTINGS = {"PINSYNC_REMOTE": '[{"name": "nftstorage"}, {"name": "pinata", "endpoint": "https://api.pinata.cloud/psa"}]',
            "HOME": "/nowhere"}  # fmt: skip


def test_a_remote_that_is_not_there_is_answered_with_those_that_are() -> None:
    settings = load(env=SETTINGS)
    with pytest.raises(UsageError, match="did you mean pinata"):
        chosen(settings, "piñata")
    with pytest.raises(UsageError, match="there are: nftstorage, pinata"):
        chosen(settings, "zzz")


def test_where_one_remote_is_needed_several_are_ambiguous() -> None:
    with pytest.raises(UsageError, match=r"--remote nftstorage\|pinata"):
        chosen(load(env=SETTINGS), None, "list")
    assert chosen(load(env=SETTINGS), None) is None
    one = load(env=SETTINGS | {"PINSYNC_REMOTE": '[{"name": "nftstorage"}]'})
    found = chosen(one, None, "list")
    assert found is not None
    assert found.name == "nftstorage"


def test_an_error_names_its_place() -> None:
    problems = ConfigError([Problem("c.toml", 3, "wrong"), Problem("c.toml", None, "also wrong")])
    assert said(problems) == [{"where": "c.toml:3", "message": "wrong"}, {"where": "c.toml", "message": "also wrong"}]
    assert said(NodeError("kubo", "away")) == [{"where": "node kubo", "message": "away"}]
