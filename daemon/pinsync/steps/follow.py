"""Following up: pins that are on their way are looked at again, with growing pauses, until they are pinned or failed.

By GET of their requestid: on NFT.Storage that is what refreshes a status that lists go on showing as `queued`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from pinsync.clock import Clock
from pinsync.ledger.ledger import Ledger
from pinsync.ledger.records import exchanges_text
from pinsync.model import PinStatus, RemotePin
from pinsync.planning.plan import STATE_OF, Entry, PinState
from pinsync.planning.rules import backoff, follow_pause
from pinsync.remote.calls import hearing
from pinsync.remote.client import RemoteClient
from pinsync.remote.errors import NotFound, RemoteError


@dataclass(slots=True)
class Followed:
    """What following up came to."""

    looked: int = 0
    changed: int = 0
    trouble: str | None = None
    failed: list[str] = field(default_factory=list)


async def follow_up(
    remote: str, client: RemoteClient, ledger: Ledger, clock: Clock, stop: asyncio.Event, *, most: int = 200,
    concurrency: int = 8,
) -> Followed:  # fmt: skip
    """Look at the pins of one remote that are due, at most `most` of them. Never raises for a remote's failure."""
    result = Followed()
    due = iter(ledger.due_follows(remote, clock.now(), most))

    async def worker() -> None:
        for entry in due:
            if stop.is_set() or result.trouble is not None:
                return
            assert entry.requestid is not None
            row: RemotePin | None = None
            with hearing() as requests:
                try:
                    row = await client.get(entry.requestid)
                except NotFound:
                    pass  # a complete list decides whether it is gone
                except RemoteError as error:
                    result.trouble = str(error)
                    return
            result.looked += 1
            with ledger.store.transaction():
                _note(remote, entry, row, ledger, clock.now(), result, exchanges_text(requests))

    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return result


def _note(
    remote: str, seen: Entry, row: RemotePin | None, ledger: Ledger, now: float, result: Followed, requests: str
) -> None:
    entry = ledger.entry(remote, seen.key)
    if entry is None or entry.requestid != seen.requestid or entry.follow_at is None:
        return  # somebody else has dealt with it meanwhile
    if row is None or row.key != entry.key:
        ledger.put_entry(remote, replace(entry, follow_at=None))
        return
    state = STATE_OF[row.status]
    if state is entry.state:
        follows = entry.follows + 1
        ledger.put_entry(remote, replace(entry, follows=follows, follow_at=now + follow_pause(follows)))
        return
    result.changed += 1
    after = replace(entry, state=state, follows=0, follow_at=None)
    if row.status is PinStatus.PINNED:
        after = replace(after, attempts=0, next_try=None, error=None)
    elif row.status is PinStatus.FAILED:
        said = row.info.get("status_details") or "without a reason"
        result.failed.append(f"{entry.cid}: {said}")
        attempts = entry.attempts + 1
        after = replace(after, attempts=attempts, next_try=now + backoff(attempts), error=said)
    else:
        after = replace(after, follow_at=now + follow_pause(0))
    said = f"{after.state.value}: {after.error}" if after.state is PinState.FAILED else after.state.value
    ledger.note(None, remote, after, "follow", said, now, requests)
    ledger.put_entry(remote, after)
