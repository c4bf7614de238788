"""Whether our clock may be believed: grace and the limits of a day hang on it, and a clock may jump. Pure.

Two witnesses: the remote's `Date`, and the time of the last pass whose clock was believed. The remote's word counts for
more: a machine that was off for ten days is not a clock that jumped.
"""

from __future__ import annotations

from dataclasses import dataclass

from .plan import Doubt

AGREES = 600.0  # seconds by which two clocks that are right may differ
SET_BACK = 600.0  # seconds before the last pass at which a clock must have been set back
SET_AHEAD = 86400.0  # seconds (at least three intervals) after the last pass from which it may have jumped ahead


@dataclass(frozen=True, slots=True)
class Believed:
    """The clock at one remote when it was last believed: our time then, and the remote's lead (None: no `Date`)."""

    at: float
    lead: float | None = None


def doubt_of(now: float, lead: float | None, believed: Believed | None, every: float, remote: str) -> Doubt | None:
    """Why our clock is not to be believed at a remote whose clock is ahead by `lead` seconds; None when it is.

    `believed` None: there was no pass yet. A difference from the remote that a person approved, or that was there when
    the clock was believed, is the remote's own.
    """
    if lead is not None:
        if abs(lead) <= AGREES or (believed and believed.lead is not None and abs(lead - believed.lead) <= AGREES):
            return None
        which = "behind" if lead > 0 else "ahead of"
        return Doubt(
            f"clock:{_step(lead)}@{remote}",
            f"our clock is {_span(abs(lead))} {which} that of remote {remote!r}; one of the two is wrong, and grace "
            "cannot be judged",
        )
    if believed is None:
        return None
    if now - believed.at > max(SET_AHEAD, 3 * every):
        said = f"our clock is {_span(now - believed.at)} after the last pass"
        return Doubt(
            f"clock:ahead@{remote}",
            f"{said}, and remote {remote!r} does not tell its own: was it set ahead? Grace cannot be judged",
        )
    if believed.at - now > SET_BACK:
        said = f"our clock is {_span(believed.at - now)} before the last pass"
        return Doubt(
            f"clock:back@{remote}",
            f"{said}, and remote {remote!r} does not tell its own: was it set back? Grace cannot be judged",
        )
    return None


def _step(lead: float) -> str:
    """The difference in steps of half its size, so that the code lasts while the difference does."""
    size = AGREES
    while size * 2 <= abs(lead):
        size *= 2
    return f"{'-' if lead < 0 else '+'}{size:.0f}"


def _span(seconds: float) -> str:
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"
