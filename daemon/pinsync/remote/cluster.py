"""What an IPFS Cluster on this machine says of itself, beside the Pinning Service API."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import httpx

from pinsync.settings.schema import is_loopback

REST_PORT = 9094  # of Cluster's own API, as it is set by default; the Pinning Service API is on 9097
_PATIENCE = 2.0  # seconds
_MOST = 1 << 20


async def kubo_behind(endpoint: str, port: int = REST_PORT) -> str | None:
    """The peer id of the Kubo node that the Cluster on this machine pins on; None where it does not say.

    Asked without a token, and only where `endpoint` is on this machine.
    """
    parts = urlsplit(endpoint)
    if not is_loopback(endpoint):
        return None
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    try:
        async with httpx.AsyncClient(timeout=_PATIENCE, trust_env=False, follow_redirects=False) as client:
            answer = await client.get(f"{parts.scheme}://{host}:{port}/id")
            found = json.loads(answer.content[:_MOST])["ipfs"]["id"]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) and found else None
