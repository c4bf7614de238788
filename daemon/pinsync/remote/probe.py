"""Five small requests that show whether anything changed at a remote since they were last made.

Counts per status, and what is newest: enough between two full listings, where `count` is known to be a total.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pinsync.model import PinStatus
from pinsync.remote.calls import ListQuery
from pinsync.remote.parse import MS, SECOND
from pinsync.remote.survey import Lister


@dataclass(frozen=True, slots=True)
class Probe:
    """`counts` by status, in the order of `PinStatus`; `later`: how many are newer than the newest known one."""

    counts: tuple[int, ...]
    later: int


async def probe(client: Lister, newest: int) -> Probe | None:
    """Ask how many pins there are of each status, and how many since `newest` (ns). None: this service does not tell.

    Raises `RemoteError`.
    """
    counts = []
    for status in PinStatus:
        page = await client.list_page(ListQuery(limit=1, statuses=(status,)))
        if page.count is None or page.skipped or any(pin.status is not status for pin in page.pins):
            return None
        counts.append(page.count)
    step = 999 * MS if newest % SECOND == 0 else MS  # beyond the newest, and those that share its printed time
    page = await client.list_page(ListQuery(limit=1, after=newest + step))
    return None if page.count is None or page.skipped else Probe(tuple(counts), page.count)


def agrees(seen: Probe, listed: Sequence[int]) -> bool:
    """Whether the counts are those of a complete listing, or all as much too high (a service that counts one more).

    Nothing may be newer than the newest that was listed: else `after` is not obeyed, and would show no later pin.
    """
    offsets = {count - number for count, number in zip(seen.counts, listed, strict=True)}
    return offsets in ({0}, {1}) and seen.later in offsets
