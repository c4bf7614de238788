"""A clock that jumps: nothing is removed by it, nothing waits for ever by it, and time off is not a jump."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinsync.house import reading
from pinsync.model import PinStatus, Safety
from pinsync.planning.plan import State
from pinsync.planning.rules import due
from pinsync.planning.witness import AGREES, Believed, doubt_of
from pinsync.status import verdict
from tests.mirror import Mirror, cid

from .planning import DAY, NOW, decided, entry, own, row

HOUR = 3600.0
WEEK = 7 * DAY
MANY = list(range(30))


def leaving(tmp_path: Path, grace: float = WEEK, **fields: Any) -> Mirror:
    """A mirror with one pin that waits out its grace."""
    mirror = Mirror(tmp_path, "nft.storage", safety=Safety(grace=grace), **fields)
    mirror.pin(*MANY)
    mirror.sync()
    mirror.unpin(0)
    mirror.sync()
    return mirror


# -- the judgement -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "lead", "believed", "code"),
    [
        (NOW, None, None, None),
        (NOW, 1.0, None, None),
        (NOW, 3600.0, None, "clock:+2400@there"),
        (NOW + 10 * DAY, -2.0, Believed(NOW, 0.0), None),
        (NOW + 10 * DAY, None, Believed(NOW, 0.0), "clock:ahead@there"),
        (NOW + 10 * DAY, -10 * DAY, Believed(NOW, 0.0), "clock:-614400@there"),
        (NOW + DAY, None, Believed(NOW), None),
        (NOW - 60, None, Believed(NOW), None),
        (NOW - DAY, None, Believed(NOW), "clock:back@there"),
        (NOW - DAY, 0.0, Believed(NOW), None),
        (NOW, 7200.0, Believed(NOW - 900, 7000.0), None),
        (NOW, 7200.0, Believed(NOW - 900, 0.0), "clock:+4800@there"),
    ],
)
def test_the_remotes_word_counts_for_more_than_the_time_since_the_last_pass(
    now: float, lead: float | None, believed: Believed | None, code: str | None
) -> None:
    doubt = doubt_of(now, lead, believed, 900.0, "there")
    assert (doubt.code if doubt else None) == code


@given(st.floats(-1e9, 1e9), st.floats(0, 1e9), st.floats(-1e9, 1e9))
def test_with_a_remote_that_agrees_no_clock_is_doubted(passed: float, at: float, lead: float) -> None:
    near = max(-AGREES, min(AGREES, lead))
    assert doubt_of(at + passed, near, Believed(at, 0.0), 900.0, "there") is None
    assert (doubt_of(at + passed, lead, None, 900.0, "there") is None) == (abs(lead) <= AGREES)


def test_grace_does_not_begin_by_a_clock_that_is_doubted() -> None:
    waiting = decided(None, [row()], entry(), [own()], clock_sure=False)
    assert waiting.after is not None
    assert waiting.after.unwanted_since is None
    (action,) = waiting.actions
    assert (action.state, action.until) == (State.WAITING, None)


def test_grace_that_began_in_the_future_begins_now() -> None:
    ahead = entry(wanted=False, unwanted_since=NOW + 365 * DAY, unwanted_why="node kubo: only_names")
    decision = decided(None, [row()], ahead, [own()])
    assert decision.after is not None
    assert (decision.after.unwanted_since, decision.after.unwanted_why) == (NOW, "node kubo: only_names")


def test_what_waits_longer_than_any_pause_is_due() -> None:
    assert due(None, NOW, 60)
    assert due(NOW, NOW, 60)
    assert not due(NOW + 60, NOW, 60)
    assert due(NOW + 61, NOW, 60)


def test_a_last_good_pass_in_the_future_is_no_sign_of_life() -> None:
    shown = {
        "last_pass": {"finished_at": "then"}, "sources": {"nodes": [], "manifest": {"ok": True}}, "remotes": [],
    }  # fmt: skip
    assert verdict(shown, NOW + 60, 900.0, NOW) == "in-sync"
    assert verdict(shown, NOW + DAY, 900.0, NOW) == "stale"


# -- whole passes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [8, 400, -8])
def test_a_clock_that_jumped_removes_nothing_until_it_is_right_again(tmp_path: Path, days: int) -> None:
    mirror = leaving(tmp_path)
    mirror.jump(days * DAY)
    for _ in range(3):
        held = mirror.sync()
        assert (mirror.done(held), held.exit_code()) == ({"held": 1}, 4)
        mirror.later(900)
    assert "clock" in mirror.status()["doubts"][0]["reason"]
    assert "clock" in mirror.actions[0].reason
    mirror.jump(-days * DAY)
    assert mirror.done(mirror.sync()) == {"waiting": 1}
    mirror.later(WEEK - HOUR)
    mirror.sync()
    assert cid(0) in mirror.there()
    mirror.later(HOUR)
    assert mirror.done(mirror.sync()) == {"removed": 1}, "its grace went on as it had begun"


def test_a_machine_that_was_off_for_ten_days_is_no_doubt(tmp_path: Path) -> None:
    mirror = leaving(tmp_path)
    mirror.later(10 * DAY)
    assert mirror.done(mirror.sync()) == {"removed": 1}


def test_a_machine_that_was_off_with_a_remote_that_tells_no_time_is_asked_about(tmp_path: Path) -> None:
    mirror = leaving(tmp_path)
    mirror.undated()
    mirror.sync()
    mirror.later(10 * DAY)
    assert mirror.done(mirror.sync()) == {"held": 1}
    mirror.later(900)
    assert mirror.done(mirror.sync()) == {"held": 1}, "another pass does not make the clock right"
    assert mirror.release() == 2
    assert mirror.done(mirror.sync()) == {"removed": 1}
    mirror.later(900)
    assert mirror.sync().exit_code() == 0
    assert mirror.status()["doubts"] == []


def test_what_was_shown_and_approved_under_a_doubt_goes_beyond_the_limits(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "nft.storage")
    mirror.pin(*MANY)
    mirror.sync()
    mirror.emulator.become(skew=3 * HOUR)
    mirror.unpin(*MANY[:10])
    assert mirror.done(mirror.sync()) == {"held": 10}
    mirror.release()
    mirror.unpin(*MANY[10:20])
    assert mirror.done(mirror.sync()) == {"removed": 10, "held": 10}


def test_an_approval_falls_with_the_doubt_about_the_clock(tmp_path: Path) -> None:
    mirror = leaving(tmp_path)
    mirror.jump(8 * DAY)
    mirror.sync()
    mirror.release()
    mirror.jump(-8 * DAY)
    assert mirror.done(mirror.sync()) == {"waiting": 1}
    mirror.jump(8 * DAY)
    assert mirror.done(mirror.sync()) == {"held": 1}


def test_grace_of_an_hour_does_not_end_by_a_jump_of_an_hour(tmp_path: Path) -> None:
    mirror = leaving(tmp_path, grace=HOUR)
    mirror.jump(HOUR + 1)
    assert mirror.done(mirror.sync()) == {"held": 1}


def test_a_clock_that_was_wrong_from_the_first_begins_no_grace(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "nft.storage", safety=Safety(grace=WEEK))
    mirror.jump(-20_000 * DAY + 5)  # a machine without a battery wakes in 1970
    mirror.pin(*MANY)
    mirror.sync()
    mirror.unpin(0)
    mirror.sync()
    assert len(mirror.there()) == 30
    mirror.jump(20_000 * DAY)
    assert mirror.done(mirror.sync()) == {"waiting": 1}
    mirror.later(WEEK - HOUR)
    mirror.sync()
    assert cid(0) in mirror.there()


def test_a_remote_whose_clock_is_wrong_is_said_so_once(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "nft.storage")
    mirror.emulator.become(skew=3 * HOUR)
    mirror.pin(*MANY)
    mirror.sync()
    mirror.unpin(0)
    assert mirror.done(mirror.sync()) == {"held": 1}
    mirror.release()
    assert mirror.done(mirror.sync()) == {"removed": 1}
    mirror.unpin(1)
    assert mirror.done(mirror.sync()) == {"removed": 1}, "that difference is known by now"
    mirror.jump(DAY)
    mirror.unpin(2)
    assert mirror.done(mirror.sync()) == {"held": 1}


def test_the_limit_of_a_day_is_not_had_twice_by_setting_the_clock(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, safety=Safety(grace=0, max_removals=2, max_removal_share=100))
    mirror.pin(*MANY)
    mirror.sync()
    for n in (0, 1):
        mirror.unpin(n)
        assert mirror.done(mirror.sync()) == {"removed": 1}
    mirror.unpin(2)
    assert mirror.done(mirror.sync()) == {"held": 1}
    mirror.jump(DAY)
    assert mirror.done(mirror.sync()) == {"held": 1}
    mirror.jump(-2 * DAY)
    assert mirror.done(mirror.sync()) == {"held": 1}
    mirror.jump(DAY)
    mirror.later(DAY)
    assert mirror.done(mirror.sync()) == {"removed": 1}


def test_a_clock_that_is_set_back_keeps_nothing_waiting_for_ever(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "nft.storage")
    mirror.later(400 * DAY)  # wrong, and the remote with it: nobody can tell
    mirror.pin("failed", "refused", "slow", *MANY)
    mirror.emulator.faults.next("status:400", method="POST", times=1)
    mirror.sync()
    refused = next(name for name in ("failed", "refused", "slow", *MANY) if cid(name) not in mirror.there())
    others = [name for name in ("failed", "slow", "refused") if name != refused]
    mirror.settle(others[0], PinStatus.FAILED)
    mirror.sync()
    mirror.later(-400 * DAY)
    report = mirror.sync()
    done = mirror.done(report)
    assert (done.get("added"), done.get("retried")) == (1, 1)


@pytest.mark.parametrize("closed", ["maintenance", "restricted"])
def test_a_closed_remote_is_probed_though_the_clock_was_set_back(tmp_path: Path, closed: str) -> None:
    mirror = Mirror(tmp_path, "nft.storage", concurrency=2)
    mirror.later(400 * DAY)
    mirror.pin(*MANY)
    mirror.emulator.become(closed=closed)
    mirror.sync()
    mirror.emulator.become(closed="")
    mirror.later(-400 * DAY)
    mirror.sync()
    mirror.sync()
    assert len(mirror.there()) == 30


def test_pins_on_their_way_are_followed_though_the_clock_was_set_back(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "nft.storage")
    mirror.emulator.become(settle=20.0, list_lag=10_000.0)
    mirror.pin("a")
    mirror.sync()
    mirror.later(30)
    mirror.jump(-400 * DAY)
    mirror.sync()
    assert mirror.status()["remotes"][0]["pinned"] == 1


def test_history_is_not_forgotten_by_a_clock_that_jumped(tmp_path: Path) -> None:
    mirror = leaving(tmp_path)
    mirror.jump(400 * DAY)
    mirror.sync()
    with reading(mirror.settings) as ledger:
        assert ledger is not None
        assert ledger.store.execute("SELECT count(*) FROM journal WHERE kind = 'add'").fetchone()[0] == 30
