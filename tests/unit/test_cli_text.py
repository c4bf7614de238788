"""Times, numbers and lines for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinsync.cli.text import (
    counted,
    cut,
    duration,
    line,
    listed,
    middle,
    paragraph,
    parse_time,
    plain,
    relative,
    table,
    when,
    width_of,
)

NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0.0 s"), (4.23, "4.2 s"), (12, "12 s"), (60, "1 min"), (90, "1 min 30 s"), (3600, "1 h"),
     (6 * 86400 + 3 * 3600 + 59, "6 d 3 h"), (7 * 86400, "7 d"), (-5, "0.0 s")],
)  # fmt: skip
def test_a_duration_is_told_in_its_two_largest_units(seconds: float, told: str) -> None:
    assert duration(seconds) == told


@pytest.mark.parametrize(
    ("distance", "told"),
    [(0, "now"), (0.4, "now"), (5, "in 5 s"), (-5, "5 s ago"), (-180, "3 min ago"), (529200, "in 6 d 3 h")],
)
def test_a_moment_is_told_by_its_distance(distance: float, told: str) -> None:
    assert relative(NOW + distance, NOW) == told


def test_a_time_of_json_is_local_and_relative() -> None:
    at = parse_time("2026-09-21T13:33:20.000Z")
    assert at is not None
    assert when("2026-09-21T13:33:20.000Z", at - 3600).endswith("(in 1 h)")
    assert when(None, NOW) == "never"


def test_counts_have_their_plural_and_their_thousands() -> None:
    assert counted(1, "pin") == "1 pin"
    assert counted(1204, "pin") == "1,204 pins"
    assert counted(2, "retry", "retries") == "2 retries"
    assert listed(["a", "b", "c"]) == "a, b and c"


@given(st.text(max_size=120), st.integers(5, 60))
def test_a_cid_cut_in_its_middle_keeps_both_ends_and_fits(text: str, width: int) -> None:
    short = middle(text, width)
    assert len(short) <= max(width, 0)
    if len(text) > width:
        assert short.startswith(text[: width // 2])
        assert short.endswith(text[-1])


@given(st.text(max_size=80), st.integers(1, 40))
def test_a_cut_text_never_takes_more_columns(text: str, width: int) -> None:
    assert width_of(cut(text, width)) <= width


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_what_a_server_says_cannot_move_the_cursor_or_break_a_line(texts: list[str]) -> None:
    assert plain(line(*texts)).isprintable()
    for one in table([texts, texts[::-1]], "<" * len(texts)):
        assert plain(one).isprintable()


@given(st.lists(st.tuples(st.from_regex(r"[a-z]{1,9}", fullmatch=True), st.integers(0, 10**6)), min_size=2))
def test_columns_of_a_table_line_up(rows: list[tuple[str, int]]) -> None:
    lines = [plain(one) for one in table([[name, str(count), "end"] for name, count in rows], "<><")]
    assert len({text.rindex("end") for text in lines}) == 1
    assert all(text.split() == [name, str(count), "end"] for text, (name, count) in zip(lines, rows, strict=True))


def test_a_column_without_anything_takes_no_room() -> None:
    assert [plain(one) for one in table([["a", "", "b"], ["c", "", "d"]], "<<<")] == ["  a  b", "  c  d"]


@given(st.text(st.sampled_from("abcdefgh "), max_size=300), st.integers(40, 100))
def test_a_paragraph_keeps_to_its_width_and_loses_no_word(text: str, width: int) -> None:
    words = " ".join(word[:20] for word in text.split())
    lines = [plain(one) for one in paragraph(words, width=width, indent=6, first="  x")]
    assert all(width_of(one) <= width for one in lines)
    assert " ".join(lines).split() == ["x", *words.split()]


def test_a_paragraph_in_a_pipe_is_one_line() -> None:
    assert len(list(paragraph("word " * 200, width=None))) == 1
