"""What people say to a daemon: it pauses, goes on, tries again and gives away, also in the middle of a pass."""

from __future__ import annotations

import getpass
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from pinsync.errors import PinsyncError, UsageError
from pinsync.model import PinStatus
from tests.unit.service_kit import HandClock, Rig, cid, manifest, save, until


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as made:
        made.pins.write_text(manifest(1, 2))
        yield made


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def later_than(rig: Rig, before: float) -> bool:
    return float(rig.fact("next_pass_at") or 0) > before


def events(rig: Rig) -> list[tuple[str, str | None]]:
    return [(one["kind"], one["who"]) for one in rig.client.history()["events"]]


def test_a_pause_stops_the_pass_that_is_under_way_and_the_rest_waits(rig: Rig) -> None:
    rig.start()
    rig.configure(remote="concurrency = 1")
    until(lambda: rig.passes() == 2)
    slow = rig.emulator.faults.next("slow:0.3", method="POST", times=9)
    save(rig.pins, manifest(*range(1, 10)))
    until(lambda: slow.hits, "the first of seven to be under way")
    found = rig.client.pause(None, 3600.0, None, "new disk")
    assert [one["reason"] for one in found["paused"]] == ["new disk"]
    rig.log.wait("no passes: everything is paused")
    came = len(rig.there())
    assert came < 9, "what was in flight ended, the rest was not begun"
    with pytest.raises(PinsyncError, match="new disk") as refused:
        rig.client.sync()
    assert refused.value.exit_code == 4
    save(rig.pins, manifest(*range(1, 11)))
    rig.call(lambda daemon: daemon.reload())
    assert rig.client.status()["verdict"] == "held"
    assert len(rig.there()) == came
    ended = rig.client.resume(None)
    assert (len(ended["ended"]), ended["paused"]) == (1, [])
    until(lambda: len(rig.there()) == 10, "everything that waited")
    me = getpass.getuser()
    assert [one for one in events(rig) if one[0] in ("paused", "resumed")] == [("paused", me), ("resumed", me)]


def test_a_pause_outlasts_a_restart_and_ends_by_itself(tmp_path: Path, clock: HandClock) -> None:
    with Rig(tmp_path, clock=clock) as rig:
        rig.pins.write_text(manifest(1))
        rig.start()
        rig.client.pause(None, 3500.0, None, "")
        rig.stop()
        rig.pins.write_text(manifest(1, 2))
        rig.begin()
        rig.log.wait("no passes", 2)
        assert rig._ready.wait(15), "systemd hears that it is ready all the same"
        for _ in range(3):  # by schedule
            before = float(rig.fact("next_pass_at") or 0)
            clock.advance(900)
            until(partial(later_than, rig, before))
        assert rig.there() == {cid(1)}
        assert rig.passes() == 1
        assert float(rig.fact("next_pass_at") or 0) == clock.now() + 800, "the end of the pause"
        clock.advance(801)
        until(lambda: rig.there() == {cid(1), cid(2)})
        until(lambda: rig.triggers() == ["start", "end of a pause"])


def test_trying_again_makes_a_pass_at_once(rig: Rig) -> None:
    rig.start()
    failed = rig.emulator.pins()[0]
    rig.emulator.set_status(failed.requestid, PinStatus.FAILED, "no provider")
    rig.client.sync()
    found = rig.client.retry(None, [])
    assert [one["cid"] for one in found["retried"]] == [failed.cid]
    assert found["pass_asked"]
    until(lambda: "retry" in rig.triggers())
    assert len(rig.emulator.pins()) == 3, "beside the failed one, which goes when a later pass sees this one pinned"
    assert rig.client.retry(None, [])["pass_asked"] is False
    with pytest.raises(UsageError, match="nothing of"):
        rig.client.retry(None, [failed.cid])


def test_a_word_in_the_middle_of_a_pass_is_not_undone_by_it(rig: Rig) -> None:
    """The pass read that the remote takes no pins before somebody spoke, and writes it down again after that."""
    rig.start()
    rig.emulator.become(closed="maintenance")
    save(rig.pins, manifest(*range(1, 9)))
    until(lambda: rig.passes() == 2)
    assert rig.client.status()["remotes"][0]["closed_since"]
    slow = rig.emulator.faults.next("slow:0.8", method="GET")
    waiting = threading.Thread(target=rig.client.sync)
    waiting.start()
    until(lambda: slow.hits, "a pass to be under way")
    rig.emulator.become(closed="")
    found = rig.client.retry("there", [])
    assert (len(found["retried"]), found["opened"]) == (6, [{"remote": "there", "what": "pins"}])
    waiting.join()
    until(lambda: len(rig.there()) == 8)


def test_pins_are_given_away_through_the_daemon(rig: Rig) -> None:
    rig.start()
    assert [one["cid"] for one in rig.client.disown(None, [cid(1)])["disowned"]] == [cid(1)]
    save(rig.pins, manifest(3))
    until(lambda: rig.there() == {cid(1), cid(3)}, "the other one was ours, and went")
    with pytest.raises(UsageError, match="no pin of"):
        rig.client.disown("there", [cid(1)])
    with pytest.raises(UsageError, match="name their CIDs"):
        rig.client.disown(None, [])


def test_the_history_is_told_over_the_socket(rig: Rig) -> None:
    rig.start()
    found = rig.client.history()
    assert [one["trigger"] for one in found["passes"]] == ["start"]
    assert rig.client.history(limit=1, since=0.0)["passes"] == found["passes"]
    life = rig.client.history(cid(1), "there")["history"]
    assert [(one["kind"], one["step"]) for one in life][:1] == [("add", "post")]
    assert life[0]["requests"][0]["method"] == "POST"
    assert rig.client.history(cid(77))["history"] == []


def test_those_who_watch_are_not_alarmed_by_a_pause(tmp_path: Path, clock: HandClock) -> None:
    with Rig(tmp_path, clock=clock) as rig:
        rig.pins.write_text(manifest(1))
        rig.start()
        rig.client.pause(None, 86400.0, None, "")
        rig.log.wait("no passes")
        clock.advance(80000)
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(rig.client.path)), base_url="http://anything") as http:
            assert http.get("/readyz").status_code == 200
            shown = http.get("/metrics").text
        assert "\npinsync_paused 1.0\n" in shown
        assert '\npinsync_remote_paused{remote="there"} 1.0\n' in shown
        assert rig.client.status()["verdict"] == "held"


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("pause", {"for": "long"}, "must be a number"),
    ("pause", {"for": True}, "must be a number"),
    ("pause", {"until": 1.0}, "over already"),
    ("pause", {"until": 1e300}, "must be a number"),
    ("pause", {"remote": "nowhere"}, "no remote is called"),
    ("pause", {"forever": True}, "unknown: forever"),
    ("resume", {"remote": "nowhere"}, "no remote is called"),
    ("retry", {}, "must be a list"),
    ("retry", {"cids": ["nonsense"]}, "not a CID"),
    ("disown", {"cids": []}, "name their CIDs"),
]


def test_words_that_make_no_sense_are_refused(rig: Rig) -> None:
    rig.start()
    transport = httpx.HTTPTransport(uds=str(rig.client.path))
    with httpx.Client(transport=transport, base_url="http://anything") as http:
        for path, body, said in WRONG:
            answer = http.post(f"/v1/{path}", json=body)
            assert (answer.status_code, answer.json()["error"]["exit_code"]) == (400, 2), (path, body)
            assert said in answer.json()["error"]["message"]
        assert http.get("/v1/history?since=yesterday").status_code == 400
    assert rig.client.status()["paused"] == []
