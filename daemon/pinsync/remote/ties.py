"""Pins of one time, more than a page holds: told apart by finer times, by status, or by luck."""

from __future__ import annotations

from collections import Counter

from pinsync.model import PinStatus
from pinsync.remote.calls import ALL_STATUSES, ListQuery
from pinsync.remote.parse import Page
from pinsync.remote.survey import Survey
from pinsync.remote.windows import Window

_LIFE = (PinStatus.QUEUED, PinStatus.PINNING, PinStatus.PINNED, PinStatus.FAILED)
"""In the order that pins pass through them, so that one moving on between two requests is seen in one of them."""

_REPEATS = 40
_FRUITLESS = 3


async def open_bucket(survey: Survey, bucket: Window, page: Page) -> bool:
    """Read the pins of one moment, of which `page` may show only a part; whether that is certainly all of them."""
    assert bucket.start is not None and bucket.end is not None
    return (
        await _finer(survey, bucket.start, bucket.end)
        or survey.proven(None)
        or await _by_status(survey, bucket, page)
        or await again(survey, bucket)
    )


async def again(survey: Survey, window: Window) -> bool:
    """Read the same window until a known total is reached, while it goes on to show other pins."""
    fruitless = 0
    last: tuple[str, ...] | None = None
    for _ in range(_REPEATS + survey.promised // max(survey.largest, 1) * 8 if survey.total else _REPEATS):
        page, new = await survey.read(window)
        if survey.proven(None):
            return True
        shown = tuple(pin.requestid for pin in page.pins)
        fruitless = 0 if new else fruitless + 1
        if shown == last or fruitless >= _FRUITLESS * (8 if survey.total else 1):
            break
        last = shown
    return False


async def _finer(survey: Survey, start: int, end: int) -> bool:
    """By times finer than those shown: a service may keep microseconds and print seconds."""
    grain = max((end - start) // 1000, 1)
    page, _ = await survey.ask(ListQuery(survey.limit, before=end, after=start + grain))
    if not any(start <= pin.created < end for pin in page.pins):
        return False  # all of them have this very time, or the service compares no finer
    middle = (start + end) // 2
    pending = [(start, middle), (middle, end)]
    while pending:
        low, high = pending.pop()
        page, new = await survey.ask(ListQuery(survey.limit, before=high, after=low - grain))
        if new:
            survey.capped()
        if survey.full(page) or survey.stuck(page):
            if high - low <= grain:
                return False
            middle = (low + high) // 2
            pending += [(low, middle), (middle, high)]
    return True


async def _by_status(survey: Survey, bucket: Window, page: Page) -> bool:
    sure = True
    for status in _LIFE:
        part, new = await survey.read(bucket, (status,))
        if any(pin.status is not status for pin in part.pins):
            return False
        if new:
            survey.capped()
        sure = sure and not survey.full(part) and not survey.stuck(part)
    return sure and await _filters_first(survey, bucket, page)


async def _filters_first(survey: Survey, bucket: Window, page: Page) -> bool:
    """Whether the service filters by status before it applies the limit; otherwise short pages prove nothing.

    One row is asked for, of a status that the first row does not have; before that one of any, for the limit's sake.
    """
    shares = Counter(pin.status for pin in page.pins)
    others = [status for status in shares if status is not page.pins[0].status]
    if not others:
        return False
    rare = min(others, key=lambda status: shares[status])
    for statuses in (ALL_STATUSES, (rare,), (rare,), (rare,)):  # where ties come in any order, one answer could be luck
        one, _ = await survey.read(bucket, statuses, limit=1)
        if one.rows != 1:
            return False
    return True
