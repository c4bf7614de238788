"""Having the nodes dial the addresses that a service will fetch from (Pinning Service API, *Provider hints*).

Best effort, in the background and bounded: a dial that fails fails nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence

from pinsync.errors import NodeError

from .observe import NodeView

log = logging.getLogger(__name__)

MOST = 20  # addresses in one pass; the specification's most for one pin
AT_ONCE = 4
PATIENCE = 3.0  # seconds that the end of a pass waits for what is under way


class Dialer:
    """Dials each address once in a pass, from every node that was read. Close it before the nodes' clients."""

    def __init__(self, nodes: Sequence[NodeView]) -> None:
        self._clients = [node.client for node in nodes if node.client is not None and node.whole]
        self._dialled: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Semaphore(AT_ONCE)

    def dial(self, addresses: Iterable[str]) -> None:
        """Begin to dial what was not dialled yet; returns at once."""
        for address in addresses:
            if address in self._dialled or len(self._dialled) >= MOST or "/p2p/" not in address:
                continue
            self._dialled.add(address)
            task = asyncio.ensure_future(self._dial(address))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _dial(self, address: str) -> None:
        async with self._turn:
            for client in self._clients:
                try:
                    await client.connect(address)
                except NodeError as error:
                    log.debug("delegate %s: %s", address, error)

    async def close(self) -> None:
        """Wait a little for what is under way, then give it up."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=PATIENCE)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
