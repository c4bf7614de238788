"""What the guard holds back, and what a person's word releases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinsync.model import PinBody, PinStatus, Removals, Safety
from pinsync.planning.guard import SHARE_FLOOR, config_code, judge, tally
from pinsync.planning.plan import Action, Approval, Decision, Doubt, Entry, Kind, PinState, Shut, State, Step, Tally

from .planning import NOW, cid, decided, entry, key, own, row

OPEN = Safety(grace=0)


def removal(of: str = "a", **changes: Any) -> Action:
    action = Action(Kind.REMOVE, Step.DELETE, key(of), cid(of), reason="unwanted", requestid=f"r-{of}")
    return replace(action, **changes)


def again(of: str = "a", kind: Kind = Kind.ADD, **changes: Any) -> Action:
    action = Action(kind, Step.POST, key(of), cid(of), body=PinBody(cid(of)), lookup=True)
    return replace(action, **changes)


def approved(action: Action, code: str, now: bool = False) -> dict[tuple[Kind, bytes, str], Approval]:
    requestid = action.requestid or ""
    return {(action.kind, action.key, requestid): Approval(action.kind, requestid, action.key, code, now)}


def judged(action: Action, counts: Tally | None = None, safety: Safety = OPEN, **world: Any) -> Action:
    return judge("there", counts or Tally(owned_live=100, removals_due=1), safety, now=NOW, **world)(action)


def test_within_the_limits_a_due_removal_is_done() -> None:
    assert judged(removal()).state is State.DO


@pytest.mark.parametrize(
    ("counts", "setting"),
    [
        (Tally(owned_live=10_000, removals_due=101), "max_removals"),
        (Tally(owned_live=10_000, removals_due=1, removed_today=100), "max_removals"),
        (Tally(owned_live=50, removals_due=6), "max_removal_share"),
        (Tally(owned_live=50, removals_due=1, removed_today=6), "max_removal_share"),
    ],
)
def test_beyond_a_limit_everything_due_is_held_and_told_which_and_how_out(counts: Tally, setting: str) -> None:
    held = judged(removal(), counts)
    assert (held.state, held.code) == (State.HELD, "limit")
    assert setting in held.reason
    assert "pinsync approve --remote there" in held.reason


@pytest.mark.parametrize(
    "counts",
    [
        Tally(owned_live=10_000, removals_due=100),
        Tally(owned_live=60, removals_due=6),
        Tally(owned_live=5, removals_due=SHARE_FLOOR),
        Tally(owned_live=1, removals_due=1),
    ],
)
def test_at_a_limit_and_with_so_few_that_the_share_says_nothing_they_go(counts: Tally) -> None:
    assert judged(removal(), counts).state is State.DO


def test_waiting_for_grace_is_not_held_by_a_limit() -> None:
    waiting = removal(state=State.WAITING, code="grace", until=NOW + 9)
    assert judged(waiting, Tally(owned_live=1, removals_due=50)) == waiting


def test_each_removal_waits_for_approval_where_that_is_the_setting() -> None:
    safety = replace(OPEN, removals=Removals.APPROVE)
    held = judged(removal(), safety=safety)
    assert (held.state, held.code) == (State.HELD, "approve")
    released = judged(removal(), safety=safety, approvals=approved(removal(), "approve"))
    assert (released.state, released.approved) == (State.DO, True)


def test_doubt_holds_at_once_whatever_the_grace() -> None:
    doubt = Doubt("emptied:node:kubo", "the node had 7 pins and has none now")
    waiting = removal(state=State.WAITING, code="grace", until=NOW + 9)
    for action in (removal(), waiting):
        held = judged(action, doubts=[doubt])
        assert (held.state, held.code, held.until) == (State.HELD, doubt.code, None)
        assert "7 pins" in held.reason


def test_doubt_beats_an_approval_unless_the_doubt_itself_was_approved() -> None:
    doubt = Doubt("peer:kubo:12D3KooX", "another node")
    assert judged(removal(), doubts=[doubt], approvals=approved(removal(), "limit")).state is State.HELD
    assert judged(removal(), doubts=[doubt], approvals=approved(removal(), "peer:kubo:other")).state is State.HELD
    assert judged(removal(), doubts=[doubt], approvals=approved(removal(), doubt.code)).state is State.DO


def test_an_approved_doubt_does_not_shorten_grace() -> None:
    doubt = Doubt("emptied:manifest", "")
    waiting = removal(state=State.WAITING, code="grace", until=NOW + 9)
    assert judged(waiting, doubts=[doubt], approvals=approved(waiting, doubt.code)).state is State.WAITING
    now = approved(waiting, doubt.code, now=True)
    assert judged(waiting, doubts=[doubt], approvals=now).state is State.DO


def test_a_changed_configuration_holds_until_that_is_approved() -> None:
    action = removal(why="kubo: only_names")
    held = judged(action)
    assert (held.state, held.code) == (State.HELD, config_code("kubo: only_names"))
    assert "only_names" in held.reason
    assert judged(action, approvals=approved(action, "limit")).state is State.HELD
    assert judged(action, approvals=approved(action, held.code)).state is State.DO


@pytest.mark.parametrize("code", ["incomplete", "sources", "first-listing"])
def test_no_word_of_a_person_removes_on_an_incomplete_reading(code: str) -> None:
    blocked = removal(state=State.WAITING, code=code)
    for approval in ("limit", "approve", "grace", code):
        given = approved(blocked, approval, now=True)
        assert judged(blocked, approvals=given).state is State.WAITING


def test_an_approval_is_for_this_pin_alone() -> None:
    safety = replace(OPEN, removals=Removals.APPROVE)
    given = approved(removal("a"), "approve")
    assert judged(removal("b"), safety=safety, approvals=given).state is State.HELD
    assert judged(removal("a", requestid="another"), safety=safety, approvals=given).state is State.HELD


def test_most_of_ours_gone_at_once_is_not_added_again() -> None:
    counts = Tally(had=100, lost=11)
    held = judged(again(), counts)
    assert (held.state, held.code) == (State.HELD, "lost")
    assert "max_lost_share" in held.reason
    assert judged(again(), Tally(had=100, lost=10)).state is State.DO
    assert judged(again(lookup=False), counts).state is State.DO, "what was never there is no loss"
    assert judged(again(), counts, approvals=approved(again(), "lost")).state is State.DO


def test_a_few_gone_say_nothing_unless_they_were_all() -> None:
    assert judged(again(), Tally(had=8, lost=2)).state is State.DO
    assert judged(again(), Tally(had=1, lost=1)).state is State.DO
    assert judged(again(), Tally(had=3, lost=3)).state is State.HELD


def test_mass_failure_is_the_remotes_trouble() -> None:
    held = judged(again(kind=Kind.RETRY), Tally(seen=10, failed=6))
    assert (held.state, held.code) == (State.WAITING, "mass-failure")
    assert judged(again(kind=Kind.RETRY), Tally(seen=10, failed=5)).state is State.DO
    assert judged(again(kind=Kind.RETRY), Tally(seen=1, failed=1)).state is State.DO


def test_a_closed_remote_gets_one_probe_when_it_is_time() -> None:
    shut = Shut("takes no new pins", NOW, NOW + 60)
    assert judged(again(lookup=False), closed=shut).code == "closed"
    judgement = judge("there", Tally(), OPEN, now=NOW, closed=replace(shut, probe_at=NOW))
    states = [judgement(again(of, lookup=False)).state for of in "abc"]
    assert states == [State.DO, State.WAITING, State.WAITING]


def test_a_remote_that_refuses_deletions_gets_one_of_them_when_it_is_time() -> None:
    shut = Shut("maintenance", NOW, NOW + 60)
    assert judged(removal(), no_deletes=shut).code == "closed"
    assert judged(again(lookup=False), no_deletes=shut).state is State.DO
    judgement = judge("there", Tally(owned_live=9), OPEN, now=NOW, no_deletes=replace(shut, probe_at=NOW))
    assert [judgement(removal(of)).state for of in "abc"] == [State.DO, State.WAITING, State.WAITING]


def test_the_tally_counts_what_nothing_but_the_limits_would_stop() -> None:
    def decision(of: str, *actions: Action, after: Entry | None = None) -> Decision:
        return Decision(key(of), entry(of), after or entry(of), actions, ours=1)

    due, config = removal("a"), removal("b", why="kubo: only_names")
    waiting = removal("c", state=State.WAITING, code="grace")
    decisions = [decision("a", due), decision("b", config), decision("c", waiting), decision("d")]
    counts = tally(decisions, OPEN, removed_today=3)
    assert (counts.removals_due, counts.owned_live, counts.had, counts.removed_today) == (1, 4, 4, 3)
    assert tally(decisions, OPEN, approved(due, "limit")).removals_due == 0
    assert tally(decisions, OPEN, doubts=[Doubt("x", "")]).removals_due == 0
    gone = entry("e", missing=1, state=PinState.MISSING)
    assert tally([decision("e", after=gone)], OPEN).lost == 1


NODE = frozenset({"node:kubo"})


def test_the_share_is_of_pins_where_an_update_left_two_of_each_cid() -> None:
    """Each of six CIDs that nobody wants any more has two pins of ours: twelve removals of twelve pins."""
    decisions = []
    for of in "abcdef":
        rows = [row(of, f"{of}1"), row(of, f"{of}2", PinStatus.QUEUED)]
        before = entry(of, wanted=False, requestid=f"{of}1", unwanted_since=NOW)
        owned = [own(of, f"{of}{n}") for n in (1, 2)]
        decisions.append(decided(None, rows, before, owned, name=of, safety=OPEN, whole_sources=NODE))
    counts = tally(decisions, OPEN)
    assert (counts.removals_due, counts.owned_live) == (12, 12)


def test_a_share_of_a_hundred_is_no_limit() -> None:
    counts = Tally(owned_live=3, removals_due=9)  # six of which failed, and are not live
    assert judged(removal(), counts).code == "limit"
    assert judged(removal(), counts, replace(OPEN, max_removal_share=100)).state is State.DO


counts = st.builds(
    Tally,
    owned_live=st.integers(0, 300),
    removals_due=st.integers(0, 300),
    removed_today=st.integers(0, 300),
    had=st.integers(0, 50),
    lost=st.integers(0, 50),
    seen=st.integers(0, 50),
    failed=st.integers(0, 50),
)
codes = ["", "grace", "incomplete", "sources", "first-listing"]


@given(
    counts,
    st.sampled_from(codes),
    st.sampled_from(["", "kubo: only_names"]),
    st.lists(st.sampled_from([Doubt("peer:k:x", ""), Doubt("emptied:manifest", "")]), unique=True),
    st.sampled_from(list(Removals)),
    st.integers(0, 200),
)
def test_without_a_persons_word_nothing_goes_against_any_rule(
    counts: Tally, code: str, why: str, doubts: Sequence[Doubt], removals: Removals, most: int
) -> None:
    safety = Safety(removals, 0, most, 10, 10)
    action = removal(state=State.WAITING if code else State.DO, code=code, why=why)
    if judged(action, counts, safety, doubts=doubts).state is not State.DO:
        return
    assert not code
    assert not why
    assert not doubts
    assert removals is not Removals.APPROVE
    total = counts.removals_due + counts.removed_today
    assert total <= most or not counts.removals_due
    share = 10 * total <= counts.owned_live + counts.removed_today
    assert share or total <= SHARE_FLOOR or not counts.removals_due
