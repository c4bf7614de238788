"""Nothing that comes from outside can fill the memory: answers that never end are cut off, large files are not read.

Each stream here would go on for ever. What counts is how much of it was taken before reading stopped.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from pinsync.errors import ConfigError, ManifestError, NodeError
from pinsync.model import PinBody
from pinsync.remote.calls import ListQuery
from pinsync.remote.client import RemoteClient
from pinsync.remote.errors import BadAnswer, OutOfService, RemoteError, Unreachable
from pinsync.remote.limits import RateLimiter
from pinsync.remote.parse import read_json
from pinsync.settings import load
from pinsync.settings.credentials import load_token
from pinsync.settings.model import RemoteSettings
from pinsync.settings.places import socket_path
from pinsync.sources.kubo import KuboClient
from pinsync.sources.kubo_api import ApiAddress
from pinsync.sources.manifest import read_manifest
from tests.fuzz.control import daemon
from tests.fuzz.kubo import PEER, Wire, whole
from tests.mirror import cid
from tests.unit.remote_servers import VirtualClock, client_for

MIB = 1 << 20
PIECE = b" " * (1 << 16)


class Endless(httpx.AsyncByteStream):
    """A body of `first`, and then `piece` again and again; `taken` counts bytes."""

    def __init__(self, first: bytes, piece: bytes = PIECE) -> None:
        self.first, self.piece, self.taken = first, piece, 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.first
        while self.taken < 10 << 30:
            self.taken += len(self.piece)
            yield self.piece


def answered(stream: httpx.AsyncByteStream, status: int = 200, **headers: str) -> httpx.MockTransport:
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return httpx.MockTransport(lambda request: httpx.Response(status, headers=given, stream=stream))


def failed(transport: httpx.AsyncBaseTransport, call: str = "list", **more: Any) -> RemoteError:
    async def once() -> None:
        async with client_for(transport, retry_for=0, **more) as client:
            match call:
                case "list":
                    await client.list_page(ListQuery())
                case "add":
                    await client.add(PinBody(cid(1)))
                case "delete":
                    await client.delete("id-1")
                case _:
                    await client.get("id-1")

    with pytest.raises(RemoteError) as raised:
        asyncio.run(once())
    return raised.value


@contextmanager
def taking(most: int) -> Iterator[None]:
    """No more than `most` bytes of memory at any time inside."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most, f"{peak >> 20} MiB were taken"


# -- pinning services


@pytest.mark.parametrize("first", [b'{"count": 1, "results": [', b"", b"<html>", b'{"count": 1, "results": [], "x": "'])
def test_an_endless_list_is_cut_off(first: bytes) -> None:
    body = Endless(first)
    error = failed(answered(body))
    assert isinstance(error, BadAnswer)
    assert "more than 64 MiB" in str(error)
    assert body.taken <= 65 * MIB


@pytest.mark.parametrize("call", ["get", "add"])
def test_of_an_answer_about_one_pin_a_mebibyte_is_enough(call: str) -> None:
    body = Endless(b"{")
    error = failed(answered(body, 202), call)
    assert isinstance(error, BadAnswer)
    assert error.maybe_applied == (call == "add")
    assert body.taken <= 2 * MIB


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_an_endless_error_is_an_error_still(status: int) -> None:
    body = Endless(b'{"error": {"reason": "X')
    error = failed(answered(body, status, retry_after="9999"))
    assert error.status == status
    assert body.taken <= MIB
    assert isinstance(error, OutOfService) == (status == 401)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("status", [200, 500])
def test_a_packed_bomb_does_not_go_off(layers: int, status: int) -> None:
    piece = zlib.compress(bytes(50 * MIB), 9)
    packer = zlib.compressobj(9, wbits=31)
    bomb = packer.compress(bytes(256 * MIB)) + packer.flush()
    for _ in range(layers - 1):
        bomb = gzip.compress(bomb, 9)
    assert len(bomb) < MIB and len(piece) < MIB
    body = Endless(bomb)
    with taking(320 * MIB if status == 200 and layers == 1 else 10 * MIB):
        error = failed(answered(body, status, content_encoding=", ".join(["gzip"] * layers)))
    assert isinstance(error, BadAnswer if (layers, status) == (1, 200) else Unreachable)
    assert body.taken <= 65 * MIB


