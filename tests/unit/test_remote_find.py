"""Looking CIDs up: there, not there, or cannot tell; never a guess."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinsync.cid import key_of, spellings
from pinsync.model import PinStatus, RemotePin
from pinsync.remote.calls import ListQuery
from pinsync.remote.find import Found, find
from pinsync.remote.parse import SECOND, Page
from tests.unit.remote_servers import EPOCH, Service, cid_of, pin

START = EPOCH * SECOND
V0 = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPBdG"


def look(service: Service, *cids: str, **more: Any) -> Found:
    return asyncio.run(find(service, cids, **more))


def pins(number: int) -> list[RemotePin]:
    return [pin(n, START + n, list(PinStatus)[n % 4]) for n in range(number)]


def test_what_is_there_is_found_in_every_status_and_what_is_not_is_not() -> None:
    service = Service(pins(20))
    found = look(service, *(cid_of(n) for n in range(10, 30)))
    assert set(found.pins) == {key_of(cid_of(n)) for n in range(10, 20)}
    assert found.certain


def test_a_pin_is_found_under_its_other_spelling() -> None:
    key = key_of(V0)
    there = RemotePin("x", spellings(key)[0], key, PinStatus.PINNED, START)
    assert there.cid != V0
    assert look(Service([there]), V0).pins == {key: [there]}


def test_all_pin_requests_of_one_cid_are_found() -> None:
    twice = [pin(1, START), pin(1, START + 1, requestid="again")]
    assert {row.requestid for row in look(Service(twice), cid_of(1)).pins[key_of(cid_of(1))]} == {"id-1", "again"}


def test_requests_hold_at_most_ten_texts_and_stay_short() -> None:
    service = Service([])
    look(service, *(cid_of(n) for n in range(95)), control=cid_of(1000))
    assert all(len(query.cids) <= 10 and len(query.encoded()) < 2000 for query in service.queries)
    assert len(service.queries) <= 12
    assert {text for query in service.queries for text in query.cids} >= {cid_of(n) for n in range(95)}


def test_a_service_that_ignores_the_filter_leaves_it_open() -> None:
    found = look(Service(pins(5), cids_kept=False), cid_of(1), cid_of(77))
    assert key_of(cid_of(1)) in found.pins
    assert found.unknown == {key_of(cid_of(77))}
    assert not found.certain


def test_an_empty_service_that_ignores_the_filter_is_certain() -> None:
    assert look(Service([], cids_kept=False), cid_of(1)).certain


def test_a_filter_that_finds_nothing_is_seen_through_by_a_control() -> None:
    class Blind(Service):
        def answer(self, query: ListQuery) -> Page:
            return Page(0, (), (), 0) if len(query.cids) > 1 else super().answer(query)

    found = look(Blind(pins(5)), cid_of(77), control=cid_of(1))
    assert found.unknown == {key_of(cid_of(77))}
    assert look(Service(pins(5)), cid_of(77), control=cid_of(1)).certain


@pytest.mark.parametrize(("count", "certain"), [("total+1", True), ("all", False), ("page", True), ("none", True)])
def test_a_count_that_promises_more_leaves_it_open(count: Any, certain: bool) -> None:
    assert look(Service(pins(5), count=count), cid_of(77)).certain is certain


def test_a_row_that_cannot_be_understood_leaves_it_open() -> None:
    class Odd(Service):
        def answer(self, query: ListQuery) -> Page:
            return Page(1, (), ("row 1: no `created`",), 1)

    assert not look(Odd(), cid_of(1)).certain


@settings(max_examples=200, deadline=None)
@given(
    there=st.sets(st.integers(0, 30)),
    asked=st.lists(st.integers(0, 30), max_size=30),
    traits=st.fixed_dictionaries(
        {
            "cids_kept": st.booleans(),
            "order": st.sampled_from(["newest", "oldest", "random"]),
            "count": st.sampled_from(["total", "page", "total+1", "page+1", "none", "all"]),
            "cap": st.sampled_from([10, 1000, None]),
        }
    ),
)
def test_what_is_certain_is_true(there: set[int], asked: list[int], traits: dict[str, Any]) -> None:
    found = look(Service([pin(n, START + n) for n in sorted(there)], **traits), *(cid_of(n) for n in asked))
    for n in asked:
        key = key_of(cid_of(n))
        if key in found.pins:
            assert n in there
        elif key not in found.unknown:
            assert n not in there
    assert not found.unknown & set(found.pins)
