"""A mirror and the pinning service that it mirrors to, emulated or real, as the contract sees them.

The mirror is `tests.mirror.Mirror`: real passes, real ledger, real client, a made-up node. A `Stage` adds what the
contract needs besides: other people's pins, what is really at the service (never by the list that is under test),
how many requests went out, and a look at the service around every request that changes something.

Pins are named by texts; the CID of a pin is that of the text as a raw block, so that a real service can fetch it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from pinsync.emulator.behaviour import MILLISECOND, SECOND, Behaviour
from pinsync.emulator.records import Seed
from pinsync.house import reading
from pinsync.ledger.records import RemoteRecord
from pinsync.model import PinStatus, Reading, RemotePin, Traits
from pinsync.remote.listing import MemorySink, list_all
from pinsync.steps.report import PassReport
from tests.mirror import Mirror, cid

PREFIX = "pinned-"
"""Every name begins so: the mock service takes a pin's first status from its name."""

PEER = "12D3KooWA83xHQC5qfSoG776CEKwsU1tNawp9Pnrmhv6YfhC65Mz"

_SETTLES = 20  # passes after which a mirror must have come to rest


@dataclass(frozen=True, slots=True)
class Row:
    """A pin request as it really is at the service."""

    requestid: str
    cid: str
    name: str | None
    status: PinStatus


class Wire(httpx.AsyncBaseTransport):
    """Counts requests, and calls `look` around those that change something."""

    def __init__(self, inner: httpx.AsyncBaseTransport, stage: Stage) -> None:
        self._inner = inner
        self._stage = stage

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        stage = self._stage
        changes = request.method != "GET"
        stage.requests += 1
        if changes:
            stage.changes.append(f"{request.method} {request.url.path} {request.content.decode()}")
            stage.look()
        response = await self._inner.handle_async_request(request)
        if changes:
            stage.look()
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class Stage(Mirror):
    """What emulated and real services have in common; see the module."""

    requests = 0
    look: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, directory: Path, profile: Any, **remote: Any) -> None:
        self.changes: list[str] = []
        """Every request of ours that changes something, in words."""
        super().__init__(directory, profile, **remote)
        self.node.peer_id = PEER
        self.node.addresses = (f"/ip4/1.2.3.4/tcp/4001/p2p/{PEER}", f"/ip4/10.0.0.1/tcp/4001/p2p/{PEER}")
        self.transports["there"] = lambda inner: Wire(inner, self)

    # -- what differs ---------------------------------------------------------------------------------------------

    def rows(self) -> list[Row]:
        """Every pin request at the service, in no order."""
        raise NotImplementedError

    def theirs(self, *names: object) -> None:
        """Somebody else pins these, under the same account."""
        raise NotImplementedError

    def burst(self, count: int) -> None:
        """Somebody else pins so many at once: on the emulator within one second, on real services as fast as can be."""
        raise NotImplementedError

    def wait(self, seconds: float = 150.0) -> None:
        """Until the service has dealt with what it was asked for; where time is made up, so long."""
        raise NotImplementedError

    def break_(self, name: object) -> None:
        """Make this pin fail from now on, when it is asked for."""
        raise NotImplementedError

    def mend(self, name: object) -> None:
        """And let it succeed when it is asked for again."""
        raise NotImplementedError

    @property
    def mutations(self) -> int:
        """How many requests of ours there were that change something."""
        return len(self.changes)

    # -- what follows ---------------------------------------------------------------------------------------------

    def of(self, name: object) -> list[Row]:
        """The pin requests of one pin."""
        return [row for row in self.rows() if row.cid == cid(name)]

    def live(self, name: object) -> list[Row]:
        """Those of them that hold the content or are about to."""
        return [row for row in self.of(name) if row.status.live]

    def at_rest(self) -> PassReport:
        """Passes until one changes nothing and nothing is on its way; that one's report."""
        last: list[Row] = []
        for _ in range(_SETTLES):
            self.wait()
            before = self.mutations
            report = self.sync()
            rows = sorted(self.rows(), key=lambda row: row.requestid)
            if self.mutations == before and rows == last:
                return report
            last = rows
        raise AssertionError(f"not at rest after {_SETTLES} passes: {report.troubles}; {self.actions}")

    def silent(self) -> None:
        """Assert that further passes change nothing at the service."""
        rows, before = self.rows(), self.mutations
        for _ in range(2):
            self.wait()
            self.sync()
        assert self.mutations == before, f"passes without news sent {self.changes[before:]}"
        assert sorted(map(repr, self.rows())) == sorted(map(repr, rows))

    def listed(self, traits: Traits | None = None) -> tuple[Reading, dict[str, RemotePin], Traits]:
        """The whole list, as a pass would read it, by a client that knows `traits` of the service."""

        async def read() -> tuple[Reading, dict[str, RemotePin], Traits]:
            sink = MemorySink()
            async with self._client(self.settings.remotes[0], RemoteRecord("there")) as client:
                reading, learned = await list_all(client, sink, traits=traits or Traits())
            return reading, sink.pins, learned

        return asyncio.run(read())

    @property
    def traits(self) -> Traits:
        """What the ledger holds of the service's behaviour."""
        with reading(self.settings) as ledger:
            assert ledger is not None
            return ledger.remote("there").traits

    @contextmanager
    def watching(self, name: object, *statuses: PinStatus) -> Iterator[list[int]]:
        """How many requests of a pin there were (in these statuses), around every change that we asked for."""

        def look() -> None:
            counted.append(sum(row.status in (statuses or PinStatus) for row in self.of(name)))

        counted: list[int] = []
        look()
        self.look = look
        try:
            yield counted
        finally:
            look()
            del self.look


class Emulated(Stage):
    """The emulator in a profile, as that service is known to behave, with its delays. Time is made up."""

    def __init__(self, directory: Path, behaviour: Behaviour) -> None:
        super().__init__(directory, behaviour)
        self.emulator.become(behaviour, latency=0.02)  # its own delays again, which a `Mirror` leaves out

    def rows(self) -> list[Row]:
        return [Row(pin.requestid, pin.cid, pin.name, pin.status) for pin in self.emulator.pins()]

    def theirs(self, *names: object) -> None:
        step = min(self.emulator.behaviour.created_resolution, SECOND)
        self.emulator.seed_pins([Seed(cid(name), f"{PREFIX}theirs") for name in names], step=step)
        self.later(self.emulator.behaviour.list_delay)

    def burst(self, count: int) -> None:
        unit = max(self.emulator.behaviour.created_resolution, MILLISECOND)
        start = (int(self.emulator.server_time()) - 10) * SECOND
        times = [start + place * SECOND // count // (5 * unit) * (5 * unit) for place in range(count)]
        seeds = [Seed(cid(f"burst {n}"), f"{PREFIX}theirs", created=at) for n, at in enumerate(times)]
        self.emulator.seed_pins(seeds)
        self.later(self.emulator.behaviour.list_delay)

    def wait(self, seconds: float = 150.0) -> None:
        self.later(seconds)  # by default more than any profile's settle, lag and delay

    def break_(self, name: object) -> None:
        self.emulator.become(fails=(cid(name),))

    def mend(self, name: object) -> None:
        self.emulator.become(fails=())
