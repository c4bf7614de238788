"""The state of one listing: what was asked, what came, and what that shows of the service."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from pinsync.clock import Clock
from pinsync.model import PinStatus, RemotePin, Traits
from pinsync.remote.calls import ALL_STATUSES, ListQuery
from pinsync.remote.parse import SECOND, Page
from pinsync.remote.windows import SURE, Order, Window, order_of, step_of

MIN_CAP = 10
"""The fewest pins on a page that a service is thought to stop at when asked for more: the specification's default."""

_REQUESTS = 20_000
_VAIN = 64


class PageSink(Protocol):
    """Where a listing puts what it reads."""

    def add(self, pins: Sequence[RemotePin]) -> int:
        """Keep a page; a later reading of a known requestid replaces the earlier. Returns how many ids were new."""


class Lister(Protocol):
    """What a listing needs of `RemoteClient`."""

    clock: Clock

    @property
    def skew(self) -> float | None:
        """See `RemoteClient.skew`."""

    async def list_page(self, query: ListQuery) -> Page:
        """See `RemoteClient.list_page`."""


class Spent(Exception):
    """The requests that this listing may make are used up; never leaves this room."""


class Survey:
    """Asks for pages and keeps count. One for each listing.

    `total`: whether `count` is known to count all pins. `cap`: the page size that the service was seen to keep to,
    below `limit`. `inclusive`: a `before` or `after` was seen to include its own time. `deaf`: one was ignored.
    """

    def __init__(
        self,
        client: Lister,
        sink: PageSink,
        traits: Traits,
        limit: int,
        progress: Callable[[int, int | None], None] | None,
        max_requests: int | None,
    ) -> None:
        self.client = client
        self.sink = sink
        self.limit = limit
        self.progress = progress
        self.budget = _REQUESTS if max_requests is None else max_requests
        self.requests = 0
        self.distinct = 0
        self.promised = 0
        self.excess = 0
        self.total = traits.count_is_total
        self.cap = traits.page_cap if traits.page_cap and traits.page_cap < limit else None
        self.largest = 0
        self.filled = False  # a page was as long as asked for: the limit is what ends a page
        self.short_inside = False  # a page was shorter than others, and yet not the last
        self.step = SECOND
        self.inclusive = False
        self.deaf = False
        self.skipped: list[str] = []
        self.skips = 0
        self.order = Order.UNKNOWN
        self.evidence = 0.0
        self.known_order = {True: Order.NEWEST, False: Order.OLDEST, None: Order.UNKNOWN}[traits.newest_first]
        self.oldest: int | None = None
        self.newest: int | None = None
        self.ids_are_cids: bool | None = None
        self._vain = 0
        self._fruitful = 0

    async def ask(self, query: ListQuery) -> tuple[Page, int]:
        """One page, into the sink: the page and how many of its ids are new. Raises `Spent` and `RemoteError`."""
        if self.requests >= self.budget or self._vain > _VAIN + 2 * self._fruitful:
            raise Spent
        self.requests += 1
        page = await self.client.list_page(query)
        new = self.sink.add(page.pins) if page.pins else 0
        self.distinct += new
        self._fruitful += new > 0
        self._vain += new == 0
        self.skips += len(page.skipped)
        self.skipped = self.skipped or list(page.skipped[:1])
        if page.count is not None and not query.cids and query.statuses == ALL_STATUSES:
            self.promised = max(self.promised, page.count)
        if page.pins:
            self._note(page)
        if self.progress:
            self.progress(self.distinct, self.promised - self.excess if self.total else None)
        return page, new

    async def read(self, window: Window, statuses: tuple[PinStatus, ...] = ALL_STATUSES) -> tuple[Page, int]:
        """A page of a window. Where pins just outside crowd a full page, once more without them."""
        while True:
            narrow = self.inclusive
            slack = self.step // 1000 if narrow else 0
            before = None if window.end is None else window.end - slack
            after = None if window.start is None else window.start - self.step + slack
            page, new = await self.ask(ListQuery(self.limit, statuses, before, after))
            for pin in page.pins:
                if before is not None and pin.created >= before:
                    self.inclusive = True
                    self.deaf = self.deaf or pin.created > before + self.step
                if after is not None and pin.created <= after:
                    self.inclusive = True
                    self.deaf = self.deaf or pin.created < after - self.step
            if narrow or not self.inclusive or self.deaf or not self.full(page):
                return page, new

    def full(self, page: Page) -> bool:
        """Whether a page may have left out pins for want of room."""
        if page.rows > self.limit:
            return False  # a service that ignores `limit` shows all
        return page.rows >= self.limit or (self.cap is not None and page.rows >= self.cap)

    def stuck(self, page: Page) -> bool:
        """Whether a page that brought nothing new may be cut at a size that the service has not told.

        It is as long as any page, and as long as people choose pages to be.
        """
        if self.total or page.rows > self.limit or page.rows < max(MIN_CAP, self.largest):
            return False
        return page.rows % 5 == 0 or page.rows & (page.rows - 1) == 0

    def capped(self) -> None:
        """A page shorter than asked for was not the last: pages end at some size of the service's own."""
        if not self.filled and self.largest < self.limit:
            self.cap = self.largest

    def proven(self, page: Page | None) -> bool:
        """Whether a known total has been reached, by a page with room left."""
        return (
            bool(self.total) and self.distinct == self.promised - self.excess and (page is None or not self.full(page))
        )

    @property
    def trusted(self) -> bool:
        """Whether the order of pages is beyond chance."""
        return self.order in (Order.NEWEST, Order.OLDEST) and (self.evidence >= SURE or self.known_order is self.order)

    def _note(self, page: Page) -> None:
        self.largest = max(self.largest, page.rows)
        self.filled = self.filled or page.rows == self.limit
        if self.cap is not None and page.rows > self.cap:
            self.cap = None
        self.step = step_of(page.pins, self.step)
        order, evidence = order_of(page.pins)
        if order is not Order.UNKNOWN:
            if self.order not in (Order.UNKNOWN, order):
                order = Order.NONE
            self.order = order
            self.evidence = self.evidence + evidence if order is not Order.NONE else 0.0
        low, high = min(pin.created for pin in page.pins), max(pin.created for pin in page.pins)
        self.oldest = low if self.oldest is None else min(low, self.oldest)
        self.newest = high if self.newest is None else max(high, self.newest)
        same = all(pin.requestid == pin.cid for pin in page.pins)
        self.ids_are_cids = same if self.ids_are_cids is None else self.ids_are_cids and same
