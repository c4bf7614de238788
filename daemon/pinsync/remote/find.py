"""Single CIDs looked up at a remote, over all statuses: there, not there, or *cannot tell*."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pinsync.cid import CidError, key_of, spellings
from pinsync.model import RemotePin
from pinsync.remote.calls import ListQuery
from pinsync.remote.parse import Page
from pinsync.remote.survey import Lister, round_size

_BATCH = 10  # CIDs in one request, by the specification
_LENGTH = 1600  # characters of CIDs, so that a URL stays under 2000
_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Found:
    """`pins`: all pin requests found, by key; a key that is in neither has none there. `unknown`: cannot be told."""

    pins: dict[bytes, list[RemotePin]]
    unknown: frozenset[bytes]

    @property
    def certain(self) -> bool:
        """Whether what was not found is not there."""
        return not self.unknown


async def find(client: Lister, cids: Iterable[str], *, control: str | None = None) -> Found:
    """Look CIDs up by the `cid` filter, each in all its spellings, ten texts in a request.

    The filter is not believed: rows of other CIDs show that it is ignored, and a page that may be cut proves nothing;
    what was not found is then `unknown`. `control`, a CID that is known to be there, is asked for with each batch:
    should it not come back, nothing is believed to be missing. Raises `RemoteError`; `CidError` for what is no CID.
    """
    pins: dict[bytes, list[RemotePin]] = {}
    unknown: set[bytes] = set()
    excess: int | None = None
    witness = key_of(control) if control else None
    for texts, keys in _batches(cids, control):
        page = await client.list_page(ListQuery(_LIMIT, cids=texts))
        seen = {pin.key for pin in page.pins}
        for pin in page.pins:
            if pin.key in keys:
                rows = pins.setdefault(pin.key, [])
                if all(row.requestid != pin.requestid for row in rows):
                    rows.append(pin)
        if page.count == page.rows + 1 and excess is None:
            excess = await known_excess(client)
        asked = keys | {witness} if witness else keys
        if not seen <= asked or (witness and witness not in seen) or _cut(page, excess or 0):
            unknown |= keys - seen
    return Found(pins, frozenset(unknown))


async def known_excess(client: Lister) -> int:
    """By how much `count` is too high on a query with a known answer: no pin was made before 1970. 0 or 1."""
    page = await client.list_page(ListQuery(limit=10, before=0))
    return 1 if page.rows == 0 and page.count == 1 else 0


def _cut(page: Page, excess: int) -> bool:
    """Whether rows may be missing from a page: by its own word, or because its length may be a service's limit."""
    return bool(page.skipped) or round_size(page.rows) or (page.count is not None and page.count > page.rows + excess)


def _batches(cids: Iterable[str], control: str | None) -> Iterator[tuple[tuple[str, ...], set[bytes]]]:
    texts: list[str] = [control] if control else []
    keys: set[bytes] = set()
    done: set[bytes] = set()
    for cid in cids:
        key = key_of(cid)
        if key in done:
            continue
        done.add(key)
        more = spellings(key, cid)
        if keys and (len(texts) + len(more) > _BATCH or sum(map(len, (*texts, *more))) > _LENGTH):
            yield tuple(texts), keys
            texts, keys = ([control] if control else []), set()
        texts += more
        keys.add(key)
    if keys:
        yield tuple(texts), keys


__all__ = ["CidError", "Found", "find", "known_excess"]
