"""Answers that go wrong on purpose, through ASGI and over a real socket."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from pinsync.emulator.app import create_app
from pinsync.emulator.server import EmulatorServer
from tests.unit.emulator_kit import Api, HandClock, cid

PIN = {"cid": cid(1)}


@pytest.fixture(scope="module")
def running() -> Iterator[EmulatorServer]:
    with EmulatorServer("spec") as server:
        yield server


@pytest.fixture
def server(running: EmulatorServer) -> EmulatorServer:
    """One server for all, as new for each."""
    emulator = running.emulator
    emulator.faults.clear()
    emulator.remove_pins([pin.requestid for pin in emulator.pins()])
    emulator.reset_counters()
    return running


def post(server: EmulatorServer, timeout: float = 30.0) -> httpx.Response:
    return httpx.post(f"{server.url}/pins", json=PIN, timeout=timeout)


def cids(server: EmulatorServer) -> list[str]:
    return [pin.cid for pin in server.emulator.pins()]


def test_a_connection_cut_before_the_effect(server: EmulatorServer) -> None:
    server.emulator.faults.next("cut-before", method="POST")
    with pytest.raises(httpx.RemoteProtocolError):
        post(server)
    assert cids(server) == []
    assert [each.status for each in server.emulator.requests] == [None]
    assert post(server).status_code == 202


def test_a_connection_cut_after_the_effect(server: EmulatorServer) -> None:
    server.emulator.faults.next("cut-after", method="POST")
    with pytest.raises(httpx.RemoteProtocolError):
        post(server)
    assert cids(server) == [cid(1)]


def test_a_connection_cut_in_mid_answer(server: EmulatorServer) -> None:
    server.emulator.faults.next("cut-middle")
    got = b""
    with (
        pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|peer closed"),
        httpx.stream("POST", f"{server.url}/pins", json=PIN) as answer,
    ):
        for part in answer.iter_raw():
            got += part
    assert answer.status_code == 202
    assert 0 < len(got) < int(answer.headers["content-length"])
    assert cids(server) == [cid(1)]


def test_a_server_that_hangs(server: EmulatorServer) -> None:
    for action, effect in (("hang", []), ("hang-after", [cid(1)])):
        server.emulator.faults.next(action)
        with pytest.raises(httpx.ReadTimeout):
            post(server, timeout=0.15)
        assert cids(server) == effect


def test_a_connection_is_cut_for_one_alone(server: EmulatorServer) -> None:
    """Others that are under way at the same time are answered."""
    server.emulator.faults.next("cut-after", method="DELETE")
    with httpx.Client(base_url=server.url) as one, httpx.Client(base_url=server.url) as other:
        requestid = one.post("/pins", json=PIN).json()["requestid"]
        assert other.get("/pins").status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            one.delete(f"/pins/{requestid}")
        assert other.get("/pins").json()["count"] == 0
        assert one.get("/pins").status_code == 200


def test_a_server_with_a_hanging_request_stops_at_once() -> None:
    arrived = threading.Event()
    with EmulatorServer("spec") as server:
        server.emulator.before_request = lambda request: arrived.set()
        server.emulator.faults.next("hang")
        outcome: list[Exception] = []

        def ask() -> None:
            try:
                post(server)
            except httpx.TransportError as error:
                outcome.append(error)

        client = threading.Thread(target=ask)
        client.start()
        assert arrived.wait(10)
    client.join(10)
    assert len(outcome) == 1


def test_a_server_with_a_slow_request_stops_at_once(caplog: pytest.LogCaptureFixture) -> None:
    began = time.monotonic()
    with EmulatorServer("spec") as server:
        server.emulator.become(latency=60.0)
        with pytest.raises(httpx.ReadTimeout):
            post(server, timeout=0.1)
    assert time.monotonic() - began < 30
    assert caplog.records == []


# ── through ASGI ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("action", "error", "effect"),
    [
        ("cut-before", httpx.RemoteProtocolError, 0),
        ("cut-after", httpx.RemoteProtocolError, 1),
        ("cut-middle", httpx.RemoteProtocolError, 1),
        ("hang", httpx.ReadTimeout, 0),
        ("hang-after", httpx.ReadTimeout, 1),
    ],
)
def test_without_a_socket_the_client_gets_what_httpx_would_raise(
    action: str, error: type[Exception], effect: int
) -> None:
    api = Api()
    api.emulator.faults.next(action)
    with pytest.raises(error):
        api.post(cid(1))
    assert len(api.emulator.pins()) == effect
    assert api.emulator.requests[0].status is None
    assert api.call("GET", "/pins").status_code == 200


@pytest.mark.parametrize(
    ("action", "status", "body", "effect"),
    [
        ("status:503", 503, b"ERROR_503", 0),
        ("status-after:500", 500, b"ERROR_500", 1),
        ("html", 502, b"<html", 0),
        ("html:200", 200, b"<html", 0),
        ("empty", 202, b"", 1),
        ("garbage", 202, b"\x80\x81", 1),
        ('body:{"odd":1}', 200, b'{"odd":1}', 1),
        ("slow:7", 202, b'"requestid"', 1),
    ],
)
def test_answers_that_are_not_what_they_should_be(action: str, status: int, body: bytes, effect: int) -> None:
    api = Api()
    api.emulator.faults.next(action)
    answer = api.call("POST", "/pins", json=PIN)
    assert answer.status_code == status
    assert body in answer.content
    assert bool(body) == bool(answer.content)
    assert len(api.emulator.pins()) == effect
    assert api.clock.slept == ([7.0] if action.startswith("slow") else [])


def test_a_truncated_answer_looks_whole_to_http() -> None:
    api = Api()
    whole = api.call("POST", "/pins", json=PIN).content
    api.emulator.faults.next("truncate")
    cut = api.call("POST", "/pins", json=PIN).content
    assert len(cut) == len(whole) // 2
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        httpx.Response(200, content=cut).json()


def test_a_fault_waits_for_its_request() -> None:
    api = Api()
    fault = api.emulator.faults.next("status:500", method="get", path="/pins/*", times=2, after=1)
    [requestid] = api.emulator.seed_pins([cid(1)])
    assert api.call("GET", "/pins").status_code == 200
    assert api.delete("nobody").status_code == 404
    codes = [api.call("GET", f"/pins/{requestid}").status_code for _ in range(4)]
    assert codes == [200, 500, 500, 200]
    assert (fault.hits, fault.left, api.emulator.faults.pending) == (2, 0, [])


def test_faults_come_in_the_order_in_which_they_were_asked_for() -> None:
    api = Api()
    api.emulator.faults.next("status:500")
    api.emulator.faults.next("status:503", headers={"Retry-After": "7"})
    answers = [api.call("GET", "/pins") for _ in range(3)]
    assert [(each.status_code, each.headers.get("retry-after")) for each in answers] == [
        (500, None),
        (503, "7"),
        (200, None),
    ]
    api.emulator.faults.next("html")
    api.emulator.faults.clear()
    assert api.call("GET", "/pins").status_code == 200


@pytest.mark.parametrize("action", ["explode", "status:99", "cut", "slow", ""])
def test_a_fault_that_there_is_not_is_an_error_at_once(action: str) -> None:
    with pytest.raises(ValueError, match="no such fault"):
        Api().emulator.faults.next(action)


def test_the_most_requests_at_one_time_are_counted() -> None:
    api = Api(latency=1.0)
    gate = asyncio.Event()

    class Gate(HandClock):
        async def sleep(self, seconds: float) -> None:
            if api.emulator.peak_concurrency == 5:
                gate.set()
            await gate.wait()

    api.emulator.clock = Gate()

    async def five() -> list[Any]:
        transport = httpx.ASGITransport(app=create_app(api.emulator))
        async with httpx.AsyncClient(transport=transport, base_url="http://emulator.test") as client:
            return await asyncio.gather(*(client.get("/pins") for _ in range(5)))

    assert [each.status_code for each in asyncio.run(five())] == [200] * 5
    assert api.emulator.peak_concurrency == 5
    api.emulator.reset_counters()
    assert api.emulator.peak_concurrency == 0
