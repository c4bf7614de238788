"""Stages on real pinning services: other processes, real sockets, and content that has to be fetched."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from pinsync.clock import SystemClock
from pinsync.emulator.engine import Emulator
from pinsync.ledger.records import RemoteRecord
from pinsync.model import PinStatus
from pinsync.remote.client import RemoteClient
from pinsync.remote.limits import RateLimiter
from pinsync.settings.model import RemoteSettings
from tests.mirror import cid
from tests.real.cluster import ClusterService
from tests.real.helia import HeliaService
from tests.real.kubo import KuboNode
from tests.real.mock_service import MockService
from tests.services.stage import PREFIX, Row, Stage, Wire

_PATIENCE = 30.0  # seconds in which a real service must have dealt with a pin


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
