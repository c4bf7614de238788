"""What approve, adopt and held come to, as JSON: the same objects from the daemon and from `--json` without one."""

from __future__ import annotations

from typing import Any

from pinsync.clock import rfc3339
from pinsync.ledger.records import Pending
from pinsync.model import RemotePin
from pinsync.people import Adopted, Released


def held_json(held: Released) -> dict[str, Any]:
    """What the last pass held: each pin, and each doubt as a whole."""
    held_now = [_pending(one) for one in held.pins]
    return {"format": 1, "held": held_now, "doubts": _doubts(held), "digest": held.digest()}


def approved_json(released: Released) -> dict[str, Any]:
    """What an approval released; the next pass acts on it."""
    return {"format": 1, "released": [_pending(one) for one in released.pins], "doubts": _doubts(released)}


def adopted_json(remote: str, adopted: Adopted) -> dict[str, Any]:
    """What became ours, and what was left because another mirror's mark is on it."""
    return {
        "format": 1,
        "remote": remote,
        "adopted": [_pin(one, ours=True) for one in adopted.pins],
        "skipped": [{**_pin(one, ours=False), "mark": one.mark} for one in adopted.skipped],
    }


def _pending(one: Pending) -> dict[str, Any]:
    return {
        "remote": one.remote,
        "kind": one.kind.value,
        "cid": one.cid,
        "requestid": one.requestid or None,
        "state": one.state.value,
        "code": one.code,
        "reason": one.reason,
        "until": rfc3339(one.until),
    }


def _doubts(released: Released) -> list[dict[str, str]]:
    return [{"code": code, "reason": reason} for code, reason in released.doubts]


def _pin(one: RemotePin, *, ours: bool) -> dict[str, Any]:
    return {
        "requestid": one.requestid,
        "cid": one.cid,
        "name": one.name,
        "status": one.status.value,
        "created": rfc3339(one.created / 1e9),
        "ours": ours,
    }
