"""Time and concurrency of a history: an event loop that never waits, and the clocks that run on it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH = 1_790_000_000.0
_TURNS = 200_000  # of the loop in one run; a pass of a dozen pins takes some hundreds


class Died(BaseException):
    """The process was killed: nothing of it has any further effect."""


class Hang(Exception):
    """Everybody waits, and nothing will ever happen; or it goes on for ever."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """An event loop whose time jumps to the next timer when nobody can run. `Hang` where there is none."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = self  # what BaseEventLoop asks to wait
        self.mono = 1000.0
        self._turns = 0
        self.set_exception_handler(lambda loop, context: None)

    def time(self) -> float:
        return self.mono

    def select(self, timeout: float | None) -> list[Any]:
        """In place of waiting."""
        self._turns += 1
        if self._turns > _TURNS:
            raise Hang("a pass goes on for ever")
        if timeout is None:
            raise Hang("a pass waits for something that never comes")
        if timeout > 0:
            when: float = self._scheduled[0].when()  # type: ignore[attr-defined]
            self.mono = max(self.mono, when, math.nextafter(self.mono, math.inf))
        return []

    def _process_events(self, events: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        pass  # a generator that nobody closed must not wake in a later pass

    def carry(self, main: Coroutine[Any, Any, T], dead: Callable[[], bool]) -> T:
        """Run `main` to its end, or until `dead()`: then everything stops where it is, and `Died` is raised."""
        self._turns, self._stopping = 0, False
        task = self.create_task(main)

        def over(_: object) -> None:
            self.stop()

        task.add_done_callback(over)
        try:
            self.run_forever()
        finally:
            task.remove_done_callback(over)
            self._drop()
        if dead():
            raise Died
        return task.result()

    def _drop(self) -> None:
        """Let nothing that is left run ever again: of a dead process it can have no effect, nor take time."""
        at, self._turns = self.mono, 0
        while left := asyncio.all_tasks(self):
            for task in left:
                task.cancel()
            self._stopping = False
            with suppress(Hang):
                self.run_until_complete(asyncio.wait(left))
        self._ready.clear()  # type: ignore[attr-defined]
        self._scheduled.clear()  # type: ignore[attr-defined]
        self.mono = at


class SimClock:
    """A `pinsync.clock.Clock` on the loop's time. `ahead`: seconds that it goes wrong, for each machine its own."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self.ahead = 0.0

    def now(self) -> float:
        return EPOCH + self._loop.mono + self.ahead

    def monotonic(self) -> float:
        return self._loop.mono

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0))
