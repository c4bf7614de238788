"""The stream of events: what is told, to whom, and that nobody waits for a reader."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from pinsync.emulator.behaviour import FOREVER
from pinsync.errors import PinsyncError
from pinsync.ledger.ledger import Ledger
from pinsync.ledger.store import Store
from pinsync.model import PinStatus
from pinsync.service import events as module
from pinsync.service.events import Events, Reader
from pinsync.service.monitor import Monitor
from tests.unit.remote_servers import VirtualClock
from tests.unit.service_kit import HandClock, Rig, cid, manifest, save, until


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as made:
        made.pins.write_text(manifest(1, 2))
        yield made


class Ear:
    """Listens to a daemon's events in a thread."""

    def __init__(self, rig: Rig) -> None:
        self.heard: list[dict[str, Any]] = []
        self.ended = threading.Event()
        self._http = httpx.Client(transport=httpx.HTTPTransport(uds=str(rig.client.path)), base_url="http://x")
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def _listen(self) -> None:
        with self._http, self._http.stream("GET", "/v1/events", timeout=None) as answer:
            assert answer.headers["content-type"] == "application/x-ndjson"
            for line in answer.iter_lines():
                self.heard.append(json.loads(line))
        self.ended.set()

    def __enter__(self) -> Self:
        self._thread.start()
        self.wait("hello")
        return self

    def __exit__(self, *_: object) -> None:
        return

    def all(self, event: str) -> list[dict[str, Any]]:
        return [one for one in self.heard if one["event"] == event]

    def wait(self, event: str, fits: Callable[[dict[str, Any]], bool] = lambda one: True) -> dict[str, Any]:
        return until(lambda: list(filter(fits, self.all(event))), event)[0]


@contextmanager
def events(tmp_path: Path) -> Iterator[tuple[Events, Ledger]]:
    store = Store.open(tmp_path / "ledger.db")
    try:
        ledger = Ledger(store)
        yield Events(VirtualClock(), lambda: ledger), ledger
    finally:
        store.close()


def monitor_of(rig: Rig) -> Monitor:
    assert rig.daemon is not None and rig.daemon._runner is not None
    return rig.daemon._runner.monitor


# -- what is told ----------------------------------------------------------------------------------------------------


def test_a_reader_hears_of_a_pass_from_its_beginning_to_its_end_and_of_each_action(rig: Rig) -> None:
    rig.start()
    with Ear(rig) as ear:
        hello = ear.heard[0]
        assert (hello["verdict"], hello["daemon"]["running"]) == ("in-sync", True)
        save(rig.pins, manifest(1, 3))
        ear.wait("pass-ended")
        order = [one["event"] for one in ear.heard if one["event"] not in ("progress", "alive")]
        assert order[:3] == ["hello", "manifest-changed", "pass-begun"]
        assert ear.all("manifest-changed")[0]["problems"] == []
        actions = {(one["kind"], one["cid"], one["state"]) for one in ear.all("action")}
        assert actions == {("add", cid(3), "done"), ("remove", cid(2), "done")}
        assert {one["step"] for one in ear.all("progress")} == {"read", "apply"}
        over = ear.all("pass-ended")[0]
        assert (over["trigger"], over["exit_code"], over["result"]["remotes"][0]["added"]) == ("manifest", 0, 1)
        rig.stop()
        assert ear.ended.wait(10)
        assert ear.heard[-1]["event"] == "ending"


def test_a_changed_verdict_and_what_is_held_are_told_once(rig: Rig) -> None:
    rig.extra = 'removals = "approve"'
    rig.configure()
    rig.start()
    with Ear(rig) as ear:
        save(rig.pins, manifest(1))
        told = ear.wait("verdict-changed")
        assert (told["from"], told["to"]) == ("in-sync", "held")
        held = ear.wait("held")
        assert (held["remote"], held["count"]) == ("there", 1)
        assert held["reasons"][0]["kind"] == "remove"
        rig.client.sync()
        until(lambda: len(ear.all("pass-ended")) == 2)
        assert len(ear.all("verdict-changed")) == len(ear.all("held")) == 1
        rig.client.approve(None, [])
        rig.client.sync()
        assert ear.wait("held", lambda one: one["count"] == 0)["reasons"] == []
        assert ear.wait("verdict-changed", lambda one: one["from"] == "held")["to"] == "in-sync"


def test_a_pin_that_is_followed_is_told_when_it_moves(tmp_path: Path) -> None:
    clock = HandClock()
    with Rig(tmp_path, clock=clock) as rig:
        rig.emulator.become(settle=FOREVER)
        rig.pins.write_text(manifest(1))
        rig.start()
        with Ear(rig) as ear:
            rig.emulator.set_status(rig.emulator.pins()[0].requestid, PinStatus.PINNED)
            clock.advance(6)
            moved = ear.wait("action", lambda one: one["kind"] == "follow")
            assert (moved["cid"], moved["outcome"]) == (cid(1), "pinned")
            assert ear.wait("verdict-changed")["to"] == "in-sync"


def test_a_manifest_that_is_wrong_is_told_with_its_lines(rig: Rig) -> None:
    rig.start()
    with Ear(rig) as ear:
        save(rig.pins, "nonsense\n")
        assert "pins.toml:1" in ear.wait("manifest-changed")["problems"][0]
        assert ear.wait("pass-ended")["exit_code"] == 2


