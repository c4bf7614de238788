"""What the simulation found in whole passes, each as the shortest story that shows it (`make simulate`)."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from pinsync.cid import key_of, parse_cid
from pinsync.emulator.records import Seed
from pinsync.house import writing
from pinsync.model import PinStatus, Removals, Safety
from pinsync.people import approve
from pinsync.planning.plan import How, Owned
from tests.mirror import Mirror, cid

MANY = list(range(10))


class Lagging(httpx.AsyncBaseTransport):
    """Lists do not show the newest pins; a look-up by CID does."""

    def __init__(self, inner: httpx.AsyncBaseTransport, hidden: set[str]) -> None:
        self._inner = inner
        self._hidden = hidden

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        if request.method != "GET" or request.url.path != "/pins" or b"cid=" in request.url.query:
            return answer
        page = json.loads(await answer.aread())
        rows = [row for row in page["results"] if row["requestid"] not in self._hidden]
        page["count"] -= len(page["results"]) - len(rows)
        page["results"] = rows
        return httpx.Response(200, json=page, headers={"date": answer.headers["date"]})


def lag(mirror: Mirror, *hidden: str) -> set[str]:
    """From now on lists leave out these ids, and those added to what is returned."""
    found = set(hidden)
    mirror.transports["there"] = lambda inner: Lagging(inner, found)
    return found


def words(mirror: Mirror, *names: object, now: bool = False) -> int:
    """A person approves; how many pins that released."""
    with writing(mirror.settings, "test", mirror.clock) as state:
        cids = [parse_cid(cid(name)) for name in names]
        return len(approve(state.ledger, None, cids, now_too=now, at=mirror.clock.now(), by="me").pins)


def ids(mirror: Mirror, name: object) -> list[str]:
    return [pin.requestid for pin in mirror.emulator.pins() if pin.cid == cid(name)]


# -- whose a pin is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["nft.storage", "cluster"])
def test_what_somebody_makes_under_an_id_that_was_ours_is_his(tmp_path: Path, profile: str) -> None:
    mirror = Mirror(tmp_path, profile)
    mirror.pin(*MANY, called="ours")
    mirror.sync()
    mirror.emulator.remove_pins(ids(mirror, 0))
    mirror.sync()
    mirror.seed(0, name="his")
    mirror.sync()
    assert mirror.names()[cid(0)] == "his", "not posted over, though the id is one that we made once"
    mirror.unpin(0)
    mirror.sync()
    mirror.sync()
    assert cid(0) in mirror.there()


def test_what_somebody_makes_after_an_adopted_pin_is_gone_is_his(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "nft.storage")
    mirror.pin(*MANY)
    mirror.sync()
    (theirs,) = mirror.seed("theirs", name="theirs")
    key = key_of(cid("theirs"))
    with writing(mirror.settings, "test", mirror.clock) as state:
        state.ledger.own("there", Owned(theirs, key, cid("theirs"), How.ADOPTED), mirror.clock.now())
    assert mirror.done(mirror.sync()) == {"removed": 1}
    mirror.sync()
    mirror.seed("theirs", name="made anew")
    mirror.sync()
    mirror.sync()
    assert mirror.names()[cid("theirs")] == "made anew"


def test_a_service_that_answers_with_anothers_record_has_not_made_one(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "mock")
    mirror.pin(*MANY)
    mirror.sync()
    hidden = lag(mirror, *mirror.seed("a", name="theirs"))
    mirror.later(60)
    mirror.pin("a")
    mirror.sync()
    hidden.clear()
    mirror.sync()
    mirror.unpin("a")
    mirror.sync()
    mirror.sync()
    assert mirror.names()[cid("a")] == "theirs"


@pytest.mark.parametrize("profile", ["spec", "rb"])
def test_removing_ours_beside_anothers_pin_waits_for_a_person_where_both_might_go(tmp_path: Path, profile: str) -> None:
    mirror = Mirror(tmp_path, profile)
    mirror.pin(*MANY)
    mirror.sync()
    mirror.seed(0, name="theirs")
    mirror.unpin(0)
    assert mirror.done(mirror.sync()) == {"held": 1}
    assert "another's pin" in mirror.actions[0].reason
    assert len(mirror.there()[cid(0)]) == 2
    assert words(mirror, 0) == 1
    assert mirror.done(mirror.sync()) == {"removed": 1}
    assert len(mirror.there().get(cid(0), [])) == (1 if profile == "spec" else 0)


def test_grace_is_not_shortened_by_that_word(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "rb", safety=Safety(grace=3600))
    mirror.pin(*MANY)
    mirror.sync()
    mirror.seed(0, name="theirs")
    mirror.unpin(0)
    assert mirror.done(mirror.sync()) == {"waiting": 1}
    mirror.later(3601)
    assert mirror.done(mirror.sync()) == {"held": 1}


def test_an_update_beside_anothers_pin_is_not_made_where_both_might_go(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "rb")
    mirror.pin(*MANY, called="one")
    mirror.sync()
    mirror.seed(0, name="theirs")
    mirror.pin(0, called="two")
    before = mirror.emulator.mutations
    mirror.sync()
    assert mirror.emulator.mutations == before


# -- nothing twice -----------------------------------------------------------------------------------------------------


def test_a_name_that_changes_in_the_middle_of_an_update_makes_no_third_pin(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin("a", called="one")
    mirror.sync()
    mirror.emulator.become(settle=600.0)
    counted = []
    for name in ("two", "three", "four"):
        mirror.pin("a", called=name)
        mirror.sync()
        counted.append(len(mirror.there()[cid("a")]))
    for _ in range(4):
        mirror.later(700)
        mirror.sync()
    assert max(counted) == 2
    assert (mirror.there()[cid("a")], mirror.names()[cid("a")]) == (["pinned"], "four")


def test_an_update_is_made_once_though_no_list_shows_it_yet(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin("a", "b", called="one")
    mirror.sync()
    hidden = lag(mirror)
    mirror.pin("a", called="two")
    mirror.sync()
    hidden.update(set(ids(mirror, "a")[1:]))
    for _ in range(3):
        mirror.sync()
    assert len(ids(mirror, "a")) == 2
    hidden.clear()
    mirror.sync()
    mirror.sync()
    assert (mirror.there()[cid("a")], mirror.names()[cid("a")]) == (["pinned"], "two")


def test_anothers_pin_that_no_list_shows_for_a_while_is_not_posted_over(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "nft.storage")
    (theirs,) = mirror.seed("a", name="theirs")
    mirror.pin("a", called="ours")
    mirror.sync()
    lag(mirror, theirs)
    mirror.sync()
    mirror.sync()
    assert mirror.names() == {cid("a"): "theirs"}


def test_what_is_wanted_again_while_no_list_shows_it_is_not_made_twice(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin("a", "b")
    mirror.sync()
    lag(mirror, *ids(mirror, "a"))
    mirror.unpin("a")
    mirror.sync()
    mirror.pin("a")
    mirror.sync()
    assert len(ids(mirror, "a")) == 1


def test_an_update_whose_new_pin_fails_is_not_made_again_in_each_pass(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin("a", called="one")
    mirror.sync()
    mirror.emulator.become(fails=(cid("a"),))
    mirror.pin("a", called="two")
    for _ in range(4):
        mirror.sync()
    assert mirror.there()[cid("a")] == ["pinned"], "the old one; the new one that failed is deleted"
    before = mirror.emulator.mutations
    mirror.later(3600)
    mirror.sync()
    assert mirror.emulator.mutations == before


def test_a_service_that_makes_no_pin_beside_anothers_failed_one_is_not_asked_in_each_pass(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "mock")
    mirror.seed("a", name="theirs", status=PinStatus.FAILED)
    mirror.later(60)
    mirror.pin("a", "b")
    mirror.sync()
    before = mirror.emulator.mutations
    mirror.sync()
    assert mirror.emulator.mutations == before
    mirror.later(61)
    mirror.sync()
    assert mirror.emulator.mutations == before + 1


def test_a_failed_pin_that_no_list_shows_waits_for_its_next_try_all_the_same(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin("a", "b")
    mirror.sync()
    mirror.settle("a", PinStatus.FAILED, "no providers")
    mirror.sync()
    lag(mirror, *ids(mirror, "a"))
    mirror.sync()
    assert mirror.done(mirror.sync()) == {"waiting": 1}
    assert len(ids(mirror, "a")) == 1


# -- a changed configuration -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("removals", [Removals.NEVER, Removals.AUTO])
def test_a_change_of_routing_holds_also_when_removals_are_allowed_only_later(
    tmp_path: Path, removals: Removals
) -> None:
    mirror = Mirror(tmp_path, safety=Safety(removals, grace=0))
    mirror.pin(*MANY)
    mirror.sync()
    mirror.change(nodes=False)
    mirror.sync()
    mirror.change(safety=Safety(grace=0))
    assert mirror.done(mirror.sync()) == {"held": 10}


def test_a_node_that_is_mirrored_no_more_holds_though_no_pass_ended_before(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin(*MANY)
    mirror.sync()
    with writing(mirror.settings, "test", mirror.clock) as state:  # as when the first pass had died at its end
        state.ledger.store.execute("DELETE FROM facts WHERE name GLOB 'fingerprint of *'")
        state.ledger.store.execute("DELETE FROM sources")
    mirror.change_node(mirror=False)
    assert mirror.done(mirror.sync()) == {"held": 10}
    assert "not mirrored any more" in mirror.actions[0].reason


def test_a_list_that_hides_pins_and_a_change_of_routing_at_once_hold(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin(*MANY)
    mirror.sync()
    mirror.node.hidden = {cid(0)}
    mirror.change(nodes=False)
    assert mirror.done(mirror.sync()) == {"held": 10}
    assert len(mirror.there()) == 10


def test_what_is_found_again_by_its_mark_and_left_out_by_a_filter_is_held(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "nft.storage")
    mirror.pin(*MANY, called="tmp-1")
    mirror.sync()
    pins = {pin.requestid: pin for pin in mirror.emulator.pins()}
    mirror.emulator.remove_pins(list(pins)[:1])
    mirror.change_node(skip_names=("tmp-*",))
    mirror.sync()
    gone = next(iter(pins.values()))
    mirror.emulator.seed_pins([Seed(gone.cid, gone.name, gone.meta)])  # back, as after another account's token
    mirror.sync()
    assert mirror.done(mirror.sync()) == {"held": 10}
