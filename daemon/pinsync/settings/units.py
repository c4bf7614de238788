"""Durations (`"90s" "15m" "24h" "7d"`), rates (`"30/10s"`) and addresses as they stand in the configuration.

The messages of errors never repeat the text: it may be a token that was put on the wrong line.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

from pinsync.model import Rate

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,6})?"
_DURATION = re.compile(rf"({_NUMBER})([smhd])")
_RATE = re.compile(rf"([0-9]{{1,9}})/({_NUMBER})?([smhd])")
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15}|localhost)):([0-9]{1,5})")

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


def parse_address(text: str) -> tuple[str, int]:
    """`127.0.0.1:9753`, `[::1]:9753` or `localhost:9753` as address and port.

    Raises `ValueError`, whose message does not repeat `text`: also for an address that others can reach.
    """
    match = _ADDRESS.fullmatch(text.strip())
    host = "127.0.0.1" if match and match[2] == "localhost" else match and (match[1] or match[2])
    try:
        if not match or not host or int(match[3]) > 65535:
            raise ValueError
        loopback = ip_address(host).is_loopback
    except ValueError:
        raise ValueError('must be a loopback address and a port, such as "127.0.0.1:9753" or "[::1]:9753"') from None
    if not loopback:
        raise ValueError(
            "must be a loopback address (127.0.0.1 or [::1]): nobody is asked for a password there, so it is not for "
            "a network. To be scraped from elsewhere, put a proxy with TLS and a password before it, or use "
            "[metrics] textfile"
        )
    return host, int(match[3])
