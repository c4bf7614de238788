"""A whole mirror in one process: real pass, real ledger, the emulator and a made-up node, on a clock of our own.

What a test says is what happens in the world; what it asserts is what is at the remote and in the report.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import SecretStr

from pinsync.cid import key_of, text_of
from pinsync.emulator.app import create_app
from pinsync.emulator.engine import Emulator
from pinsync.emulator.records import Seed
from pinsync.errors import NodeError
from pinsync.house import State, mirror_id, reading, writing
from pinsync.ledger.records import Event, RemoteRecord
from pinsync.model import PinStatus, Safety
from pinsync.people import approve
from pinsync.planning.plan import Action
from pinsync.reconcile import reconcile
from pinsync.remote.client import RemoteClient
from pinsync.remote.limits import RateLimiter
from pinsync.settings.model import (
    ConfigFile,
    ManifestSettings,
    MirrorSettings,
    NodeSettings,
    RemoteSettings,
    Schedule,
    Settings,
    StateSettings,
)
from pinsync.sources.kubo import KuboReading, NodeIdentity
from pinsync.spool import Spool
from pinsync.status import status
from pinsync.steps.report import PassReport, sync_json
from pinsync.world import World
from tests.unit.remote_servers import VirtualClock

TOKEN = "s3cret-t0ken-nobody-may-see"


def cid(of: object) -> str:
    """A CID of its own for each name or number."""
    return text_of(b"\x01\x55\x12\x20" + hashlib.sha256(str(of).encode()).digest())


@dataclass
class MadeNode:
    """A node as `KuboClient` shows one: what is pinned, and how it goes wrong.

    `hidden`: pins that a list does not show though they are there. `away`: why nothing can be read. `cut`: the list
    ends after so many pins, and says so; `cut_silently`: and does not.
    """

    pins: dict[str, str] = field(default_factory=dict)
    peer_id: str = "12D3KooWMadeNode"
    addresses: tuple[str, ...] = ()
    hidden: set[str] = field(default_factory=set)
    away: str | None = None
    cut: int | None = None
    cut_silently: int | None = None
    asked: list[str] = field(default_factory=list)
    dialled: list[str] = field(default_factory=list)
    name: str = "kubo"
    address: str = "http://made.up:5001"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def _there(self) -> None:
        if self.away is not None:
            raise NodeError(self.name, self.away)

    async def identity(self) -> NodeIdentity:
        self._there()
        return NodeIdentity(self.peer_id, "0.42.0", self.addresses)

    async def read_pins(
        self,
        on_batch: Callable[[Sequence[tuple[bytes, str, str | None]]], None],
        *,
        on_restart: Callable[[], None] = lambda: None,
        progress: Callable[[int], None] | None = None,
    ) -> KuboReading:
        self._there()
        shown = [(key_of(text), text, name) for text, name in self.pins.items() if text not in self.hidden]
        most = self.cut if self.cut is not None else self.cut_silently
        on_batch(shown if most is None else shown[:most])
        whole = self.cut is None
        return KuboReading(
            whole, None if whole else "the stream was cut", len(shown[:most]), 0.0, self.name, self.peer_id, "0.42.0"
        )

    async def connect(self, multiaddr: str) -> None:
        self._there()
        self.dialled.append(multiaddr)

    async def is_pinned(self, text: str) -> bool:
        self._there()
        self.asked.append(text)
        return text in self.pins


class Undated(httpx.AsyncBaseTransport):
    """Answers without a `Date`."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        del answer.headers["Date"]
        return answer


