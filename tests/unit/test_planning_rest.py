"""The short way of planning for a pin that is as it should be, against the long one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinsync.model import DesiredPin, Excluded, Mode, PinStatus, RemotePin, Traits
from pinsync.planning.diff import at_rest, decide, decide_at_length
from pinsync.planning.plan import Decision, Entry, How, Known, Owned, PinState, View

from .planning import ME, NOW, cid, entry, key, own, row, view, want


@dataclass(frozen=True)
class World:
    """All that a decision about one key rests on; as it stands, a pin at rest."""

    want: DesiredPin | None = field(default_factory=want)
    rows: list[RemotePin] = field(default_factory=lambda: [row()])
    entry: Entry | None = field(default_factory=entry)
    owned: tuple[Owned, ...] = field(default_factory=lambda: (own(),))
    view: View = field(default_factory=lambda: view(mirror_ids=(ME, "earlier-1")))

    @property
    def known(self) -> Known | None:
        """The ledger's side."""
        return Known(key("a"), self.entry, self.owned) if self.entry or self.owned else None


Change = Callable[[World], World]


def wants(**fields: Any) -> Change:
    return lambda world: replace(world, want=replace(world.want or want(), **fields))


def shows(**fields: Any) -> Change:
    return lambda world: replace(world, rows=[replace(world.rows[0] if world.rows else row(), **fields)])


def knows(**fields: Any) -> Change:
    return lambda world: replace(world, entry=replace(world.entry or entry(), **fields))


def owns(**fields: Any) -> Change:
    return lambda world: replace(world, owned=(replace(world.owned[0] if world.owned else own(), **fields),))


def under(**fields: Any) -> Change:
    return lambda world: replace(world, view=replace(world.view, **fields))


STIRRING: list[Change] = [
    lambda world: replace(world, want=None),
    lambda world: replace(world, rows=[]),
    lambda world: replace(world, rows=[*world.rows, row(requestid="r3")]),
    lambda world: replace(world, entry=None),
    lambda world: replace(world, owned=()),
    lambda world: replace(world, owned=(*world.owned, own(requestid="r3"))),
    wants(name="docs"),
    wants(meta={"team": "web"}),
    wants(sources=("manifest",)),
    wants(sources=("node:kubo", "manifest")),
    wants(cid=cid("b")),
    *(wants(excluded=excluded) for excluded in Excluded if excluded is not Excluded.NOT),
    *(shows(status=status) for status in PinStatus if status is not PinStatus.PINNED),
    shows(requestid="r2"),
    shows(meta={"pinsync": "other-1"}),
    shows(name="docs"),
    *(knows(state=state) for state in PinState if state is not PinState.PINNED),
    knows(requestid="r2"),
    knows(was_there=""),
    knows(was_there="foreign"),
    knows(missing=1),
    knows(unclear=True),
    knows(wanted=False),
    knows(unwanted_since=NOW - 5),
    owns(requestid="r2"),
    owns(how=How.FOREIGN),
    owns(gone_at=NOW - 5),
]
"""What each by itself makes a pin at rest one that must be looked at at length."""

HARMLESS: list[Change] = [
    wants(name=None),
    shows(meta=None),
    shows(meta={"pinsync": "earlier-1"}),
    shows(meta={"pinsync": ME, "more": "of theirs"}),
    shows(name=cid("a")),
    knows(follow_at=NOW - 5),
    knows(declined="abc"),
    owns(how=How.ADOPTED),
    owns(how=How.MARK),
    under(listed="incomplete", listed_reason="short"),
    under(sources_whole=False, sources_reason="away"),
    under(mode=Mode.READ_ONLY),
    under(mode=Mode.ADD_ONLY),
    under(traits=Traits(id_is_cid=True)),
    under(traits=Traits(name_kept=False, meta_kept=False)),
]


def both_ways(world: World) -> Decision | None:
    """The decision, the same by either way."""
    short = decide(key("a"), world.want, world.rows, world.known, world.view)
    assert short == decide_at_length(key("a"), world.want, world.rows, world.known, world.view)
    if at_rest(world.want, world.rows, world.known, world.view):
        assert short is not None
        assert short.after is short.before is world.entry, "nothing is to be written"
    return short


def short_way(world: World) -> bool:
    return at_rest(world.want, world.rows, world.known, world.view)


@pytest.mark.parametrize("stirred", STIRRING)
def test_whatever_is_not_as_it_should_be_takes_the_long_way(stirred: Change) -> None:
    assert not short_way(stirred(World()))


@pytest.mark.parametrize("harmless", HARMLESS)
def test_what_makes_no_difference_takes_the_short_way(harmless: Change) -> None:
    world = harmless(World())
    assert short_way(world)
    marked = sum(one.how is How.MARK for one in world.owned)
    assert both_ways(world) == Decision(key("a"), world.entry, world.entry, ours=1, marked=marked)


def test_both_ways_decide_the_same_about_everything_near_rest() -> None:
    changes = [*STIRRING, *HARMLESS]
    for one, other in combinations(changes, 2):
        both_ways(other(one(World())))
        both_ways(one(other(World())))


@given(st.lists(st.sampled_from([*STIRRING, *HARMLESS]), min_size=3, max_size=8))
def test_both_ways_decide_the_same_about_everything_else(changes: list[Change]) -> None:
    world = World()
    for change in changes:
        world = change(world)
    both_ways(world)
