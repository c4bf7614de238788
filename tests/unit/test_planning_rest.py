"""The short way of planning for a pin that is as it should be, against the long one."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinsync.model import DesiredPin, Excluded, Mode, PinStatus, RemotePin, Traits
from pinsync.planning.diff import at_rest, decide, decide_at_length
from pinsync.planning.plan import Decision, Entry, How, Known, Owned, PinState

from .planning import ME, NOW, cid, entry, key, own, row, view, want

T = TypeVar("T")


def usually(usual: T, *others: T) -> st.SearchStrategy[T]:
    """Mostly the value of a pin at rest, so that worlds differ from rest in a few things or in none."""
    return st.sampled_from([usual] * (8 * len(others) + 1) + list(others))


wants = st.builds(
    lambda name, meta, sources, excluded, text: want(
        name=name, meta=meta, sources=sources, excluded=excluded, cid=text
    ),
    usually("", None, "docs"),
    usually({}, {"team": "web"}),
    usually(("node:kubo",), ("node:kubo", "manifest"), ()),
    usually(Excluded.NOT, *Excluded),
    usually(cid("a"), cid("b")),
)
rows_there = st.builds(
    lambda id_, status, mark, called, meta: row("a", id_, status, mark=mark, called=called, meta=meta),
    usually("r1", "r2"),
    usually(PinStatus.PINNED, *PinStatus),
    usually(ME, None, "other-1", "earlier-1"),
    usually(None, "", "docs", cid("a")),
    usually(None, {"team": "web"}),
)
entries = st.builds(
    entry,
    wanted=usually(True, False),
    state=usually(PinState.PINNED, *PinState),
    requestid=usually("r1", None, "r2"),
    was_there=usually("ours", "", "foreign"),
    missing=usually(0, 1),
    unclear=usually(False, True),
    unwanted_since=usually(None, NOW - 5),
    sources=usually("node:kubo", "", "manifest"),
    follow_at=usually(None, NOW - 5),
    declined=usually("", "abc"),
)
opinions = st.builds(
    lambda id_, how, gone: own("a", id_, how, gone_at=gone),
    usually("r1", "r2"),
    usually(How.CREATED, *How),
    usually(None, NOW - 5),
)
views = st.builds(
    lambda listed, mode, id_is_cid, whole: view(
        listed=listed, mode=mode, traits=Traits(id_is_cid=id_is_cid), sources_whole=whole, mirror_ids=(ME, "earlier-1")
    ),
    usually("complete", "incomplete"),
    usually(Mode.MIRROR, *Mode),
    st.sampled_from((None, False, True)),
    usually(True, False),
)


@given(
    usually(want()) | wants | st.none(),
    st.lists(rows_there, max_size=2, unique_by=lambda one: one.requestid),
    st.none() | entries,
    st.lists(opinions, max_size=2, unique_by=lambda one: one.requestid),
    views,
)
def test_the_short_way_decides_as_the_long_one(
    wanted: DesiredPin | None, rows: list[RemotePin], before: Entry | None, owned: list[Owned], at: object
) -> None:
    assert isinstance(at, type(view()))
    known = Known(key("a"), before, tuple(owned)) if before or owned else None
    short = decide(key("a"), wanted, rows, known, at)
    assert short == decide_at_length(key("a"), wanted, rows, known, at)
    if at_rest(wanted, rows, known, at):
        assert short is not None
        assert short.after is short.before is before, "nothing is to be written"


@pytest.mark.parametrize(
    ("wanted", "there", "opinion"),
    [
        (want(), row(), own()),
        (want(), row(mark=None), own()),
        (want(), row(mark="other-1"), own(how=How.ADOPTED)),
        (want(name=None), row(called="whatever"), own(how=How.MARK)),
        (want(name="docs", meta={"team": "web"}), row(called="docs", meta={"team": "web"}), own()),
    ],
)
def test_a_pin_that_is_as_it_should_be_takes_the_short_way(
    wanted: DesiredPin, there: RemotePin, opinion: Owned
) -> None:
    known = Known(key("a"), entry(), (opinion,))
    assert at_rest(wanted, [there], known, view())
    assert decide(key("a"), wanted, [there], known, view()) == Decision(key("a"), entry(), entry(), ours=1)


@pytest.mark.parametrize(
    ("wanted", "there", "before", "opinion"),
    [
        (want(name="docs"), row(), entry(), own()),
        (want(meta={"team": "web"}), row(), entry(), own()),
        (want(excluded=Excluded.FILTER), row(), entry(), own()),
        (want(sources=("manifest",)), row(), entry(), own()),
        (want(), row(status=PinStatus.FAILED), entry(), own()),
        (want(), row(status=PinStatus.QUEUED), entry(state=PinState.QUEUED), own()),
        (want(), row(mark="other-1"), entry(), own()),
        (want(), row(), entry(), own(how=How.FOREIGN)),
        (want(), row(), entry(), own(gone_at=NOW)),
        (want(), row(), entry(missing=1), own()),
        (want(), row(), entry(unclear=True), own()),
        (want(), row(), entry(unwanted_since=NOW), own()),
        (want(), row(requestid="r2"), entry(), own()),
    ],
)
def test_whatever_is_not_as_it_should_be_takes_the_long_way(
    wanted: DesiredPin, there: RemotePin, before: Entry, opinion: Owned
) -> None:
    assert not at_rest(wanted, [there], Known(key("a"), before, (opinion,)), view())
    second = replace(there, requestid="r3")
    assert not at_rest(want(), [row(), second], Known(key("a"), entry(), (own(),)), view())
