"""HTTP/1.1 with trailers in sight.

Kubo reports an error in the middle of a list as the HTTP trailer `X-Stream-Error`, after a 200. httpx drops trailers
(httpx #1149), and so shows a broken list as a complete, shorter one. The transport here keeps them. It reads chunks by
itself too: Kubo makes a chunk of every pin, and a general parser costs more time for those than the pins themselves.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import h11
import httpx

from pinsync.clock import Clock

_READ = 1 << 16
_BUFFER = 1 << 18
_GATHER = 0.01  # seconds
_MAX_HEAD = 1 << 16
_MAX_BEFORE = 1 << 20  # bytes until the answer proper: `100 Continue` may come any number of times
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,12})[ \t]*(?:;[^\r\n]{0,200})?\r\n")
_MAX_CHUNK_LINE = 256


class Dechunker:
    """Undoes `Transfer-Encoding: chunked` (RFC 9112, section 7.1), in pieces of any size.

    `ended` once the last chunk and the trailers are read; `trailers` has their names in lower case. `broken` says
    what is wrong once something is; nothing is read from then on.
    """

    def __init__(self) -> None:
        self.ended = False
        self.broken = ""
        self.trailers: dict[str, str] = {}
        self._buffer = b""
        self._left = 0  # of the chunk under way, with the line end after it
        self._closing = False  # the last chunk is read, the trailers are not
        self._trailer_size = 0

    def feed(self, data: bytes) -> bytes:
        """The body that `data` adds."""
        buffer = self._buffer + data
        out: list[bytes] = []
        at = 0
        while not (self._closing or self.broken):
            if self._left > 2:
                piece = buffer[at : at + self._left - 2]
                out.append(piece)
                at += len(piece)
                self._left -= len(piece)
            if self._left:
                if len(buffer) < at + self._left:
                    break
                if not buffer.startswith(b"\r\n", at):
                    self.broken = "a chunk is longer than announced"
                    break
                at += 2
                self._left = 0
            size = _CHUNK.match(buffer, at)
            if size is None:
                if len(buffer) - at >= _MAX_CHUNK_LINE or b"\n" in buffer[at:]:
                    self.broken = "the size of a chunk is malformed"
                break
            at = size.end()
            self._left = int(size[1], 16) + 2
            self._closing = self._left == 2
        self._buffer = buffer[at:]
        if self._closing:
            self._read_trailers()
        return b"".join(out)

    def _read_trailers(self) -> None:
        while not self.ended:
            line, end, rest = self._buffer.partition(b"\r\n")
            if self._trailer_size + len(line) > _MAX_HEAD:
                self.broken = "the trailers are too long"
            if self.broken or not end:
                return
            self._trailer_size += len(line)
            self._buffer = rest
            name, _, value = line.decode("utf-8", "replace").partition(":")
            self.ended = not line
            if line:
                self.trailers[name.strip().lower()] = value.strip()


class TrailerTransport(httpx.AsyncBaseTransport):
    """One connection a request. The answer's `extensions["trailers"]` is a dict, filled when the body has been read.

    Raises httpx's own exceptions; a body that ends early is `httpx.RemoteProtocolError`. `context` is used for https.
    """

    def __init__(self, clock: Clock, *, uds: Path | None = None, context: ssl.SSLContext | None = None) -> None:
        self._clock = clock
        self._uds = uds
        self._context = context

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        timeouts = request.extensions.get("timeout", {})
        patience = timeouts.get("read")
        try:
            async with asyncio.timeout(timeouts.get("connect")):
                reader, writer = await self._connect(request.url)
        except TimeoutError:
            raise httpx.ConnectTimeout("no connection in time", request=request) from None
        except OSError as error:
            raise httpx.ConnectError(str(error), request=request) from error
        body = _Body(reader, writer, request, patience, self._clock)
        try:
            head, body.ahead = await _exchange(reader, writer, request, patience)
        except BaseException as error:
            await body.aclose()
            if isinstance(error, TimeoutError):
                raise httpx.ReadTimeout("no answer in time", request=request) from None
            if isinstance(error, OSError):
                raise httpx.ReadError(str(error), request=request) from error
            if isinstance(error, h11.ProtocolError):
                raise httpx.RemoteProtocolError(str(error), request=request) from error
            raise
        headers = httpx.Headers(head.headers.raw_items())
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body.chunks = Dechunker()
        elif headers.get("content-length", "").isdecimal():
            body.length = int(headers["content-length"])
        trailers = body.chunks.trailers if body.chunks else {}
        return httpx.Response(
            head.status_code, headers=headers, stream=body, request=request, extensions={"trailers": trailers}
        )

    async def _connect(self, url: httpx.URL) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._uds is not None:
            return await asyncio.open_unix_connection(self._uds, limit=_BUFFER)
        secure = url.scheme == "https"
        return await asyncio.open_connection(
            url.host,
            url.port or (443 if secure else 80),
            limit=_BUFFER,
            happy_eyeballs_delay=0.25,
            ssl=(self._context or ssl.create_default_context()) if secure else None,
        )


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: httpx.Request, patience: float | None
) -> tuple[h11.Response, bytes]:
    """Sends the request; the answer's head, and what came of its body along with it."""
    talk = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
    headers = [pair for pair in request.headers.raw if pair[0].lower() != b"connection"]
    asked = h11.Request(
        method=request.method, target=request.url.raw_path, headers=[*headers, (b"Connection", b"close")]
    )
    with suppress(OSError):  # a server may answer and close before it has read everything
        writer.write(talk.send(asked) or b"")
        assert isinstance(request.stream, httpx.AsyncByteStream)
        async for piece in request.stream:
            writer.write(talk.send(h11.Data(data=piece)) or b"")
        writer.write(talk.send(h11.EndOfMessage()) or b"")
        async with asyncio.timeout(patience):
            await writer.drain()
    read = 0
    while True:
        event = talk.next_event()
        if isinstance(event, h11.Response):
            return event, talk.trailing_data[0]
        if event is h11.NEED_DATA:
            async with asyncio.timeout(patience):
                data = await reader.read(_READ)
            if not data:
                raise h11.RemoteProtocolError("the server closed the connection without an answer")
            read += len(data)
            if read > _MAX_BEFORE:
                raise h11.RemoteProtocolError("the server goes on to announce an answer that does not come")
            talk.receive_data(data)


