"""HTTP/1.1 for strangers: what both our servers, the control socket's and the listener's, want of a connection.

uvicorn waits for ever for the rest of a request, takes any number of connections, takes a head of any length that comes
at once, and answers what is malformed in the middle of an answer with an exception. All four are mended here.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

CUT = "pinsync.cut"
"""The key in the scope's `state` under which a function stands that ends the connection at once."""

PATIENCE = 30.0  # seconds in which a request must have come whole
_HEAD = 64 * 1024  # bytes: the head of a request
_PIECE = 1024  # bytes of a head at a time: h11 looks how long it is only when it asks for more


class Protocol(H11Protocol):
    """One connection."""

    most = 64
    """Connections of one server."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.conn = h11.Connection(h11.SERVER, _HEAD)
        self.app_state = {**self.app_state, CUT: transport.abort, **self.introduce(transport)}
        if len(self.connections) > self.most:
            self._refuse(503, f"{self.most} connections are open already; close some, or try again later")
            return
        self._watch()

    def introduce(self, transport: asyncio.Transport) -> dict[str, Any]:
        """What the application is told of the other end."""
        return {}

    def data_received(self, data: bytes) -> None:
        at = 0
        while at < len(data) and not self.transport.is_closing():
            end = at + _PIECE if self.conn.their_state is h11.IDLE else len(data)
            super().data_received(data[at:end])
            at = end
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_watch()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP/1.1, or its head is too long."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._refuse(400, f"this is not HTTP/1.1, or its head is longer than {_HEAD >> 10} KiB")
        else:  # in the middle of an answer
            self.transport.abort()

    def _refuse(self, status: int, message: str) -> None:
        self._end_watch()
        body = json.dumps({"error": {"exit_code": 2 if status < 500 else 1, "message": message}}).encode()
        head = (
            f"HTTP/1.1 {status} {'Bad Request' if status == 400 else 'Service Unavailable'}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _watch(self) -> None:
        """A request that has begun must end in time. One that is whole may be answered for as long as it takes."""
        if self.transport.is_closing() or self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._end_watch()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(PATIENCE, self.transport.abort)

    def _end_watch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