@pytest.mark.parametrize("piece", [b"\x00\x00\x00\xff\xff" * 10_000, gzip.compress(b"") * 1000], ids=["empty", "after"])
def test_packing_that_holds_nothing_and_never_ends_is_cut_off(piece: bytes) -> None:
    begin = gzip.compress(b"{}") if piece[:1] == b"\x1f" else gzip.compress(b"")[:10]
    body = Endless(begin, piece)
    with taking(8 * MIB):
        failed(answered(body, content_encoding="gzip"))
    assert body.taken <= 65 * MIB


@pytest.mark.parametrize("unit", [b"[],", b"{},", b'{"a":[]},', b"999,", b'"ab",', b"[[]],"])
def test_json_that_swells_in_memory_is_not_read(unit: bytes) -> None:
    body = b'{"count":1,"results":[' + unit * (12 * MIB // len(unit)) + b"0]}"
    with taking(100 * MIB), pytest.raises(ValueError, match="no list of pins"):
        read_json(body)


def test_a_large_list_of_pins_is_read() -> None:
    pin = {
        "cid": cid(1),
        "name": "a [name], with {all} that: may be, in it",
        "origins": [],
        "meta": {"a": "b", "c": "d"},
    }
    row = {
        "requestid": "1",
        "status": "pinned",
        "created": "2023-11-15T22:13:20Z",
        "pin": pin,
        "delegates": ["/x"],
        "info": {},
    }
    lean = {
        "requestid": "1",
        "status": "pinned",
        "created": "2023-11-15T22:13:20Z",
        "pin": {"cid": cid(1)},
        "delegates": [],
    }
    for one in (row, lean):
        body = json.dumps(
            {"count": 1, "results": [one] * (9 * MIB // len(json.dumps(one)) + 1)}, separators=(",", ":")
        ).encode()
        assert len(body) > 8 * MIB
        assert len(read_json(body)["results"]) > 10_000


@pytest.mark.parametrize(
    "flood",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * (1 << 16),
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 20_000,
        b"HTTP/1.1 " + b"x" * (1 << 17),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * (1 << 17),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * (1 << 17),
    ],
    ids=["header", "headers", "status line", "chunk size", "chunk extension"],
)
def test_a_flood_before_the_body_is_cut_off(flood: bytes) -> None:
    """Real HTTP: what httpx's own parser bounds, and that it does. (`100 Continue` for ever ends by the clock.)"""
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        with suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            while sent < 50 * MIB:
                writer.write(flood)
                sent += len(flood)
                await writer.drain()
        writer.transport.abort()

    async def ask() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        clock = VirtualClock()
        async with RemoteClient(
            "there",
            f"http://127.0.0.1:{port}",
            auth="bearer",
            token=SecretStr("x"),
            clock=clock,
            limiter=RateLimiter(clock, None, 1),
            retry_for=0,
        ) as client:
            with pytest.raises(RemoteError):
                await client.list_page(ListQuery())
        server.close()

    asyncio.run(ask())
    assert sent < 20 * MIB


# -- a node


class Forever:
    """A connection on which `first` comes, then `piece` again and again."""

    def __init__(self, first: bytes, piece: bytes) -> None:
        self.first, self.piece, self.taken = first, piece, 0

    async def read(self, most: int) -> bytes:
        if self.first:
            data, self.first = self.first, b""
            return data
        self.taken += len(self.piece)
        assert self.taken < 100 * MIB, "nobody stops reading"
        return self.piece


class Flood(Wire):
    """A node that answers `id`, and never ends another answer."""

    def __init__(self, flood: Forever, to: str) -> None:
        super().__init__([], {})
        self.flood, self.to = flood, to

    async def _connect(self, url: httpx.URL) -> Any:
        reader, writer = await super()._connect(url)
        command = self._asked.path.removeprefix("/api/v0/")
        return (self.flood if command == self.to else reader), writer


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LINE = b'{"Cid": "' + b"b" * 65_000


@pytest.mark.parametrize(
    ("first", "piece"),
    [
        (HEAD + b"\r\n", LINE),
        (CHUNKED, b"fde8\r\n" + b"x" * 0xFDE8 + b"\r\n"),
        (CHUNKED, b"0" * 65_536),
        (CHUNKED, b"1;" + b"x" * 65_000),
        (CHUNKED + b"0\r\n", b"X: y\r\n" * 10_000),
        (CHUNKED + b"0\r\n", b"X" * 65_536),
        (b"", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 65_000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2500),
        (HEAD + b"Content-Encoding: gzip\r\n\r\n", b"x" * 65_536),
        (b"HTTP/1.1 500 X\r\n\r\n", b"x" * 65_536),
    ],
    ids=[
        "line",
        "chunks",
        "chunk size",
        "chunk extension",
        "trailers",
        "trailer",
        "header",
        "continue",
        "packed",
        "error",
    ],
)
def test_no_answer_of_a_node_goes_on_for_ever(first: bytes, piece: bytes) -> None:
    for command in ("pin/ls", "id"):
        flood = Forever(first, piece)
        node = KuboClient(
            "kubo",
            ApiAddress("http://127.0.0.1:5001", None, "here"),
            retry_for=0,
            clock=VirtualClock(),
            transport=Flood(flood, command),
        )

        async def ask(node: KuboClient = node) -> None:
            async with node:
                reading = await node.read_pins(lambda rows: None)
                assert not reading.complete

        with suppress(NodeError):
            asyncio.run(ask())
        assert flood.taken <= 3 * MIB
    assert whole({"ID": PEER})


# -- files


@pytest.mark.parametrize("size", [10 << 30, 1 << 40])
def test_large_files_are_not_read(size: int, tmp_path: Path) -> None:
    def sparse(name: str) -> Path:
        path = tmp_path / name
        with path.open("wb") as file:
            file.truncate(size)
        return path

    with taking(16 * MIB):
        with pytest.raises(ConfigError, match="are not read"):
            load(sparse("config.toml"), env={"HOME": str(tmp_path)})
        with pytest.raises(ManifestError, match="too large for a manifest"):
            read_manifest(sparse("pins.toml"), remotes=[])
        (tmp_path / "list.toml").write_text('include = ["many/*.txt"]')
        (tmp_path / "many").mkdir()
        sparse("many/a.txt")
        with pytest.raises(ManifestError, match="it may have 256"):
            read_manifest(tmp_path / "list.toml", remotes=[])
        with pytest.raises(ConfigError, match="are not read"):
            load_token(RemoteSettings("there", token_file=sparse("token")), {})


def test_devices_are_not_read(tmp_path: Path) -> None:
    for name in ("config.toml", "pins.toml", "token"):
        (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="not a regular file"):
        load(tmp_path / "config.toml", env={"HOME": str(tmp_path)})
    with pytest.raises(ManifestError, match="device"):
        read_manifest(tmp_path / "pins.toml", remotes=[])
    with pytest.raises(ConfigError, match="not a regular file"):
        load_token(RemoteSettings("there", token_file=tmp_path / "token"), {})


# -- the control socket


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"POST /v1/approve HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", PIECE),
        (b"POST /v1/adopt HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + PIECE + b"\r\n"),
        (b"GET /v1/status HTTP/1.1\r\nX: ", PIECE),
        (b"GET /v1/status HTTP/1.1\r\n", b"X: y\r\n" * 10_000),
        (b"GET /", b"x" * 65_536),
        (b"", PIECE),
        (b"POST /v1/sync HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"0" * 65_536),
    ],
    ids=["body", "chunks", "header", "headers", "target", "nothing", "chunk size"],
)
def test_no_request_to_the_daemon_goes_on_for_ever(head: bytes, piece: bytes) -> None:
    rig = daemon()
    sent = 0
    with taking(80 * MIB), socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(str(socket_path(rig.load(), rig.env)))
        with suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(head)
            while sent < 64 * MIB:
                sock.sendall(piece)
                sent += len(piece)
    assert rig.alive
    assert not rig.log.count("ERROR"), rig.log.lines
