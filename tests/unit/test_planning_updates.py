"""Updates that a service takes and never brings to their end (Helia leaves a second request in its queue)."""

from __future__ import annotations

import pytest

from pinsync.model import PinStatus, RemotePin
from pinsync.planning.diff import UPDATE_LOOKS
from pinsync.planning.plan import Decision, Kind, PinState, State, Step
from tests.unit.planning import NOW, decided, entry, own, row, want

OLD = row(requestid="old", called="old")
WISH = want(name="new")


def new(status: PinStatus = PinStatus.QUEUED) -> RemotePin:
    return row(requestid="new", status=status, called="new", created=NOW - 3600)


def after(looks: int, *rows: RemotePin) -> Decision:
    before = entry(requestid="new", state=PinState.QUEUED, follows=looks, follow_at=NOW)
    return decided(WISH, rows, before, [own(requestid="old"), own(requestid="new")])


@pytest.mark.parametrize("status", [PinStatus.QUEUED, PinStatus.PINNING])
def test_the_old_pin_stays_until_the_new_one_is_pinned(status: PinStatus) -> None:
    (action,) = after(UPDATE_LOOKS - 1, OLD, new(status)).actions
    assert (action.step, action.requestid, action.state, action.code) == (
        Step.DELETE,
        "old",
        State.WAITING,
        "successor",
    )


def test_a_new_pin_that_stays_queued_is_given_up_for_the_old_one() -> None:
    decision = after(UPDATE_LOOKS, OLD, new())
    (action,) = decision.actions
    assert (action.kind, action.step, action.requestid, action.survivor) == (Kind.UPDATE, Step.DELETE, "new", "old")
    assert action.state is State.DO
    assert decision.after is not None
    assert (decision.after.requestid, decision.after.state) == ("old", PinState.PINNED)

    again = decided(WISH, [OLD], decision.after, [own(requestid="old")])
    assert again.actions == (), "it is not asked for again"
    other = decided(want(name="newer"), [OLD], decision.after, [own(requestid="old")])
    assert [action.step for action in other.actions] == [Step.POST], "another name is another try"


def test_a_new_pin_is_never_given_up_for_one_that_is_not_pinned() -> None:
    waiting = row(requestid="old", called="old", status=PinStatus.PINNING)
    failed = row(requestid="old", called="old", status=PinStatus.FAILED)
    for old in (waiting, failed):
        assert all(action.requestid == "old" for action in after(UPDATE_LOOKS, old, new()).actions)
    (action,) = after(UPDATE_LOOKS, OLD, new(PinStatus.PINNED)).actions
    assert (action.requestid, action.state) == ("old", State.DO)
