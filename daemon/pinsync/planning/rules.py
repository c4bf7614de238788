"""The small rules of planning, each on its own: whose a pin is, what differs, how long to wait. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from pinsync.model import MARK, DesiredPin, RemotePin

from .plan import How, Owned, View

RETRY_FIRST = 60.0  # seconds until a failed or refused pin is tried again; doubles each time
RETRY_CAP = 86400.0
FOLLOW_FIRST = 5.0  # seconds until a pin on its way is looked at again; doubles each time
FOLLOW_CAP = 3600.0
SAME_MOMENT = 2_000_000_000  # nanoseconds; answers and lists tell a pin's time with other precisions
NAME_CUT = 64  # characters; a longer name of which only a beginning is there was cut by the service


def backoff(attempts: int, first: float = RETRY_FIRST, cap: float = RETRY_CAP) -> float:
    """Seconds to wait after the `attempts`-th failure (counted from 1)."""
    return float(min(cap, first * 2.0 ** min(max(attempts, 1) - 1, 40)))


def due(at: float | None, now: float, longest: float) -> bool:
    """Whether a moment has come. One further ahead than the longest pause was noted by a clock that was set back."""
    return at is None or at <= now or at > now + longest


def is_ours(
    row: RemotePin, owned: Mapping[str, Owned], mirror_ids: tuple[str, ...], meta_kept: bool | None = None
) -> bool:
    """Whether a remote pin is ours (semantics: *Ours*): by a person's word, by the ledger, or by our mark.

    `meta_kept`: what is known of the remote. Where it keeps meta, a pin of ours without our mark is another one under
    the same id, or was taken over: another's record of the CID that was ours once, or another account's.
    """
    known = owned.get(row.requestid)
    mark = row.mark
    if known is not None and known.key == row.key:
        if known.how is How.ADOPTED:  # the record that a person saw, not one that somebody makes after it
            return known.gone_at is None or mark in mirror_ids
        if known.how is How.FOREIGN:
            return False
        # Another mirror's mark means that it took the record over.
        return mark in mirror_ids or (mark is None and meta_kept is not True and not _anew(row, known))
    return bool(mirror_ids) and mark == mirror_ids[0]


def _anew(row: RemotePin, known: Owned) -> bool:
    """Whether the pin of this id was gone and may have been made again by anybody.

    Where the CID is the id, everybody's pin of it has this id, and `created` may be that of the record before (so at
    NFT.Storage).
    """
    if known.gone_at is None:
        return False
    return row.requestid == row.cid or known.created is None or abs(row.created - known.created) > SAME_MOMENT


def follow_pause(follows: int) -> float:
    """Seconds until a pin on its way is looked at again, after `follows` looks without a change."""
    return float(min(FOLLOW_CAP, FOLLOW_FIRST * 2.0 ** min(follows, 20)))


def fingerprint(name: str | None, meta: Mapping[str, str]) -> str:
    """A short hash over the name and the meta that are asked for: what a service declined once is known by it.

    Our mark does not count.
    """
    text = json.dumps([name or "", sorted(item for item in meta.items() if item[0] != MARK)], ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def drift(want: DesiredPin, row: RemotePin, view: View) -> tuple[str, ...]:
    """What differs at the remote from what is wanted: the name, and the meta keys that we set (semantics: *Drift*)."""
    found = []
    if want.name is not None and view.traits.name_kept is not False:
        there = "" if row.name is None or row.name in (row.cid, want.cid) else row.name
        cut = len(there) >= NAME_CUT and want.name.startswith(there)
        asked = "" if want.name == want.cid else want.name
        if there != asked and not cut:
            found.append("the name")
    if want.meta and view.traits.meta_kept is not False:
        meta = row.meta or {}
        found.extend(f"meta {name!r}" for name, value in want.meta.items() if meta.get(name) != value)
    return tuple(found)
