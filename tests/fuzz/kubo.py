"""Kubo's answers as bytes on the wire: cut in pieces anywhere, broken, or somebody else's. Read alone, and in a pass.

A real `KuboClient` over a made-up wire. Whatever a list becomes, no pin may be removed: that a pin is gone from the
node is asked for each one, and those answers are true here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

import httpx
from hypothesis import strategies as st

from pinsync.emulator.records import Request
from pinsync.errors import NodeError
from pinsync.sources.kubo import KuboClient, PinRow
from pinsync.sources.kubo_api import ApiAddress
from pinsync.sources.kubo_stream import TrailerTransport
from tests.fuzz.kit import EDITS, JSONS, TEXT, Case, Target, edited, scratch, speakable
from tests.mirror import Mirror, cid
from tests.unit.remote_servers import VirtualClock

PEER = "12D3KooWCM6JHNqzyfRHVLmfZJwe9Htfusgg9x5LoESFXN2FBZGL"


class Wire(TrailerTransport):
    """Answers as a node with `pins` does; what a case says about a question is done to the bytes of its answer."""

    def __init__(self, pins: Sequence[str], spoils: dict[str, dict[str, Any]]) -> None:
        super().__init__(VirtualClock())
        self._pins, self._spoils = pins, spoils
        self.times: dict[str, int] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._asked = request.url
        return await super().handle_async_request(request)

    async def _connect(self, url: httpx.URL) -> Any:
        query = parse_qs(self._asked.query.decode())
        command = self._asked.path.removeprefix("/api/v0/")
        if command == "id":
            kind, answer = "id", whole({"ID": PEER, "AgentVersion": "kubo/0.42.0/", "Addresses": None})
        elif "arg" in query:
            kind, answer = "arg", self._is_pinned(query["arg"][0])
        else:
            kind, answer = "ls", streamed([{"Cid": text, "Type": "recursive"} for text in self._pins])
        self.times[kind] = self.times.get(kind, -1) + 1
        spoil = self._spoils.get(kind)
        if spoil and spoil["from"] <= self.times[kind]:
            answer = spoiled(answer, spoil)
        return Reader(answer, spoil["piece"] if spoil else 1 << 16, spoil["reset"] if spoil else False), Writer()

    def _is_pinned(self, text: str) -> bytes:
        if text in self._pins:
            return whole({"Keys": {text: {"Type": "recursive"}}})
        return whole({"Message": f"path '{text}' is not pinned", "Code": 0, "Type": "error"}, 500)


class Reader:
    """The end of a connection that is read: a piece at a time."""

    def __init__(self, data: bytes, piece: int, reset: bool) -> None:
        self._data, self._piece, self._reset = data, piece, reset

    async def read(self, most: int) -> bytes:
        size = min(most, self._piece)
        piece, self._data = self._data[:size], self._data[size:]
        if not piece and self._reset:
            raise ConnectionResetError("reset by a case")
        return piece


class Writer(asyncio.Transport):
    """The end that is written, into nothing."""

    @property
    def transport(self) -> asyncio.Transport:
        return self

    def write(self, data: object) -> None:
        pass

    def abort(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    async def drain(self) -> None:
        pass

    async def wait_closed(self) -> None:
        pass


def whole(value: Any, status: int = 200) -> bytes:
    body = json.dumps(value).encode() + b"\n"
    return b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        status,
        len(body),
        body,
    )


def streamed(rows: Sequence[Any], trailer: str = "") -> bytes:
    lines = [json.dumps(row).encode() + b"\n" for row in rows]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(line), line) for line in lines)
    last = f"X-Stream-Error: {trailer}\r\n".encode("utf-8", "replace") if trailer else b""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTrailer: X-Stream-Error\r\n"
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n" + last + b"\r\n"


def spoiled(answer: bytes, spoil: dict[str, Any]) -> bytes:
    head, gap, body = answer.partition(b"\r\n\r\n")
    if spoil["rows"] is not None:
        body = streamed(spoil["rows"], spoil["trailer"].replace("\n", " ")).partition(b"\r\n\r\n")[2]
    if spoil["head"]:
        head = edited(head, spoil["head"])
    if spoil["body"]:
        body = edited(body, spoil["body"])
    return head + gap + body


def check(case: Case) -> None:
    _read(case)
    with scratch() as directory:
        _pass(Mirror(directory), case)


def client(pins: Sequence[str], spoils: dict[str, dict[str, Any]]) -> KuboClient:
    address = ApiAddress("http://127.0.0.1:5001", None, "a case", None)
    return KuboClient("kubo", address, retry_for=1.0, clock=VirtualClock(), transport=Wire(pins, spoils))


def _read(case: Case) -> None:
    """The same answer in two sizes of pieces is read alike; a cut one is never taken to be whole."""
    pins = [cid(number) for number in range(20)]
    came = []
    for piece in (1 << 16, 3):
        spoils = {kind: {**spoil, "piece": piece} for kind, spoil in case["spoils"].items()}
        rows: list[PinRow] = []
        try:
            reading = asyncio.run(_list(client(pins, spoils), rows))
            came.append((reading.complete, [row[:2] for row in rows] if reading.complete else None))
            assert reading.complete == (reading.reason is None)
            if reading.reason:
                speakable(reading.reason)
            if reading.complete and cut_only(case["spoils"]):
                assert len(rows) == len(pins), "a list that was cut is taken to be whole"
        except NodeError as error:
            speakable(error)
            came.append((False, None))
    assert came[0] == came[1], came


async def _list(node: KuboClient, rows: list[PinRow]) -> Any:
    async with node:
        return await node.read_pins(rows.extend, on_restart=rows.clear)


def cut_only(spoils: dict[str, dict[str, Any]]) -> bool:
    ls = spoils.get("ls")
    edits = [*ls["head"], *ls["body"]] if ls else []
    return ls is not None and ls["rows"] is None and bool(ls["body"]) and all(edit[0] == "cut" for edit in edits)


def _pass(mirror: Mirror, case: Case) -> None:
    pins = [cid(number) for number in range(4)]
    node: Any = client(pins, {})
    mirror.nodes["kubo"] = node
    mirror.seed("theirs")
    mirror.sync()
    assert len(mirror.emulator.pins()) == 5
    deleted: list[str] = []

    def watch(request: Request) -> None:
        if request.method == "DELETE":
            deleted.append(request.path)

    mirror.emulator.before_request = watch
    for _ in range(2):
        node = client(pins, {kind: {**spoil, "piece": 1000} for kind, spoil in case["spoils"].items()})
        mirror.nodes["kubo"] = node
        report = mirror.sync()
        for trouble in report.troubles:
            speakable(trouble.message)
        json.dumps(mirror.status())
        mirror.later(86_400.0)
    assert deleted == []


ROWS = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {
                "Cid": st.one_of(st.integers(0, 5).map(cid), JSONS),
                "Type": st.one_of(
                    st.sampled_from(["recursive", "recursive", "direct", "indirect", "indirect through x", ""]), JSONS
                ),
            },
            optional={"Name": JSONS, "Message": TEXT, "Keys": JSONS},
        ),
        JSONS,
    ),
    max_size=4,
)
FROM = st.sampled_from([0, 0, 0, 1, 2])
SPOIL = st.fixed_dictionaries(
    {
        "rows": st.one_of(st.none(), ROWS),
        "trailer": TEXT,
        "head": st.one_of(st.just([]), st.just([]), EDITS),
        "body": st.one_of(
            st.just([]), EDITS, st.tuples(st.just("cut"), st.integers(0, 999)).map(lambda cut: [list(cut)])
        ),
        "reset": st.booleans(),
        "from": FROM,
    }
)
KUBO = Target(
    "kubo",
    st.fixed_dictionaries({"spoils": st.dictionaries(st.sampled_from(["ls", "ls", "id"]), SPOIL, min_size=1)}),
    check,
)
