"""Moments as people write them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from pinsync.cli.times import ahead, back, seconds
from pinsync.errors import UsageError


@pytest.fixture(autouse=True)
def in_delhi(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Kolkata")
        time.tzset()
        yield
    time.tzset()


DELHI = timezone(timedelta(hours=5, minutes=30))
NOW = datetime(2026, 11, 23, 14, 30, tzinfo=DELHI).timestamp()


def local(*parts: int) -> float:
    return datetime(*parts, tzinfo=DELHI).timestamp()  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("15:00", local(2026, 11, 23, 15, 0)),
        ("14:00", local(2026, 11, 24, 14, 0)),
        ("9:05", local(2026, 11, 24, 9, 5)),
        ("2026-11-30", local(2026, 11, 30)),
        ("2026-11-30 08:15", local(2026, 11, 30, 8, 15)),
        ("2026-11-30T08:15", local(2026, 11, 30, 8, 15)),
        ("2026-11-30T08:15:00Z", local(2026, 11, 30, 13, 45)),
        ("2026-11-30T08:15:00+01:00", local(2026, 11, 30, 12, 45)),
    ],
)
def test_a_moment_ahead(text: str, at: float) -> None:
    assert ahead("--until", text, NOW) == at


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("7d", NOW - 7 * 86400),
        ("90s", NOW - 90),
        ("36500d", 0.0),
        ("14:00", local(2026, 11, 23, 14, 0)),
        ("15:00", local(2026, 11, 22, 15, 0)),
        ("2026-11-01", local(2026, 11, 1)),
    ],
)
def test_a_moment_in_the_past(text: str, at: float) -> None:
    assert back("--since", text, NOW) == at


@pytest.mark.parametrize("text", ["", "soon", "25:00", "2026-13-01", "7 days", "tomorrow", "2h", "99999-01-01", "0000"])
def test_what_is_not_understood_is_told_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not understood; write 14:30, 2026-11-30"):
        ahead("--until", text, NOW)


def test_a_duration() -> None:
    assert seconds("--for", "2h") == 7200.0
    with pytest.raises(UsageError, match="--for 'long' is not understood; write 90s"):
        seconds("--for", "long")
