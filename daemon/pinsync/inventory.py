"""All pins of a remote, ours or not: what `pinsync ls` prints, read here or by the daemon."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .clock import rfc3339
from .ledger.ledger import Ledger
from .model import Reading, Traits
from .planning.rules import is_ours
from .remote.client import RemoteClient
from .remote.listing import list_all
from .spool import Spool


async def take(
    client: RemoteClient, ledger: Ledger | None, spool: Spool, progress: Callable[[int, int | None], None] | None = None
) -> Reading:
    """List a remote into a fresh spool; changes nothing in the ledger. Raises `RemoteError`."""
    found, _ = await list_all(
        client,
        spool.remote_sink(0),
        traits=ledger.remote(client.name).traits if ledger else Traits(),
        wanted=(lambda: ledger.wanted_cids(client.name)) if ledger else None,
        progress=progress,
    )
    return found


def rows(spool: Spool, ledger: Ledger | None, remote: str, mirror_ids: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The pins that `take` read, sorted by CID, each as `ls --json` has it. Without a ledger, a mark tells ours."""
    known = iter(ledger.known(remote)) if ledger else iter(())
    head = next(known, None)
    kept = ledger.remote(remote).traits.meta_kept if ledger else None
    for row in spool.observed(0):
        while head is not None and head.key < row.key:  # both sides come sorted by key
            head = next(known, None)
        owned = {one.requestid: one for one in head.owned} if head is not None and head.key == row.key else {}
        yield {
            "requestid": row.requestid,
            "cid": row.cid,
            "name": row.name,
            "status": row.status.value,
            "created": rfc3339(row.created / 1e9),
            "ours": is_ours(row, owned, mirror_ids, kept),
        }
