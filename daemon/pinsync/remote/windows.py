"""The arithmetic of listing: windows of time, what order a page is in, and how a window is divided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from math import lgamma

from pinsync.model import RemotePin
from pinsync.remote.parse import MS, SECOND

SURE = lgamma(11)
"""Evidence (log of a number of permutations) from which an order is believed: chance gives it once in 10! pages."""


class Order(Enum):
    """What a page's times say about the order of a list."""

    NEWEST = "newest first"
    OLDEST = "oldest first"
    NONE = "none"
    UNKNOWN = "one time only, or none"


@dataclass(frozen=True, slots=True)
class Window:
    """The pins created from `start` on and before `end`, in nanoseconds; None is open."""

    start: int | None = None
    end: int | None = None

    def holds(self, created: int) -> bool:
        """Whether a time lies in the window."""
        return (self.start is None or created >= self.start) and (self.end is None or created < self.end)

    def is_bucket(self, step: int) -> bool:
        """Whether it cannot be divided by times that the service shows."""
        return self.start is not None and self.end is not None and self.end - self.start <= step


def order_of(pins: Sequence[RemotePin]) -> tuple[Order, float]:
    """The order of a page, and how much evidence for it: the log of the permutations that would look otherwise."""
    down = up = 0
    before: int | None = None
    for pin in pins:
        if before is not None:
            down += pin.created < before
            up += pin.created > before
        before = pin.created
    if down and up:
        return Order.NONE, 0.0
    if not down and not up:
        return Order.UNKNOWN, 0.0
    return (Order.NEWEST if down else Order.OLDEST), lgamma(down + up + 2)


def step_of(pins: Sequence[RemotePin], step: int) -> int:
    """The resolution of the times seen so far: a whole second until one is finer, then a millisecond."""
    return step if step == MS or all(pin.created % SECOND == 0 for pin in pins) else MS


def rest(window: Window, times: Sequence[int], order: Order, step: int) -> list[Window]:
    """What an ordered service has yet to show of a window, given the times of a page from it that lie inside.

    The bucket at the page's edge is asked for again: more pins of its time may exist. When the page holds nothing but
    that bucket, it stands alone and the rest beyond it.
    """
    if order is Order.NEWEST:
        edge = min(times) // step * step
        if window.end is None or edge + step < window.end:
            return [Window(window.start, edge + step)]
        beyond = [] if window.start is not None and edge <= window.start else [Window(window.start, edge)]
        return [*beyond, Window(edge if window.start is None else max(edge, window.start), window.end)]
    edge = max(times) // step * step
    if window.start is None or edge > window.start:
        return [Window(edge, window.end)]
    beyond = [] if window.end is not None and edge + step >= window.end else [Window(edge + step, window.end)]
    return [*beyond, Window(window.start, edge + step)]


def halves(window: Window, times: Sequence[int], step: int) -> list[Window]:
    """A window divided where about half of the times of a page lie on either side.

    A page of one bucket alone gives that bucket and what lies around it.
    """
    buckets = sorted(time // step * step for time in times)
    cut = buckets[len(buckets) // 2]
    if cut == buckets[0]:
        cut = next((bucket for bucket in buckets if bucket > cut), cut)
    if cut > buckets[0]:
        return [Window(window.start, cut), Window(cut, window.end)]
    parts = [Window(max(cut, window.start if window.start is not None else cut), _least(cut + step, window.end))]
    if window.start is None or window.start < cut:
        parts.append(Window(window.start, cut))
    if window.end is None or window.end > cut + step:
        parts.append(Window(cut + step, window.end))
    return parts


def _least(time: int, end: int | None) -> int:
    return time if end is None else min(time, end)