# -- who listens -----------------------------------------------------------------------------------------------------


def test_a_reader_that_reads_nothing_is_cut_off_and_the_pass_goes_on(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKLOG", 20)
    rig.start()
    with closing(socket.socket(socket.AF_UNIX)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        deaf.connect(str(rig.client.path))
        deaf.sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
        monitor = monitor_of(rig)
        until(lambda: monitor.events.wanted, "the reader")
        for number in range(400):  # far more than the sockets' buffers and the backlog hold
            rig.call(lambda _, number=number: monitor.events.tell("noise", number=number, said="x" * 2000))  # type: ignore[misc]
        until(lambda: not monitor.events.wanted, "the reader to be dropped")
        save(rig.pins, manifest(1, 2, 3))
        until(lambda: rig.there() == {cid(1), cid(2), cid(3)})
        while deaf.recv(1 << 20):  # what was under way, and then the end
            pass
    assert rig.log.count("ERROR") == 0


def test_there_are_not_too_many_readers(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_READERS", 1)
    rig.start()
    with Ear(rig):
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(rig.client.path)), base_url="http://x") as http:
            answer = http.get("/v1/events")
        assert answer.status_code == 500 and "there may be no more" in answer.json()["error"]["message"]
    monitor = monitor_of(rig)
    assert monitor.events.wanted


def test_one_who_goes_away_is_told_nothing_more(rig: Rig) -> None:
    rig.start()
    monitor = monitor_of(rig)
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.connect(str(rig.client.path))
        sock.sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
        heard = bytearray()
        while b"hello" not in heard:
            heard += sock.recv(65536)
        assert monitor.events.wanted
    until(lambda: not monitor.events.wanted, "its place to be free")


# -- the parts -------------------------------------------------------------------------------------------------------


def test_progress_is_left_out_for_a_reader_that_lags_and_events_are_not(tmp_path: Path) -> None:
    async def run() -> list[str]:
        with events(tmp_path) as (told, _), Reader(told, lambda: None) as reader:
            for count in range(module.PROGRESS_BACKLOG + 50):
                told.progress({"step": "read", "what": f"thing {count}", "count": 1, "of": 1})
            told.tell("pass-ended")
            told.close()
            return [json.loads(line)["event"] async for line in reader.lines()]

    heard = asyncio.run(run())
    assert heard == ["progress"] * module.PROGRESS_BACKLOG + ["pass-ended", "ending"]


def test_progress_is_told_now_and_then_and_its_end_always(tmp_path: Path) -> None:
    async def run() -> list[int]:
        with events(tmp_path) as (told, _), Reader(told, lambda: None) as reader:
            for count in range(1001):  # on a clock that stands still
                told.progress({"step": "apply", "what": "mirroring", "count": count, "of": 1000})
            told.close()
            return [found["count"] async for line in reader.lines() if "count" in (found := json.loads(line))]

    assert asyncio.run(run()) == [0, 1000]


def test_much_that_is_written_at_once_is_cut_short_and_said_so(tmp_path: Path) -> None:
    async def run() -> list[dict[str, Any]]:
        with events(tmp_path) as (told, ledger), Reader(told, lambda: None) as reader:
            for number in range(module.AT_ONCE + 7):
                ledger.happened("adopted", 1.0, who="somebody", cid=str(number))
            await asyncio.sleep(0)
            ledger.happened("paused", 1.0, who="somebody")
            told.close()
            return [json.loads(line) async for line in reader.lines()]

    heard = asyncio.run(run())
    assert [one["event"] for one in heard] == ["event"] * module.AT_ONCE + ["left-out", "event", "ending"]
    assert heard[module.AT_ONCE]["count"] == 7
    assert (heard[-2]["kind"], heard[-2]["who"], heard[-2]["cid"]) == ("paused", "somebody", None)


def test_the_ledger_asks_nothing_more_of_the_disk_when_nobody_listens(tmp_path: Path) -> None:
    async def run() -> None:
        with events(tmp_path) as (told, ledger):
            with Reader(told, lambda: None):
                assert ledger.heard is not None
            assert not told.wanted
            assert vars(ledger)["heard"] is None

    asyncio.run(run())


def test_a_quiet_daemon_lets_its_readers_know_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ALIVE_EVERY", 0.01)

    async def run() -> str:
        with events(tmp_path) as (told, _), Reader(told, lambda: None) as reader:
            async for line in reader.lines():
                return str(json.loads(line)["event"])
        raise AssertionError

    assert asyncio.run(run()) == "alive"


def test_no_room_is_an_error_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_READERS", 0)
    with events(tmp_path) as (told, _), pytest.raises(PinsyncError, match="there may be no more"):
        told.room()


def test_what_cannot_be_told_hinders_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        with events(tmp_path) as (told, ledger), Reader(told, lambda: None) as reader:
            told.tell("nonsense", of=object())
            ledger.happened("paused", 1.0)
            told.close()
            assert [json.loads(line)["event"] async for line in reader.lines()] == ["event", "ending"]

    asyncio.run(run())
    assert "telling of 'nonsense' failed" in caplog.text
