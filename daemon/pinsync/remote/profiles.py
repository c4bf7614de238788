"""What is known of hosts beforehand: their documented rate limits, and nothing else.

How a service behaves is learned from its answers (`pinsync.model.Traits`), never from its name.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from pinsync.remote.limits import Rate

_RATES: dict[str, Rate] = {
    "nft.storage": Rate(30, 10),  # per token, its README
    "pinata.cloud": Rate(180, 60),  # its documentation of API limits
    "filebase.io": Rate(100, 1),
    "filebase.com": Rate(100, 1),
}


def default_rate(endpoint: str) -> Rate | None:
    """The documented rate of the service behind this endpoint, None where none is known."""
    try:
        host = (urlsplit(endpoint).hostname or "").rstrip(".").lower()
    except ValueError:
        return None
    return next((rate for domain, rate in _RATES.items() if host == domain or host.endswith(f".{domain}")), None)
