"""What may be read by those who watch: `/metrics`, `/healthz`, `/readyz`, on the control socket and on TCP.

The listener on TCP is on loopback, off unless `[listen] address` says otherwise, and for reading alone: it has no way
to change anything. Any program and any web page of this machine may knock, so it answers to a local `Host` alone (a
name that somebody else's DNS leads here is refused) and never to another page (`Origin`).
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pinsync.asgi import EmbeddedServer
from pinsync.clock import Clock

from .monitor import Monitor
from .protocol import Protocol

POLL = 2.0  # seconds between two looks at the configuration in force
TRY_AGAIN = 60.0  # seconds after which an address that could not be had is tried again
_CID = re.compile(r"\b(?:Qm[1-9A-HJ-NP-Za-km-z]{44}|b[a-z2-7]{50,}|z[1-9A-HJ-NP-Za-km-z]{46,}|f[0-9a-f]{64,})\b")
_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
)

Handler = Callable[[Request], Any]


def watching(monitor: Monitor) -> dict[str, Handler]:
    """Path → what answers it, for whoever only watches."""

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        why_not = await monitor.not_ready()
        return PlainTextResponse(f"{why_not or 'ok'}\n", 503 if why_not else 200)

    async def metrics(request: Request) -> Response:
        text, kind = await monitor.metrics(request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": kind})

    return {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics}


def public_status(monitor: Monitor) -> dict[str, Handler]:
    """`/v1/status` for everybody on this machine."""

    async def status(request: Request) -> Response:
        return JSONResponse(without_cids((await monitor.record()).report))

    return {"/v1/status": status}


def without_cids(value: Any) -> Any:
    """A JSON value in which no text names a CID: a service's own words may."""
    if isinstance(value, Mapping):
        return {key: without_cids(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_cids(inner) for inner in value]
    return _CID.sub("…", value) if isinstance(value, str) else value


def refusal(method: str, headers: Iterable[tuple[bytes, bytes]]) -> tuple[int, str] | None:
    """Why a request on TCP is not answered: the HTTP status, and words."""
    given = [(name.lower(), value.decode("latin-1").strip()) for name, value in headers]
    hosts = [value for name, value in given if name == b"host"]
    if method not in ("GET", "HEAD"):
        return 405, "this address is for reading alone: GET and HEAD. The control socket takes the rest"
    if len(hosts) != 1 or not _is_local(hosts[0]):
        return 421, "this address answers to localhost, 127.0.0.1 or [::1] as Host alone"
    if any(name == b"origin" for name, _ in given):
        return 403, "this address is not for web pages: a request with Origin is refused"
    return None


def _is_local(host: str) -> bool:
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+))(?::[0-9]{1,5})?", host)
    name = match and (match[1] or match[2])
    if not name or name.lower() == "localhost":
        return bool(name)
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


class ReadOnly:
    """Lets through what `refusal` has nothing against, and puts headers on every answer. ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        found = refusal(scope["method"], scope["headers"]) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, sent)
            return
        status, message = found
        allow = {"Allow": "GET, HEAD"} if status == 405 else None
        answer = JSONResponse({"error": {"exit_code": 2, "message": message}}, status, headers=allow)
        await answer(scope, receive, sent)


class _Local(Protocol):
    most = 32


class Listener:
    """The server on TCP: follows `address`, the one in force, and goes without where it cannot be had."""

    def __init__(
        self, app: ASGIApp, address: Callable[[], tuple[str, int] | None], clock: Clock, log: logging.Logger
    ) -> None:
        self._app, self._address, self._clock, self._log = ReadOnly(app), address, clock, log
        self._wanted: tuple[str, int] | None = None
        self._server: EmbeddedServer | None = None
        self._serving: asyncio.Task[None] | None = None
        self._try_at = 0.0
        self._error = ""
        self._at = ""

    def about(self) -> dict[str, str | None] | None:
        """For the status: where it listens, or why not; None where it is not to."""
        return {"address": self._at, "error": self._error or None} if self._wanted else None

    async def keep(self) -> None:
        """Listen as the configuration in force says, until cancelled."""
        try:
            while True:
                try:
                    await self._tend()
                except Exception as error:
                    self._log.error("listening failed; this is a bug in pinsync, please report it", exc_info=error)
                await self._clock.sleep(POLL)
        finally:
            await self._close()

    async def _tend(self) -> None:
        wanted = self._address()
        if wanted != self._wanted or (self._serving is not None and self._serving.done()):
            await self._close()
            self._wanted, self._try_at, self._error = wanted, 0.0, ""
            self._at = shown(wanted) if wanted else ""
        if wanted is None or self._serving is not None or self._clock.monotonic() < self._try_at:
            return
        try:
            sock = _bound(wanted)
        except OSError as error:
            said = (
                f"{self._at} cannot be listened at: {error.strerror or error}. Mirroring goes on without; it is tried "
                "again every minute. Choose another port in [listen] address, or end what has it"
            )
            if said != self._error:
                self._log.error("%s", said)
            self._error, self._try_at = said, self._clock.monotonic() + TRY_AGAIN
            return
        self._error, self._at = "", shown(sock.getsockname()[:2])
        self._log.info("metrics and status for reading at http://%s", self._at)
        self._server = EmbeddedServer(self._app, _Local, farewell=1)
        self._serving = asyncio.create_task(self._server.serve(sockets=[sock]))

    async def _close(self) -> None:
        if self._serving is not None and self._server is not None:
            self._server.force_exit = True  # what is read can be read again
            self._server.end()
            await asyncio.wait({self._serving}, timeout=1.0)
            self._serving.cancel()
        self._server = self._serving = None


def shown(address: tuple[str, int]) -> str:
    """As in a URL."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bound(address: tuple[str, int]) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(16)
        sock.setblocking(False)
    except BaseException:
        with suppress(OSError):
            sock.close()
        raise
    return sock
