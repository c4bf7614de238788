"""A mirror and the pinning service that it mirrors to, emulated or real, as the contract sees them.

The mirror is `tests.mirror.Mirror`: real passes, real ledger, real client, a made-up node. A `Stage` adds what the
contract needs besides: other people's pins, what is really at the service (never by the list that is under test),
how many requests went out, and a look at the service around every request that changes something.

Pins are named by texts; the CID of a pin is that of the text as a raw block, so that a real service can fetch it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from pinsync.clock import SystemClock
from pinsync.emulator.behaviour import MILLISECOND, SECOND, Behaviour
from pinsync.emulator.engine import Emulator
from pinsync.emulator.records import Seed
from pinsync.house import reading, writing
from pinsync.ledger.records import RemoteRecord
from pinsync.model import PinStatus, Reading, RemotePin, Traits
from pinsync.remote.client import RemoteClient
from pinsync.remote.limits import RateLimiter
from pinsync.remote.listing import MemorySink, list_all
from pinsync.settings.model import RemoteSettings
from pinsync.steps.report import PassReport
from tests.mirror import TOKEN, Mirror, cid
from tests.real.cluster import ClusterService
from tests.real.helia import HeliaService
from tests.real.kubo import KuboNode
from tests.real.mock_service import MockService

PREFIX = "pinned-"
"""Every name begins so: the mock service takes a pin's first status from its name."""

PEER = "12D3KooWA83xHQC5qfSoG776CEKwsU1tNawp9Pnrmhv6YfhC65Mz"

_SETTLES = 20  # passes after which a mirror must have come to rest
_PATIENCE = 30.0  # seconds in which a real service must have dealt with a pin


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
    def watching(self, name: object, *, live: bool = True) -> Iterator[list[int]]:
        """How many (live) requests of a pin there were, around every change that we asked for."""

        def look() -> None:
            counted.append(len(self.live(name) if live else self.of(name)))

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


class ShiftedClock(SystemClock):
    """The machine's clock, which a test can put forward."""

    def __init__(self) -> None:
        self._at = 0.0
        """Seconds by which it is ahead; named as `VirtualClock` names its time, so that `Mirror.later` works."""

    def now(self) -> float:
        return super().now() + self._at


class Real(Stage):
    """A service in another process, over real sockets. `content` is the Kubo node that it can fetch blocks from."""

    at_once = 20
    """Requests of other people that are under way at one time."""

    def __init__(self, directory: Path, url: str, token: str, content: KuboNode | None = None, **remote: Any) -> None:
        self._url = url
        self._token = token
        self._content = content
        self._broken: set[object] = set()
        super().__init__(directory, None, **remote)
        self.clock = ShiftedClock()  # type: ignore[assignment]

    def add_remote(self, name: str, profile: Any = None, **fields: Any) -> Emulator:
        remote = RemoteSettings(name, self._url, rate=None, retry_for=5, safety=self.settings.safety, **fields)
        self.settings = replace(self.settings, remotes=(remote,))
        return None  # type: ignore[return-value]

    def _client(self, settings: RemoteSettings, record: RemoteRecord) -> RemoteClient:
        return RemoteClient(
            settings.name,
            settings.endpoint,
            auth=settings.auth,
            token=SecretStr(self._token),
            clock=self.clock,
            limiter=RateLimiter(self.clock, None, 8),
            timeout=settings.timeout,
            retry_for=settings.retry_for,
            transport=Wire(httpx.AsyncHTTPTransport(), self),
        )

    def pin(self, *names: object, called: str = "") -> None:
        self.provide(*(name for name in names if name not in self._broken))
        super().pin(*names, called=called)

    def provide(self, *names: object) -> None:
        """Give the service a place to fetch these from."""
        if self._content and names:
            self._content.put_blocks([str(name).encode() for name in names])

    def theirs(self, *names: object) -> None:
        self.provide(*names)
        self._post(*names)
        self.wait()

    def burst(self, count: int) -> None:
        self.theirs(*(f"burst {n}" for n in range(count)))

    @property
    def address(self) -> tuple[str, str]:
        """The endpoint and the token."""
        return self._url, self._token

    def _bodies(self, *names: object) -> list[dict[str, Any]]:
        origins = self.settings.remotes[0].origins
        more = {"origins": list(origins)} if isinstance(origins, tuple) else {}
        return [{"cid": cid(name), "name": f"{PREFIX}theirs"} | more for name in names]

    def _post(self, *names: object) -> None:
        """By a client that shares nothing with ours."""
        scheme = self.settings.remotes[0].auth
        auth = httpx.BasicAuth(*self._token.split(":")) if scheme == "basic" else None
        headers = {} if auth else {"Authorization": f"Bearer {self._token}"}

        async def post() -> None:
            async with httpx.AsyncClient(base_url=self._url, auth=auth, headers=headers, trust_env=False) as client:
                limit = asyncio.Semaphore(self.at_once)

                async def one(body: dict[str, Any]) -> None:
                    async with limit:
                        (await client.post("/pins", json=body, timeout=60)).raise_for_status()

                await asyncio.gather(*map(one, self._bodies(*names)))

        asyncio.run(post())

    def wait(self, seconds: float = 150.0) -> None:
        deadline = time.monotonic() + _PATIENCE
        while any(self._under_way(row) for row in self.rows()):
            assert time.monotonic() < deadline, f"the service is not done: {self.rows()}"
            time.sleep(0.05)

    def _under_way(self, row: Row) -> bool:
        return row.status in (PinStatus.QUEUED, PinStatus.PINNING)

    def break_(self, name: object) -> None:
        self._broken.add(name)
        if self._content:
            self._content.rpc("block/rm", cid(name), force="true")

    def mend(self, name: object) -> None:
        self._broken.discard(name)
        self.provide(name)


