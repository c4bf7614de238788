"""How much of an allowed rate a long first mirror uses, and that it is never told to slow down."""

from __future__ import annotations

from .harness import CannotRunError, Pinsync, Setup, made_up_cids
from .service import Service
from .table import Found, Row

_LATENCY = 0.02  # seconds
_GOAL = 95.0  # per cent
_CASES = ((100, 1.0, 2000), (30, 2.0, 300))
"""Requests, the seconds in which so many are allowed, and pins to mirror. The second is NFT.Storage's, five times as
fast: a window costs one round trip, so that its real windows of 10 s lose less."""


def rate(setup: Setup) -> Found:
    """A first mirror from a list of CIDs onto a service that counts arrivals and refuses one too many."""
    found = [_one(setup, *case) for case in _CASES]
    return Found([row for row, _ in found], [note for _, note in found])


def _one(setup: Setup, allowed: int, window: float, full: int) -> tuple[Row, str]:
    count = max(setup.size(full), 4 * allowed)
    limit = f"{allowed}/{window:g}s"
    place = setup.scratch / f"{allowed}"
    place.mkdir()
    with Service(place, "spec", latency=_LATENCY, rate=limit) as service:
        pinsync = Pinsync(place / "pinsync", service, manifest=made_up_cids(count), remote=f'rate = "{limit}"')
        pinsync.run("sync", ok=(0, 3))
        seen = service.counts()
    if seen.pins != count:
        raise CannotRunError(f"pinsync sync left {seen.pins} of {count} pins")
    # Who never waits too long sends the first `allowed` at once, the next a window later, and so on.
    ideal = (seen.requests - 1) // allowed * window
    share = 100 * ideal / seen.span
    name = f"rate {limit}, {count} pins"
    row = Row(
        name, f"{seen.span:.2f} s", f"{ideal:.2f} s (the limit)", f"{share:.1f} %", f"≥ {_GOAL:g} %, no 429",
        met=share >= _GOAL and not seen.limited,
    )  # fmt: skip
    return row, f"{name}: {seen.requests} requests, {seen.limited} of them answered with 429"
