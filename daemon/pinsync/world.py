"""What a pass needs of the outside, handed in: settings, clock, clients. Tests and simulations hand in their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .clock import Clock
from .ledger.records import RemoteRecord
from .remote.client import RemoteClient
from .settings.model import NodeSettings, RemoteSettings, Settings

if TYPE_CHECKING:
    from .sources.kubo import KuboClient

Progress = Callable[[str, int, int | None], None]
"""Called with what is being read ("node kubo", "remote nftstorage"), how many pins so far and of how many, if known."""


@dataclass(slots=True)
class World:
    """The outside of a pass.

    `stop` set: nothing new is begun. `progress` is told of reading, `applying` of what was done at a remote so far and
    of how many actions; `alive` is called where work goes on that neither of them hears of. `machine`: see
    `pinsync.machine`; None where nothing tells.
    """

    settings: Settings
    clock: Clock
    make_node: Callable[[NodeSettings], KuboClient]
    make_remote: Callable[[RemoteSettings, RemoteRecord], RemoteClient]
    mirror_id: str
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    progress: Progress = lambda what, count, of: None
    applying: Callable[[str, int, int], None] = lambda remote, done, of: None
    machine: str | None = None
    alive: Callable[[], None] = lambda: None