class Mirror:
    """One mirror over one or several nodes and emulators. `sync()` is a pass; attributes are the world."""

    def __init__(self, directory: Path, profile: Any = "spec", *, safety: Safety | None = None, **remote: Any) -> None:
        self.clock = VirtualClock()
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.node = MadeNode()
        self.nodes = {"kubo": self.node}
        self.remotes: dict[str, Emulator] = {}
        self.settings = Settings(
            ConfigFile(None, "made by a test"),
            MirrorSettings(),
            (NodeSettings(retry_for=0),),
            ManifestSettings(None),
            StateSettings(directory / "pinsync.db"),
            Schedule(),
            safety or Safety(grace=0),
            (),
        )
        self.add_remote("there", profile, **remote)
        self.transports: dict[str, Callable[[httpx.AsyncBaseTransport], httpx.AsyncBaseTransport]] = {}
        self.world: World | None = None
        self.machine: str | None = None

    @property
    def emulator(self) -> Emulator:
        return self.remotes["there"]

    def add_remote(self, name: str, profile: Any = "spec", **fields: Any) -> Emulator:
        emulator = Emulator(profile, token=TOKEN, clock=self.clock)
        emulator.become(settle=0.0, list_lag=0.0, latency=0.02)
        self.remotes[name] = emulator
        remote = RemoteSettings(
            name, f"http://{name}.example/pins", rate=None, retry_for=0, safety=self.settings.safety, **fields
        )
        self.settings = replace(self.settings, remotes=(*self.settings.remotes, remote))
        return emulator

    def change(self, **fields: Any) -> None:
        """Change the (first) remote's settings."""
        first, *others = self.settings.remotes
        self.settings = replace(self.settings, remotes=(replace(first, **fields), *others))

    def change_node(self, **fields: Any) -> None:
        first, *others = self.settings.nodes
        self.settings = replace(self.settings, nodes=(replace(first, **fields), *others))

    def manifest(self, text: str) -> Path:
        path = self.directory / "pins.toml"
        path.write_text(text)
        self.settings = replace(self.settings, manifest=ManifestSettings(path))
        return path

    def pin(self, *names: object, called: str = "") -> None:
        self.node.pins.update({cid(name): called for name in names})

    def unpin(self, *names: object) -> None:
        for name in names:
            del self.node.pins[cid(name)]

    def seed(self, *names: object, mark: str | None = None, **fields: Any) -> list[str]:
        """Pins that were at the remote before us, or with a mark."""
        meta = {"pinsync": mark} if mark else None
        return self.emulator.seed_pins([Seed(cid(name), meta=meta, **fields) for name in names])

    @property
    def id(self) -> str:
        with reading(self.settings) as ledger:
            return mirror_id(self.settings, ledger)

    def there(self, remote: str = "there") -> dict[str, list[str]]:
        """CID → statuses of its pins at the remote."""
        found: dict[str, list[str]] = {}
        for pin in self.remotes[remote].pins():
            found.setdefault(pin.cid, []).append(pin.status.value)
        return found

    def names(self) -> dict[str, str | None]:
        return {pin.cid: pin.name for pin in self.emulator.pins()}

    def _client(self, settings: RemoteSettings, record: RemoteRecord) -> RemoteClient:
        transport: httpx.AsyncBaseTransport = httpx.ASGITransport(create_app(self.remotes[settings.name]))
        wrap = self.transports.get(settings.name)
        return RemoteClient(
            settings.name,
            settings.endpoint,
            auth=settings.auth,
            token=SecretStr(TOKEN),
            clock=self.clock,
            limiter=RateLimiter(self.clock, settings.rate if settings.rate != "default" else None, 8),
            timeout=settings.timeout,
            retry_for=settings.retry_for,
            transport=wrap(transport) if wrap else transport,
        )

    def _world(self, state_id: str) -> World:
        world = World(
            self.settings, self.clock, lambda node: self.nodes[node.name], self._client, state_id  # type: ignore[arg-type,return-value]
        )  # fmt: skip
        world.machine = self.machine
        return world

    async def _sync(self, state: State, only: str | None) -> PassReport:
        self.world = self._world(state.mirror_id)
        with Spool() as spool:
            async with AsyncExitStack() as stack:
                report = await reconcile(
                    self.world, state.ledger, spool, stack, trigger="test", only=only, reader=state.reader
                )
                self.actions = [action for plan in report.remotes for action in plan.actions()]
                return report

    def sync(self, only: str | None = None) -> PassReport:
        """One pass."""
        with writing(self.settings, "test", self.clock) as state:
            return asyncio.run(self._sync(state, only))

    def plan(self) -> tuple[PassReport, list[Action]]:
        """A pass that changes nothing."""

        async def planned() -> tuple[PassReport, list[Action]]:
            with reading(self.settings) as ledger, Spool() as spool:
                async with AsyncExitStack() as stack:
                    world = self._world(mirror_id(self.settings, ledger))
                    report = await reconcile(world, ledger, spool, stack, dry=True)
                    return report, [action for plan in report.remotes for action in plan.actions()]

        return asyncio.run(planned())

    def status(self) -> dict[str, Any]:
        with reading(self.settings) as ledger:
            return status(ledger, self.settings, self.clock.now(), {"running": False})

    def done(self, report: PassReport, remote: int = 0) -> dict[str, int]:
        """What a pass did at a remote, without the zeros."""
        remotes: Any = sync_json(report)["remotes"]
        kinds = ("added", "updated", "removed", "retried", "refused", "waiting", "held")
        return {kind: remotes[remote][kind] for kind in kinds if remotes[remote][kind]}

    def later(self, seconds: float) -> None:
        """Time passes."""
        self.clock._at += seconds

    def jump(self, seconds: float) -> None:
        """Our clock is set, and no time passes: the remotes' clocks go on."""
        self.later(seconds)
        for emulator in self.remotes.values():
            emulator.become(skew=emulator.behaviour.skew - seconds)

    def undated(self) -> None:
        """The remotes do not tell their time any more."""
        self.transports.update(dict.fromkeys(self.remotes, Undated))

    def release(self, remote: str | None = None) -> int:
        """A person approves all that is held; how many pins and doubts that released."""
        with writing(self.settings, "test", self.clock) as state:
            released = approve(state.ledger, remote, [], now_too=False, at=self.clock.now(), by="me")
            return len(released.pins) + len(released.doubts)

    def events(self) -> list[Event]:
        with reading(self.settings) as ledger:
            return ledger.events() if ledger else []

    def settle(self, name: object, status: PinStatus, details: str | None = None) -> None:
        for pin in self.emulator.pins():
            if pin.cid == cid(name):
                self.emulator.set_status(pin.requestid, status, details)
