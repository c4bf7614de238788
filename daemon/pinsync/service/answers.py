"""What people's words come to, as JSON: the same objects from the daemon and from `--json` without one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pinsync.clock import rfc3339
from pinsync.ledger.records import Pause, Pending
from pinsync.model import RemotePin
from pinsync.people import Adopted, Released
from pinsync.planning.plan import Owned
from pinsync.status import pause_json
from pinsync.steering import Retried


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


def retried_json(retried: Retried, asked: bool) -> dict[str, Any]:
    """What is due again. `asked`: a daemon makes a pass for it now."""
    return {
        "format": 1,
        "retried": [
            {
                "remote": remote,
                "cid": entry.cid,
                "status": entry.state.value,
                "attempts": entry.attempts,
                "error": entry.error,
            }
            for remote, entry in retried.pins
        ],
        "opened": [{"remote": remote, "what": what} for remote, what in retried.opened],
        "pass_asked": asked,
    }


def disowned_json(disowned: tuple[tuple[str, Owned], ...]) -> dict[str, Any]:
    """What is not ours any more."""
    return {
        "format": 1,
        "disowned": [{"remote": remote, "requestid": one.requestid, "cid": one.cid} for remote, one in disowned],
    }


def paused_json(standing: Sequence[Pause], ended: Sequence[Pause] = ()) -> dict[str, Any]:
    """What is paused now, and what was until a moment ago."""
    return {"format": 1, "paused": [pause_json(one) for one in standing], "ended": [pause_json(one) for one in ended]}


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
