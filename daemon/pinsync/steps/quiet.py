"""A pass in which nothing changed: known by a digest of what is wanted and five requests, instead of a full listing.

After a pass that found nothing to do, the remote's record keeps the digest of everything that the plan rested on but
the remote's own list, and the probe of that list. While both are as they were, the plan would be the same. Whatever is
to be changed, or due, or in doubt, is decided on a full listing; so is everything after `schedule.full_listing`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from pinsync.ledger.ledger import Ledger
from pinsync.model import DesiredPin
from pinsync.planning.guard import MARK_CODE
from pinsync.planning.plan import Action, Kind, State, Step, View
from pinsync.remote.errors import RemoteError
from pinsync.remote.probe import Probe, agrees, probe
from pinsync.spool import Spool

from .observe import RemoteView, Sources

PATIENT = {"grace", "backoff", "refused", "closed", "limit", "approve", "lost", "shared", MARK_CODE}
"""Codes of what waits for a time or a person: nothing of it needs another look at the remote before that."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """What must be the same for a pass to have nothing to do. `until`: when something becomes due by itself."""

    digest: str
    counts: tuple[int, ...]
    later: int
    newest: int
    until: float | None

    def text(self) -> str:
        """As the ledger keeps it."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str | None) -> Quiet | None:
        """What `text` wrote; None for what cannot be read."""
        try:
            kept = json.loads(text or "null")
            return cls(kept["digest"], tuple(kept["counts"]), kept["later"], kept["newest"], kept["until"])
        except (ValueError, TypeError, KeyError):
            return None


class Digest:
    """A running digest over a stream of wanted pins, which goes through unchanged."""

    def __init__(self, view: View) -> None:
        basis = (view.mirror_ids, view.mode, view.safety, view.origins)
        self._hash = hashlib.sha256(repr(basis).encode())

    def over(self, pins: Iterable[DesiredPin]) -> Iterator[DesiredPin]:
        """The same pins, counted into the digest."""
        update = self._hash.update
        for pin in pins:
            update(f"{pin.cid}\0{pin.name}\0{pin.excluded}\0{' '.join(pin.sources)}\n".encode(errors="replace"))
            if pin.meta:
                update(json.dumps(sorted(pin.meta.items())).encode())
            yield pin

    def text(self) -> str:
        """The digest of everything so far."""
        return self._hash.hexdigest()


def may_be_quiet(view: RemoteView, ledger: Ledger | None, now: float, full_listing: float) -> Quiet | None:
    """What the remote was like when it was last quiet, if that may still be believed."""
    record = view.record
    quiet = Quiet.read(record.quiet)
    if ledger is None or quiet is None or not view.record.traits.count_is_total or record.listed_at is None:
        return None
    fresh = record.listed_at <= now < record.listed_at + full_listing
    due = quiet.until is not None and quiet.until <= now
    if not fresh or due or record.endpoint != view.settings.endpoint or ledger.open_intents(view.settings.name):
        return None
    return None if ledger.approvals(view.settings.name) else quiet


async def unchanged(view: RemoteView, quiet: Quiet) -> bool:
    """Whether the remote answers as it did then. Raises `RemoteError`."""
    assert view.client is not None
    seen = await probe(view.client, quiet.newest)
    return seen is not None and (seen.counts, seen.later) == (quiet.counts, quiet.later)


def same_wants(sources: Sources, view: RemoteView, plan: View, spool: Spool, quiet: Quiet) -> bool:
    """Whether what is wanted at this remote, and by which rules, is as it was then."""
    if not plan.sources_whole or sources.observed(view.settings) or plan.config_change:
        return False
    digest = Digest(plan)
    for _ in digest.over(sources.wanted(view.settings, spool)):
        pass
    return digest.text() == quiet.digest


async def note_quiet(
    view: RemoteView, plan: View, digest: Digest, actions: Iterable[Action], spool: Spool, changed: bool
) -> Quiet | None:
    """What to remember of a pass that found nothing to do; None when it did, or when the remote tells too little."""
    if changed or view.listed != "complete" or not view.traits.count_is_total or not plan.sources_whole:
        return None
    until: float | None = None
    for action in actions:
        patient = action.code in PATIENT or action.code.startswith("config:")
        if action.state is State.DO or not patient:
            return None
        if action.until is not None:
            until = action.until if until is None else min(until, action.until)
    assert view.client is not None
    listed, newest = spool.census(view.index)
    try:
        seen: Probe | None = await probe(view.client, newest)
    except RemoteError:
        return None
    if seen is None or not agrees(seen, listed):
        return None
    return Quiet(digest.text(), seen.counts, seen.later, newest, until)


def standing(ledger: Ledger, remote: str) -> Iterator[Action]:
    """What waits and what is held since the last pass that planned."""
    for one in ledger.pending(remote):
        yield Action(
            Kind(one.kind), Step(one.step), one.key, one.cid, one.state, one.code, one.reason, one.until,
            one.requestid or None,
        )  # fmt: skip
