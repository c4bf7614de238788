"""The emulator behind ASGI: for uvicorn, and for `httpx.ASGITransport`, where no socket is needed."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from urllib.parse import unquote_to_bytes

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from pinsync.emulator.engine import Emulator
from pinsync.emulator.faults import Fault
from pinsync.emulator.wire import Answer, html

CLOSE = "pinsync.emulator.close"
"""The key in the scope's `state` under which a server gives us the closing of this connection (see `server`)."""

_MOST_BODY = 4 << 20  # bytes; a Pin object is a few hundred
_HANG = 3600.0


def create_app(emulator: Emulator) -> Starlette:
    """`/pins` and `/pins/{requestid}` of `emulator`, and at `/` a page that says what this is.

    Answers come `behaviour.latency` after a request had its effect, by the emulator's clock. Without a server beneath
    (`httpx.ASGITransport`) a dropped connection is raised as the exception that httpx has for it.
    """

    async def about(request: HttpRequest) -> PlainTextResponse:
        return PlainTextResponse(_about(emulator, str(request.base_url)))

    pins = _Pins(emulator)
    app = Starlette(routes=[Route("/", about), Route("/pins", pins), Route("/pins/{requestid:path}", pins)])
    app.router.redirect_slashes = False
    return app


class _Pins:
    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        emulator = self._emulator
        # The path as it came: an id that was not quoted must not reach another pin.
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        path = unquote_to_bytes(raw).decode("utf-8", "replace")
        method: str = scope["method"]
        record = emulator.arrive(method, path, scope["query_string"].decode("latin-1"))
        try:
            fault = emulator.faults.take(method, path)
            body = await _body(receive)
            answer = None
            if fault is None or fault.carried_out:
                answer = emulator.handle(method, _requestid(raw), scope["query_string"], body, _authorization(scope))
            if emulator.behaviour.latency > 0:
                await emulator.clock.sleep(emulator.behaviour.latency)
            if fault is not None:
                answer = await self._spoil(fault, answer, scope, receive, send)
            if answer is not None:
                record.status = answer.status
                await self._send(answer, send)
        finally:
            emulator.leave()

    async def _spoil(
        self, fault: Fault, answer: Answer | None, scope: Scope, receive: Receive, send: Send
    ) -> Answer | None:
        """What `fault` makes of the answer; None when nothing more is to be sent."""
        action, _, argument = fault.action.partition(":")
        if answer is not None:
            answer = Answer(answer.status, answer.body, answer.content_type, dict(answer.headers) | dict(fault.headers))
            match action:
                case "slow":
                    await self._emulator.clock.sleep(float(argument))
                    return answer
                case "empty":
                    return Answer(answer.status, b"", answer.content_type, answer.headers)
                case "truncate":
                    half = answer.body[: len(answer.body) // 2]
                    return Answer(answer.status, half, answer.content_type, answer.headers)
                case "garbage":
                    return Answer(answer.status, bytes(range(128, 256)) * 4, answer.content_type, answer.headers)
                case "body":
                    return Answer(200, argument.encode(), answer.content_type, answer.headers)
                case "cut-middle":
                    await self._send(answer, send, only=len(answer.body) // 2)
        match action:
            case "status" | "status-after":
                wrong = self._emulator.error(int(argument))
                return Answer(wrong.status, wrong.body, wrong.content_type, fault.headers)
            case "html":
                status = int(argument or 502)
                return Answer(status, html(status), "text/html; charset=utf-8", fault.headers)
            case "hang" | "hang-after":
                await self._hang(scope, receive)
            case _:
                await _cut(scope, receive)
        return None

    async def _hang(self, scope: Scope, receive: Receive) -> None:
        if CLOSE in scope.get("state", {}):
            await _gone(receive)
            return
        import httpx

        await self._emulator.clock.sleep(_HANG)
        raise httpx.ReadTimeout("the emulator was told not to answer")

    async def _send(self, answer: Answer, send: Send, only: int | None = None) -> None:
        """Send `answer`, or its head and its first `only` bytes."""
        headers = [
            (b"content-length", b"%d" % len(answer.body)),
            (b"date", formatdate(self._emulator.server_time(), usegmt=True).encode()),
        ]
        if answer.content_type is not None:
            headers.append((b"content-type", answer.content_type.encode("latin-1")))
        headers += [(name.lower().encode("latin-1"), text.encode("latin-1")) for name, text in answer.headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body[:only], "more_body": only is not None})


async def _body(receive: Receive) -> bytes:
    """The whole body, but no more than `_MOST_BODY` of it: what is longer is no pin."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        part: bytes = message.get("body", b"")
        size += len(part)
        if part and size <= _MOST_BODY:
            parts.append(part)
        if not message.get("more_body", False):
            break
    return b"".join(parts)


async def _cut(scope: Scope, receive: Receive) -> None:
    close = scope.get("state", {}).get(CLOSE)
    if close is None:
        import httpx

        raise httpx.RemoteProtocolError("the emulator was told to drop the connection")
    # One turn of the loop, so that what was sent before leaves first.
    await asyncio.sleep(0)
    close()
    await _gone(receive)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _requestid(raw_path: bytes) -> str | None:
    """The id in `/pins/{requestid}`; None for `/pins`. What is neither names an id that there cannot be."""
    if raw_path == b"/pins":
        return None
    segment = raw_path.removeprefix(b"/pins/")
    return "" if b"/" in segment else unquote_to_bytes(segment).decode("utf-8", "replace")


def _authorization(scope: Scope) -> str | None:
    for name, text in scope["headers"]:
        if name == b"authorization":
            return str(text.decode("latin-1"))
    return None


def _about(emulator: Emulator, base: str) -> str:
    auth = (
        'auth = "none"' if not emulator.guarded else 'token_file = "…"        # a file that holds the emulator\'s token'
    )
    return f"""\
pinsync emulator: a pinning service to try things on. Not for production: it holds pin requests, never content.

profile   {emulator.behaviour.profile}
pins      {len(emulator.store)}

To point pinsync at it, in config.toml:

    [[remote]]
    name = "emulator"
    endpoint = "{base}pins"
    {auth}
"""
