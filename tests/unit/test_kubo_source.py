"""A node's pins over its RPC: what is whole, what is not, and what is said when nothing can be had.

Most tests speak real HTTP over a socket to a small server that plays a node, so that trailers and cuts are real.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from libipld import encode_multibase
from pydantic import SecretStr

from pinsync.cid import key_of
from pinsync.errors import NodeError
from pinsync.sources.kubo import ApiAddress, KuboClient, KuboReading, PinRow

T = TypeVar("T")
PEER = "12D3KooWCM6JHNqzyfRHVLmfZJwe9Htfusgg9x5LoESFXN2FBZGL"
OTHER = "12D3KooWGRUVh4XKmGSMxsTzq8CRjSkE2xHZ4yN9Bb8uYQpMpE1o"
V0 = "QmdrJnfLDWxuMVQ7vbJcBcka8LrSz6kPVCAek9tmBUwFXT"
V1 = "bafybeihgpaz7b63yel5qrwhzgnkivnusc7gyzxau4nrr3r3nlhl2oxbyxy"
TOKEN = "hunter2-hunter2"
JSON = b"Content-Type: application/json\r\n"


def cid(n: int) -> str:
    return str(encode_multibase("b", b"\x01\x55\x12\x20" + n.to_bytes(32, "big")))


def line(text: str, name: str = "") -> bytes:
    return json.dumps({"Cid": text} | ({"Name": name} if name else {}) | {"Type": "recursive"}).encode() + b"\n"


class FakeClock:
    """Time that passes only in pauses."""

    def __init__(self) -> None:
        self.time = 1_000_000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)


class Spool:
    """What an owner of `on_batch` and `on_restart` does."""

    def __init__(self) -> None:
        self.rows: list[PinRow] = []
        self.restarts = 0

    def add(self, rows: Sequence[PinRow]) -> None:
        self.rows.extend(rows)

    def restart(self) -> None:
        self.restarts += 1
        self.rows.clear()

    @property
    def cids(self) -> list[str]:
        return [row[1] for row in self.rows]


def answer(body: bytes, status: str = "200 OK", headers: bytes = JSON) -> bytes:
    return b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s" % (status.encode(), headers, len(body), body)


def stream(*parts: bytes, error: str = "", end: bool = True, headers: bytes = JSON) -> bytes:
    """An answer as Kubo streams it: a chunk each, and the error, if any, as a trailer."""
    head = b"HTTP/1.1 200 OK\r\n" + headers + b"Trailer: X-Stream-Error\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    trailer = f"X-Stream-Error: {error}\r\n".encode() if error else b""
    return head + body + (b"0\r\n" + trailer + b"\r\n" if end else b"")


def identity(peer: str = PEER, agent: str = "kubo/0.42.0/abc", addresses: object = None) -> bytes:
    return answer(json.dumps({"ID": peer, "AgentVersion": agent, "Addresses": addresses}).encode())


def error(message: str, status: str = "500 Internal Server Error") -> bytes:
    return answer(json.dumps({"Message": message, "Code": 0, "Type": "error"}).encode(), status)


class Node:
    """A node whose answers are written down: for each command a list, of which the last is repeated.

    An answer is bytes, after which the connection is closed, or None, to say nothing at all.
    """

    def __init__(self, **commands: Sequence[bytes | None]) -> None:
        self.commands = {name.replace("__", "/"): list(answers) for name, answers in commands.items()}
        self.commands.setdefault("id", [identity()])
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.heads: list[str] = []
        self.silent = asyncio.Event()
        self.over = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split("\r\n")[0].split(" ")
        assert method == "POST"
        url = urlsplit(target)
        command = url.path.partition("/api/v0/")[2]
        self.heads.append(head)
        self.asked.append((command, parse_qs(url.query)))
        answers = self.commands[command]
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        if found is None:
            self.silent.set()
            await self.over.wait()
        else:
            writer.write(found)
        writer.close()

    @property
    def listings(self) -> int:
        return sum(command == "pin/ls" for command, _ in self.asked)


Use = Callable[[KuboClient, Spool], Coroutine[Any, Any, T]]


def with_node(node: Node, use: Use[T], *, socket: Path | None = None, **options: Any) -> T:
    """What `use` answers, given a client of `node` that does not retry unless `options` say so."""
    given: dict[str, Any] = {"clock": FakeClock(), "retry_for": 0, "timeout": 20} | options

    async def main() -> T:
        if socket:
            server = await asyncio.start_unix_server(node, socket)
            address = ApiAddress("http://localhost", socket, "a test")
        else:
            server = await asyncio.start_server(node, "127.0.0.1", 0)
            address = ApiAddress(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/prefix", None, "a test")
        try:
            async with KuboClient("attic", address, **given) as client:
                return await use(client, Spool())
        finally:
            node.over.set()
            server.close()
            await server.wait_closed()

    return asyncio.run(main())


async def read(client: KuboClient, spool: Spool) -> tuple[KuboReading, Spool]:
    return await client.read_pins(spool.add, on_restart=spool.restart), spool


def read_from(node: Node, **options: Any) -> tuple[KuboReading, Spool]:
    return with_node(node, read, **options)


def refused(node: Node, use: Use[Any] = read, **options: Any) -> str:
    with pytest.raises(NodeError) as caught:
        with_node(node, use, **options)
    assert caught.value.node == "attic"
    assert "'attic'" in str(caught.value)
    return str(caught.value)


def test_all_pins_with_their_names_are_read() -> None:
    node = Node(pin__ls=[stream(line(V0, "docs v3"), line(cid(1)), line(cid(2), 'ä"<\\'))])
    reading, spool = read_from(node)
    assert spool.rows == [
        (key_of(V0), V0, "docs v3"),
        (key_of(cid(1)), cid(1), ""),
        (key_of(cid(2)), cid(2), 'ä"<\\'),
    ]
    assert (reading.complete, reading.reason, reading.count) == (True, None, 3)
    assert (reading.name, reading.peer_id, reading.version) == ("attic", PEER, "0.42.0")
    assert reading.names_known
    assert ("pin/ls", {"type": ["recursive"], "stream": ["true"], "names": ["true"]}) in node.asked


def test_a_node_without_pins_is_a_whole_reading() -> None:
    reading, spool = read_from(Node(pin__ls=[stream()]))
    assert (reading.complete, reading.count, spool.rows) == (True, 0, [])


def test_a_unix_socket_is_read(tmp_path: Path) -> None:
    reading, spool = read_from(Node(pin__ls=[stream(line(V0))]), socket=tmp_path / "api.sock")
    assert (reading.complete, spool.cids) == (True, [V0])


def test_many_pins_come_in_batches() -> None:
    sizes = list[int]()
    told = list[int]()

    async def use(client: KuboClient, _: Spool) -> KuboReading:
        return await client.read_pins(lambda rows: sizes.append(len(rows)), progress=told.append)

    reading = with_node(Node(pin__ls=[stream(*(line(cid(n)) for n in range(20_000)))]), use)
    assert reading.count == sum(sizes) == told[-1] == 20_000
    assert len(sizes) > 5
    assert max(sizes) < 3000


def test_an_answer_with_a_length_or_without_framing_is_read_too() -> None:
    bare = b"HTTP/1.1 200 OK\r\n" + JSON + b"\r\n" + line(V0)
    for given in (answer(line(V0)), bare):
        reading, spool = read_from(Node(pin__ls=[given]))
        assert (reading.complete, spool.cids) == (True, [V0])


def test_an_error_in_the_trailer_makes_the_reading_incomplete() -> None:
    reading, spool = read_from(Node(pin__ls=[stream(line(V0), line(cid(1)), error="pinner: datastore \x07corrupt")]))
    assert not reading.complete
    assert reading.reason is not None
    assert "datastore" in reading.reason and "corrupt" in reading.reason and "\x07" not in reading.reason
    assert (reading.count, spool.cids) == (2, [V0, cid(1)])


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (stream(line(V0), line(cid(1))[:20]), "within a line"),
        (stream(line(V0), end=False), "cut"),
        (stream(line(V0), end=False) + b"40\r\n{", "cut"),
        (answer(line(V0)).replace(b"Length: ", b"Length: 1"), "cut"),
        (stream(line(V0), b'{"Message":"context canceled","Code":0,"Type":"error"}\n'), "context canceled"),
        (stream(line(V0), b"<html>\n"), "html"),
        (stream(line(V0), b'{"hello":1}\n'), "hello"),
        (stream(line(V0), b'{"Cid":"bafy","Type":"recursive"}\n'), "bafy"),
        (stream(line(V0), end=False) + b"xyz\r\n", "cut"),
    ],
)
def test_what_is_not_a_whole_list_is_incomplete_and_says_why(given: bytes, why: str) -> None:
    reading, spool = read_from(Node(pin__ls=[given]))
    assert not reading.complete
    assert reading.reason is not None
    assert why in reading.reason and "'attic'" in reading.reason
    assert (reading.count, spool.cids) == (1, [V0])


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (answer(b"<html>hello</html>", headers=b"Content-Type: text/html\r\n"), "html"),
        (answer(b"<html>hello</html>"), "html"),
        (answer(b"", headers=b""), "not Kubo's"),
        (answer(b'{"hello":1}'), "hello"),
        (answer(b"\x00\xff" * 1000), "not a line"),
        (answer(b'{"Keys":{}}\n'), "update"),
        (stream(line(V0), headers=JSON + b"Content-Encoding: gzip\r\n"), "not Kubo's"),
        (stream(error="pinner closed"), "pinner closed"),
        (error("lock: held by another process"), "held by another"),
        (answer(b"Bad Gateway", "502 Bad Gateway"), "502"),
        (answer(b"404 page not found", "404 Not Found"), "gateway"),
        (answer(b"", "405 Method Not Allowed"), "gateway"),
        (answer(b"Access Denied", "403 Forbidden"), "API.Authorizations"),
        (answer(b"", "401 Unauthorized"), "authorization_file"),
        (answer(b"", "307 Temporary Redirect", b"Location: http://elsewhere/\r\n"), "elsewhere"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "cut"),
        (b"", "cut"),
    ],
)
def test_where_not_one_pin_can_be_had_the_error_says_why(given: bytes, why: str) -> None:
    assert why in refused(Node(pin__ls=[given]))


@pytest.mark.parametrize(
    "given",
    [
        answer(b'{"hello":1}'),
        answer(b"[]"),
        answer(b'{"ID":""}'),
        answer(b'{"ID":7}'),
        answer(b'{"ID":"a b c d e f g h"}'),
        answer(b'{"ID":"12D3KooWCM6J","Addresses":5}'),
        answer(b"[" * 100_000),
        answer(b"x" * (2 << 20)),
        answer(b"<html>"),
    ],
)
def test_something_else_that_answers_is_not_taken_for_a_node(given: bytes) -> None:
    node = Node(id=[given], pin__ls=[stream()])
    assert "kubo.api" in refused(node)
    assert node.listings == 0


def test_a_node_that_stops_while_it_lists_is_not_believed() -> None:
    """Kubo 0.42 ends its list cleanly when it is being stopped: no error, no trailer, fewer pins."""
    reading, spool = read_from(Node(id=[identity(), b""], pin__ls=[stream(line(V0))]))
    assert not reading.complete
    assert "stopped" in (reading.reason or "")
    assert spool.cids == [V0]


def test_another_node_that_takes_over_is_not_believed() -> None:
    reading, _ = read_from(Node(id=[identity(), identity(OTHER)], pin__ls=[stream(line(V0))]))
    assert not reading.complete
    assert OTHER in (reading.reason or "")


def test_a_retry_that_meets_another_node_is_refused() -> None:
    node = Node(id=[identity(), identity(OTHER)], pin__ls=[stream(line(V0), end=False)])
    assert OTHER in refused(node, retry_for=20)


def test_a_cut_list_is_begun_again_and_what_came_before_does_not_count() -> None:
    clock = FakeClock()
    pins = [line(cid(n)) for n in range(1500)]
    node = Node(pin__ls=[stream(*pins, end=False), b"", error("busy"), stream(*pins[:2])])
    reading, spool = read_from(node, clock=clock, retry_for=20)
    assert (reading.complete, reading.count, spool.cids) == (True, 2, [cid(0), cid(1)])
    assert spool.restarts == 1
    assert node.listings == 4
    assert reading.read_at > 1_000_000


def test_trying_again_ends_with_the_time_that_is_set_for_it() -> None:
    clock = FakeClock()
    reading, spool = read_from(Node(pin__ls=[stream(line(V0), end=False)]), clock=clock, retry_for=20)
    assert not reading.complete
    assert spool.cids == [V0]  # of the last try, and once
    assert spool.restarts > 5
    assert 15 < clock.time - 1_000_000 < 25


def test_what_another_try_cannot_mend_is_not_tried_again() -> None:
    for given in (answer(b"", "403 Forbidden"), answer(b"<html>")):
        node = Node(pin__ls=[given])
        refused(node, retry_for=20)
        assert node.listings == 1


def test_a_node_that_falls_silent_is_given_up_after_the_timeout() -> None:
    assert "not a byte for 0.05 s" in refused(Node(pin__ls=[None]), timeout=0.05)
    assert "not a byte for 0.05 s" in refused(Node(id=[None]), timeout=0.05)


def test_a_node_that_is_away_is_said_to_be_and_its_api_file_is_named(tmp_path: Path) -> None:
    async def use(address: ApiAddress) -> None:
        async with KuboClient("attic", address, clock=FakeClock(), retry_for=5) as client:
            await client.read_pins(lambda _: None)

    with pytest.raises(NodeError, match="is the daemon running") as caught:
        asyncio.run(use(ApiAddress("http://127.0.0.1:1", None, "the file /r/api", Path("/r/api"))))
    assert "/r/api" in str(caught.value)
    with pytest.raises(NodeError, match="is the daemon running"):
        asyncio.run(use(ApiAddress("http://localhost", tmp_path / "none.sock", "kubo.api")))


def test_a_node_that_tells_no_names_says_so() -> None:
    reading, spool = read_from(Node(id=[identity(agent="go-ipfs/0.9.1/")], pin__ls=[stream(line(V0), line(cid(1)))]))
    assert [row[2] for row in spool.rows] == [None, None]
    assert (reading.complete, reading.names_known, reading.version) == (True, False, "0.9.1")


def test_a_node_that_refuses_to_be_asked_for_names_is_asked_without() -> None:
    unknown = answer(b'unrecognized option "names"', "400 Bad Request", b"Content-Type: text/plain\r\n")
    node = Node(id=[identity(agent="something/1")], pin__ls=[unknown, stream(line(V0))])
    reading, spool = read_from(node)
    assert spool.rows == [(key_of(V0), V0, None)]
    assert (reading.complete, reading.names_known, reading.version) == (True, False, None)
    assert "names" not in node.asked[-2][1]


def test_a_failure_of_the_owner_is_the_owners() -> None:
    def full(_: Sequence[PinRow]) -> None:
        raise RuntimeError("disk full")

    async def use(client: KuboClient, _: Spool) -> None:
        await client.read_pins(full)

    with pytest.raises(RuntimeError, match="disk full"):
        with_node(Node(pin__ls=[stream(line(V0))]), use, retry_for=20)


def test_who_answers_and_where_it_can_be_reached() -> None:
    async def use(client: KuboClient, _: Spool) -> None:
        found = await client.identity()
        assert (found.peer_id, found.version, found.addresses) == (PEER, "0.42.0", ("/ip4/8.8.8.8/tcp/4001",))
        offline = await client.identity()
        assert offline.addresses == ()
        assert await client.version() == "0.42.0"

    node = Node(
        id=[identity(addresses=["/ip4/8.8.8.8/tcp/4001", 5]), identity()], version=[answer(b'{"Version":"0.42.0"}')]
    )
    with_node(node, use)


def keys(text: str, kind: str = "recursive") -> bytes:
    return answer(json.dumps({"Keys": {text: {"Type": kind, "Name": ""}}}).encode())


def pinned(*answers: bytes, cid: str = V0, **options: Any) -> tuple[bool, list[str]]:
    async def use(client: KuboClient, _: Spool) -> bool:
        return await client.is_pinned(cid)

    node = Node(pin__ls=answers)
    found = with_node(node, use, **options)
    return found, [query["arg"][0] for _, query in node.asked]


NOT_PINNED = error(f"path '{V0}' is not pinned")


def test_a_pin_is_found_by_its_spelling() -> None:
    assert pinned(keys(V0)) == (True, [V0])


def test_a_pin_is_found_by_its_other_spelling() -> None:
    """Kubo says "is not pinned" when it is asked for the other version of what it has pinned."""
    assert pinned(NOT_PINNED, keys(V1)) == (True, [V0, V1])
    assert pinned(NOT_PINNED, keys(V0), cid=V1) == (True, [V1, V0])


def test_a_pin_is_gone_when_no_spelling_of_it_is_pinned() -> None:
    assert pinned(NOT_PINNED) == (False, [V0, V1])
    assert pinned(NOT_PINNED, cid=cid(1)) == (False, [cid(1)])


def test_direct_and_indirect_pins_do_not_count() -> None:
    assert pinned(keys(V0, "direct"), NOT_PINNED)[0] is False
    assert pinned(keys(V0, f"indirect through {V1}"), NOT_PINNED)[0] is False


@pytest.mark.parametrize(
    "given",
    [
        error("context canceled"),
        error("pinner: is closed"),
        answer(b"is not pinned", "500 Internal Server Error", b"Content-Type: text/plain\r\n"),
        answer(b'{"Keys":{}}'),
        answer(b'{"Keys":null}'),
        answer(b'{"Keys":[]}'),
        answer(b"{}"),
        answer(b'{"hello":1}'),
        answer(b"not pinned"),
        answer(b"is not pinned", "404 Not Found"),
        answer(b"", "403 Forbidden"),
        keys(cid(5)),
        b"",
    ],
)
def test_any_other_answer_is_no_proof_that_a_pin_is_gone(given: bytes) -> None:
    async def use(client: KuboClient, _: Spool) -> bool:
        return await client.is_pinned(V0)

    refused(Node(pin__ls=[given]), use)
    refused(Node(pin__ls=[NOT_PINNED, given]), use)


def test_asking_for_what_is_no_cid_asks_nothing() -> None:
    async def use(client: KuboClient, _: Spool) -> bool:
        return await client.is_pinned("../../shutdown")

    node = Node()
    assert "not a CID" in refused(node, use)
    assert node.asked == []


def test_a_short_question_is_asked_again_when_the_connection_breaks() -> None:
    assert pinned(b"", answer(b"", "503 Service Unavailable"), keys(V0), retry_for=20) == (True, [V0, V0, V0])


def test_a_peer_is_dialled_once() -> None:
    async def use(client: KuboClient, _: Spool) -> None:
        await client.connect(f"/ip4/8.8.8.8/tcp/4001/p2p/{OTHER}")

    node = Node(swarm__connect=[answer(b'{"Strings":["connect success"]}'), error("dial backoff")])
    with_node(node, use)
    assert node.asked == [("swarm/connect", {"arg": [f"/ip4/8.8.8.8/tcp/4001/p2p/{OTHER}"]})]
    assert "dial backoff" in refused(node, use, retry_for=20)
    assert len(node.asked) == 2


@pytest.mark.parametrize(
    ("secret", "header"),
    [
        (TOKEN, f"Bearer {TOKEN}"),
        (f"Bearer {TOKEN}\n", f"Bearer {TOKEN}"),
        (f"bearer:{TOKEN}", f"Bearer {TOKEN}"),
        (f"basic:me:{TOKEN}", "Basic bWU6aHVudGVyMi1odW50ZXIy"),
        ("basic:bWU6aHVudGVyMi1odW50ZXIy", "Basic bWU6aHVudGVyMi1odW50ZXIy"),
        ("Basic bWU6aHVudGVyMi1odW50ZXIy", "Basic bWU6aHVudGVyMi1odW50ZXIy"),
    ],
)
def test_the_authorization_is_sent_with_every_request(secret: str, header: str) -> None:
    node = Node(pin__ls=[stream(line(V0))])
    read_from(node, authorization=SecretStr(secret))
    assert len(node.heads) == 3
    for head in node.heads:
        sent = [text.partition(": ")[2] for text in head.split("\r\n") if text.lower().startswith("authorization:")]
        assert sent == [header]
        assert "origin:" not in head.lower()


@pytest.mark.parametrize("secret", ["", "two\nlines", "Bearer ", "pässwörd", "Bearer hunter\0b", "Bearer pässwörd"])
def test_an_authorization_that_no_header_can_carry_is_refused_without_being_told(secret: str) -> None:
    said = refused(Node(), authorization=SecretStr(secret))
    assert "authorization_file" in said
    for part in ("lines", "pässwörd", "hunter"):
        assert part not in said


def test_the_authorization_is_in_no_message_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echo = f"you sent Authorization: Bearer {TOKEN}"
    answers = [
        error(echo),
        answer(echo.encode(), "400 Bad Request"),
        answer(echo.encode()),
        answer(b"", "302 Found", f"Location: http://x/?{TOKEN}\r\n".encode()),
        stream(error=echo),
        stream(line(V0), echo.encode() + b"\n"),
        stream(line(V0), json.dumps({"Message": echo}).encode() + b"\n"),
        stream(line(V0), json.dumps({"Cid": echo, "Type": "recursive"}).encode() + b"\n"),
        stream(line(V0), end=False) + TOKEN.encode() + b"\r\n",
    ]
    for given in answers:
        try:
            reading, _ = read_from(Node(pin__ls=[given]), authorization=SecretStr(TOKEN))
        except NodeError as failure:
            assert TOKEN not in f"{failure}{failure!r}"
        else:
            assert not reading.complete
            assert TOKEN not in repr(reading)
    assert caplog.records
    assert TOKEN not in caplog.text


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    reading, _ = read_from(Node(pin__ls=[stream(line(V0))]))
    assert reading.complete


def test_a_transport_of_the_tests_own_is_used_for_everything() -> None:
    bodies: Mapping[str, bytes] = {
        "/api/v0/id": json.dumps({"ID": PEER, "AgentVersion": "kubo/0.42.0"}).encode(),
        "/api/v0/pin/ls": line(V0),
    }

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Type": "application/json"}, content=bodies[request.url.path])

    async def main() -> tuple[KuboReading, Spool]:
        address = ApiAddress("http://node.invalid", None, "a test")
        transport = httpx.MockTransport(handle)
        async with KuboClient("attic", address, clock=FakeClock(), transport=transport) as client:
            return await read(client, Spool())

    reading, spool = asyncio.run(main())
    assert (reading.complete, spool.cids) == (True, [V0])


def test_leaving_in_the_middle_of_a_list_leaves_nothing_behind() -> None:
    async def use(client: KuboClient, _: Spool) -> None:
        reading = asyncio.create_task(client.read_pins(lambda _: None))
        await node.silent.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    node = Node(pin__ls=[None])
    with_node(node, use)
    assert node.listings == 1
