"""What an interrupted pass left open, settled by what the next one's list shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from pinsync.ledger.ledger import Ledger
from pinsync.ledger.records import OpenIntent, Settled
from pinsync.model import RemotePin, Traits
from pinsync.planning.plan import How, Owned, Step

from .observe import RemoteView

WINDOW = 300.0  # seconds after an intent in which its request was sent, if it was
MARGIN = 60.0  # seconds that clocks may differ when nothing better is known


def _whose(row: RemotePin, intent: OpenIntent, mirror_ids: tuple[str, ...], traits: Traits) -> How | None:
    """Whose a pin is that an interrupted POST may have made; None where the intent says nothing about it.

    Our mark says ours, unless the record is older than the request: then it served somebody before. Without the mark a
    pin is another's, however fresh, except at a service that drops meta: there it must be named as asked, and made
    when the request could have been under way.
    """
    begun = intent.at + (traits.skew or 0.0) - MARGIN
    made = row.created / 1e9
    if row.mark in mirror_ids:
        return How.FOREIGN if row.requestid == row.cid and made < begun else How.CREATED
    if row.mark is not None or traits.meta_kept is not False or intent.body is None:
        return None
    named = (row.name or "") in ("", row.cid) if not intent.body.name else row.name == intent.body.name
    return How.CREATED if named and begun <= made <= begun + WINDOW + 2 * MARGIN else None


def resolve_intents(ledger: Ledger, view: RemoteView, rows: Callable[[Iterable[bytes]], Iterator[RemotePin]],
                    mirror_ids: tuple[str, ...], now: float, margin: float = 60.0) -> int:  # fmt: skip
    """Settle what an interrupted pass left open, by what the list shows now; returns how many were settled.

    With a list that is not complete an intent whose pin is not seen stays open; either way its entry is marked
    `unclear`, so that the CID is looked up singly before it is posted again.
    """
    intents = ledger.open_intents(view.settings.name)
    if not intents:
        return 0
    seen: dict[bytes, list[RemotePin]] = {}
    for row in rows({intent.key for intent in intents}):
        seen.setdefault(row.key, []).append(row)
    remote = view.settings.name
    settled = []
    with ledger.store.transaction():
        for intent in intents:
            there = seen.get(intent.key, [])
            if intent.step == Step.POST:
                owned = {one.requestid: one for one in ledger.owned_of(remote, intent.key)}
                claimed = [
                    (row, how)
                    for row in there
                    if row.requestid not in owned and (how := _whose(row, intent, mirror_ids, view.traits)) is not None
                ]
                if sum(row.mark is None for row, _ in claimed) > 1:  # one POST makes one: which, nobody can tell
                    claimed = [(row, how) for row, how in claimed if row.mark is not None]
                for row, how in claimed:
                    ledger.own(remote, Owned(row.requestid, row.key, row.cid, how, row.created), now)
                entry = ledger.entry(remote, intent.key)
                if entry is not None and not there and not entry.unclear:
                    ledger.put_entry(remote, replace(entry, unclear=True))
                if there or view.listed == "complete":
                    settled.append(Settled(intent.id, "done" if there else "moot", "found by the next pass's list"))
            elif view.listed == "complete":
                gone = all(row.requestid != intent.requestid for row in there)
                settled.append(Settled(intent.id, "done" if gone else "moot", "found by the next pass's list"))
                if gone and intent.requestid is not None:
                    ledger.gone(remote, intent.key, intent.requestid, now)
        ledger.settle(settled, now)
    return len(settled)
