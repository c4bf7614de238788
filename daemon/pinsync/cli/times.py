"""Moments as people write them on the command line."""

from __future__ import annotations

from datetime import datetime, timedelta

from pinsync.errors import UsageError
from pinsync.settings.units import parse_duration

_FORMS = "write 14:30, 2026-11-30, 2026-11-30T14:30 or 2026-11-30T14:30:00Z"


def seconds(option: str, text: str) -> float:
    """A duration, such as `2h`. Raises `UsageError`."""
    try:
        return parse_duration(text)
    except ValueError:
        raise UsageError(f"{option} {text!r} is not understood; write 90s, 15m, 2h or 7d") from None


def ahead(option: str, text: str, now: float) -> float:
    """A moment in the future as epoch seconds; a time of day is the next one. Raises `UsageError`."""
    return _moment(option, text, now, 1, _FORMS)


def back(option: str, text: str, now: float) -> float:
    """A moment in the past as epoch seconds: so long ago (`7d`), or a time; a time of day is the last one.

    Raises `UsageError`.
    """
    try:
        return max(now - parse_duration(text), 0.0)
    except ValueError:
        return max(_moment(option, text, now, -1, f"{_FORMS}, or so long ago: 90s, 15m, 2h or 7d"), 0.0)


def _moment(option: str, text: str, now: float, sign: int, forms: str) -> float:
    """Without a zone it is local time."""
    bare = text.strip()
    today = datetime.fromtimestamp(now)
    try:
        if ":" in bare[:3]:
            at = datetime.combine(today.date(), datetime.strptime(bare, "%H:%M").time())
            if (at - today).total_seconds() * sign < 0:
                at += timedelta(days=sign)
        else:
            at = datetime.fromisoformat(bare)
        return at.timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"{option} {text!r} is not understood; {forms}") from None
