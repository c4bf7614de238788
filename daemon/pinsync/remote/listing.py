"""All pins of a remote, or the word that it is not all.

Services differ in what `count` counts, in the order of a list, in how many pins they put on a page whatever the
`limit`, in whether `before` and `after` are inclusive, and in the resolution of `created`. So nothing is trusted:

- A list is read in *windows* of time. Where pages come in order, the next window begins at the edge of the page, one
  step (the resolution of the times seen) inside what was read, so that pins sharing the edge's time are shown again.
  Where they do not, a window that may hold more than its page showed is halved.
- A window is finished by a page that is not full and brings nothing new; earlier only where this service's `count` was
  seen to be a total and agrees.
- A page is full when it has as many rows as were asked for, or as many as the service was seen to put on a page at
  most. No service is thought to stop below `MIN_CAP`, the specification's default page.
- What many pins of one time hide is looked for by finer times, by status, by reading again, and by CID.
- At the end the distinct ids must be as many as the largest `count`; every row must have been understood; where `count`
  is no total, a look beyond the end must find nothing. Otherwise the reading is incomplete, with the reason.

A look by CID shows what is there, never that nothing else is: it completes a listing only by reaching a total.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice

from pinsync.cid import CidError
from pinsync.model import Reading, RemotePin, Traits
from pinsync.remote.calls import ListQuery
from pinsync.remote.errors import BadAnswer, PinRefused, Unreachable
from pinsync.remote.find import Found, find, known_excess
from pinsync.remote.parse import SECOND, Page, format_time
from pinsync.remote.survey import MIN_CAP, Lister, PageSink, Spent, Survey, round_size
from pinsync.remote.ties import again, open_bucket
from pinsync.remote.windows import Order, Window, halves, order_of, rest

__all__ = ["Found", "Lister", "MemorySink", "PageSink", "find", "list_all"]

_BIG = 20_000  # the largest page ever asked for, from a service without order
_LATE = 20  # windows after the beginning of the listing
_BATCHES = 100  # look-ups by CID in one listing


class MemorySink:
    """A `PageSink` in memory, for tests and small lists."""

    def __init__(self) -> None:
        self.pins: dict[str, RemotePin] = {}

    def add(self, pins: Sequence[RemotePin]) -> int:
        before = len(self.pins)
        self.pins.update((pin.requestid, pin) for pin in pins)
        return len(self.pins) - before


async def list_all(
    client: Lister,
    sink: PageSink,
    *,
    traits: Traits,
    limit: int = 1000,
    wanted: Callable[[], Iterable[str]] | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    max_requests: int | None = None,
    expected: int = 0,
) -> tuple[Reading, Traits]:
    """Read every pin request of every status into `sink`; says how sure that is, and what the service was seen to do.

    `traits` is what earlier listings returned: it saves requests. `wanted` gives CIDs worth looking up singly when the
    list alone cannot show all; `progress` hears how many were read, and of how many where that is known. `expected` is
    how many there were last time: where fewer come, what `count` counts is not taken from `traits` alone.

    Raises `RemoteError` when a request fails; the sink then holds a part and nothing may be concluded from it. It
    always ends: after `max_requests` (20 000), or long before when requests bring nothing.
    """
    began = client.clock.now()
    listing = _Listing(Survey(client, sink, traits, limit, progress, max_requests), wanted, expected)
    try:
        await listing.run()
    except Spent:
        listing.doubt(f"{listing.survey.requests} requests did not bring the list to an end")
    reason = listing.verdict()
    return Reading(reason is None, reason, listing.survey.distinct, began), listing.learned(traits)


class _Listing:
    """The strategy: what to ask next, and when to believe."""

    def __init__(self, survey: Survey, wanted: Callable[[], Iterable[str]] | None, expected: int) -> None:
        self.survey = survey
        self._wanted = wanted
        self._expected = expected
        self._began = survey.clock.now()
        self._doubts: list[str] = []
        self._excess_known = False
        self._big_tried = False
        self._late = 0

    def doubt(self, reason: str) -> None:
        """Note why the list may not be all."""
        if reason not in self._doubts:
            self._doubts.append(reason)

    async def run(self) -> None:
        survey = self.survey
        first, new = await survey.ask(ListQuery(survey.limit))
        await self._learn_count(first)
        if await self._settled(first):
            return
        order = order_of(first.pins)[0]
        if order is not Order.NONE:
            await self._sweep([Window()], True, (first, new))
        if survey.order is Order.NONE or self._by_chance():
            await self._unordered((first, new) if order is Order.NONE else None)
        if await self._settled(None):
            return
        await self._look_around(first)
        if self._doubts or survey.distinct < survey.promised - survey.excess:
            await self._last_resorts()

    async def _learn_count(self, page: Page) -> None:
        """Whether `count` is a total: it exceeds the page; or a page of one row has the same count."""
        survey = self.survey
        if page.count is None or page.count < page.rows:
            survey.total = False
        elif page.count > page.rows + 1:
            survey.total = True
        elif 1 < page.rows <= survey.limit and (
            survey.total is None
            or (page.count > page.rows and (not survey.total or round_size(page.rows)))
            or page.rows < self._expected
        ):
            probe, _ = await survey.ask(ListQuery(limit=1))
            if probe.rows == 1 and probe.count is not None:
                survey.total = probe.count == page.count

    async def _settled(self, page: Page | None) -> bool:
        """Whether a known total is reached, allowing for services that count one too many."""
        survey = self.survey
        if page is not None and survey.full(page):
            return False
        if survey.promised - survey.distinct == 1 and not self._excess_known:
            self._excess_known = True
            try:
                survey.excess = await known_excess(survey)
            except (PinRefused, BadAnswer, Unreachable):
                survey.excess = 0
        return survey.proven(page)

    async def _sweep(self, windows: list[Window], ordered: bool, seen: tuple[Page, int] | None = None) -> None:
        """Read windows until none is left. `seen` is the page of the first, where it was read before.

        An ordered sweep ends early when the order turns out to be none.
        """
        survey = self.survey
        while windows:
            window = windows.pop()
            began = survey.distinct
            page, new = seen or await survey.read(window)
            if survey.proven(page if ordered else None) or (ordered and survey.order is Order.NONE):
                return
            if new and began and not seen:
                survey.capped()
            seen = None
            if page.rows == 0 and self._was_there(window):
                page, new = await survey.read(window)
                if page.rows == 0:
                    self.doubt("a page came back empty where a pin had been shown before")
            if self._finished(page, new, ordered) or (not survey.full(page) and self._made_since(window)):
                continue
            if survey.deaf:
                if not await again(survey, Window()):
                    self.doubt("the service ignores `before` or `after`, so nothing beyond one page can be read")
                return
            times = [pin.created for pin in page.pins if window.holds(pin.created)]
            if not times:
                self.doubt("a full page showed only pins from outside the times asked for")
            elif not window.is_bucket(survey.step):
                windows += self._divide(window, times, page, ordered)
            elif await self._big_page():
                return
            elif not await open_bucket(survey, window, page):
                at = format_time(min(times))
                self.doubt(f"more pins were made at {at} than the service puts on a page ({page.rows})")

    def _was_there(self, window: Window) -> bool:
        """Whether a pin from this window has been shown already."""
        ends = (self.survey.oldest, self.survey.newest)
        return any(end is not None and window.holds(end) for end in ends)

    def _made_since(self, window: Window) -> bool:
        """Whether only pins made after this listing began can be in a window; on a busy service they never end.

        Some such windows are read all the same, since a service's clock may be ahead.
        """
        began = self._began + (self.survey.skew or 0.0) + 1.0
        self._late += window.start is not None and window.start > began * SECOND
        return self._late > _LATE

    def _finished(self, page: Page, new: int, ordered: bool) -> bool:
        survey = self.survey
        if survey.full(page):
            return False
        if survey.total and page.count == page.rows:
            return True
        if new:
            return not ordered and survey.filled
        return not survey.stuck(page)

    def _divide(self, window: Window, times: list[int], page: Page, ordered: bool) -> list[Window]:
        survey = self.survey
        order = survey.order if survey.order in (Order.NEWEST, Order.OLDEST) else survey.known_order
        if order is Order.UNKNOWN and page.rows < MIN_CAP and not survey.full(page):
            order = Order.NEWEST  # nothing was left out of so short a page, so no order matters
        if ordered and order is not Order.UNKNOWN:
            return rest(window, times, order, survey.step)
        return halves(window, times, survey.step)

    def _by_chance(self) -> bool:
        """Whether the pages may have been in order by luck, and pins left out on its account."""
        survey = self.survey
        return (
            not survey.total
            and not survey.trusted
            and (survey.filled or survey.cap is not None or round_size(survey.largest))
        )

    async def _unordered(self, first: tuple[Page, int] | None) -> None:
        """A service without order: one page larger than its count where it lets us, else ever smaller windows."""
        self._doubts.clear()
        usual = self.survey.limit
        if not await self._big_page():
            await self._sweep([Window()], False, first if self.survey.limit == usual else None)

    async def _big_page(self) -> bool:
        """Ask once for more than a known total, and keep to pages of that size if they come; whether that was all."""
        survey = self.survey
        usual, enough = survey.limit, survey.promised + survey.promised // 20 + 50
        if self._big_tried or not survey.total or survey.promised <= survey.largest or enough <= usual:
            return False
        self._big_tried = True
        survey.limit = min(enough, max(_BIG, usual))
        try:
            page, _ = await survey.ask(ListQuery(survey.limit))
        except (PinRefused, BadAnswer, Unreachable):
            survey.limit = usual
            return False
        if page.rows <= usual:
            survey.limit = usual
            return survey.proven(None)
        return await self._settled(page)

    async def _look_around(self, first: Page) -> None:
        """What `count` does not vouch for: pins that came or moved meanwhile; pins beyond a page that came back short.

        NFT.Storage applies the limit before the status filter, so that a page can be short, or empty, before the end.
        """
        survey = self.survey
        if survey.deaf:
            return
        descending, ordered = survey.order is not Order.OLDEST, survey.order is not Order.NONE
        if survey.distinct > len(first.pins) and descending and first.pins:
            cap = survey.cap
            top = max(pin.created for pin in first.pins) // survey.step * survey.step
            await self._sweep([Window(top, None)], ordered)
            survey.cap = cap  # pins made meanwhile say nothing about the size of pages
        now = int(survey.clock.now()) * SECOND
        low = now if survey.oldest is None else survey.oldest
        high = now if survey.newest is None else survey.newest
        if survey.distinct < survey.promised - survey.excess:
            distances = [SECOND << power for power in range(28)]
        else:
            distances = [max(high - low, 60 * SECOND), 365 * 86_400 * SECOND]
        for distance in distances:
            beyond, gap = Window(None, low - distance), Window(low - distance, low)
            if not descending:
                beyond, gap = Window(high + distance, None), Window(high, high + distance)
            page, new = await survey.read(beyond)
            if new:
                self.doubt("pins lay beyond a page that looked like the last, and others may lie between")
                await self._sweep([beyond], ordered, (page, new))
                await self._sweep([gap], False)
                return

    async def _last_resorts(self) -> None:
        """Pins made during the listing; pins that are wanted, by CID. Only a total can say that these were all."""
        survey = self.survey
        await survey.ask(ListQuery(survey.limit))
        if self._wanted is None:
            return
        wanted = iter(self._wanted())
        for _ in range(_BATCHES):
            batch = list(islice(wanted, 10))
            if not batch or survey.proven(None):
                return
            try:
                found = await find(survey, batch)
            except (PinRefused, CidError):
                return
            for pins in found.pins.values():
                survey.distinct += survey.sink.add(pins)

    def verdict(self) -> str | None:
        """Why the list is not known to be complete; None when it is."""
        survey = self.survey
        if survey.skips:
            return f"{survey.skips} rows of the list could not be understood ({survey.skipped[0]})"
        if survey.proven(None):
            return None
        if survey.distinct < survey.promised - survey.excess:
            return self._fewer()
        return "; ".join(self._doubts) or None

    def learned(self, before: Traits) -> Traits:
        """The traits after this listing; what it did not show stays as it was."""
        survey = self.survey
        newest_first = before.newest_first
        if survey.order is Order.NONE:
            newest_first = None
        elif survey.trusted:
            newest_first = survey.order is Order.NEWEST
        return replace(
            before,
            id_is_cid=before.id_is_cid if survey.ids_are_cids is None else survey.ids_are_cids,
            count_is_total=before.count_is_total if survey.total is None else survey.total,
            newest_first=newest_first,
            page_cap=None if survey.limitless else survey.cap,
            skew=before.skew if survey.client.skew is None else survey.client.skew,
        )

    def _fewer(self) -> str:
        return f"the service counts {self.survey.promised} pins and showed {self.survey.distinct}"
