"""A person's word: for exactly what was shown, with who and when, and the plan says what follows from it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from pinsync.cid import parse_cid
from pinsync.errors import Doubted, PinsyncError
from pinsync.house import reading, writing
from pinsync.model import Mode, Safety
from pinsync.people import Released, adopt, approve, held
from pinsync.planning.plan import State
from tests.mirror import MadeNode, Mirror, cid

MANY = list(range(30))


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    made = Mirror(tmp_path, "nft.storage")
    made.pin(*MANY)
    made.sync()
    return made


def shown(mirror: Mirror, remote: str | None = None) -> Released:
    with reading(mirror.settings) as ledger:
        assert ledger is not None
        return held(ledger, remote)


def say(mirror: Mirror, digest: str | None = None, *names: object, by: str = "ada") -> Released:
    with writing(mirror.settings, "test", mirror.clock) as state:
        cids = [parse_cid(cid(name)) for name in names]
        return approve(state.ledger, None, cids, now_too=False, at=mirror.clock.now(), by=by, shown=digest)


# -- bound to what was shown -------------------------------------------------------------------------------------------


def test_what_changed_while_somebody_read_is_not_released_nor_is_anything_else(mirror: Mirror) -> None:
    mirror.unpin(*MANY[:10])
    mirror.sync()
    seen = shown(mirror)
    mirror.unpin(*MANY[10:12])
    mirror.sync()  # the daemon's
    with pytest.raises(PinsyncError, match="changed while you were reading"):
        say(mirror, seen.digest())
    assert mirror.done(mirror.sync()) == {"held": 12}
    assert len(say(mirror, shown(mirror).digest()).pins) == 12
    assert mirror.done(mirror.sync()) == {"removed": 12}


def test_the_same_pins_held_for_another_reason_are_not_what_was_shown(mirror: Mirror) -> None:
    mirror.unpin(*MANY[:10])
    mirror.sync()
    seen = shown(mirror)
    mirror.node.peer_id = "12D3KooWSomebodyElse"
    mirror.sync()
    assert len(shown(mirror).pins) == len(seen.pins)
    with pytest.raises(PinsyncError, match="changed"):
        say(mirror, seen.digest())


def test_an_approval_for_the_limit_releases_nothing_that_a_doubt_holds(mirror: Mirror) -> None:
    mirror.unpin(*MANY[:10])
    mirror.sync()
    say(mirror)
    mirror.node.pins = {}
    assert mirror.done(mirror.sync()) == {"held": 30}
    assert len(mirror.there()) == 30


def test_one_pin_that_two_doubts_hold_is_not_said_to_be_released(mirror: Mirror) -> None:
    mirror.node.pins = {}
    mirror.node.peer_id = "12D3KooWNewRepository"
    assert mirror.done(mirror.sync()) == {"held": 30}
    with pytest.raises(Doubted, match=r"doubt stands before it.*and has none now.*approve --all") as refused:
        say(mirror, None, 0)
    assert refused.value.exit_code == 4
    assert mirror.done(mirror.sync()) == {"held": 30}
    say(mirror)
    assert mirror.done(mirror.sync()) == {"removed": 30}


def test_one_pin_that_one_doubt_holds_is_released(mirror: Mirror) -> None:
    mirror.manifest("")
    mirror.node.pins = {}
    assert mirror.done(mirror.sync()) == {"held": 30}
    say(mirror, None, 0)
    assert mirror.done(mirror.sync()) == {"removed": 1, "held": 29}


def test_a_pin_that_a_doubt_and_a_change_of_the_configuration_hold_is_released_as_a_whole_alone(
    mirror: Mirror,
) -> None:
    mirror.change_node(skip_names=("t*",), peer_id="")
    mirror.node.pins = dict.fromkeys(mirror.node.pins, "tmp")
    mirror.node.peer_id = "12D3KooWNewRepository"
    assert mirror.done(mirror.sync()) == {"held": 30}
    say(mirror, None, 0)
    assert mirror.done(mirror.sync()) == {"held": 30}
    with pytest.raises(Doubted, match="is another node than before"):
        say(mirror, None, 0)


def test_all_is_what_the_last_recorded_pass_held_not_what_is_so_by_now(mirror: Mirror) -> None:
    mirror.unpin(*MANY[:10])
    mirror.sync()
    mirror.unpin(*MANY[10:20])  # no pass has seen it
    assert len(say(mirror).pins) == 10
    assert mirror.done(mirror.sync()) == {"removed": 10, "held": 10}


def test_what_is_wanted_again_is_not_removed_by_an_old_approval(mirror: Mirror) -> None:
    mirror.unpin(*MANY[:10])
    mirror.sync()
    say(mirror)
    mirror.pin(*MANY[:10])
    mirror.sync()
    mirror.unpin(*MANY[:10])
    assert mirror.done(mirror.sync()) == {"held": 10}


def test_a_doubt_that_came_back_is_a_new_one(mirror: Mirror) -> None:
    kept, mirror.node.pins = mirror.node.pins, {}
    mirror.sync()
    say(mirror)
    mirror.node.pins = kept
    mirror.sync()
    mirror.node.pins = {}
    assert mirror.done(mirror.sync()) == {"held": 30}


# -- recorded, and planned ---------------------------------------------------------------------------------------------


def test_who_and_when_is_recorded_of_each_pin_and_doubt(mirror: Mirror) -> None:
    mirror.node.pins = {}
    mirror.sync()
    mirror.later(60)
    say(mirror, by="ada")
    events = [event for event in mirror.events() if event.kind == "approved"]
    assert len(events) == 31
    assert {(event.who, event.at) for event in events} == {("ada", mirror.clock.now())}
    assert {event.cid for event in events} == {"", *(cid(n) for n in MANY)}
    assert {event.remote for event in events} == {"", "there"}
    assert any("has none now" in event.details for event in events)


def test_who_adopted_what_is_recorded(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.seed("a")
    mirror.pin("a")
    mirror.sync()

    async def take() -> None:
        with writing(mirror.settings, "test", mirror.clock) as state:
            client = mirror._client(mirror.settings.remotes[0], state.ledger.remote("there"))
            await adopt(state.ledger, client, (mirror.id,), [], mirror.clock, "grace")

    asyncio.run(take())
    (event,) = [event for event in mirror.events() if event.kind == "adopted"]
    assert (event.who, event.cid, event.remote) == ("grace", cid("a"), "there")


def test_the_plan_after_an_approval_says_what_the_next_pass_removes(mirror: Mirror) -> None:
    mirror.unpin(*MANY[:10])
    mirror.sync()
    report, actions = mirror.plan()
    assert {action.state for action in actions} == {State.HELD}
    assert report.exit_code() == 4
    say(mirror, None, 0, 1)
    report, actions = mirror.plan()
    due = {action.cid for action in actions if action.state is State.DO}
    assert due == {cid(0), cid(1)}
    assert all("approved" in action.reason for action in actions if action.state is State.DO)
    assert report.exit_code() == 4
    assert mirror.done(mirror.sync()) == {"removed": 2, "held": 8}
    assert not due & set(mirror.there())


def test_the_plan_after_a_doubt_was_approved_says_what_goes(mirror: Mirror) -> None:
    mirror.node.pins = {}
    mirror.sync()
    say(mirror)
    report, actions = mirror.plan()
    assert ([action.state for action in actions], report.exit_code()) == ([State.DO] * 30, 3)
    assert mirror.done(mirror.sync()) == {"removed": 30}


# -- held whatever the limits say --------------------------------------------------------------------------------------


GENEROUS = Safety(grace=0, max_removals=10_000, max_removal_share=100, max_lost_share=100)


def generous(tmp_path: Path) -> Mirror:
    mirror = Mirror(tmp_path, "nft.storage", safety=GENEROUS)
    mirror.pin(*MANY)
    return mirror


def test_a_mode_that_was_add_only_holds_what_filters_left_out_meanwhile(tmp_path: Path) -> None:
    mirror = generous(tmp_path)
    mirror.pin("t1", "t2", called="tmp-1")
    mirror.change(mode=Mode.ADD_ONLY)
    mirror.sync()
    mirror.change_node(skip_names=("tmp-*",))
    mirror.sync()
    mirror.change(mode=Mode.MIRROR)
    for _ in range(2):
        assert mirror.done(mirror.sync()) == {"held": 2}
    assert "skip_names" in mirror.actions[0].reason
    mirror.change_node(skip_names=())
    assert mirror.sync().exit_code() == 0
    assert len(mirror.there()) == 32


def test_a_route_that_was_taken_away_is_held(tmp_path: Path) -> None:
    mirror = generous(tmp_path)
    mirror.sync()
    mirror.change(nodes=False)
    for _ in range(2):
        assert mirror.done(mirror.sync()) == {"held": 30}
    mirror.change(nodes=True)
    assert mirror.sync().exit_code() == 0


def test_a_narrower_pattern_of_names_is_held(tmp_path: Path) -> None:
    mirror = generous(tmp_path)
    mirror.pin("w", called="web-1")
    mirror.sync()
    mirror.change_node(only_names=("web-*",))
    for _ in range(2):
        assert mirror.done(mirror.sync()) == {"held": 30}


def test_a_node_that_was_taken_out_is_named_once(tmp_path: Path) -> None:
    mirror = generous(tmp_path)
    mirror.nodes["b"] = MadeNode(peer_id="12D3KooWB", name="b", pins={cid("of b"): ""})
    both = mirror.settings
    mirror.settings = replace(both, nodes=(*both.nodes, replace(both.nodes[0], name="b")))
    mirror.sync()
    mirror.settings = both
    assert mirror.done(mirror.sync()) == {"held": 1}
    assert "a change of the configuration (node b was taken out) made it unwanted" in mirror.actions[0].reason


def test_a_manifest_that_is_no_longer_configured_is_held(tmp_path: Path) -> None:
    mirror = generous(tmp_path)
    before = mirror.settings
    mirror.manifest("".join(f'[[pin]]\ncid = "{cid(f"m{n}")}"\n' for n in range(3)))
    mirror.sync()
    mirror.settings = before
    for _ in range(2):
        assert mirror.done(mirror.sync()) == {"held": 3}
    assert "manifest.path" in mirror.actions[0].reason


def test_an_include_that_lost_its_files_and_an_emptied_manifest_are_held(tmp_path: Path) -> None:
    mirror = generous(tmp_path)
    (tmp_path / "list.txt").write_text("".join(f"{cid(f'm{n}')}\n" for n in range(3)))
    path = mirror.manifest(f'include = ["*.txt"]\n[[pin]]\ncid = "{cid("m")}"\n')
    mirror.sync()
    (tmp_path / "list.txt").unlink()
    for _ in range(2):
        assert mirror.done(mirror.sync()) == {"held": 3}
    path.write_text('include = ["*.txt"]\n')
    assert mirror.done(mirror.sync()) == {"held": 4}
    assert len(mirror.there()) == 34


# -- several nodes -----------------------------------------------------------------------------------------------------


def test_a_pin_leaves_when_every_nodes_whole_list_lacks_it_and_any_node_away_blocks(tmp_path: Path) -> None:
    mirror = generous(tmp_path)

    other = MadeNode(peer_id="12D3KooWOther", name="two", address="http://made.up:5002")
    mirror.nodes["two"] = other
    first = mirror.settings.nodes[0]
    mirror.settings = replace(mirror.settings, nodes=(first, replace(first, name="two")))
    other.pins = {cid(0): "", cid(1): ""}
    mirror.sync()
    mirror.unpin(0, 1, 2)
    assert mirror.done(mirror.sync()) == {"removed": 1}
    assert cid(2) not in mirror.there()
    other.away = "connection refused"
    mirror.unpin(3)
    assert "removed" not in mirror.done(mirror.sync())
    other.away = None
    other.cut = 1
    assert "removed" not in mirror.done(mirror.sync())
    other.cut, other.hidden = None, {cid(0)}
    report = mirror.sync()
    assert report.exit_code() == 1
    assert cid(0) in mirror.there(), "its list did not show what it still pins"
    other.hidden = set()
    del other.pins[cid(0)]
    mirror.sync()
    assert set(mirror.there()) == {cid(n) for n in [1, *MANY[4:]]}
