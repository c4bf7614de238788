"""Whole passes over a made-up node and the emulator: what is at the remote afterwards, and what the report says."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pinsync.cid import parse_cid
from pinsync.emulator.records import Seed
from pinsync.house import State, reading, writing
from pinsync.model import Mode, PinStatus, Removals, Safety
from pinsync.people import approve
from pinsync.planning.plan import Kind
from pinsync.planning.plan import State as Stage
from tests.mirror import Mirror, cid

PROFILES = ["spec", "nft.storage", "mock", "rb"]
DAY = 86400.0
MANY = list(range(30))


@pytest.fixture(params=PROFILES)
def mirror(request: pytest.FixtureRequest, tmp_path: Path) -> Mirror:
    return Mirror(tmp_path, request.param)


def test_a_first_pass_mirrors_everything_and_a_second_is_silent(mirror: Mirror) -> None:
    mirror.pin(*MANY)
    first = mirror.sync()
    assert mirror.done(first) == {"added": 30}
    assert mirror.there() == {cid(n): ["pinned"] for n in MANY}
    assert first.exit_code() == 0
    before = mirror.emulator.mutations
    second = mirror.sync()
    assert mirror.done(second) == {}
    assert mirror.emulator.mutations == before
    assert (second.exit_code(), mirror.status()["verdict"]) == (0, "in-sync")


def test_our_pins_carry_our_mark(mirror: Mirror) -> None:
    mirror.pin("a")
    mirror.sync()
    (pin,) = mirror.emulator.pins()
    if pin.meta is not None:  # rb drops it
        assert pin.meta == {"pinsync": mirror.id}


def test_an_unpinned_cid_waits_out_its_grace_and_then_goes(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "nft.storage", safety=Safety(grace=3600))
    mirror.pin(*MANY)
    mirror.sync()
    mirror.unpin(3)
    waiting = mirror.sync()
    assert (mirror.done(waiting), waiting.exit_code()) == ({"waiting": 1}, 3)
    assert mirror.status()["remotes"][0]["waiting_removal"] == 1
    mirror.later(3599)
    mirror.sync()
    assert cid(3) in mirror.there()
    mirror.later(2)
    assert mirror.done(mirror.sync()) == {"removed": 1}
    assert cid(3) not in mirror.there()
    assert len(mirror.there()) == 29
    assert mirror.sync().exit_code() == 0


def test_grace_is_over_when_it_is_pinned_again(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, safety=Safety(grace=3600))
    mirror.pin(*MANY)
    mirror.sync()
    mirror.unpin(3)
    mirror.sync()
    mirror.later(1800)
    mirror.pin(3)
    mirror.sync()
    mirror.unpin(3)
    mirror.sync()
    mirror.later(1900)
    mirror.sync()
    assert cid(3) in mirror.there(), "grace began anew"


def test_foreign_pins_are_never_touched(mirror: Mirror) -> None:
    mirror.seed("theirs", name="their name")
    mirror.seed("wanted too", name="another name")
    mirror.pin("wanted too", called="ours")
    report = mirror.sync()
    assert mirror.done(report) == {}
    assert mirror.names() == {cid("theirs"): "their name", cid("wanted too"): "another name"}
    line = mirror.status()["remotes"][0]
    assert (line["foreign"], line["wanted"], line["pinned"]) == (2, 1, 1)
    mirror.unpin("wanted too")
    mirror.sync()
    mirror.sync()
    assert len(mirror.there()) == 2


def test_a_rename_reaches_the_remote_without_a_moment_unpinned(mirror: Mirror) -> None:
    mirror.pin("a", called="old")
    mirror.sync()
    counted: list[int] = []

    def look(_: object) -> None:
        counted.append(sum(1 for pin in mirror.emulator.pins() if pin.cid == cid("a") and pin.status.live))

    if mirror.emulator.behaviour.delete_takes_all:  # learned with one pin, which is put back at once
        mirror.pin("a", called="other")
        mirror.sync()
        assert "put back" not in str(mirror.sync().troubles)
        assert len(mirror.there()[cid("a")]) == 1
    mirror.emulator.before_request = look
    mirror.pin("a", called="new")
    mirror.sync()
    mirror.sync()
    assert min(counted) >= 1
    mirror.emulator.before_request = None
    assert len(mirror.there()[cid("a")]) == 1
    before = mirror.emulator.mutations
    assert mirror.sync().exit_code() == 0
    assert mirror.emulator.mutations == before, "an update that was not taken is not repeated"


def test_a_pin_that_vanished_is_added_again_at_the_second_look(mirror: Mirror) -> None:
    mirror.pin(*MANY)
    mirror.sync()
    mirror.emulator.remove_pins([pin.requestid for pin in mirror.emulator.pins() if pin.cid == cid(5)])
    assert mirror.done(mirror.sync()) == {"waiting": 1}
    assert cid(5) not in mirror.there()
    assert mirror.done(mirror.sync()) == {"added": 1}
    assert mirror.there()[cid(5)] == ["pinned"]


def test_most_of_ours_gone_is_held_and_bought_again_only_on_a_persons_word(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "nft.storage")
    mirror.pin(*MANY)
    mirror.sync()
    mirror.emulator.remove_pins([pin.requestid for pin in mirror.emulator.pins()][:20])
    mirror.sync()
    held = mirror.sync()
    assert (mirror.done(held), held.exit_code()) == ({"held": 20}, 4)
    assert len(mirror.there()) == 10
    with writing(mirror.settings, "test") as state:
        assert len(approve(state.ledger, None, [], now_too=False, at=mirror.clock.now(), by="me").pins) == 20
    assert mirror.done(mirror.sync()) == {"added": 20}
    assert len(mirror.there()) == 30


# -- sources in doubt --------------------------------------------------------------------------------------------------


def test_a_node_that_is_away_removes_nothing_and_says_so(mirror: Mirror) -> None:
    mirror.pin(*MANY)
    mirror.sync()
    mirror.node.away = "connection refused"
    report = mirror.sync()
    assert (mirror.done(report), report.exit_code()) == ({}, 1)
    assert "connection refused" in report.troubles[0].message
    assert len(mirror.there()) == 30
    assert mirror.status()["verdict"] == "failing"


def test_a_cut_list_adds_what_it_shows_and_removes_nothing(mirror: Mirror) -> None:
    mirror.pin(*MANY)
    mirror.sync()
    mirror.node.pins = {cid("new"): "", **mirror.node.pins}
    mirror.node.cut = 5
    report = mirror.sync()
    assert (mirror.done(report), report.exit_code()) == ({"added": 1}, 1)
    assert len(mirror.there()) == 31


def test_a_list_that_is_cut_silently_is_found_out_before_the_first_removal(mirror: Mirror) -> None:
    mirror.pin(*MANY)
    mirror.sync()
    mirror.unpin(29)
    mirror.node.cut_silently = 26
    report = mirror.sync()
    assert report.exit_code() == 1
    assert any("still pins" in trouble.message for trouble in report.troubles)
    kept = {cid(n) for n in range(29)}
    assert kept <= set(mirror.there())
    assert not mirror.status()["sources"]["nodes"][0]["ok"]
    mirror.node.cut_silently = None
    mirror.sync()
    assert set(mirror.there()) == kept


def test_one_entry_that_went_is_one_entry(mirror: Mirror) -> None:
    mirror.manifest(f'[[pin]]\ncid = "{cid(1)}"\n')
    mirror.sync()
    mirror.manifest("")
    mirror.sync()
    assert mirror.status()["doubts"][0]["reason"] == "the manifest had 1 entry and has none now"


def test_an_emptied_node_is_held_until_it_returns_or_a_person_says_so(mirror: Mirror) -> None:
    mirror.pin(*MANY[:4])
    mirror.sync()
    kept, mirror.node.pins = mirror.node.pins, {}
    held = mirror.sync()
    assert (mirror.done(held), held.exit_code()) == ({"held": 4}, 4)
    assert mirror.status()["verdict"] == "held"
    assert "had 4 pins and has none now" in mirror.status()["remotes"][0]["reasons"][0]["reason"]
    mirror.sync()
    assert len(mirror.there()) == 4
    mirror.node.pins = kept
    assert mirror.sync().exit_code() == 0
    mirror.node.pins = {}
    mirror.sync()
    with writing(mirror.settings, "test") as state:
        approve(state.ledger, None, [], now_too=False, at=mirror.clock.now(), by="me")
    assert mirror.done(mirror.sync()) == {"removed": 4}
    assert mirror.there() == {}
    assert mirror.sync().exit_code() == 0


def test_another_node_is_not_believed_before_a_person_says_so(mirror: Mirror) -> None:
    mirror.pin(*MANY)
    mirror.sync()
    mirror.node.peer_id = "12D3KooWSomebodyElse"
    mirror.unpin(0, 1)
    held = mirror.sync()
    assert (mirror.done(held), held.exit_code()) == ({"held": 2}, 4)
    again = mirror.sync()
    assert mirror.done(again) == {"held": 2}
    with writing(mirror.settings, "test") as state:
        approve(state.ledger, None, [], now_too=False, at=mirror.clock.now(), by="me")
    assert mirror.done(mirror.sync()) == {"removed": 2}
    mirror.unpin(2)
    assert mirror.done(mirror.sync()) == {"removed": 1}, "the new node is known by now"


def test_a_changed_filter_holds_what_the_node_still_has(mirror: Mirror) -> None:
    mirror.pin("a", "b", called="web-1")
    mirror.pin("c", "d", called="tmp-1")
    mirror.sync()
    mirror.change_node(skip_names=("tmp-*",))
    held = mirror.sync()
    assert (mirror.done(held), held.exit_code()) == ({"held": 2}, 4)
    assert "skip_names" in mirror.actions[0].reason
    assert mirror.done(mirror.sync()) == {"held": 2}, "it stays held though the configuration is the same by now"
    mirror.change_node(skip_names=())
    assert mirror.sync().exit_code() == 0
    assert len(mirror.there()) == 4


def test_a_node_taken_out_of_the_configuration_holds_what_it_wanted(mirror: Mirror) -> None:
    mirror.pin("a", "b")
    mirror.manifest(f'[[pin]]\ncid = "{cid("m")}"\n')
    mirror.sync()
    mirror.change_node(mirror=False)
    assert mirror.done(mirror.sync()) == {"held": 2}
    assert len(mirror.there()) == 3


def test_a_manifest_that_cannot_be_read_leaves_the_last_good_one_in_force(mirror: Mirror) -> None:
    path = mirror.manifest(f'[[pin]]\ncid = "{cid("m")}"\nname = "docs"\n[[pin]]\ncid = "{cid("n")}"\n')
    mirror.pin("a")
    mirror.sync()
    assert mirror.names()[cid("m")] == "docs"
    good = path.read_text()
    path.write_text('[[pin]]\ncid = "nonsense"\n')
    mirror.pin("b")
    report = mirror.sync()
    assert report.exit_code() == 2
    assert mirror.done(report) == {"added": 1}, "it goes on with what it can trust"
    assert len(mirror.there()) == 4
    shown = mirror.status()
    assert "pins.toml:2" in shown["sources"]["manifest"]["error"]
    assert shown["verdict"] == "in-sync"
    path.unlink()
    assert mirror.sync().exit_code() == 2
    assert len(mirror.there()) == 4
    path.write_text(good)
    assert mirror.sync().exit_code() == 0


def test_an_emptied_manifest_is_held(mirror: Mirror) -> None:
    path = mirror.manifest(f'[[pin]]\ncid = "{cid("m")}"\n')
    mirror.sync()
    path.write_text("")
    held = mirror.sync()
    assert (mirror.done(held), held.exit_code()) == ({"held": 1}, 4)
    assert len(mirror.there()) == 1


def test_an_entry_taken_out_of_the_manifest_goes(mirror: Mirror) -> None:
    entries = [f'[[pin]]\ncid = "{cid(n)}"\n' for n in MANY]
    path = mirror.manifest("".join(entries))
    mirror.sync()
    path.write_text("".join(entries[1:]))
    assert mirror.done(mirror.sync()) == {"removed": 1}
    assert set(mirror.there()) == {cid(n) for n in MANY[1:]}


def test_an_entry_that_is_put_back_during_the_pass_stays(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "nft.storage", safety=Safety(grace=0, max_removal_share=100))
    entries = [f'[[pin]]\ncid = "{cid(n)}"\n' for n in MANY]
    path = mirror.manifest("".join(entries))
    mirror.sync()
    path.write_text("".join(entries[10:]))

    def put_back(request: object) -> None:
        if "GET /pins/" in f"{request.method} {request.path}":  # type: ignore[attr-defined]
            path.write_text("".join(entries))

    mirror.emulator.before_request = put_back
    report = mirror.sync()
    assert report.exit_code() == 1
    assert any("changed during this pass" in trouble.message for trouble in report.troubles)
    mirror.emulator.before_request = None
    mirror.sync()
    assert len(mirror.there()) >= 30 - 8, "only what was being deleted at that moment can be gone"
    mirror.sync()
    assert len(mirror.there()) == 30


# -- limits, modes, ownership ------------------------------------------------------------------------------------------


def test_beyond_the_limit_everything_is_held_and_approval_is_for_what_was_shown(mirror: Mirror) -> None:
    mirror.pin(*MANY)
    mirror.sync()
    mirror.unpin(*MANY[:10])
    held = mirror.sync()
    assert (mirror.done(held), held.exit_code()) == ({"held": 10}, 4)
    with writing(mirror.settings, "test") as state:
        approve(state.ledger, None, [], now_too=False, at=mirror.clock.now(), by="me")
    mirror.unpin(*MANY[10:20])
    mixed = mirror.sync()
    assert mirror.done(mixed) == {"removed": 10, "held": 10}
    assert set(mirror.there()) == {cid(n) for n in MANY[10:]}


def test_a_slow_bleed_is_held_too(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, safety=Safety(grace=0, max_removals=7, max_removal_share=100))
    mirror.pin(*MANY)
    mirror.sync()
    removed = 0
    for n in MANY[:10]:
        mirror.unpin(n)
        removed += mirror.done(mirror.sync()).get("removed", 0)
        mirror.later(60)
    assert removed == 7
    assert mirror.done(mirror.sync()) == {"held": 3}
    mirror.later(86400)
    assert mirror.done(mirror.sync()) == {"removed": 3}


@pytest.mark.parametrize("mode", [Mode.ADD_ONLY, Mode.READ_ONLY])
def test_modes(tmp_path: Path, mode: Mode) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin("a")
    mirror.sync()
    mirror.change(mode=mode)
    mirror.unpin("a")
    mirror.pin("b")
    mirror.sync()
    mirror.sync()
    assert set(mirror.there()) == ({cid("a"), cid("b")} if mode is Mode.ADD_ONLY else {cid("a")})


def test_removals_never_and_by_approval(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, safety=Safety(Removals.APPROVE, 0))
    mirror.pin("a", "b")
    mirror.sync()
    mirror.unpin("a")
    assert mirror.sync().exit_code() == 4
    mirror.change(safety=Safety(Removals.NEVER, 0))
    assert mirror.done(mirror.sync()) == {}
    assert len(mirror.there()) == 2


def test_two_mirrors_on_one_account_do_not_fight(tmp_path: Path) -> None:
    one = Mirror(tmp_path / "one", "nft.storage")
    two = Mirror(tmp_path / "two", "nft.storage")
    two.remotes = one.remotes
    two.clock = one.clock
    one.pin("a", "both", "kept")
    two.pin("b", "both")
    for _ in range(3):
        one.sync()
        two.sync()
    assert set(one.there()) == {cid("a"), cid("b"), cid("both"), cid("kept")}
    assert two.status()["remotes"][0]["other_mirrors"] == [one.id]
    one.unpin("a", "both")
    one.sync()
    assert set(one.there()) == {cid("b"), cid("kept")}
    for _ in range(2):
        two.sync()
    assert set(one.there()) == {cid("b"), cid("both"), cid("kept")}, "what the other relied on is ours by now"


def test_a_lost_ledger_removes_nothing_at_first_and_knows_its_pins_again(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "nft.storage")
    mirror.pin(*MANY)
    mirror.sync()
    for path in tmp_path.glob("pinsync.db*"):
        path.unlink()
    mirror.unpin(0)
    first = mirror.sync()
    assert mirror.done(first) == {"waiting": 1}
    assert mirror.emulator.mutations == 30
    assert mirror.done(mirror.sync()) == {"removed": 1}


# -- the remote goes wrong ---------------------------------------------------------------------------------------------


def test_a_failed_pin_is_tried_again_with_growing_pauses(mirror: Mirror) -> None:
    mirror.pin("a", "b")
    mirror.sync()
    mirror.settle("a", PinStatus.FAILED, "no providers found")
    report = mirror.sync()
    assert mirror.done(report) == {"waiting": 1}
    assert report.exit_code() == 1
    assert "no providers found" in mirror.actions[0].reason
    mirror.later(61)
    assert mirror.done(mirror.sync()) == {"retried": 1}
    mirror.sync()
    again = mirror.there()[cid("a")]
    if mirror.emulator.behaviour.repost == "new-row":
        assert again == ["pinned"], "ours was added beside it, and the failed one deleted"
    else:
        assert again == ["failed"], "this service does not queue it again; it is tried with growing pauses"
        mirror.later(61)
        assert mirror.done(mirror.sync()) == {"waiting": 1}
    assert mirror.there()[cid("b")] == ["pinned"]


def test_pins_on_their_way_are_followed_until_they_are_pinned(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "nft.storage")
    mirror.emulator.become(settle=20.0, list_lag=10_000.0)
    mirror.pin("a", "b")
    report = mirror.sync()
    assert report.exit_code() == 3
    assert mirror.status()["remotes"][0]["queued"] == 2
    mirror.later(30)
    mirror.sync()
    assert mirror.status()["remotes"][0]["pinned"] == 2, "GET by id says so though lists lag"
    before = mirror.emulator.mutations
    mirror.sync()
    assert mirror.emulator.mutations == before


@pytest.mark.parametrize("fault", ["cut-before", "cut-after", "cut-middle", "status:500", "status-after:502", "empty"])
def test_an_answer_that_is_lost_leaves_no_duplicate_behind(mirror: Mirror, fault: str) -> None:
    mirror.pin(*MANY)
    mirror.emulator.faults.next(fault, method="POST", times=3, after=4)
    mirror.sync()
    mirror.sync()
    assert mirror.sync().exit_code() == 0
    assert mirror.there() == {cid(n): ["pinned"] for n in MANY}


def test_a_remote_that_refuses_one_pin_goes_on_with_the_others(mirror: Mirror) -> None:
    mirror.pin(*MANY)
    mirror.emulator.faults.next("status:400", method="POST", times=1, after=3)
    report = mirror.sync()
    assert mirror.done(report) == {"added": 29, "refused": 1}
    line = mirror.status()["remotes"][0]
    assert (line["refused"], line["pinned"], line["wanted"]) == (1, 29, 30)
    assert mirror.status()["verdict"] == "failing"
    mirror.sync()
    assert len(mirror.there()) == 29, "not before its next try"
    mirror.later(1000)
    assert mirror.done(mirror.sync()) == {"added": 1}


@pytest.mark.parametrize("closed", ["maintenance", "restricted", "refused", "full"])
def test_a_remote_that_takes_no_new_pins_is_not_hammered(tmp_path: Path, closed: str) -> None:
    mirror = Mirror(tmp_path, "nft.storage", concurrency=2)
    mirror.pin(*MANY)
    mirror.seed("old", mark=None)
    mirror.emulator.become(closed=closed)
    report = mirror.sync()
    refused = mirror.emulator.mutations
    assert refused <= 6
    assert (report.exit_code(), mirror.done(report)["refused"]) == (1, 30)
    mirror.later(300)
    mirror.sync()
    assert mirror.emulator.mutations == refused
    mirror.later(900)
    mirror.sync()
    assert mirror.emulator.mutations == refused + 1, "one probe, when it is time"
    line = mirror.status()["remotes"][0]
    assert (line["wanted"], line["refused"], line["complete"], line["foreign"]) == (30, 30, True, 1)
    assert line["error"]
    assert mirror.status()["verdict"] == "failing"
    mirror.emulator.become(closed="")
    mirror.later(86400)
    mirror.sync()
    mirror.sync()
    assert len(mirror.there()) == 31
    assert mirror.sync().exit_code() == 0


@pytest.mark.parametrize(
    "fault", ["status:500", "html", "cut-before", "truncate", "garbage", "status:401", "status:403"]
)
def test_a_list_that_fails_changes_nothing(mirror: Mirror, fault: str) -> None:
    mirror.pin(*MANY)
    mirror.sync()
    mirror.unpin(0)
    mirror.pin("new")
    before = mirror.emulator.mutations
    mirror.emulator.faults.next(fault, method="GET", path="/pins", times=50)
    report = mirror.sync()
    assert report.exit_code() == 1
    assert mirror.emulator.mutations == before
    assert mirror.status()["remotes"][0]["ok"] is False
    mirror.emulator.faults.clear()
    assert mirror.done(mirror.sync()) == {"added": 1, "removed": 1}


def test_one_remote_that_is_down_delays_no_other(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.add_remote("other", "nft.storage")
    mirror.emulator.faults.next("cut-before", times=1000)
    mirror.pin("a")
    report = mirror.sync()
    assert (len(mirror.there()), len(mirror.there("other")), report.exit_code()) == (0, 1, 1)


def test_routing_by_remotes(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.add_remote("other", nodes=False)
    mirror.pin("node's")
    mirror.manifest(
        f'[[pin]]\ncid = "{cid("here")}"\nremotes = ["there"]\n[[pin]]\ncid = "{cid("all")}"\n'
        f'[[pin]]\ncid = "{cid("other")}"\nremotes = ["other"]\n'
    )
    mirror.sync()
    assert set(mirror.there()) == {cid("node's"), cid("here"), cid("all")}
    assert set(mirror.there("other")) == {cid("all"), cid("other")}


def test_a_plan_changes_nothing_anywhere_and_says_what_the_pass_does(mirror: Mirror) -> None:
    mirror.pin(*MANY)
    report, actions = mirror.plan()
    assert [action.kind for action in actions] == [Kind.ADD] * 30
    assert (report.exit_code(), mirror.emulator.mutations) == (3, 0)
    assert not (mirror.directory / "pinsync.db").exists()
    mirror.sync()
    mirror.unpin(0)
    _, actions = mirror.plan()
    assert [(action.kind, action.state, action.cid) for action in actions] == [(Kind.REMOVE, Stage.DO, cid(0))]
    assert cid(0) in mirror.there()
    with reading(mirror.settings) as ledger:
        assert ledger is not None
        assert ledger.pending() == []


def test_wanted_is_the_sum_of_its_buckets_always(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "nft.storage")
    mirror.emulator.become(settle=1e9)
    mirror.pin(*MANY)
    mirror.emulator.seed_pins([Seed(cid("f"), status=PinStatus.FAILED)])
    mirror.pin("f")
    mirror.emulator.faults.next("status:400", method="POST", times=3)
    mirror.sync()
    line = mirror.status()["remotes"][0]
    buckets = ("pinned", "queued", "pinning", "failed", "refused", "missing")
    assert line["wanted"] == sum(line[bucket] for bucket in buckets) == 31
    assert (line["failed"], line["refused"]) == (1, 3)


# -- adds by the specification's intent --------------------------------------------------------------------------------


def test_origins_are_the_nodes_public_addresses_unless_told_otherwise(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "spec")
    mirror.node.addresses = (
        "/ip4/10.0.0.1/tcp/4001/p2p/12D3KooWMadeNode", "/ip4/8.8.4.4/tcp/4001/p2p/12D3KooWMadeNode",
    )  # fmt: skip
    mirror.pin("a")
    mirror.sync()
    (pin,) = mirror.emulator.pins()
    assert pin.origins == ("/ip4/8.8.4.4/tcp/4001/p2p/12D3KooWMadeNode",), "a private address is nobody's business"
    mirror.pin("b")
    mirror.change(origins="none")
    mirror.sync()
    assert [pin.origins for pin in mirror.emulator.pins() if pin.cid == cid("b")] == [()]


def test_the_node_dials_the_delegates_that_a_service_names(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "pinata")
    mirror.pin("a", "b")
    mirror.sync()
    assert mirror.node.dialled
    assert len(set(mirror.node.dialled)) == len(mirror.node.dialled)
    assert all("/p2p/" in address for address in mirror.node.dialled)


def test_what_a_service_does_is_learned_with_its_date_and_shown(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "nft.storage")
    mirror.pin("a", called="x")
    mirror.sync()
    mirror.later(5)
    mirror.sync()
    line = mirror.status()["remotes"][0]
    assert line["traits"]["id_is_cid"] is True
    assert line["traits"]["meta_kept"] is True
    assert line["traits"]["name_kept"] is True
    since = line["traits_since"]["id_is_cid"]
    mirror.later(5)
    mirror.sync()
    assert mirror.status()["remotes"][0]["traits_since"]["id_is_cid"] == since
    mirror.pin("a", called="y")
    mirror.sync()
    assert mirror.status()["remotes"][0]["traits"]["update_in_place"] is True


def test_a_service_that_drops_meta_is_not_asked_for_it_again(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "rb")
    mirror.manifest(f'[[pin]]\ncid = "{cid("a")}"\nmeta = {{ team = "web" }}\n')
    mirror.sync()
    assert mirror.status()["remotes"][0]["traits"]["meta_kept"] is False
    before = mirror.emulator.mutations
    mirror.manifest(f'[[pin]]\ncid = "{cid("a")}"\nmeta = {{ team = "ops" }}\n')
    assert mirror.sync().exit_code() == 0
    assert mirror.emulator.mutations == before


@pytest.mark.parametrize("closed", ["maintenance", "delete-restricted"])
def test_a_remote_that_refuses_deletions_is_not_hammered(tmp_path: Path, closed: str) -> None:
    mirror = Mirror(tmp_path, "nft.storage")
    mirror.pin(*MANY)
    mirror.sync()
    mirror.unpin(0, 1)
    mirror.emulator.become(closed=closed)
    mirror.sync()
    asked = mirror.emulator.mutations
    report = mirror.sync()
    assert (mirror.emulator.mutations, mirror.done(report)) == (asked, {"waiting": 2})
    assert "deletes nothing" in mirror.status()["remotes"][0]["error"]
    assert len(mirror.there()) == 30
    mirror.emulator.become(closed="")
    mirror.later(3600)
    mirror.sync()
    mirror.sync()
    assert len(mirror.there()) == 28


# -- what a cold review found ------------------------------------------------------------------------------------------


def words(mirror: Mirror, remote: str | None = None, *names: object) -> int:
    """A person approves; how many pins that released."""
    with writing(mirror.settings, "test") as state:
        cids = [parse_cid(cid(name)) for name in names]
        return len(approve(state.ledger, remote, cids, now_too=False, at=mirror.clock.now(), by="me").pins)


@pytest.mark.parametrize("profile", ["nft.storage", "spec", "rb"])
def test_pins_that_others_made_after_a_crash_are_not_ours(tmp_path: Path, profile: str) -> None:
    mirror = Mirror(tmp_path, profile, concurrency=2)
    mirror.pin(*MANY)
    mirror.emulator.become(latency=0.5)

    async def die(state: State) -> None:
        task = asyncio.ensure_future(mirror._sync(state, None))
        while mirror.emulator.mutations < 6:  # noqa: ASYNC110 - time is virtual here
            await asyncio.sleep(0)
        del task
        raise KeyboardInterrupt  # as good as kill -9: nothing is noted any more

    with pytest.raises(KeyboardInterrupt), writing(mirror.settings, "test") as state:
        state.ledger.settle = lambda *_: None  # type: ignore[method-assign]
        asyncio.run(die(state))
    mirror.emulator.become(latency=0.02)
    theirs = [n for n in MANY if cid(n) not in mirror.there()][:3]
    assert len(theirs) == 3
    mirror.emulator.seed_pins([Seed(cid(n), name="by hand", meta={"who": "them"}) for n in theirs])
    before = {pin.requestid: pin for pin in mirror.emulator.pins() if pin.name == "by hand"}
    for _ in range(3):
        mirror.sync()
        mirror.later(600)
    after = {pin.requestid: pin for pin in mirror.emulator.pins()}
    assert all(after[requestid] == pin for requestid, pin in before.items())
    assert set(mirror.there()) == {cid(n) for n in MANY}
    mirror.node.pins = {cid(n): "" for n in MANY if n not in theirs}
    mirror.sync()
    mirror.sync()
    assert before.keys() <= {pin.requestid for pin in mirror.emulator.pins()}


def test_passes_over_one_remote_alone_hold_as_well(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, safety=Safety(grace=0, max_removal_share=100))
    path = mirror.manifest(f'[[pin]]\ncid = "{cid("m")}"\n')
    mirror.pin(*MANY)
    mirror.sync("there")
    kept, mirror.node.pins = mirror.node.pins, {}
    assert mirror.done(mirror.sync("there")) == {"held": 30}
    mirror.node.pins = kept
    mirror.sync("there")
    mirror.change_node(skip_names=("",))
    assert mirror.done(mirror.sync("there")) == {"held": 30}
    mirror.change_node(skip_names=())
    mirror.sync("there")
    path.write_text("")
    assert mirror.done(mirror.sync("there")) == {"held": 1}
    assert len(mirror.there()) == 31


def test_taking_the_nodes_away_from_a_remote_is_held_though_the_node_is_away(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin(*MANY[:4])
    mirror.sync()
    mirror.node.away = "stopped"
    mirror.change(nodes=False)
    assert mirror.done(mirror.sync()) == {"held": 4}
    mirror.later(86400)
    mirror.sync()
    assert len(mirror.there()) == 4


def test_approving_at_one_remote_releases_nothing_at_another(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, safety=Safety(grace=0, max_removal_share=100))
    mirror.add_remote("other")
    mirror.pin(*MANY)
    mirror.sync()
    mirror.node.pins = {}
    mirror.sync()
    assert words(mirror, "there") == 30
    report = mirror.sync()
    assert (mirror.done(report, 0), mirror.done(report, 1)) == ({"removed": 30}, {"held": 30})
    assert len(mirror.there("other")) == 30
    report = mirror.sync()
    assert mirror.done(report, 1) == {"held": 30}, "the node is not believed to be empty before all remotes are told so"
    words(mirror)
    assert mirror.done(mirror.sync(), 1) == {"removed": 30}
    assert mirror.sync().exit_code() == 0


def test_an_approval_falls_with_the_doubt_that_it_was_about(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin(*MANY)
    mirror.sync()
    mirror.node.pins = {}
    mirror.sync()
    assert words(mirror) == 30
    mirror.pin(0)
    assert mirror.done(mirror.sync()) == {"held": 29}, "the node has pins again: the limits count"
    assert len(mirror.there()) == 30


def test_a_source_that_was_emptied_is_doubted_until_it_has_back_what_it_had(tmp_path: Path) -> None:
    """Somebody restores pins one by one, while the graces that began when they vanished are long over."""
    mirror = Mirror(tmp_path, safety=Safety(grace=7 * DAY))
    mirror.pin(1, 2, 3, 4, 5)
    mirror.sync()
    mirror.node.pins = {}
    for _ in range(4):
        mirror.sync()
        mirror.later(2 * DAY)
    for back in (1, 2, 3):
        mirror.pin(back)
        report = mirror.sync()
        assert mirror.done(report) == {"held": 5 - back}
        assert "had 5 pins" in mirror.actions[0].reason
    mirror.node.away = "it is being restarted"
    mirror.sync()
    mirror.node.away = None
    assert mirror.done(mirror.sync()) == {"held": 2}, "one bad reading makes nobody forget"
    mirror.pin(4, "another one")
    assert mirror.done(mirror.sync()) == {"added": 1, "waiting": 1}, "as many as before: the grace of 5 begins anew"
    mirror.later(8 * DAY)
    assert mirror.done(mirror.sync()) == {"removed": 1}


@pytest.mark.parametrize("include", [False, True])
def test_an_unrelated_entry_does_not_end_the_doubt_about_an_emptied_manifest(tmp_path: Path, include: bool) -> None:
    mirror = Mirror(tmp_path)
    text = "".join(f'[[pin]]\ncid = "{cid(one)}"\n' for one in range(5))
    (tmp_path / "list.toml").write_text(text if include else "")
    head = 'include = ["list*.toml"]\n'
    mirror.manifest(head if include else text)
    mirror.sync()
    (tmp_path / "list.toml").write_text("")
    mirror.manifest(head if include else "")
    assert mirror.done(mirror.sync()) == {"held": 5}
    unrelated = f'[[pin]]\ncid = "{cid(9)}"\n'
    if include:
        (tmp_path / "list.toml").write_text(unrelated)
    else:
        mirror.manifest(unrelated)
    assert mirror.done(mirror.sync()) == {"added": 1, "held": 5}
    words(mirror)
    assert mirror.done(mirror.sync()) == {"removed": 5}


def test_what_is_routed_to_another_remote_leaves_when_it_is_pinned_there(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    other = mirror.add_remote("other")
    entry = f'[[pin]]\ncid = "{cid(1)}"\nremotes = ["%s"]\n'
    mirror.manifest(entry % "there")
    mirror.sync()
    other.become(settle=3600.0)
    mirror.manifest(entry % "other")
    for _ in range(3):
        report = mirror.sync()
        assert mirror.done(report) == {"waiting": 1}
        mirror.later(900.0)
    assert set(mirror.there()) == {cid(1)}
    assert "wanted at other instead, and not pinned there yet" in "".join(one.reason for one in mirror.actions)
    mirror.later(3600.0)
    for _ in range(2):
        mirror.sync()
    assert (mirror.there(), mirror.there("other")) == ({}, {cid(1): ["pinned"]})


def test_an_approved_doubt_releases_what_was_shown_beyond_limits_and_after_grace(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, safety=Safety(grace=3600))
    mirror.pin(*MANY)
    mirror.sync()
    mirror.node.pins = {}
    mirror.sync()
    words(mirror)
    assert mirror.done(mirror.sync()) == {"waiting": 30}
    mirror.later(3601)
    assert mirror.done(mirror.sync()) == {"removed": 30}


def test_a_manifest_in_doubt_does_not_become_the_last_good_one(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    path = mirror.manifest("".join(f'[[pin]]\ncid = "{cid(n)}"\n' for n in MANY))
    mirror.sync()
    path.write_text("")
    mirror.sync()
    path.write_text("[[pin")
    assert mirror.sync().exit_code() == 2
    assert mirror.status()["remotes"][0]["wanted"] == 30


def test_a_list_that_lost_all_its_lines_is_held(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    (tmp_path / "list.txt").write_text("".join(f"{cid(n)}\n" for n in MANY[:4]))
    mirror.manifest(f'include = ["*.txt"]\n[[pin]]\ncid = "{cid("m")}"\n')
    mirror.sync()
    (tmp_path / "list.txt").write_text("")
    assert mirror.done(mirror.sync()) == {"held": 4}
    (tmp_path / "list.txt").unlink()
    assert mirror.done(mirror.sync()) == {"held": 4}
