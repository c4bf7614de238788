"""uvicorn as both our servers want it: on a socket that we opened, without signals, logs or headers of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol


class EmbeddedServer(uvicorn.Server):
    """A server in somebody else's loop. `farewell`: seconds for answers under way at the end; None waits for them."""

    def __init__(self, app: ASGIApp, protocol: type[asyncio.Protocol], *, farewell: int | None = None) -> None:
        self._told_to_end = asyncio.Event()
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol,
                ws="none",
                loop="asyncio",
                lifespan="off",
                interface="asgi3",
                access_log=False,
                log_config=None,
                log_level=None,
                server_header=False,
                date_header=False,
                timeout_graceful_shutdown=farewell,
            )
        )

    def end(self) -> None:
        """Have `serve` return soon. For the loop that it runs in; also before it does."""
        self.should_exit = True
        self._told_to_end.set()

    async def main_loop(self) -> None:
        """Until `end`: uvicorn's own wakes ten times a second to look, for headers and limits that we do not use."""
        await self._told_to_end.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the business of whoever embeds it."""
        yield


class EmbeddedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, without its traceback where a request goes wrong after the answer to it has begun."""

    def send_400_response(self, msg: str) -> None:
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:  # too late for another answer, or one to HEAD, which has no body
            self.transport.close()
