"""A node of a history, as `KuboClient` shows one to a pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pinsync.cid import key_of
from pinsync.errors import NodeError
from pinsync.sources.kubo import KuboReading, NodeIdentity

from .truth import NodeTruth, content

if TYPE_CHECKING:
    from .mirror import SimMirror


class SimNode:
    """What one pass meets of a node: its pins as they are at each call, its lies and failures included."""

    address = "http://made.up:5001"

    def __init__(self, truth: NodeTruth, mirror: SimMirror) -> None:
        self._truth = truth
        self._mirror = mirror
        self.name = truth.name

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    async def _call(self) -> None:
        self._mirror.effects.point("request")
        self._mirror.requests += 1
        self._mirror.happens()
        await self._mirror.clock.sleep(0.005)
        if self._truth.away:
            raise NodeError(self.name, f"node {self.name!r} does not answer")

    async def identity(self) -> NodeIdentity:
        await self._call()
        return NodeIdentity(self._truth.peer, "0.42.0", ())

    async def read_pins(
        self,
        on_batch: Callable[[Sequence[tuple[bytes, str, str | None]]], None],
        *,
        on_restart: Callable[[], None] = lambda: None,
        progress: Callable[[int], None] | None = None,
    ) -> KuboReading:
        await self._call()
        shown = self._truth.shown()
        on_batch([(key_of(cid), cid, name) for cid, name in shown])
        whole = self._truth.cut is None
        return KuboReading(
            whole, None if whole else f"the list of {self.name!r} was cut", len(shown), 0.0, self.name,
            self._truth.peer, "0.42.0",
        )  # fmt: skip

    async def connect(self, multiaddr: str) -> None:
        await self._call()

    async def is_pinned(self, text: str) -> bool:
        await self._call()
        return any(content(cid) == content(text) for cid in self._truth.pins)
