"""Durations and rates: what is read, what is refused, and that writing and reading agree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinsync.settings import Rate, format_duration, parse_duration, parse_rate


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90.0), ("15m", 900.0), ("24h", 86400.0), ("7d", 604800.0), ("0s", 0.0), ("0.5s", 0.5), (" 1.5h ", 5400.0)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "90", "s", "-1s", "1h30m", "1 h", "1w", "1e3s", "٣s", "9" * 400 + "d", "36501d", "inf"]
)
def test_anything_else_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must ") as caught:
        parse_duration(text)
    assert not text or f"{text!r}" not in str(caught.value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (90.0, "90s"), (900.0, "15m"), (3600.0, "1h"), (129600.0, "36h"), (604800.0, "7d"), (0.25, "0.25s")],
)
def test_a_duration_is_written_in_its_largest_whole_unit(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(number=st.integers(0, 10**7) | st.decimals(0, 10**4, places=6), unit=st.sampled_from("smhd"))
def test_a_duration_that_was_read_is_read_again_from_how_it_is_written(number: object, unit: str) -> None:
    text = f"{number}{unit}"
    try:
        seconds = parse_duration(text)
    except ValueError:
        assert unit != "s"  # beyond a hundred years
        return
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("30/10s", Rate(30, 10.0)),
        ("5/s", Rate(5, 1.0)),
        ("180/m", Rate(180, 60.0)),
        ("", None),
        (" 1/0.5h ", Rate(1, 1800.0)),
    ],
)
def test_a_rate_is_requests_in_a_duration(text: str, rate: Rate | None) -> None:
    assert parse_rate(text) == rate
    if rate:
        assert parse_rate(str(rate)) == rate


@pytest.mark.parametrize(
    "text", ["30", "30/10", "/10s", "0/10s", "1/0s", "-1/s", "1/2d", "1.5/s", "30/10s/1", "1000001/s"]
)
def test_any_other_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must "):
        parse_rate(text)