class _Body(httpx.AsyncByteStream):
    """An answer's body, framed by `chunks`, else by `length`, else by the end of the connection."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        request: httpx.Request,
        patience: float | None,
        clock: Clock,
    ) -> None:
        self.ahead = b""
        self.chunks: Dechunker | None = None
        self.length: int | None = None
        self._reader = reader
        self._writer = writer
        self._request = request
        self._patience = patience
        self._clock = clock

    async def __aiter__(self) -> AsyncIterator[bytes]:
        data, self.ahead = self.ahead, b""
        while True:
            if self.chunks is not None:
                piece = self.chunks.feed(data)
            elif self.length is not None:
                piece = data[: self.length]
                self.length -= len(piece)
            else:
                piece = data
            if piece:
                yield piece
            if self.chunks and self.chunks.broken:
                raise httpx.RemoteProtocolError(self.chunks.broken, request=self._request)
            if self.length == 0 or (self.chunks and self.chunks.ended):
                return
            data = await self._read()
            if not data:
                if self.chunks is None and self.length is None:
                    return
                raise httpx.RemoteProtocolError("the answer ends in the middle", request=self._request)

    async def _read(self) -> bytes:
        try:
            async with asyncio.timeout(self._patience):
                data = await self._reader.read(_READ)
        except TimeoutError:
            raise httpx.ReadTimeout("no byte in time", request=self._request) from None
        except OSError as error:
            raise httpx.ReadError(str(error), request=self._request) from error
        if 0 < len(data) < _READ // 2:
            # Kubo flushes after every pin. Waking for each of them costs more than reading it; the kernel holds
            # them as well as we do.
            transport = self._writer.transport
            assert isinstance(transport, asyncio.Transport)
            transport.pause_reading()
            await self._clock.sleep(_GATHER)
            transport.resume_reading()
        return data

    async def aclose(self) -> None:
        # abort, not close: a list that is left in the middle has megabytes under way that nobody will read
        self._writer.transport.abort()
        with suppress(OSError, TimeoutError):
            await self._writer.wait_closed()
