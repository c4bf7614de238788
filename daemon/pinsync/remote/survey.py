"""The state of one listing: what was asked, what came, and what that shows of the service."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from pinsync.clock import Clock
from pinsync.model import PinStatus, RemotePin, Traits
from pinsync.remote.calls import ALL_STATUSES, ListQuery
from pinsync.remote.parse import MICRO, SECOND, Page
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

    @property
    def clock(self) -> Clock:
        """Whose time it is."""

    @property
    def skew(self) -> float | None:
        """See `RemoteClient.skew`."""

    async def list_page(self, query: ListQuery) -> Page:
        """See `RemoteClient.list_page`."""


class Spent(Exception):
    """The requests that this listing may make are used up; never leaves this room."""


def round_size(rows: int) -> bool:
    """Whether somebody may have chosen this number as the size of a page."""
    return rows >= MIN_CAP and (rows % 5 == 0 or rows & (rows - 1) == 0)


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
        self.limitless = False  # a page was longer than asked for
        self.step = SECOND
        self.inclusive = False
        self.crowded = False
        self.counts_windows = True
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

    @property
    def clock(self) -> Clock:
        """The client's."""
        return self.client.clock

    @property
    def skew(self) -> float | None:
        """The client's."""
        return self.client.skew

    async def list_page(self, query: ListQuery) -> Page:
        """One page, on this listing's account but not into the sink. Raises `Spent` and `RemoteError`."""
        if self.requests >= self.budget or self._vain > _VAIN + 2 * self._fruitful:
            raise Spent
        self.requests += 1
        return await self.client.list_page(query)

    async def ask(self, query: ListQuery) -> tuple[Page, int]:
        """One page, into the sink: the page and how many of its ids are new. Raises `Spent` and `RemoteError`."""
        page = await self.list_page(query)
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

    async def read(
        self, window: Window, statuses: tuple[PinStatus, ...] = ALL_STATUSES, limit: int | None = None
    ) -> tuple[Page, int]:
        """A page of a window. Where pins just outside crowd a full page, once more without them.

        Asked for is a step more on either side, so that it matters neither whether the service includes the edges nor
        whether it keeps finer times than it shows. The narrow form leaves out one step less a microsecond.
        """
        while True:
            narrow = (self.inclusive, self.crowded)
            before = None if window.end is None else window.end - MICRO * self.inclusive
            after = None if window.start is None else window.start - (MICRO if self.crowded else self.step)
            page, new = await self.ask(ListQuery(limit or self.limit, statuses, before, after))
            for pin in page.pins:
                if before is not None and pin.created >= before:
                    self.inclusive = True
                    self.deaf = self.deaf or pin.created > before + self.step
                if after is not None and pin.created <= after:
                    self.crowded = True
                    self.deaf = self.deaf or pin.created < after - self.step
            inside = all(window.holds(pin.created) for pin in page.pins)
            if self.total and page.pins and inside and page.count == self.promised and not self._ends_in(window):
                self.counts_windows = False
            crowd = not inside and page.rows >= self.largest
            if narrow == (self.inclusive, self.crowded) or self.deaf or not (crowd or self.full(page)):
                return page, new

    def _ends_in(self, window: Window) -> bool:
        return all(end is None or window.holds(end) for end in (self.oldest, self.newest))

    def full(self, page: Page) -> bool:
        """Whether a page may have left out pins for want of room."""
        if self.total and self.counts_windows and page.count is not None and page.count > page.rows + 1:
            return True
        return (page.rows >= self.limit and not self.limitless) or (self.cap is not None and page.rows >= self.cap)

    def stuck(self, page: Page) -> bool:
        """Whether a page that brought nothing new may be cut at a size that the service has not told.

        It is as long as any page, and as long as people choose pages to be.
        """
        return not self.total and page.rows >= self.largest and round_size(page.rows)

    def capped(self) -> None:
        """A page shorter than asked for was not the last: pages end at some size of the service's own."""
        if self.limitless or not self.filled:
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
        self.limitless = self.limitless or page.rows > self.limit
        self.filled = (self.filled or page.rows == self.limit) and not self.limitless
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
