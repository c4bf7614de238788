"""Passes in which nothing changed: few requests whatever the number of pins, and never blind to a change."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from pinsync.emulator.records import Seed
from pinsync.house import reading, writing
from pinsync.model import PinStatus, Safety
from pinsync.people import adopt, approve
from tests.mirror import Mirror, cid

MANY = list(range(300))


@pytest.fixture(params=["spec", "cluster", "filebase", "rb"])
def mirror(request: pytest.FixtureRequest, tmp_path: Path) -> Mirror:
    mirror = Mirror(tmp_path, request.param)
    mirror.pin(*MANY)
    mirror.emulator.become(latency=0.001)
    mirror.sync()
    mirror.later(10)
    mirror.sync()
    return mirror


def requests(mirror: Mirror) -> int:
    """How many requests one pass makes."""
    before = len(mirror.emulator.requests)
    mirror.sync()
    return len(mirror.emulator.requests) - before


def test_a_pass_without_changes_costs_few_requests(mirror: Mirror) -> None:
    mirror.sync()
    assert requests(mirror) <= 10
    assert mirror.status()["verdict"] == "in-sync"
    line = mirror.status()["remotes"][0]
    assert (line["complete"], line["pinned"], line["foreign"]) == (True, len(MANY), 0)


def test_a_full_listing_comes_in_its_time(mirror: Mirror) -> None:
    mirror.sync()
    assert requests(mirror) <= 10
    before = mirror.status()["remotes"][0]["listed_at"]
    mirror.later(6 * 3600 + 1)
    mirror.sync()
    assert mirror.status()["remotes"][0]["listed_at"] > before


def test_every_change_is_noticed_at_once(mirror: Mirror) -> None:
    assert requests(mirror) <= 10
    mirror.pin("new")
    assert mirror.done(mirror.sync()) == {"added": 1}
    mirror.sync()
    mirror.unpin("new")
    assert mirror.done(mirror.sync()) == {"removed": 1}
    mirror.sync()
    assert requests(mirror) <= 10
    mirror.settle(3, PinStatus.FAILED)
    assert mirror.done(mirror.sync()) == {"waiting": 1}
    mirror.settle(3, PinStatus.PINNED)
    mirror.sync()
    assert mirror.status()["verdict"] == "in-sync"
    mirror.later(10)
    mirror.emulator.seed_pins([Seed(cid("foreign"))], created=int(mirror.clock.now() * 1e9))
    mirror.sync()
    assert mirror.status()["remotes"][0]["foreign"] == 1
    mirror.sync()
    gone = next(pin for pin in mirror.emulator.pins() if pin.cid == cid(7))
    mirror.emulator.remove_pins([gone.requestid])
    assert mirror.done(mirror.sync()) == {"waiting": 1}
    assert mirror.done(mirror.sync()) == {"added": 1}


def test_one_pin_for_another_is_noticed_though_the_counts_are_the_same(mirror: Mirror) -> None:
    assert requests(mirror) <= 10
    mirror.later(5)
    gone = next(pin for pin in mirror.emulator.pins() if pin.cid == cid(7))
    mirror.emulator.remove_pins([gone.requestid])
    mirror.emulator.seed_pins([Seed(cid("foreign"))], created=int(mirror.clock.now() * 1e9))
    assert mirror.done(mirror.sync()) == {"waiting": 1}


def test_what_waits_for_its_grace_goes_when_it_is_over_and_not_before(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "spec", safety=Safety(grace=3600))
    mirror.pin(*range(40))
    mirror.sync()
    mirror.unpin(0)
    mirror.sync()
    mirror.sync()
    report = mirror.sync()
    assert report.remotes[0].view.listed == "unchanged"
    assert (mirror.done(report), report.exit_code()) == ({"waiting": 1}, 3)
    assert mirror.status()["remotes"][0]["waiting_removal"] == 1
    mirror.later(3601)
    assert mirror.done(mirror.sync()) == {"removed": 1}


def test_a_persons_word_is_acted_upon_by_the_next_pass(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "spec")
    mirror.pin(*range(40))
    mirror.sync()
    mirror.unpin(*range(20))
    mirror.sync()
    mirror.sync()
    report = mirror.sync()
    assert (report.remotes[0].view.listed, report.exit_code()) == ("unchanged", 4)
    with writing(mirror.settings, "test") as state:
        approve(state.ledger, None, [], now_too=False, at=mirror.clock.now(), by="me")
    assert mirror.done(mirror.sync()) == {"removed": 20}


def test_a_changed_setting_is_acted_upon_by_the_next_pass(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "spec", safety=Safety(grace=3600))
    mirror.pin(*range(40))
    mirror.sync()
    mirror.unpin(0)
    for _ in range(3):
        report = mirror.sync()
    assert report.remotes[0].view.listed == "unchanged"
    mirror.change(safety=Safety(grace=0))
    assert mirror.done(mirror.sync()) == {"removed": 1}


def test_a_service_that_does_not_count_is_listed_every_time(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "nft.storage")
    mirror.pin(*range(40))
    for _ in range(3):
        report = mirror.sync()
    assert report.remotes[0].view.listed == "complete"


class Deaf(httpx.AsyncBaseTransport):
    """A service that does not heed `after`."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_remove_param("after")
        return await self.inner.handle_async_request(request)


def test_a_service_that_does_not_heed_after_is_listed_every_time(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "spec")
    mirror.transports["there"] = Deaf
    mirror.pin(*range(40))
    for _ in range(4):
        report = mirror.sync()
    assert report.remotes[0].view.listed == "complete"


def test_a_pass_that_dies_before_its_end_is_not_remembered_as_quiet(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "spec", safety=Safety(grace=3600))
    mirror.pin(*range(40))
    for _ in range(3):
        mirror.sync()
    mirror.unpin(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pinsync.reconcile.record", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            mirror.sync()
    mirror.pin(0)
    mirror.sync()
    assert mirror.status()["remotes"][0]["wanted"] == 40
    mirror.later(1800)
    mirror.unpin(0)
    mirror.sync()
    mirror.later(1900)
    mirror.sync()
    assert cid(0) in mirror.there(), "its grace began anew"


def test_adopted_pins_are_acted_upon_by_the_next_pass(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "spec")
    mirror.pin(*range(40))
    mirror.sync()
    mirror.seed("a", name="old")
    mirror.pin("a", called="new")
    for _ in range(3):
        report = mirror.sync()
    assert report.remotes[0].view.listed == "unchanged"

    async def take() -> None:
        with writing(mirror.settings, "test") as state, reading(mirror.settings) as ledger:
            assert ledger is not None
            async with mirror._client(mirror.settings.remotes[0], ledger.remote("there")) as client:
                adopted = await adopt(state.ledger, client, (state.mirror_id,), [], mirror.clock)
                assert len(adopted.pins) == 1

    asyncio.run(take())
    assert mirror.done(mirror.sync()) == {"updated": 1}
