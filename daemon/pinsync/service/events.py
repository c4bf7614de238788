"""What happens in the daemon, told as it happens to whoever listens. Nobody here ever waits for a listener.

An event is one JSON object: `{"event", "at", …}`. Which there are is in docs/monitoring.md.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Any, Self

from pinsync.clock import Clock, rfc3339
from pinsync.errors import PinsyncError
from pinsync.ledger.ledger import Ledger

log = logging.getLogger(__name__)

MOST_READERS = 16
BACKLOG = 2000  # events that a reader may lag behind before it is dropped
AT_ONCE = 500  # of what the ledger writes, told in one turn of the loop; adopting may write a million
PROGRESS_BACKLOG = 100  # and before progress is left out
PROGRESS_EVERY = 0.25  # seconds at least between two events of the progress of one thing
ALIVE_EVERY = 15.0  # seconds without an event after which a reader hears that we live


class Reader:
    """One who listens; a context manager. `cut` ends its connection when it does not keep up."""

    def __init__(self, events: Events, cut: Callable[[], None]) -> None:
        self._events, self._cut = events, cut
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()

    def __enter__(self) -> Self:
        self._events.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._events.discard(self)

    def put(self, line: bytes, *, progress: bool) -> None:
        """A line for this reader, who is dropped when it lags too far behind."""
        behind = self._lines.qsize()
        if progress and behind >= PROGRESS_BACKLOG:
            return
        if behind >= BACKLOG:
            self._events.discard(self)
            self._lines = asyncio.Queue()
            self._cut()
            return
        self._lines.put_nowait(line)

    def end(self) -> None:
        """Nothing more will come."""
        self._lines.put_nowait(None)

    async def lines(self) -> AsyncIterator[bytes]:
        """Everything told from now on, a line each, until the daemon ends."""
        while True:
            try:
                async with asyncio.timeout(ALIVE_EVERY):
                    line = await self._lines.get()
            except TimeoutError:
                line = self._events.line("alive", {})
            if line is None:
                return
            yield line


class Events:
    """The one place that is told what happens. For one event loop; every method returns at once.

    `ledger` answers the one in use, which may be another one after damage.
    """

    def __init__(self, clock: Clock, ledger: Callable[[], Ledger]) -> None:
        self._clock, self._ledger = clock, ledger
        self._readers: set[Reader] = set()
        self._told: dict[str, float] = {}
        self._over = False
        self._at_once = 0

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return bool(self._readers)

    def tell(self, event: str, **fields: Any) -> None:
        """Something happened."""
        self._send(event, fields, progress=False)

    def progress(self, what: Mapping[str, Any]) -> None:
        """Something goes on: `{"step", "what", "count", "of"}`. Told now and then, the end of it always."""
        now = self._clock.monotonic()
        name, over = str(what["what"]), what["count"] == what["of"]
        if not self._readers or (not over and now - self._told.get(name, float("-inf")) < PROGRESS_EVERY):
            return
        self._told[name] = now
        self._send("progress", what, progress=True)

    def pass_is_over(self) -> None:
        """The progress of what comes next is told from its beginning."""
        self._told.clear()

    def close(self) -> None:
        """The daemon ends: every reader hears of it, and its stream is over."""
        self.tell("ending")
        self._over = True
        for reader in tuple(self._readers):
            reader.end()

    def room(self) -> None:
        """Raises `PinsyncError` when there are too many readers."""
        if len(self._readers) >= MOST_READERS:
            raise PinsyncError(f"{MOST_READERS} readers listen to the events already, and there may be no more")

    def add(self, reader: Reader) -> None:
        """From now on it is told."""
        self._readers.add(reader)
        self.overhear()
        if self._over:
            reader.end()

    def discard(self, reader: Reader) -> None:
        """It is told nothing more."""
        self._readers.discard(reader)
        self.overhear()

    def overhear(self) -> None:
        """Hear of what the ledger in use writes, as long as there is somebody to tell."""
        self._ledger().heard = self._written if self._readers else None

    def line(self, event: str, fields: Mapping[str, Any]) -> bytes:
        """An event as it is sent."""
        return json.dumps({"event": event, "at": rfc3339(self._clock.now()), **fields}).encode() + b"\n"

    def _send(self, event: str, fields: Mapping[str, Any], *, progress: bool) -> None:
        if not self._readers:
            return
        try:
            line = self.line(event, fields)
            for reader in tuple(self._readers):
                reader.put(line, progress=progress)
        except Exception as error:  # the ledger's writer or a pass may be the one who tells, and goes on
            log.error("telling of %r failed; this is a bug in pinsync, please report it", event, exc_info=error)

    def _written(self, event: str, row: Mapping[str, Any]) -> None:
        if self._at_once == 0:
            asyncio.get_running_loop().call_soon(self._turned)
        self._at_once += 1
        if self._at_once <= AT_ONCE:
            self.tell(event, **row)

    def _turned(self) -> None:
        if self._at_once > AT_ONCE:
            self.tell("left-out", count=self._at_once - AT_ONCE)
        self._at_once = 0
