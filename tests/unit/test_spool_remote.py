"""Where a listing puts its pages: every id once, by its last reading, and each counted when it is new."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinsync.errors import StateError
from pinsync.house import _scratch
from pinsync.model import PinStatus, RemotePin
from pinsync.spool import Spool

from .planning import row

pins = st.builds(
    lambda name, id_, status, called: row(name, id_, status, called=called),
    st.sampled_from("abc"),
    st.sampled_from(("r1", "r2", "r3", "r4", "r5")),
    st.sampled_from(PinStatus),
    st.none() | st.just("docs"),
)


@given(st.lists(st.lists(pins, max_size=6), max_size=6))
def test_pages_that_overlap_leave_each_id_once_as_last_read(pages: list[list[RemotePin]]) -> None:
    expected: dict[str, RemotePin] = {}
    with Spool() as spool:
        sink = spool.remote_sink(0)
        for page in pages:
            before = len(expected)
            expected |= {pin.requestid: pin for pin in page}
            assert sink.add(page) == len(expected) - before
        assert spool.observed_count(0) == len(expected)
        found = list(spool.observed(0))
    assert found == sorted(expected.values(), key=lambda pin: (pin.key, pin.created, pin.requestid))


def test_remotes_have_pages_of_their_own() -> None:
    with Spool() as spool:
        one, other = spool.remote_sink(0), spool.remote_sink(1)
        assert one.add([row("a"), row("b", "r2")]) == 2
        assert other.add([row("a")]) == 1
        assert other.add([replace(row("a"), created=5)]) == 0
        assert [pin.created for pin in spool.observed(1)] == [5]
        assert spool.observed_count(0) == 2


def test_scratch_space_that_is_full_is_not_taken_for_the_ledger() -> None:
    async def fill() -> None:
        async with _scratch() as (spool, _):
            spool._db.execute("PRAGMA max_page_count = 8")  # as a full disk has SQLite answer
            sink = spool.remote_sink(0)
            for n in range(1000):
                sink.add([row(f"pin {n}", f"r{n}", called="a name")])

    with pytest.raises(StateError, match=r"scratch space is full .* set TMPDIR"):
        asyncio.run(fill())
