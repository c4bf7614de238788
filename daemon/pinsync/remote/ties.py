"""Pins of one time, more than a page holds: told apart by finer times, by status, or by luck."""

from __future__ import annotations

from pinsync.model import PinStatus
from pinsync.remote.calls import ListQuery
from pinsync.remote.survey import Survey
from pinsync.remote.windows import Window

_LIFE = (PinStatus.QUEUED, PinStatus.PINNING, PinStatus.PINNED, PinStatus.FAILED)
"""In the order that pins pass through them, so that one moving on between two requests is seen in one of them."""

_REPEATS = 40
_FRUITLESS = 3


async def open_bucket(survey: Survey, bucket: Window) -> bool:
    """Read the pins of one moment, of which a page showed a part; whether that is certainly all of them."""
    assert bucket.start is not None and bucket.end is not None
    return (
        await _finer(survey, bucket.start, bucket.end)
        or survey.proven(None)
        or await _by_status(survey, bucket)
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
    inside = [pin.created for pin in page.pins if start <= pin.created < end]
    if not inside:
        return False  # all of them have this very time, or the service compares no finer
    pending = [(start, end)]
    while pending:
        low, high = pending.pop()
        page, new = await survey.ask(ListQuery(survey.limit, before=high, after=low - grain))
        if survey.full(page) or (not new and survey.stuck(page)):
            if high - low <= grain:
                return False
            middle = (low + high) // 2
            pending += [(low, middle), (middle, high)]
    return True


async def _by_status(survey: Survey, bucket: Window) -> bool:
    sure = True
    for status in _LIFE:
        page, new = await survey.read(bucket, (status,))
        if any(pin.status is not status for pin in page.pins):
            return False
        sure = sure and not survey.full(page) and (bool(new) or not survey.stuck(page))
    return sure
