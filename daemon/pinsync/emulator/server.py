"""The emulator on a socket: in a thread for tests and the demo, or in the foreground for `pinsync emulator`."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from starlette.types import ASGIApp, Receive, Scope, Send

from pinsync.asgi import EmbeddedProtocol, EmbeddedServer
from pinsync.clock import Clock
from pinsync.emulator.app import CLOSE, create_app
from pinsync.emulator.behaviour import Behaviour, Rate
from pinsync.emulator.engine import Emulator
from pinsync.emulator.profiles import DOCUMENTED_RATES, profile
from pinsync.emulator.store import EmulatorError, Store

_PATIENCE = 10.0  # seconds in which a thread must start or stop


class EmulatorServer:
    """An emulator on 127.0.0.1 in a thread of its own, as a context manager.

    `behaviour` and the other arguments are `Emulator`'s; or give a ready `emulator`. `port` 0 takes a free one.
    Inside the block `url` (`http://127.0.0.1:PORT`; `/pins` lies under it), `token` and `emulator` are there. Leaving
    it drops what is under way. Raises `EmulatorError` when the port cannot be had.
    """

    def __init__(
        self,
        behaviour: Behaviour | str = "spec",
        *,
        token: str | None = None,
        clock: Clock | None = None,
        seed: int = 0,
        store: Store | None = None,
        emulator: Emulator | None = None,
        port: int = 0,
    ) -> None:
        self.token = token
        self.emulator = emulator or Emulator(behaviour, token=token, clock=clock, seed=seed, store=store)
        self.url = ""
        self._port = port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        sock, self.url = _listen("127.0.0.1", self._port)
        started = threading.Event()
        server = self._server = _Server(self.emulator, started.set)
        self._thread = threading.Thread(target=server.run, args=([sock],), name="pinsync-emulator", daemon=True)
        self._thread.start()
        if not started.wait(_PATIENCE):
            sock.close()
            raise EmulatorError("the emulator did not start; see the log above")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is None or self._thread is None:
            return
        self._server.end_from_afar()
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            raise EmulatorError("the emulator's thread did not stop")


def serve(
    profile_name: str = "nft.storage",
    *,
    host: str = "127.0.0.1",
    port: int = 5000,
    token: str | None = None,
    latency: float | None = None,
    rate: str | None = None,
    settle: float | None = None,
    db: Path | None = None,
    ready: Callable[[str], None] | None = None,
    clock: Clock | None = None,
) -> None:
    """Run an emulator until SIGINT or SIGTERM, then return; what is under way is dropped.

    None keeps the profile's own value. `rate` is as `30/10s`, `documented` for what is known of the real service, or
    empty for none. `settle` and `latency` in seconds. `port` 0 takes a free one; `ready` is told the URL once requests
    are answered. Raises `UsageError` for a profile or rate that is not understood, `EmulatorError` for a port or
    database that cannot be had.
    """
    knobs: dict[str, Any] = {}
    if latency is not None:
        knobs["latency"] = latency
    if settle is not None:
        knobs["settle"] = settle
    if rate is not None:
        knobs["rate"] = DOCUMENTED_RATES.get(profile_name) if rate == "documented" else Rate.parse(rate)
    behaviour = profile(profile_name, **knobs)
    sock, url = _listen(host, port)
    try:
        store = Store(db)
    except EmulatorError:
        sock.close()
        raise
    with contextlib.closing(store):
        emulator = Emulator(behaviour, token=token, clock=clock, store=store)
        server = _Server(emulator, lambda: ready(url) if ready else None)
        asyncio.run(_until_signalled(server, sock))


async def _until_signalled(server: _Server, sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    for each in signals:
        loop.add_signal_handler(each, server.end)
    try:
        await server.serve(sockets=[sock])
    finally:
        for each in signals:
            loop.remove_signal_handler(each)


def _listen(host: str, port: int) -> tuple[socket.socket, str]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio turns Nagle's delay off (40 ms an answer) only where it is.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(256)  # at once: who is told the URL can connect
    except (OSError, OverflowError) as error:
        sock.close()
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise EmulatorError(
            f"the emulator cannot listen on {host} port {port}: {reason}; choose another with --port"
        ) from error
    name = f"[{host}]" if ":" in host else host
    return sock, f"http://{name}:{sock.getsockname()[1]}"


class _Protocol(EmbeddedProtocol):
    """uvicorn's HTTP/1.1, which also lets the application close the connection: a fault that ASGI has no word for."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, CLOSE: transport.close}


class _Server(EmbeddedServer):
    """uvicorn that tells when it has started, leaves signals alone, and stops without waiting for anybody."""

    def __init__(self, emulator: Emulator, ready: Callable[[], None]) -> None:
        self._ready = ready
        self._loop: asyncio.AbstractEventLoop | None = None
        app = self._quietly(create_app(emulator))
        super().__init__(app, _Protocol)

    def end_from_afar(self) -> None:
        """`end`, for another thread, once `ready` was called."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self.end)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for server in self.servers:
            await server.wait_closed()

    def _quietly(self, app: ASGIApp) -> ASGIApp:
        async def answered(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            except asyncio.CancelledError:
                # Our own shutdown; uvicorn would log it as an exception of the application.
                if not self.should_exit:
                    raise

        return answered
