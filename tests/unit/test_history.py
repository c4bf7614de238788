"""What was, as `pinsync history` has it: each request for a pin with its answer, each change seen, each pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pinsync.cid import parse_cid
from pinsync.cli.render_history import history_lines, life_lines
from pinsync.cli.text import plain
from pinsync.history import cid_history, history
from pinsync.house import reading, writing
from pinsync.ledger.life import changes
from pinsync.ledger.records import MOST_REQUESTS, exchanges_of, exchanges_text
from pinsync.model import PinStatus, Safety
from pinsync.people import approve
from pinsync.planning.plan import PinState
from pinsync.remote.calls import RequestRecord, hearing, note_request
from tests.mirror import TOKEN, Mirror, cid
from tests.unit.planning import entry

DAY = 86400.0


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    return Mirror(tmp_path)


def told(mirror: Mirror, **asked: Any) -> dict[str, Any]:
    with reading(mirror.settings) as ledger:
        return history(ledger, now=mirror.clock.now(), **asked)


def life(mirror: Mirror, name: object, **asked: Any) -> list[dict[str, Any]]:
    with reading(mirror.settings) as ledger:
        found: list[dict[str, Any]] = cid_history(ledger, parse_cid(cid(name)), **asked)["history"]
        return found


def requests(one: dict[str, Any]) -> list[tuple[str, int | None]]:
    return [(f"{request['method']} {request['path']}", request["status"]) for request in one["requests"]]


# -- the life of a pin


def test_every_request_for_a_pin_is_told_with_its_answer(mirror: Mirror) -> None:
    mirror.pin("a", "b")
    mirror.sync()
    mirror.unpin("a")
    mirror.sync()
    [added, unwanted, removed] = life(mirror, "a")
    [id_] = {added["requestid"], removed["requestid"]}
    assert (added["kind"], added["step"], added["state"], added["outcome"]) == ("add", "post", "done", "pinned")
    assert requests(added) == [("POST /pins", 202)]
    assert added["requests"][0]["seconds"] > 0
    assert added["at"] <= added["requests"][0]["at"] <= added["settled_at"]
    assert (unwanted["kind"], unwanted["outcome"]) == ("unwanted", "no source wants it")
    assert (removed["kind"], removed["step"], removed["state"]) == ("remove", "delete", "done")
    assert requests(removed) == [(f"GET /pins/{id_}", 200), (f"DELETE /pins/{id_}", 202)]
    assert removed["pass"] == added["pass"] + 1


def test_tries_that_failed_are_told_one_by_one(mirror: Mirror) -> None:
    mirror.change(retry_for=30.0)
    mirror.pin("a", "b")
    mirror.sync()
    mirror.unpin("a")
    mirror.emulator.faults.next("status:503", method="DELETE", times=2)
    mirror.sync()
    removed = life(mirror, "a")[-1]
    assert [status for _, status in requests(removed)] == [200, 503, 503, 202]
    assert mirror.there() == {cid("b"): ["pinned"]}


def test_a_lost_answer_is_told_as_such_and_what_was_looked_up_then(mirror: Mirror) -> None:
    mirror.pin("a")
    mirror.emulator.faults.next("cut-after", method="POST")
    mirror.sync()
    mirror.sync()
    [added, *_] = life(mirror, "a")
    assert added["state"] == "done", "settled by the next pass's list"
    [request] = added["requests"]
    assert (request["method"], request["status"]) == ("POST", None)
    assert request["error"]


def test_refusals_and_tries_after_them_are_told_in_the_services_words(mirror: Mirror) -> None:
    mirror.emulator.become(closed="maintenance")
    mirror.pin("a")
    mirror.sync()
    mirror.emulator.become(closed="")
    mirror.later(DAY)
    mirror.sync()
    first, second = life(mirror, "a")
    assert first["state"] == "failed"
    assert "MAINTENANCE" in first["outcome"]
    assert requests(first) == [("POST /pins", 503)]
    assert (second["state"], requests(second)) == ("done", [("POST /pins", 202)])
    assert TOKEN not in str(first)


def test_changes_that_a_list_or_a_look_shows_are_told(mirror: Mirror) -> None:
    mirror.emulator.become(settle=1e9)
    mirror.pin("a")
    mirror.sync()
    mirror.settle("a", PinStatus.PINNING)
    mirror.later(10)
    mirror.sync()
    mirror.settle("a", PinStatus.PINNED)
    mirror.later(10)
    mirror.sync()
    mirror.settle("a", PinStatus.FAILED, "disk error")
    mirror.sync()
    assert [one["outcome"] for one in life(mirror, "a")] == ["queued", "pinning", "pinned", "failed: disk error"]


def test_looking_again_without_a_change_leaves_nothing(mirror: Mirror) -> None:
    mirror.emulator.become(settle=1e9)
    mirror.pin("a")
    for _ in range(5):
        mirror.sync()
        mirror.later(60)
    assert [one["kind"] for one in life(mirror, "a")] == ["add"]


def test_going_away_and_being_wanted_again_are_told(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, safety=Safety(grace=DAY))
    mirror.pin("a", "b")
    mirror.sync()
    mirror.unpin("a")
    mirror.sync()
    mirror.pin("a")
    mirror.sync()
    [lost] = [pin for pin in mirror.emulator.pins() if pin.cid == cid("a")]
    mirror.emulator.remove_pins([lost.requestid])
    mirror.sync()
    mirror.sync()
    shown = [(one["kind"], one["outcome"]) for one in life(mirror, "a")]
    assert shown[1:4] == [("unwanted", "no source wants it"), ("wanted", "again, by node:kubo"), ("seen", "missing")]
    assert shown[4][0] == "add"


def test_words_of_people_stand_among_what_was_done(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, safety=Safety(grace=DAY))
    mirror.pin("a", "b", "c")
    mirror.sync()
    mirror.unpin("a", "b")
    mirror.sync()
    with writing(mirror.settings, "test") as state:
        cids = [parse_cid(cid(name)) for name in "ab"]
        approve(state.ledger, None, cids, now_too=True, at=mirror.clock.now(), by="alice")
    mirror.sync()
    kinds = [(one["kind"], one["who"], one["approved"]) for one in life(mirror, "a")]
    assert kinds[2:] == [("approved", "alice", False), ("remove", None, True)]
    [event] = told(mirror)["events"]
    assert (event["kind"], event["who"], event["pins"], event["remote"]) == ("approved", "alice", 2, "there")


def test_a_life_can_be_cut_to_its_end_to_a_time_or_to_a_remote(mirror: Mirror) -> None:
    mirror.add_remote("other")
    mirror.pin("a")
    mirror.sync()
    begun = mirror.clock.now()
    mirror.later(DAY)
    mirror.settle("a", PinStatus.FAILED)
    mirror.sync()
    assert {one["remote"] for one in life(mirror, "a")} == {"there", "other"}
    assert {one["remote"] for one in life(mirror, "a", remote="other")} == {"other"}
    assert [one["kind"] for one in life(mirror, "a", most=1)] == ["seen"]
    assert [one["kind"] for one in life(mirror, "a", since=begun + 1)] == ["seen"]


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        (entry(), entry(), []),
        (entry(), replace(entry(), follows=3), []),
        (entry(), replace(entry(), state=PinState.MISSING), ["seen: missing"]),
        (entry(), replace(entry(), wanted=False), ["unwanted: no source wants it"]),
        (
            entry(),
            replace(entry(), wanted=False, unwanted_why="nodes"),
            ["unwanted: a change of the configuration (nodes)"],
        ),
        (entry(wanted=False), None, ["forgotten: not wanted, and none of ours is there any more"]),
        (entry(was_there="ours"), entry(was_there="foreign"), ["seen: pinned, not ours"]),
        (entry(), replace(entry(), state=PinState.FAILED, error="why"), ["seen: failed: why"]),
    ],
)
def test_what_counts_as_a_change(before: Any, after: Any, what: Sequence[str]) -> None:
    assert [f"{kind}: {words}" for _, kind, words in changes(before, after)] == what


def test_requests_come_back_as_they_were_and_a_flood_is_cut() -> None:
    one = RequestRecord("GET", "/pins/{requestid}", 404, 0.25, None, 1_790_000_000.5, "a/b é")
    [shown] = exchanges_of(exchanges_text([one]))
    assert shown == {"at": "2026-09-21T14:13:20.500Z", "method": "GET", "path": "/pins/a%2Fb%20%C3%A9", "status": 404,
                     "seconds": 0.25, "error": None}  # fmt: skip
    assert len(exchanges_of(exchanges_text([one] * 999))) == MOST_REQUESTS
    assert exchanges_of("nonsense") == exchanges_of(None) == exchanges_of("[[1]]") == []


def test_whoever_hears_gets_the_requests_of_its_own() -> None:
    one = RequestRecord("GET", "/pins", 200, 0.1, None)
    note_request(one)
    with hearing() as outer:
        note_request(one)
        with hearing() as inner:
            note_request(one)
            note_request(one)
    assert (len(outer), len(inner)) == (1, 2)


# -- passes


def test_passes_are_told_with_what_they_did(mirror: Mirror) -> None:
    mirror.pin("a", "b")
    mirror.sync()
    mirror.later(900)
    mirror.node.away = "it is being restarted"
    mirror.sync()
    first, second = told(mirror)["passes"]
    assert (first["trigger"], first["good"], first["exit_code"]) == ("test", True, 0)
    [there] = first["remotes"]
    assert (there["name"], there["added"]) == ("there", 2)
    assert (second["good"], second["exit_code"]) == (False, 1)
    assert "being restarted" in second["errors"][0]["message"]


def test_the_newest_are_last_and_limits_cut_off_the_oldest(mirror: Mirror) -> None:
    begun = mirror.clock.now()
    for _ in range(4):
        mirror.sync()
        mirror.later(900)
    numbers = [one["number"] for one in told(mirror)["passes"]]
    assert numbers == sorted(numbers) and len(numbers) == 4
    cut = told(mirror, most=3)
    assert ([one["number"] for one in cut["passes"]], cut["more"]) == (numbers[1:], True)
    assert [one["number"] for one in told(mirror, since=begun + 1000)["passes"]] == numbers[2:]
    assert told(mirror, most=4)["more"] is False


def test_a_remote_that_a_pass_left_out_has_no_part_in_it(mirror: Mirror) -> None:
    mirror.add_remote("other")
    mirror.sync()
    mirror.sync(only="other")
    found = told(mirror, remote="there")["passes"]
    assert [[one["name"] for one in each["remotes"]] for each in found] == [["there"]]
    assert len(told(mirror, remote="other")["passes"]) == 2


def test_a_pass_that_was_cut_off_is_told(mirror: Mirror) -> None:
    with writing(mirror.settings, "test") as state:
        state.ledger.start_run("schedule", mirror.clock.now())
    [one] = told(mirror)["passes"]
    assert (one["finished_at"], one["good"], one["remotes"]) == (None, None, [])
    assert "under way or interrupted" in "\n".join(text(mirror))
    mirror.sync()
    assert " interrupted" in text(mirror)[0]


def test_without_a_ledger_there_is_nothing_to_tell(mirror: Mirror) -> None:
    assert told(mirror) == {"format": 1, "passes": [], "events": [], "more": False}
    assert life(mirror, "a") == []


# -- for people


def text(mirror: Mirror, **how: Any) -> list[str]:
    return [plain(one) for one in history_lines(told(mirror), width=None, **how)]


def test_passes_that_found_the_same_and_did_nothing_are_one_line(mirror: Mirror) -> None:
    mirror.pin("a")
    for _ in range(6):
        mirror.sync()
        mirror.later(900)
    mirror.node.away = "gone"
    for _ in range(3):
        mirror.sync()
        mirror.later(900)
    lines = text(mirror)
    assert len(lines) == 4, "what it did, nothing to do, the failing, and why"
    assert "1 added" in lines[0]
    assert "5 passes" in lines[1] and "in sync" in lines[1] and "nothing to do" in lines[1]
    assert "3 passes" in lines[2] and "failing" in lines[2]
    assert "gone" in lines[3]
    assert sum("passes" in line for line in text(mirror, verbose=True)) == 0
    assert sum("requests, " in line for line in text(mirror, verbose=True)) == 9


def test_words_stand_between_the_passes_in_the_order_of_time(mirror: Mirror) -> None:
    for _ in range(2):
        mirror.sync()
        mirror.later(900)
    with writing(mirror.settings, "test") as state:
        state.ledger.happened("paused", mirror.clock.now(), who="alice", details="until resumed: disk")
    mirror.later(900)
    mirror.pin("a")
    mirror.sync()
    lines = text(mirror)
    assert [("paused" in line, "added" in line) for line in lines] == [(False, False), (True, False), (False, True)]
    assert "alice" in lines[1] and "disk" in lines[1]


def shown(*events: dict[str, Any], width: int | None = None, verbose: bool = False) -> list[str]:
    empty = {"who": None, "remote": None, "cid": None, "pins": 0, "details": None}
    found = {"passes": [], "events": [{**empty, "at": "2026-11-23T05:00:00Z", **one} for one in events], "more": False}
    return [plain(one) for one in history_lines(found, width=width, verbose=verbose)]


FAILING = {
    "kind": "verdict", "remote": "spec",
    "details": "remote spec: failing: spec: no connection to https://api.example.org/pins after five tries in 20 s",
}  # fmt: skip
TOLD = {"kind": "notified", "details": "webhook h.example: pinsync on web-1: remote spec is failing (200)"}


def test_a_change_names_its_remote_once_and_those_who_heard_of_it() -> None:
    [line] = shown(FAILING, TOLD, {**TOLD, "details": "command: pinsync on web-1: remote spec is failing (exit 0)"})
    assert line.count("spec") == 1
    assert "remote spec: failing: no connection to https://api.example.org/pins" in line
    assert line.endswith("in 20 s; told: webhook h.example and command")
    assert len(shown(FAILING, TOLD, verbose=True)) == 2
    assert len(shown(TOLD)) == 1, "the change itself is from an earlier time"
    [over] = shown({"kind": "verdict", "remote": "spec", "details": "remote spec: failing: over"})
    assert over.endswith("remote spec: failing: over")


@pytest.mark.parametrize("width", [50, 80])
def test_no_reason_is_cut_off_however_narrow_it_is(width: int) -> None:
    lines = shown(FAILING, TOLD, {"kind": "paused", "who": "alice", "details": f"until resumed: {'new disk ' * 20}"},
                  width=width)  # fmt: skip
    assert all(len(line) <= width for line in lines)
    words = " ".join(" ".join(lines).split())
    assert "after five tries in 20 s; told: webhook h.example" in words
    assert words.endswith("new disk " * 19 + "new disk")


def test_a_life_is_told_with_its_requests_and_folded_where_it_is_long(mirror: Mirror) -> None:
    mirror.pin("a")
    mirror.sync()
    mirror.settle("a", PinStatus.FAILED, "no provider was found for this content in ten minutes of asking everywhere")
    mirror.sync()
    with reading(mirror.settings) as ledger:
        found = cid_history(ledger, parse_cid(cid("a")))
    wide = [plain(one) for one in life_lines(found, width=None)]
    assert any("POST: pinned" in line for line in wide)
    assert any("POST /pins → 202 in" in line for line in wide)
    narrow = [plain(one) for one in life_lines(found, width=70)]
    assert all(len(line) <= 70 for line in narrow)
    assert len(narrow) > len(wide)
    assert "nothing has happened" in plain(list(life_lines({**found, "history": []}, width=None))[1])
