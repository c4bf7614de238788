"""What an interrupted pass left open, settled by what the next one's list shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from pinsync.ledger.ledger import Ledger
from pinsync.ledger.records import Settled
from pinsync.model import RemotePin
from pinsync.planning.plan import How, Owned, Step

from .observe import RemoteView


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
    remote, skew = view.settings.name, view.traits.skew or 0.0
    settled = []
    with ledger.store.transaction():
        for intent in intents:
            there = seen.get(intent.key, [])
            if intent.step == Step.POST:
                owned = {one.requestid: one for one in ledger.owned_of(remote, intent.key)}
                for row in there:
                    after = row.created / 1e9 >= intent.at + skew - margin
                    if row.requestid in owned or row.mark not in (None, *mirror_ids):
                        continue
                    if after or row.requestid != row.cid:
                        if after or row.mark is not None:
                            ledger.own(remote, Owned(row.requestid, row.key, row.cid, How.CREATED, row.created), now)
                    else:
                        ledger.own(remote, Owned(row.requestid, row.key, row.cid, How.FOREIGN, row.created), now)
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