def _row(pin: dict[str, Any]) -> Row:
    return Row(pin["requestid"], pin["pin"]["cid"], pin["pin"].get("name"), PinStatus(pin["status"]))


class RealMock(Real):
    """mock-ipfs-pinning-service: one request a CID, oldest first, nothing of it ever changes."""

    def __init__(self, directory: Path, service: MockService) -> None:
        self._service = service
        super().__init__(directory, service.url, service.token)

    def rows(self) -> list[Row]:
        return [_row(pin) for pin in self._service.pins()]

    def pin(self, *names: object, called: str = "") -> None:
        super().pin(*names, called=called or f"{PREFIX}by-name")
        for name in self._broken.intersection(names):
            self.node.pins[cid(name)] = "failed-by-name"

    def mend(self, name: object) -> None:
        """It keeps the status of the first POST for ever."""


class RealHelia(Real):
    """Helia's pinning service: a request for every POST; the second one of a CID stays queued for ever."""

    at_once = 1  # each request makes it begin again with all that is queued: hundreds at once exhaust its memory

    def __init__(self, directory: Path, service: HeliaService, content: KuboNode) -> None:
        self._service = service
        super().__init__(directory, service.url, service.token, content)

    def rows(self) -> list[Row]:
        return [_row(pin) for pin in self._service.pins()]

    def _under_way(self, row: Row) -> bool:
        held = self._service.held()
        return super()._under_way(row) and row.cid not in held


class RealCluster(Real):
    """IPFS Cluster with a Kubo of its own, which fetches from `content` by the `origins` of each request."""

    def __init__(self, directory: Path, service: ClusterService, content: KuboNode, *, auth: str = "basic") -> None:
        self._service = service
        origins = tuple(content.rpc("id").json()["Addresses"])
        super().__init__(directory, service.url, service.token, content, auth=auth, origins=origins)

    def rows(self) -> list[Row]:
        known = {"pinned": PinStatus.PINNED, "pinning": PinStatus.PINNING, "pin_queued": PinStatus.QUEUED}
        return [
            Row(key, key, pin["name"] or None, known.get(pin["status"], PinStatus.FAILED))
            for key, pin in self._service.pins().items()
        ]


__all__ = ["TOKEN", "Emulated", "ExitStack", "Real", "RealCluster", "RealHelia", "RealMock", "Row", "Stage", "writing"]
