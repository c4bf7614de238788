"""What planning decides for one CID at one remote, rule by rule (docs/semantics.md)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinsync.model import MARK, DesiredPin, Excluded, Mode, PinStatus, RemotePin, Removals, Safety, Traits
from pinsync.planning.diff import UPDATE_LOOKS, decide, diff
from pinsync.planning.plan import Action, Entry, How, Kind, Known, Owned, PinState, State, Step
from pinsync.planning.rules import backoff, fingerprint

from .planning import CID_IDS, DAY, ME, NOW, cid, decided, entry, key, own, row, view, want


def only(actions: tuple[Action, ...]) -> Action:
    (action,) = actions
    return action


# -- adding ------------------------------------------------------------------------------------------------------------


def test_what_was_never_seen_is_added_at_once_with_our_mark() -> None:
    decision = decided(want(name="", meta={"team": "web"}))
    action = only(decision.actions)
    assert (action.kind, action.state, action.lookup) == (Kind.ADD, State.DO, False)
    assert action.body is not None
    assert action.body.meta == {"team": "web", MARK: ME}
    assert decision.after is not None
    assert (decision.after.state, decision.after.since, decision.after.wanted) == (PinState.MISSING, NOW, True)


def test_what_is_there_as_wanted_needs_nothing_and_writes_nothing() -> None:
    decision = decided(want(), [row()], entry(), [own()])
    assert decision.actions == ()
    assert decision.after is decision.before


def test_one_of_ours_that_is_gone_is_added_again_after_two_complete_lists() -> None:
    first = decided(want(), [], entry(), [own()])
    action = only(first.actions)
    assert (action.kind, action.state, action.code) == (Kind.ADD, State.WAITING, "missing-once")
    assert first.gone == ("r1",)
    assert first.after is not None
    second = decided(want(), [], first.after, [own(gone_at=NOW)])
    action = only(second.actions)
    assert (action.kind, action.state, action.lookup) == (Kind.ADD, State.DO, True)


def test_a_sighting_in_between_starts_the_count_again() -> None:
    first = decided(want(), [], entry(), [own()]).after
    seen = decided(want(), [row()], first, [own(gone_at=NOW)])
    assert seen.after is not None
    assert (seen.after.missing, seen.after.state) == (0, PinState.PINNED)
    assert [one.requestid for one in seen.found] == ["r1"]


def test_an_incomplete_list_adds_nothing_again_but_looks_up_what_is_new() -> None:
    again = only(decided(want(), [], entry(), [own()], listed="incomplete", listed_reason="ties").actions)
    assert (again.state, again.code) == (State.WAITING, "incomplete")
    assert "ties" in again.reason
    new = only(decided(want(), listed="incomplete").actions)
    assert (new.state, new.lookup) == (State.DO, True)


def test_a_failed_list_decides_nothing() -> None:
    before = entry()
    decision = decided(want(), [], before, [own()], listed="failed")
    assert decision.actions == ()
    assert decision.after is before
    assert decision.gone == ()


def test_a_post_of_unknown_effect_is_looked_up_before_it_is_repeated() -> None:
    unclear = entry(state=PinState.MISSING, was_there="", unclear=True, requestid=None)
    assert only(decided(want(), [], unclear).actions).lookup


def test_a_refused_pin_waits_for_its_next_try() -> None:
    refused = entry(state=PinState.REFUSED, was_there="", requestid=None, next_try=NOW + 60, error="too big")
    action = only(decided(want(), [], refused).actions)
    assert (action.state, action.code, action.until) == (State.WAITING, "refused", NOW + 60)
    assert "too big" in action.reason
    later = only(decided(want(), [], refused, now=NOW + 61).actions)
    assert later.state is State.DO


@pytest.mark.parametrize("mode", [Mode.READ_ONLY])
def test_a_read_only_remote_gets_no_request(mode: Mode) -> None:
    assert decided(want(), mode=mode).actions == ()
    assert decided(want(name="x"), [row(called="y")], entry(), [own()], mode=mode).actions == ()
    assert decided(None, [row()], entry(wanted=False, unwanted_since=0.0), [own()], mode=mode).actions == ()


# -- foreign pins ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [None, "other-123456"])
@pytest.mark.parametrize("traits", [CID_IDS, Traits(id_is_cid=False)])
def test_a_live_foreign_pin_satisfies_the_want_and_is_never_touched(mark: str | None, traits: Traits) -> None:
    foreign = row(mark=mark, called="theirs", requestid=cid("a"))
    decision = decided(want(name="mine"), [foreign], traits=traits)
    assert decision.actions == ()
    assert decision.after is not None
    assert (decision.after.state, decision.after.was_there, decision.ours) == (PinState.PINNED, "foreign", 0)


def test_ours_is_added_when_the_foreign_pin_vanishes() -> None:
    action = only(decided(want(), [], entry(was_there="foreign")).actions)
    assert (action.kind, action.state) == (Kind.ADD, State.DO)


def test_a_failed_foreign_pin_gets_ours_beside_it_or_is_reported() -> None:
    failed = row(mark=None, status=PinStatus.FAILED)
    assert only(decided(want(), [failed]).actions).kind is Kind.ADD
    reported = decided(want(), [replace(failed, requestid=cid("a"))], traits=CID_IDS)
    assert reported.actions == ()
    assert reported.after is not None
    assert reported.after.state is PinState.FAILED


def test_an_unwanted_foreign_pin_concerns_nobody() -> None:
    assert decide(key("a"), None, [row(mark=None)], None, view()) is None
    assert decide(key("a"), None, [row(mark="other-123456")], None, view()) is None


def test_another_mirrors_mark_beats_the_ledger_and_a_persons_word_beats_the_mark() -> None:
    taken_over = row(mark="other-123456")
    assert decided(None, [taken_over], entry(wanted=False), [own()]).actions == ()
    adopted = decided(None, [taken_over], entry(wanted=False), [own(how=How.ADOPTED)], safety=Safety(grace=0))
    assert only(adopted.actions).kind is Kind.REMOVE


def test_a_record_that_was_there_before_our_post_stays_foreign_whatever_its_mark() -> None:
    decision = decided(None, [row(mark=ME)], entry(wanted=False), [own(how=How.FOREIGN)], safety=Safety(grace=0))
    assert decision.actions == ()


def test_what_the_ledger_owns_stays_ours_when_the_mirror_id_changes() -> None:
    decision = decided(want(), [row(mark="old-111111")], entry(), [own()], mirror_ids=(ME, "old-111111"))
    assert (decision.ours, decision.actions) == (1, ())
    stranger = decided(want(), [row(mark="old-111111")], entry(), [], mirror_ids=(ME, "old-111111"))
    assert stranger.ours == 0


# -- drift and updates -------------------------------------------------------------------------------------------------


def test_a_renamed_pin_is_posted_again_where_the_id_is_the_cid() -> None:
    there = row(requestid=cid("a"), called="old")
    action = only(decided(want(name="new"), [there], entry(), [own(requestid=cid("a"))], traits=CID_IDS).actions)
    assert (action.kind, action.step, action.requestid) == (Kind.UPDATE, Step.POST, cid("a"))
    assert action.body is not None
    assert action.body.name == "new"


def test_elsewhere_an_update_adds_then_waits_then_deletes() -> None:
    old = row(called="old")
    first = only(decided(want(name="new"), [old], entry(), [own()]).actions)
    assert (first.kind, first.step) == (Kind.UPDATE, Step.POST)
    queued = row(requestid="r2", called="new", status=PinStatus.QUEUED, created=NOW)
    second = only(decided(want(name="new"), [old, queued], entry(), [own(), own(requestid="r2")]).actions)
    assert (second.step, second.state, second.code) == (Step.DELETE, State.WAITING, "successor")
    pinned = replace(queued, status=PinStatus.PINNED)
    third = only(decided(want(name="new"), [old, pinned], entry(), [own(), own(requestid="r2")]).actions)
    assert (third.kind, third.step, third.state) == (Kind.UPDATE, Step.DELETE, State.DO)
    assert (third.requestid, third.survivor) == ("r1", "r2")


def test_an_update_that_does_not_come_to_its_end_is_taken_back() -> None:
    old, new = row(called="old"), row(requestid="r2", called="new", status=PinStatus.QUEUED, created=NOW - DAY)
    looked_at = entry(requestid="r2", state=PinState.QUEUED, follows=UPDATE_LOOKS)
    decision = decided(want(name="new"), [old, new], looked_at, [own(), own(requestid="r2")])
    action = only(decision.actions)
    assert (action.step, action.state, action.requestid, action.survivor) == (Step.DELETE, State.DO, "r2", "r1")
    assert decision.after is not None
    assert decided(want(name="new"), [old], decision.after, [own()]).actions == (), "and not tried again"


def test_a_duplicate_of_ours_goes_once_the_survivor_is_pinned() -> None:
    rows = [row(requestid="r1"), row(requestid="r2", created=NOW)]
    action = only(decided(want(), rows, entry(), [own(), own(requestid="r2")]).actions)
    assert (action.step, action.requestid, action.survivor) == (Step.DELETE, "r2", "r1")
    blocked = only(decided(want(), rows, entry(), [own(), own(requestid="r2")], listed="incomplete").actions)
    assert blocked.state is State.WAITING


def test_another_spelling_is_a_record_of_its_own_where_ids_are_cids() -> None:
    rows = [row(requestid=cid("a")), replace(row(requestid="Qm"), cid="Qm")]
    owned = [own(requestid=cid("a")), own(requestid="Qm")]
    assert decided(want(), rows, entry(requestid=cid("a")), owned, traits=CID_IDS).actions == ()


@pytest.mark.parametrize(
    ("wanted", "there", "traits"),
    [
        (None, "anything", Traits(id_is_cid=False)),  # the node does not tell names
        ("", None, Traits(id_is_cid=False)),  # empty against absent
        ("", cid("a"), Traits(id_is_cid=False)),  # the CID echoed as the name
        ("n" * 200, "n" * 128, Traits(id_is_cid=False)),
        ("x", "y", Traits(id_is_cid=False, name_kept=False)),
    ],
)
def test_these_are_no_drift(wanted: str | None, there: str | None, traits: Traits) -> None:
    assert decided(want(name=wanted), [row(called=there)], entry(), [own()], traits=traits).actions == ()


def test_meta_that_we_set_is_compared_and_nothing_else() -> None:
    wish = want(meta={"team": "web"})
    assert decided(wish, [row(meta={"team": "web", "theirs": "x"})], entry(), [own()]).actions == ()
    assert only(decided(wish, [row(meta={"team": "ops"})], entry(), [own()]).actions).kind is Kind.UPDATE
    dropped = Traits(id_is_cid=False, meta_kept=False)
    assert decided(wish, [row(mark=None)], entry(), [own()], traits=dropped).actions == ()


def test_a_missing_mark_is_no_drift() -> None:
    assert decided(want(), [row(mark=None)], entry(), [own(how=How.ADOPTED)]).actions == ()


def test_an_update_that_the_service_did_not_take_is_not_repeated() -> None:
    wish = want(name="new")
    declined = entry(declined=fingerprint("new", {}))
    assert decided(wish, [row(called="old")], declined, [own()]).actions == ()
    assert decided(want(name="newer"), [row(called="old")], declined, [own()]).actions != ()


# -- failed ------------------------------------------------------------------------------------------------------------


def test_a_failed_pin_is_due_by_backoff_and_says_why() -> None:
    failed = row(status=PinStatus.FAILED, info={"status_details": "no providers"})
    first = decided(want(), [failed], entry(), [own()])
    action = only(first.actions)
    assert (action.kind, action.state, action.until) == (Kind.RETRY, State.WAITING, NOW + backoff(1))
    assert "no providers" in action.reason
    assert first.after is not None
    due = only(decided(want(), [failed], first.after, [own()], now=NOW + backoff(1)).actions)
    assert (due.kind, due.step, due.state, due.requestid) == (Kind.RETRY, Step.POST, State.DO, "r1")


def test_pauses_grow_and_are_capped() -> None:
    pauses = [backoff(n) for n in range(1, 40)]
    assert pauses == sorted(pauses)
    assert pauses[1] == 2 * pauses[0]
    assert pauses[-1] == DAY


def test_the_failed_row_goes_only_when_its_successor_is_pinned() -> None:
    failed = row(status=PinStatus.FAILED)
    successor = row(requestid="r2", status=PinStatus.PINNING)
    owned = [own(), own(requestid="r2")]
    waiting = only(decided(want(), [failed, successor], entry(), owned).actions)
    assert (waiting.step, waiting.state) == (Step.DELETE, State.WAITING)
    done = only(decided(want(), [failed, replace(successor, status=PinStatus.PINNED)], entry(), owned).actions)
    assert (done.state, done.requestid, done.survivor) == (State.DO, "r1", "r2")


# -- removing ----------------------------------------------------------------------------------------------------------


def test_grace_starts_at_the_first_whole_reading_and_ends_by_the_setting_in_force() -> None:
    first = decided(None, [row()], entry(), [own()])
    action = only(first.actions)
    assert (action.kind, action.state, action.code) == (Kind.REMOVE, State.WAITING, "grace")
    assert action.until == NOW + 7 * DAY
    assert first.after is not None
    assert (first.after.wanted, first.after.unwanted_since) == (False, NOW)
    shorter = only(decided(None, [row()], first.after, [own()], now=NOW + 60, safety=Safety(grace=60)).actions)
    assert shorter.state is State.DO


def test_grace_ends_when_it_is_wanted_again() -> None:
    unwanted = entry(wanted=False, unwanted_since=NOW - DAY)
    again = decided(want(), [row()], unwanted, [own()])
    assert again.actions == ()
    assert again.after is not None
    assert (again.after.unwanted_since, again.after.wanted) == (None, True)


def test_no_grace_means_the_same_pass() -> None:
    assert only(decided(None, [row()], entry(), [own()], safety=Safety(grace=0)).actions).state is State.DO


def test_a_source_that_was_not_read_whole_starts_nothing_and_removes_nothing() -> None:
    before = entry()
    new = decided(None, [row()], before, [own()], sources_whole=False, sources_reason="node away")
    assert new.actions == ()
    assert new.after is before
    due = entry(wanted=False, unwanted_since=NOW - 30 * DAY)
    action = only(decided(None, [row()], due, [own()], sources_whole=False, sources_reason="node away").actions)
    assert (action.state, action.code) == (State.WAITING, "sources")
    assert "node away" in action.reason


def test_an_incomplete_list_removes_nothing() -> None:
    due = entry(wanted=False, unwanted_since=NOW - 30 * DAY)
    action = only(decided(None, [row()], due, [own()], listed="incomplete", listed_reason="short").actions)
    assert (action.state, action.code) == (State.WAITING, "incomplete")


@pytest.mark.parametrize(
    "changes", [{"mode": Mode.ADD_ONLY}, {"mode": Mode.READ_ONLY}, {"safety": Safety(Removals.NEVER)}]
)
def test_where_nothing_is_ever_removed_there_is_no_action_and_no_grace(changes: dict[str, Any]) -> None:
    decision = decided(None, [row()], entry(), [own()], **changes)
    assert decision.actions == ()
    assert decision.after is not None
    assert decision.after.unwanted_since is None


def test_a_new_ledger_removes_nothing_in_its_first_pass_though_the_mark_is_ours() -> None:
    decision = decided(None, [row()], first_listing=True, safety=Safety(grace=0))
    action = only(decision.actions)
    assert (action.state, action.code) == (State.WAITING, "first-listing")
    assert [one.how for one in decision.found] == [How.MARK]
    again = decided(None, [row()], decision.after, [own(how=How.MARK)], safety=Safety(grace=0))
    assert only(again.actions).state is State.DO


def test_a_removal_says_which_part_of_the_configuration_caused_it() -> None:
    filtered = want(excluded=Excluded.FILTER)
    assert (
        only(decided(filtered, [row()], entry(), [own()], config_change=("node kubo: only_names",)).actions).why != ""
    )
    assert only(decided(filtered, [row()], entry(), [own()]).actions).why == ""
    elsewhere = decided(filtered, [row()], entry(), [own()], config_change=("remote other: mode",))
    assert only(elsewhere.actions).why == "", "what changed has nothing to do with it"
    ignored = want(excluded=Excluded.IGNORED)
    assert only(decided(ignored, [row()], entry(), [own()], config_change=("node kubo: only_names",)).actions).why == ""
    gone = decided(
        None, [row()], entry(), [own()], config_change=("node kubo: mirror",), gone_sources=frozenset({"node:kubo"})
    )
    assert only(gone.actions).why == "node kubo: mirror"


def test_absence_from_the_nodes_is_to_be_proved_unless_a_node_shows_it() -> None:
    assert only(decided(None, [row()], entry(), [own()]).actions).confirm
    assert not only(decided(want(excluded=Excluded.FILTER), [row()], entry(), [own()]).actions).confirm


def test_an_entry_is_forgotten_when_a_complete_list_shows_nothing_of_ours() -> None:
    unwanted, whole = entry(wanted=False, unwanted_since=NOW), frozenset({"node:kubo"})
    assert decided(None, [], unwanted, [own()], whole_sources=whole).after is None
    hidden = decided(None, [], replace(unwanted, unwanted_why="node kubo: mirror"), [own()], whole_sources=whole).after
    assert hidden is not None, "a list that lags may show it again, and then nobody would know why it was held"
    kept = decided(None, [], unwanted, [own()], listed="incomplete").after
    assert kept is not None


# -- the merge ---------------------------------------------------------------------------------------------------------

NAMES = "abcdefgh"
subset = st.lists(st.sampled_from(NAMES), unique=True)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[DesiredPin], list[RemotePin], list[Known]]:
    wants: list[DesiredPin] = []
    for name in draw(subset):
        wants.append(
            replace(
                want(name),
                name=draw(st.sampled_from([None, "", "n1"])),
                excluded=draw(st.sampled_from(list(Excluded))),
            )
        )
    rows: list[RemotePin] = []
    known: list[Known] = []
    for name in draw(subset):
        for number in range(draw(st.integers(1, 3))):
            rows.append(
                row(
                    name,
                    f"{name}{number}",
                    draw(st.sampled_from(list(PinStatus))),
                    mark=draw(st.sampled_from([None, ME, "other-123456"])),
                    called=draw(st.sampled_from([None, "n1", "n2"])),
                )
            )
    for name in draw(subset):
        before: Entry | None = None
        if draw(st.booleans()):
            before = entry(
                name,
                wanted=draw(st.booleans()),
                state=draw(st.sampled_from(list(PinState))),
                was_there=draw(st.sampled_from(["", "ours", "foreign"])),
                missing=draw(st.integers(0, 2)),
                unwanted_since=draw(st.sampled_from([None, NOW - 30 * DAY, NOW])),
                next_try=draw(st.sampled_from([None, NOW - 1, NOW + 60])),
            )
        owned = tuple(
            Owned(f"{name}{number}", key(name), cid(name), draw(st.sampled_from(list(How))))
            for number in range(draw(st.integers(0, 3)))
        )
        known.append(Known(key(name), before, owned))
    return (
        sorted(wants, key=lambda one: one.key),
        sorted(rows, key=lambda one: one.key),
        sorted(known, key=lambda one: one.key),
    )


views = st.builds(
    view,
    mode=st.sampled_from(list(Mode)),
    listed=st.sampled_from(["complete", "incomplete", "failed"]),
    sources_whole=st.booleans(),
    first_listing=st.booleans(),
    traits=st.sampled_from([Traits(), CID_IDS, Traits(id_is_cid=False)]),
    safety=st.sampled_from([Safety(), Safety(grace=0)]),
)


@given(worlds(), views)
def test_the_invariants_hold_for_every_world(
    world: tuple[list[DesiredPin], list[RemotePin], list[Known]], at: object
) -> None:
    wants, rows, known = world
    assert isinstance(at, type(view()))
    if at.listed == "failed":
        rows = []
    by_id = {one.requestid: one for one in rows}
    opinions = {one.requestid: one for book in known for one in book.owned}
    wanted = {one.key for one in wants if one.excluded is Excluded.NOT}
    for decision in diff(wants, rows, known, at):
        deletes = [action for action in decision.actions if action.step is Step.DELETE]
        posts = [action for action in decision.actions if action.step is Step.POST]
        for action in deletes:
            assert action.requestid is not None
            there = by_id[action.requestid]
            opinion = opinions.get(action.requestid)
            ours = (opinion is not None and opinion.how is not How.FOREIGN) or there.mark == ME
            assert ours, "only ours is ever deleted"
            if action.state is State.DO:
                assert at.listed == "complete", "no deletion without a complete list"
            if action.kind is Kind.REMOVE:
                assert action.key not in wanted
                assert at.mode is Mode.MIRROR
                if action.state is State.DO:
                    assert at.sources_whole
            else:
                survivor = by_id[action.survivor or ""]
                assert survivor.key == action.key
                assert survivor.requestid != action.requestid
                if action.state is State.DO:
                    assert survivor.status is PinStatus.PINNED
        assert len(posts) <= 1, "one POST a CID and pass"
        for action in posts:
            assert action.key in wanted
            assert at.mode is not Mode.READ_ONLY
            live = [one for one in rows if one.key == action.key and one.status.live]
            if action.kind is not Kind.UPDATE:
                assert not live, "nothing is posted beside a live pin but an update"
        if decision.after is not None and not decision.after.wanted:
            assert decision.key not in wanted


@given(worlds(), views)
def test_planning_again_from_what_was_recorded_decides_the_same(
    world: tuple[list[DesiredPin], list[RemotePin], list[Known]], at: object
) -> None:
    """Recording is idempotent but for the count of sightings: an interrupted record is repeated without harm."""
    wants, rows, known = world
    assert isinstance(at, type(view()))
    at = replace(at, listed="incomplete" if at.listed == "complete" else at.listed, first_listing=False)
    if at.listed == "failed":
        rows = []
    books = {one.key: one for one in known}
    first = list(diff(wants, rows, known, at))
    for decision in first:
        owned = books[decision.key].owned if decision.key in books else ()
        fresh = {one.requestid: one for one in (*owned, *decision.found)}
        books[decision.key] = Known(decision.key, decision.after, tuple(fresh.values()))
    second = list(diff(wants, rows, sorted(books.values(), key=lambda one: one.key), at))
    actions = {decision.key: decision.actions for decision in second}
    for decision in first:
        again = actions.get(decision.key, ())
        assert [(one.kind, one.step, one.requestid) for one in decision.actions] == [
            (one.kind, one.step, one.requestid) for one in again
        ]
