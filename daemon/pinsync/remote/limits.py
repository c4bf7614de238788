"""How often and how many at once we may ask a remote.

A slot is taken when a request goes out and is free again one window after its *answer*. The server saw the request
somewhere between the two, so however it counts arrivals, in a sliding or a fixed window, it never counts more than
the rate. The price is one round trip in each window.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager

from pinsync.clock import Clock
from pinsync.model import Rate

__all__ = ["Rate", "RateLimiter"]

_MARGIN = 0.002  # of a window: what two clocks drift apart, and servers that count both ends of a window
_SPREAD = 0.7  # of an answer's time over the concurrency: how far apart requests that could go together are sent
_MOST_SPREAD = 0.005  # seconds
_TICK = 0.001  # seconds; a shorter sleep could round to no progress at all


class RateLimiter:
    """One remote's slots: first come, first served, safe to cancel, for one event loop.

    `rate` None sets no rate; `concurrency` bounds the requests in flight.
    """

    def __init__(self, clock: Clock, rate: Rate | None, concurrency: int) -> None:
        if concurrency < 1:
            raise ValueError(f"a concurrency of {concurrency} would let no request out")
        self.rate = rate
        self.concurrency = concurrency
        self._clock = clock
        self._window = rate.seconds * (1 + _MARGIN) if rate else 0.0
        self._answers: deque[float] = deque()  # monotonic times, oldest first
        self._active = 0
        self._paused_until = float("-inf")  # monotonic
        self._quickest = 0.0  # seconds that the quickest answer of late took
        self._last_out = float("-inf")  # monotonic
        self._moved_at = float("-inf")  # monotonic; when a request last went out or ended, or a pause will be over
        self._turn = asyncio.Lock()  # its queue is the order in which slots are given
        self._ended = asyncio.Event()  # a request in flight has ended; only the head of the queue waits for it
        self.unfinished = 0
        """Changes in flight, and what was begun and must not be left half done; counted by `finishing`."""
        self.waited = 0.0
        """Seconds so far in which the rate, or a pause that the remote asked for, held a request back."""

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot and hold it; leave the block when the answer is there, or when none will come."""
        async with self._turn:
            await self._until_free()
            await self._spread_out()
            self._active += 1
            begun = self._last_out = self._moved_at = self._clock.monotonic()
        try:
            yield
        finally:
            self._active -= 1
            now = self._moved_at = self._clock.monotonic()
            took = now - begun
            self._quickest = min(took, self._quickest * 1.05) if self._quickest else took
            if self.rate:
                self._answers.append(now)
            self._ended.set()

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """While it lasts, whoever wants to end has reason to wait a little."""
        self.unfinished += 1
        try:
            yield
        finally:
            self.unfinished -= 1

    def pause_until(self, at: float) -> None:
        """Give out no slot before `at` (epoch seconds, our clock). It lengthens a pause, and never shortens one."""
        self._paused_until = max(self._paused_until, self._clock.monotonic() + at - self._clock.now())

    def paused_for(self) -> float:
        """Seconds that the present pause has to go; 0 without one."""
        return max(0.0, self._paused_until - self._clock.monotonic())

    @property
    def moved_at(self) -> float:
        """When a request last went out or ended; for a pause that the rate or the service asks for, when it is over.

        By the monotonic clock, so in the future during such a pause; minus infinity before the first request.
        """
        return self._moved_at

    def recent(self) -> list[float]:
        """When the answers came that still count against the rate (epoch seconds), oldest first."""
        self._forget()
        shift = self._clock.now() - self._clock.monotonic()
        return [at + shift for at in self._answers]

    def restore(self, answered: Iterable[float]) -> None:
        """Count what an earlier process's `recent` returned. Times in the future (a clock set back) count as now."""
        if self.rate is None:
            return
        now, monotonic = self._clock.now(), self._clock.monotonic()
        before = [monotonic - max(0.0, now - at) for at in answered]
        self._answers = deque(sorted([*before, *self._answers]))
        self._forget()

    async def _until_free(self) -> None:
        while True:
            self._ended.clear()
            now = self._clock.monotonic()
            self._forget()
            if self._paused_until > now:
                await self._rest(max(self._paused_until - now, _TICK))
            elif self._active >= self.concurrency:
                await self._ended.wait()
            elif self.rate is None or self._active + len(self._answers) < self.rate.count:
                return
            elif self._answers:
                # The answer whose ageing frees a place: not the oldest where more were restored than the rate allows.
                place = min(self._active + len(self._answers) - self.rate.count, len(self._answers) - 1)
                await self._rest(max(self._answers[place] + self._window - now, _TICK))
            else:
                await self._ended.wait()

    async def _rest(self, seconds: float) -> None:
        """A pause of which it is known when it ends."""
        begun = self._clock.monotonic()
        self._moved_at = begun + seconds
        try:
            await self._clock.sleep(seconds)
        finally:
            self.waited += self._clock.monotonic() - begun

    async def _spread_out(self) -> None:
        """Send apart what could go at once.

        Requests that go out together come back together, and while we work through the answers nothing is under way;
        spread out, our work on one answer falls into the waiting for the others.
        """
        gap = min(_SPREAD * self._quickest / self.concurrency, _MOST_SPREAD)
        wait = self._last_out + gap - self._clock.monotonic()
        if self._active and wait > _TICK / 2:
            await self._clock.sleep(wait)

    def _forget(self) -> None:
        horizon = self._clock.monotonic() - self._window
        while self._answers and self._answers[0] <= horizon:
            self._answers.popleft()
