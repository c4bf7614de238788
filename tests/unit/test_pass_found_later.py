"""What longer runs of the simulation found, each as the shortest story that shows it (`make simulate N=100000`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from pinsync.model import Safety
from pinsync.planning.plan import PinState
from pinsync.planning.rules import is_ours
from tests.mirror import Mirror

from .planning import ME, NOW, cid, decided, entry, own, row, want

MANY = list(range(10))


def test_a_node_that_was_emptied_while_it_was_not_mirrored_is_doubted_when_it_is_again(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, safety=Safety(grace=0))
    mirror.pin(*MANY)
    mirror.sync()
    mirror.change_node(mirror=False)
    mirror.sync()
    mirror.release()
    mirror.unpin(*MANY)
    mirror.change_node(mirror=True)
    report = mirror.sync()
    assert [doubt.code for doubt in report.sources.node_doubts] == ["emptied:node:kubo"]
    assert len(mirror.there()) == 10


def test_a_configuration_is_known_from_the_first_pass_on_though_that_read_no_whole_list(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, safety=Safety(grace=0))
    mirror.pin(*MANY)
    mirror.node.cut = 10
    mirror.sync()
    mirror.node.cut = None
    mirror.change(nodes=False)
    assert mirror.done(mirror.sync()) == {"held": 10}
    assert len(mirror.there()) == 10


@pytest.mark.parametrize(("after", "ours"), [(0.0, True), (1.5, True), (60.0, False)])
def test_a_pin_without_a_mark_that_was_gone_is_ours_only_as_the_record_that_it_was(after: float, ours: bool) -> None:
    made = row(mark=None)
    known = own(created=made.created - int(after * 1e9), gone_at=NOW - 60)
    assert is_ours(made, {"r1": known}, (ME,), None) is ours


def test_where_the_cid_is_the_id_a_pin_without_a_mark_that_was_gone_is_nobodys() -> None:
    made = row(requestid=cid("a"), mark=None)
    known = own(requestid=cid("a"), created=made.created, gone_at=NOW - 60)
    assert not is_ours(made, {cid("a"): known}, (ME,), None)
    assert is_ours(row(requestid=cid("a")), {cid("a"): known}, (ME,), None)


def test_what_another_held_is_looked_up_before_it_is_added_also_when_that_was_held_up() -> None:
    first = decided(want(), [], entry(was_there="foreign"))
    assert first.actions[0].lookup
    assert first.after is not None
    assert first.after.state is PinState.MISSING
    assert decided(want(), [], first.after).actions[0].lookup
