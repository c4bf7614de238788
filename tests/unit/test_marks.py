"""Pins that only our mark calls ours, and that this ledger never saw wanted: not removed without a person's word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pinsync.cid import key_of
from pinsync.house import writing
from pinsync.model import Safety
from pinsync.planning.guard import MARK_CODE
from pinsync.planning.plan import How
from pinsync.settings.model import MirrorSettings
from tests.mirror import Mirror, cid

ID = "chosen-by-hand"
SAFETY = Safety(grace=0, max_removal_share=100)
THEIRS, OURS = [f"theirs {n}" for n in range(8)], [f"ours {n}" for n in range(4)]


def host(directory: Path, *pins: str, of: Mirror | None = None, profile: str = "spec", **fields: Any) -> Mirror:
    """A mirror with the chosen id, over the services and the clock of another if given."""
    mirror = Mirror(directory, profile, safety=SAFETY, **fields)
    mirror.settings = replace(mirror.settings, mirror=MirrorSettings(ID))
    if of is not None:
        mirror.remotes, mirror.clock = of.remotes, of.clock
    mirror.pin(*pins)
    return mirror


def cids(*names: str) -> set[str]:
    return {cid(name) for name in names}


def codes(mirror: Mirror) -> set[str]:
    with writing(mirror.settings, "test", mirror.clock) as state:
        return {one.code for one in state.ledger.pending()}


# -- one mirror id on two hosts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["spec", "nft.storage"])
@pytest.mark.parametrize("apart", [60.0, 90 * 86400.0])
def test_two_hosts_with_one_id_leave_each_others_pins(tmp_path: Path, profile: str, apart: float) -> None:
    older = host(tmp_path / "one", *THEIRS, profile=profile)
    older.sync()
    older.later(apart)
    younger = host(tmp_path / "two", *OURS, of=older)
    for _ in range(5):
        younger.sync()
        older.sync()
        older.later(300)
    assert {*older.there()} == cids(*THEIRS, *OURS)
    assert codes(younger) == {MARK_CODE}
    assert "does another machine use" in younger.actions[0].reason
    assert younger.status()["verdict"] == "held"


def test_what_is_held_is_held_before_its_grace_is_over_and_counts_for_no_limit(tmp_path: Path) -> None:
    older = host(tmp_path / "one", *THEIRS)
    older.sync()
    younger = host(tmp_path / "two", *OURS, of=older)
    younger.change(safety=replace(SAFETY, grace=86400.0, max_removals=1))
    younger.sync()
    report = younger.sync()
    assert younger.done(report) == {"held": 8}
    younger.unpin(OURS[0])
    younger.sync()
    younger.later(2 * 86400)
    assert younger.done(younger.sync()) == {"removed": 1, "held": 8}


def test_a_persons_word_releases_what_was_shown_and_nothing_else(tmp_path: Path) -> None:
    older = host(tmp_path / "one", *THEIRS)
    older.sync()
    younger = host(tmp_path / "two", *OURS, of=older)
    younger.sync()
    younger.sync()
    assert younger.release() == 8
    older.seed("late", mark=ID, created=int((older.clock.now() - 9e6) * 1e9))
    assert younger.done(younger.sync()) == {"removed": 8, "held": 1}
    assert {*younger.there()} == cids(*OURS, "late")
    younger.release()
    assert younger.done(younger.sync()) == {"removed": 1}
    assert younger.status()["verdict"] == "in-sync"


def test_a_word_for_some_leaves_the_rest_held_though_they_are_few_by_then(tmp_path: Path) -> None:
    older = host(tmp_path / "one", *THEIRS)
    older.sync()
    younger = host(tmp_path / "two", *THEIRS[:3], of=older)
    younger.sync()
    assert younger.done(younger.sync()) == {"held": 5}
    with writing(younger.settings, "test", younger.clock) as state:
        for one in state.ledger.pending()[:3]:
            state.ledger.put_approval(one, False, younger.clock.now(), "me")
        state.ledger.not_quiet("there")
    assert younger.done(younger.sync()) == {"removed": 3, "held": 2}
    assert younger.done(younger.sync()) == {"held": 2}


def test_what_turns_out_to_be_wanted_is_held_no_more(tmp_path: Path) -> None:
    older = host(tmp_path / "one", *THEIRS)
    older.sync()
    younger = host(tmp_path / "two", *OURS, of=older)
    younger.sync()
    younger.pin(*THEIRS)
    assert younger.done(younger.sync()) == {}
    younger.unpin(THEIRS[0])
    assert younger.done(younger.sync()) == {"removed": 1}


# -- one mirror, whose ledger was lost ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", ["", "pinsync.db.remembered"])
def test_a_lost_ledger_most_of_whose_pins_are_wanted_works_by_itself(tmp_path: Path, kept: str) -> None:
    mirror = host(tmp_path, *THEIRS)
    mirror.sync()
    for file in tmp_path.iterdir():
        if file.name != kept:
            file.unlink()
    mirror.unpin(*THEIRS[: 8 if kept else 4])
    mirror.pin("new")
    mirror.sync()
    done = mirror.done(mirror.sync())
    assert done == {"removed": 8 if kept else 4}


def test_a_mirror_id_file_that_outlived_its_ledger_holds_nothing(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, safety=SAFETY)
    mirror.pin(*THEIRS, "kept")
    mirror.sync()
    for file in tmp_path.iterdir():
        if file.name != "mirror-id":
            file.unlink()
    mirror.unpin(*THEIRS)
    mirror.sync()
    assert mirror.done(mirror.sync()) == {"removed": 8}


def test_a_removed_pin_that_a_late_list_still_shows_is_no_strange_one(tmp_path: Path) -> None:
    mirror = host(tmp_path, *OURS)
    mirror.sync()
    mirror.emulator.become(list_lag=900.0)
    mirror.unpin(OURS[0])
    for _ in range(4):
        mirror.sync()
        assert MARK_CODE not in codes(mirror)
        mirror.later(600)
    assert {*mirror.there()} == cids(*OURS[1:])


# -- another account under a remote's name -----------------------------------------------------------------------------


def two_remotes(directory: Path, profile: str) -> Mirror:
    """One mirror; the node's pins at the one remote, the manifest's at the other."""
    mirror = Mirror(directory, profile, safety=SAFETY)
    mirror.add_remote("other", profile)
    mirror.change(nodes=True)
    first, other = mirror.settings.remotes
    mirror.settings = replace(mirror.settings, remotes=(first, replace(other, nodes=False)))
    mirror.pin(*OURS)
    mirror.manifest("".join(f'[[pin]]\ncid = "{cid(name)}"\nremotes = ["other"]\n' for name in THEIRS))
    mirror.sync()
    assert ({*mirror.there()}, {*mirror.there("other")}) == (cids(*OURS), cids(*THEIRS))
    return mirror


def swap(mirror: Mirror, *, endpoints: bool) -> None:
    there, other = mirror.settings.remotes
    if endpoints:
        remotes = (replace(there, endpoint=other.endpoint), replace(other, endpoint=there.endpoint))
        mirror.settings = replace(mirror.settings, remotes=remotes)
    mirror.remotes = {"there": mirror.remotes["other"], "other": mirror.remotes["there"]}


@pytest.mark.parametrize("endpoints", [True, False], ids=["endpoints", "tokens"])
@pytest.mark.parametrize("profile", ["spec", "nft.storage"])
def test_swapped_remotes_remove_nothing(tmp_path: Path, profile: str, endpoints: bool) -> None:
    mirror = two_remotes(tmp_path, profile)
    swap(mirror, endpoints=endpoints)
    for _ in range(4):
        mirror.later(3600)
        mirror.sync()
    assert cids(*THEIRS) <= {*mirror.there()}
    assert cids(*OURS) <= {*mirror.there("other")}
    swap(mirror, endpoints=endpoints)
    for _ in range(4):
        mirror.later(3600)
        mirror.sync()
    assert cids(*OURS) <= {*mirror.there()}
    assert cids(*THEIRS) <= {*mirror.there("other")}
    assert mirror.status()["verdict"] in ("in-sync", "held")


@pytest.mark.parametrize("fails", [False, True], ids=["", "the first list fails"])
def test_at_another_endpoint_few_are_held_as_well(tmp_path: Path, fails: bool) -> None:
    mirror = Mirror(tmp_path, safety=SAFETY)
    mirror.pin(*THEIRS)
    mirror.sync()
    before = mirror.emulator
    moved = mirror.add_remote("there", "spec")
    assert moved is not before
    first, second = mirror.settings.remotes
    mirror.settings = replace(mirror.settings, remotes=(replace(first, endpoint="http://elsewhere.example/pins"),))
    assert second.name == first.name
    mirror.seed(*THEIRS, "a stranger's", mark=mirror.id)
    if fails:
        moved.faults.next("status:500", method="GET", times=50)
    assert mirror.sync().good is not fails
    moved.faults.clear()
    for _ in range(3):
        mirror.sync()
    assert codes(mirror) == {MARK_CODE}
    assert cid("a stranger's") in mirror.there()
    mirror.release()
    assert mirror.done(mirror.sync()) == {"removed": 1}


def test_the_same_service_at_another_port_holds_nothing(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, safety=SAFETY)
    mirror.pin(*THEIRS)
    mirror.sync()
    mirror.change(endpoint="http://there.example:8080/pins")
    mirror.sync()
    mirror.unpin(THEIRS[0])
    assert mirror.done(mirror.sync()) == {"removed": 1}


def test_an_answer_that_a_plan_gives_is_what_the_pass_does(tmp_path: Path) -> None:
    older = host(tmp_path / "one", *THEIRS)
    older.sync()
    younger = host(tmp_path / "two", *OURS, of=older)
    younger.sync()
    _, actions = younger.plan()
    assert {action.code for action in actions} == {MARK_CODE}


def test_the_ledger_says_by_what_it_knows_them(tmp_path: Path) -> None:
    mirror = host(tmp_path, *OURS)
    mirror.sync()
    mirror.seed("old", mark=ID, created=int((mirror.clock.now() - 9e6) * 1e9))
    mirror.sync()
    with writing(mirror.settings, "test", mirror.clock) as state:
        hows = {name: state.ledger.owned_of("there", key_of(cid(name)))[0].how for name in ("old", OURS[0])}
    assert hows == {"old": How.MARK, OURS[0]: How.CREATED}
