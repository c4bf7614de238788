"""Durations (`"90s" "15m" "24h" "7d"`) and rates (`"30/10s"`) as they stand in the configuration.

The messages of errors never repeat the text: it may be a token that was put on the wrong line.
"""

from __future__ import annotations

import re

from pinsync.model import Rate

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,6})?"
_DURATION = re.compile(rf"({_NUMBER})([smhd])")
_RATE = re.compile(rf"([0-9]{{1,9}})/({_NUMBER})?([smhd])")

LONGEST = 36500 * 86400.0  # a hundred years: any sum with the present is still a date
_EXAMPLES = '"90s", "15m", "24h" or "7d"'


def parse_duration(text: str) -> float:
    """Seconds, to the microsecond: a number and one of the units s, m, h, d.

    Raises `ValueError`, whose message can follow the name of a key and does not repeat `text`.
    """
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise ValueError(f"must be a number with one unit, such as {_EXAMPLES}")
    seconds = _seconds(*match.groups())
    if seconds > LONGEST:
        raise ValueError("must not be longer than 36500d")
    return seconds


def format_duration(seconds: float) -> str:
    """Text in the largest unit that divides `seconds`, which `parse_duration` reads back as them: 90 → `90s`."""
    whole = round(seconds)
    if whole != seconds:
        return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"
    unit = next(unit for unit in ("d", "h", "m", "s") if whole % _UNITS[unit] == 0) if whole else "s"
    return f"{whole // _UNITS[unit]}{unit}"


def parse_rate(text: str) -> Rate | None:
    """A rate such as `30/10s` or `5/s`; None for `""`, which means no limit.

    Raises `ValueError`, whose message can follow the name of a key and does not repeat `text`.
    """
    bare = text.strip()
    if not bare:
        return None
    match = _RATE.fullmatch(bare)
    if not match:
        raise ValueError('must be requests/duration, such as "30/10s", or "" for no limit')
    requests, window = int(match[1]), _seconds(match[2] or "1", match[3])
    if not 1 <= requests <= 1_000_000 or not 0.001 <= window <= _UNITS["d"]:
        raise ValueError('must allow 1 to 1000000 requests in "0.001s" to "1d"; "" means no limit')
    return Rate(requests, window)


def _seconds(number: str, unit: str) -> float:
    return round(float(number) * _UNITS[unit], 6)
