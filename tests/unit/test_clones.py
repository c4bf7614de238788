"""Two mirrors with one mark, a copied state, another machine: said in words, and no removal of the other's pins."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pinsync.house import writing
from pinsync.ledger.recovery import HOME
from pinsync.machine import machine_of
from pinsync.model import Safety
from pinsync.settings.model import MirrorSettings
from tests.mirror import Mirror, cid

MANY = list(range(30))
HERE, THERE = "11" * 8, "22" * 8


def made(tmp_path: Path, profile: str = "nft.storage", **fields: Any) -> Mirror:
    mirror = Mirror(tmp_path / "one", profile, **fields)
    mirror.machine = HERE
    mirror.pin(*MANY)
    mirror.sync()
    return mirror


def twin(mirror: Mirror, directory: Path, *, machine: str | None = THERE) -> Mirror:
    """The same state on another machine, over the same services."""
    other = Mirror(directory, "spec")
    shutil.copytree(mirror.directory, directory, dirs_exist_ok=True)
    other.remotes, other.clock, other.machine = mirror.remotes, mirror.clock, machine
    other.settings = replace(mirror.settings, state=other.settings.state)
    other.node.pins = dict(mirror.node.pins)
    return other


def doubts(mirror: Mirror) -> list[str]:
    return [doubt["code"].rpartition(":")[0] for doubt in mirror.status()["doubts"]]


# -- which machine -----------------------------------------------------------------------------------------------------


def test_a_machine_is_known_by_its_id_which_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    file = tmp_path / "etc/machine-id"
    assert machine_of({}, tmp_path) is None
    for text in ("", "uninitialized\n", "0" * 32, "not an id", "Ü" * 32):
        file.write_text(text)
        assert machine_of({}, tmp_path) is None
    file.write_text("0123456789abcdef" * 2 + "\n")
    found = machine_of({}, tmp_path)
    assert found is not None
    assert len(found) == 16
    assert found not in file.read_text()
    assert machine_of({}, tmp_path) == found


def test_in_a_container_nothing_is_concluded(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text("0123456789abcdef" * 2)
    assert machine_of({"container": "podman"}, tmp_path) is None
    assert machine_of({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path) is None
    (tmp_path / ".dockerenv").touch()
    assert machine_of({}, tmp_path) is None


# -- a copied state ----------------------------------------------------------------------------------------------------


def test_a_state_that_is_used_on_another_machine_removes_nothing_before_a_person_says_so(tmp_path: Path) -> None:
    mirror = made(tmp_path)
    other = twin(mirror, tmp_path / "two")
    shutil.rmtree(mirror.directory)
    other.unpin(0)
    for _ in range(2):
        assert other.done(other.sync()) == {"held": 1}
    assert doubts(other) == ["clone:machine"]
    assert "another machine" in other.status()["doubts"][0]["reason"]
    other.release()
    assert other.done(other.sync()) == {"removed": 1}
    other.unpin(1)
    assert other.done(other.sync()) == {"removed": 1}
    assert doubts(other) == []


def test_a_new_container_is_no_other_machine(tmp_path: Path) -> None:
    mirror = made(tmp_path)
    mirror.machine = None
    mirror.unpin(0)
    assert mirror.done(mirror.sync()) == {"removed": 1}
    mirror.machine = HERE
    mirror.unpin(1)
    assert mirror.done(mirror.sync()) == {"removed": 1}


def test_a_copy_on_the_same_machine_is_noticed_while_the_other_is_there(tmp_path: Path) -> None:
    mirror = made(tmp_path)
    other = twin(mirror, tmp_path / "two", machine=HERE)
    other.unpin(0)
    assert other.done(other.sync()) == {"held": 1}
    assert doubts(other) == ["clone:copy"]
    assert str(mirror.directory) in other.status()["doubts"][0]["reason"]
    shutil.rmtree(mirror.directory)
    assert other.done(other.sync()) == {"removed": 1}, "it ends by itself with the other"


def test_a_state_that_was_moved_is_no_copy(tmp_path: Path) -> None:
    mirror = made(tmp_path)
    other = twin(mirror, tmp_path / "two", machine=HERE)
    shutil.rmtree(mirror.directory)
    other.unpin(0)
    assert other.done(other.sync()) == {"removed": 1}


# -- somebody else with our mark ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["nft.storage", "spec"])
def test_clones_that_nothing_else_tells_apart_are_known_by_their_pins(tmp_path: Path, profile: str) -> None:
    mirror = made(tmp_path, profile)
    other = twin(mirror, tmp_path / "two", machine=HERE)
    for each in (mirror, other):  # as images of one disk are: the same machine id, the same path
        with writing(each.settings, "test", each.clock) as state:
            state.ledger.set_fact(HOME, str(each.settings.state.path.absolute()))
    mirror.later(3600)
    other.pin("theirs alone")
    other.sync()
    mirror.later(900)
    for _ in range(3):
        mirror.sync()
        other.sync()
    assert cid("theirs alone") in mirror.there()
    assert doubts(mirror) == ["clone:pins"]
    assert "same mirror id" in mirror.status()["doubts"][0]["reason"]
    assert any(event.kind == "strangers" for event in mirror.events())
    mirror.unpin(0)
    assert mirror.done(mirror.sync())["held"] >= 1
    assert cid(0) in mirror.there()


def test_after_a_persons_word_it_goes_on_alone_and_new_ones_are_told_anew(tmp_path: Path) -> None:
    mirror = made(tmp_path)
    mirror.later(3600)
    mirror.seed("one", mark=mirror.id, created=int(mirror.clock.now() * 1e9))
    mirror.sync()
    assert doubts(mirror) == ["clone:pins"]
    mirror.release()
    mirror.sync()
    assert doubts(mirror) == []
    assert cid("one") not in mirror.there()
    mirror.later(3600)
    mirror.seed("two", "three", mark=mirror.id, created=int(mirror.clock.now() * 1e9))
    mirror.sync()
    assert doubts(mirror) == ["clone:pins"]
    assert "2 pins" in mirror.status()["doubts"][0]["reason"]
    assert len(mirror.there()) == 32


def test_what_we_removed_and_somebody_puts_back_with_our_mark_is_a_strangers_doing(tmp_path: Path) -> None:
    mirror = made(tmp_path, "spec")
    mirror.unpin(0)
    mirror.sync()
    assert cid(0) not in mirror.there()
    mirror.later(3600)
    mirror.seed(0, mark=mirror.id, created=int(mirror.clock.now() * 1e9))
    mirror.sync()
    assert doubts(mirror) == ["clone:pins"]


@pytest.mark.parametrize("fault", ["cut-after", "status-after:502"])
def test_our_own_pins_whose_answers_were_lost_are_no_strangers(tmp_path: Path, fault: str) -> None:
    mirror = Mirror(tmp_path, "spec")
    mirror.emulator.become(list_lag=900.0)
    mirror.pin(*MANY)
    mirror.emulator.faults.next(fault, method="POST", times=10)
    for _ in range(4):
        mirror.sync()
        mirror.later(700)
    assert doubts(mirror) == []
    assert {*mirror.there()} == {cid(n) for n in MANY}


def test_a_mark_from_before_this_ledger_is_no_strangers(tmp_path: Path) -> None:
    mirror = made(tmp_path)
    mirror.seed("old", mark=mirror.id, created=int((mirror.clock.now() - 9e6) * 1e9))
    mirror.sync()
    assert doubts(mirror) == []


# -- another id, two ids, several nodes --------------------------------------------------------------------------------


def test_pins_that_a_changed_mirror_id_makes_ours_are_held(tmp_path: Path) -> None:
    mirror = made(tmp_path, safety=Safety(grace=0, max_removal_share=100))
    mirror.seed("x", "y", mark="another-mirror")
    mirror.settings = replace(mirror.settings, mirror=MirrorSettings("another-mirror"))
    for _ in range(3):
        assert mirror.done(mirror.sync()) == {"held": 2}
    assert "mirror.id" in mirror.actions[0].reason
    assert doubts(mirror) == []
    assert set(mirror.there()) == {cid(n) for n in [*MANY, "x", "y"]}
    mirror.release()
    assert mirror.done(mirror.sync()) == {"removed": 2}


def test_an_id_file_that_changed_holds_as_well(tmp_path: Path) -> None:
    mirror = made(tmp_path, safety=Safety(grace=0, max_removal_share=100))
    mirror.seed("x", mark="another-mirror")
    (mirror.directory / "mirror-id").write_text("another-mirror\n")
    for _ in range(2):
        assert mirror.done(mirror.sync()) == {"held": 1}
    assert cid("x") in mirror.there()
