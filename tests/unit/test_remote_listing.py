"""A listing is all pins, or says that it is not: on services of every trait."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pinsync.model import PinStatus, Reading, Traits
from pinsync.remote.errors import RemoteError
from pinsync.remote.listing import MemorySink, list_all
from pinsync.remote.parse import MS, SECOND, Page
from tests.unit.remote_servers import EPOCH, Service, client_for, http, pin

START = EPOCH * SECOND


def listed(service: Service, traits: Traits | None = None, **more: Any) -> tuple[Reading, Traits, MemorySink]:
    sink = MemorySink()
    service.queries.clear()
    reading, learned = asyncio.run(list_all(service, sink, traits=traits or Traits(), **more))
    return reading, learned, sink


def whole(service: Service, traits: Traits | None = None, **more: Any) -> Traits:
    """The listing is complete and shows every pin; what it learned."""
    reading, learned, sink = listed(service, traits, **more)
    assert reading.complete, reading.reason
    assert reading.reason is None
    shown = {one.requestid for one in service.pins} - service.hidden
    assert set(sink.pins) == shown
    assert reading.count == len(shown)
    return learned


def spread(number: int, step: int = 7 * MS, each: int = 1) -> list[Any]:
    """Pins made one after the other, `each` of them at once."""
    return [pin(n, START + n // each * step) for n in range(number)]


NFT_STORAGE: dict[str, Any] = {"count": "page", "inclusive": True, "status_late": True}
CLUSTER: dict[str, Any] = {"order": "random", "cap": None, "inclusive": True, "grain": SECOND}
FILEBASE: dict[str, Any] = {"grain": SECOND}
PINATA: dict[str, Any] = {"count": "total+1"}
MOCK: dict[str, Any] = {"order": "oldest", "count": "page", "cap": None}
HELIA: dict[str, Any] = {"cids_kept": False}
SERVICES = {
    "spec": {}, "nft.storage": NFT_STORAGE, "cluster": CLUSTER, "filebase": FILEBASE, "pinata": PINATA, "mock": MOCK,
    "helia": HELIA, "unlimited": {"limit_kept": False, "cap": None}, "ten a page": {"limit_kept": False, "cap": 10},
    "hundred a page": {"cap": 100, "count": "page"},
}  # fmt: skip


@pytest.mark.parametrize("kind", SERVICES)
@pytest.mark.parametrize("number", [0, 1, 9, 10, 36, 250, 2500])
def test_every_kind_of_service_is_read_whole(kind: str, number: int) -> None:
    service = Service(spread(number, 137 * MS), **SERVICES[kind])
    learned = whole(service)
    first = len(service.queries)
    whole(service, learned)
    assert len(service.queries) <= first


@pytest.mark.parametrize("kind", ["spec", "filebase", "helia"])
def test_ten_thousand_pins_cost_eleven_requests_where_count_is_a_total(kind: str) -> None:
    service = Service(spread(10_000, 137 * MS), **SERVICES[kind])
    learned = whole(service)
    assert len(service.queries) <= 11
    assert learned.count_is_total is True
    assert learned.newest_first is True


def test_a_known_total_makes_a_small_list_one_request() -> None:
    service = Service(spread(500))
    whole(service, whole(service))
    assert len(service.queries) == 1


def test_a_service_with_short_pages_by_count_costs_a_few_requests_more() -> None:
    service = Service(spread(10_000), **NFT_STORAGE)
    learned = whole(service)
    assert len(service.queries) <= 16
    assert learned.count_is_total is False
    assert learned.page_cap is None


def test_cluster_is_read_in_one_page_larger_than_its_count() -> None:
    service = Service(spread(5000), **CLUSTER)
    learned = whole(service)
    assert len(service.queries) == 2
    assert learned.newest_first is None
    assert learned.count_is_total is True


@pytest.mark.parametrize("big_refused", [True, False])
def test_a_capped_service_without_order_is_halved(big_refused: bool) -> None:
    service = Service(spread(3000, SECOND), order="random", cap=1000, inclusive=True, big_refused=big_refused)
    whole(service)
    assert len(service.queries) < 40


def test_a_service_without_order_or_totals_is_halved() -> None:
    whole(Service(spread(3000, SECOND), order="random", count="page", cap=100))


@pytest.mark.parametrize("kind", SERVICES)
def test_five_hundred_pins_of_one_second(kind: str) -> None:
    whole(Service([pin(n, START + n % 1000 * MS) for n in range(500)], **SERVICES[kind] | {"grain": SECOND}))


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("count", ["page", "total"])
@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_ties_across_the_edge_of_every_page(inclusive: bool, count: Any, order: Any) -> None:
    pins = [*spread(300, MS), *(pin(n, START + SECOND + n // 7 * MS) for n in range(300, 900))]
    whole(Service(pins, cap=20, inclusive=inclusive, count=count, order=order))


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("count", ["page", "total"])
@pytest.mark.parametrize("cap", [97, 100])
def test_seconds_full_to_the_brim(inclusive: bool, count: Any, cap: int) -> None:
    whole(Service(spread(900, SECOND, each=60), cap=cap, inclusive=inclusive, grain=SECOND, count=count))


def test_pages_in_order_by_chance_are_not_trusted() -> None:
    """Every tenth time or so, pages of two times in random order look like newest first."""
    seen = set()
    for seed in range(120):
        pins = [pin(n, START + (n > 1) * SECOND, list(PinStatus)[n % 4]) for n in range(16)]
        service = Service(pins, order="random", count="page", cap=10, seed=seed)
        reading, _, sink = listed(service)
        seen.add(reading.complete)
        assert not reading.complete or len(sink.pins) == 16
    assert True in seen


def test_more_ties_than_a_page_are_told_apart_by_finer_times() -> None:
    pins = [pin(n, START + n * MS) for n in range(600)]
    whole(Service(pins, grain=SECOND, cap=100, count="page"))


def test_more_ties_than_a_page_are_told_apart_by_status() -> None:
    pins = [pin(n, START, list(PinStatus)[n % 4]) for n in range(300)] + [pin(999, START - SECOND)]
    whole(Service(pins, cap=100, count="page"))


def test_a_status_filter_after_the_limit_tells_nothing_apart() -> None:
    pins = [pin(n, START, list(PinStatus)[n % 4]) for n in range(300)] + [pin(999, START - SECOND)]
    reading, _, sink = listed(Service(pins, cap=100, **NFT_STORAGE))
    assert not reading.complete
    assert reading.reason is not None and "more pins were made at 2023-11-14T22:13:20.000Z" in reading.reason
    assert "id-999" in sink.pins


def test_more_ties_than_anything_tells_apart_are_incomplete_and_wanted_ones_are_looked_up() -> None:
    pins = spread(50) + [pin(n, START - SECOND) for n in range(1000, 1200)]
    service = Service(pins, cap=100, count="page")
    reading, _, sink = listed(service, wanted=lambda: [one.cid for one in pins])
    assert not reading.complete
    assert len(sink.pins) == 250
    assert not listed(service)[0].complete


def test_a_total_that_is_reached_by_cid_completes_the_list() -> None:
    pins = spread(50) + [pin(n, START - SECOND) for n in range(1000, 1200)]
    reading, _, sink = listed(Service(pins, cap=100), wanted=lambda: [one.cid for one in pins])
    assert reading.complete, reading.reason
    assert len(sink.pins) == 250


def test_repeated_reading_finds_ties_in_random_order_up_to_a_total() -> None:
    whole(Service([pin(n, START) for n in range(300)], order="random", cap=100, grain=SECOND))


@pytest.mark.parametrize("count", ["total", "page"])
def test_a_service_that_ignores_before_ends_and_is_not_called_complete(count: Any) -> None:
    reading, _, _ = listed(Service(spread(300), cap=100, before_kept=False, after_kept=False, count=count))
    assert not reading.complete
    assert reading.reason


def test_a_service_that_ignores_before_and_shows_all_is_complete() -> None:
    whole(Service(spread(36), before_kept=False, after_kept=False, count="page"))
    whole(Service(spread(3001), before_kept=False, after_kept=False, count="page", limit_kept=False, cap=None))


def test_a_missing_pin_shows_by_the_count() -> None:
    pins = spread(2500)

    class Forgetful(Service):
        def answer(self, query: Any) -> Page:
            page = super().answer(query)
            kept = tuple(one for one in page.pins if one.requestid != "id-700")
            return Page(page.count, kept, (), page.rows)

    reading, _, _ = listed(Forgetful(pins))
    assert not reading.complete
    assert reading.reason == "the service counts 2500 pins and showed 2499"


def test_a_count_that_is_one_too_high_is_found_out() -> None:
    service = Service(spread(36), **PINATA)
    whole(service)
    assert any(query.before == 0 for query in service.queries)


@pytest.mark.parametrize("count", ["page", "total"])
def test_pages_that_hide_rows_before_the_end(count: Any) -> None:
    pins = spread(3000)
    hidden = frozenset(f"id-{n}" for n in range(3000) if n % 100 < 30)
    whole(Service(pins, hidden=hidden, count=count))


def test_an_empty_page_before_the_end_is_not_the_end_where_the_count_says_more() -> None:
    """Between the newest pin and the others lie more hidden rows than a page holds."""
    pins = spread(3000, SECOND)
    hidden = frozenset(f"id-{n}" for n in range(500, 2999))
    reading, _, sink = listed(Service(pins, hidden=hidden))
    assert not reading.complete or len(sink.pins) == 501
    assert len(sink.pins) > 1


def test_a_look_beyond_the_end_finds_what_short_pages_hid() -> None:
    pins = [*spread(1500, SECOND), *(pin(n, START - 400 * 86_400 * SECOND) for n in range(5000, 5010))]
    hidden = frozenset(f"id-{n}" for n in range(1200))
    reading, _, sink = listed(Service(pins, hidden=hidden, **NFT_STORAGE))
    assert not reading.complete
    assert len(sink.pins) == 310


def test_rows_that_cannot_be_understood_make_it_incomplete() -> None:
    class Odd(Service):
        def answer(self, query: Any) -> Page:
            page = super().answer(query)
            return replace(page, pins=page.pins[1:], skipped=("row 1: no `pin.cid`",)) if page.pins else page

    reading, _, sink = listed(Odd(spread(5)))
    assert not reading.complete
    assert reading.reason is not None and "no `pin.cid`" in reading.reason
    assert len(sink.pins) == 4


def test_pins_made_during_the_listing_do_no_harm() -> None:
    class Busy(Service):
        def answer(self, query: Any) -> Page:
            page = super().answer(query)
            now = int(self.clock.now()) + len(self.queries)
            self.pins.append(pin(90_000 + len(self.queries), now * SECOND))
            return page

    for kind in ("spec", "nft.storage", "mock"):
        service = Busy(spread(2500), **SERVICES[kind])
        reading, _, sink = listed(service)
        assert reading.complete, (kind, reading.reason)
        assert {f"id-{n}" for n in range(2500)} <= set(sink.pins)


def test_a_pin_that_is_renewed_during_the_listing_is_still_seen() -> None:
    """On Cluster a POST again gives an old pin a new date: it moves from what is unread to what was read."""

    class Renewing(Service):
        def answer(self, query: Any) -> Page:
            page = super().answer(query)
            if len(self.queries) == 2:
                self.pins = [one for one in self.pins if one.requestid != "id-3"] + [pin(3, START + 9_999 * SECOND)]
            return page

    reading, _, sink = listed(Renewing(spread(2500), **NFT_STORAGE))
    assert reading.complete
    assert "id-3" in sink.pins


def test_a_service_that_invents_pins_for_ever_is_left() -> None:
    class Endless(Service):
        def answer(self, query: Any) -> Page:
            number = len(self.queries) * 1000
            end = query.before or START
            return Page(None, tuple(pin(number + n, end - (n + 1) * MS) for n in range(20)), (), 20)

    reading, _, _ = listed(Endless(), limit=20, max_requests=50)
    assert not reading.complete
    assert reading.reason is not None and "50 requests" in reading.reason


def test_an_error_in_the_middle_of_a_list_is_raised() -> None:
    class Failing(Service):
        def answer(self, query: Any) -> Page:
            if len(self.queries) > 2:
                raise RemoteError("store", "store: it broke")
            return super().answer(query)

    with pytest.raises(RemoteError, match="it broke"):
        listed(Failing(spread(5000)))


def test_traits_are_learned_and_corrected() -> None:
    service = Service([pin(n, START + n * MS, requestid=pin(n, 0).cid) for n in range(300)], cap=100, count="page")
    learned = whole(service)
    assert learned.id_is_cid is True
    assert learned.page_cap == 100
    assert learned.newest_first is True
    assert learned.count_is_total is False
    service.cap, service.count, service.order = 1000, "total", "oldest"
    service.pins = spread(2000)
    learned = whole(service, learned)
    assert learned.id_is_cid is False
    assert learned.page_cap is None
    assert learned.newest_first is False
    assert learned.count_is_total is True


def test_progress_tells_how_many_of_how_many() -> None:
    heard: list[tuple[int, int | None]] = []
    whole(Service(spread(2500)), progress=lambda *told: heard.append(told))
    assert heard[-1] == (2500, 2500)
    assert [count for count, _ in heard] == sorted(count for count, _ in heard)


def test_it_works_over_http_too() -> None:
    async def scenario() -> Reading:
        service = Service(spread(2500), **NFT_STORAGE)
        async with client_for(http(service)) as client:
            reading, _ = await list_all(client, MemorySink(), traits=Traits())
        return reading

    reading = asyncio.run(scenario())
    assert reading.complete
    assert reading.count == 2500


times = st.one_of(
    st.lists(st.integers(0, 3), max_size=70),  # heavy ties
    st.lists(st.integers(0, 40), max_size=70),
    st.lists(st.integers(0, 100_000), max_size=70),
)
services = st.fixed_dictionaries(
    {
        "order": st.sampled_from(["newest", "oldest", "random"]),
        "count": st.sampled_from(["total", "page", "total+1", "page+1", "none", "all"]),
        "cap": st.sampled_from([10, 20, 25, 1000, None]),
        "limit_kept": st.booleans(),
        "inclusive": st.booleans(),
        "grain": st.sampled_from([MS, SECOND]),
        "before_kept": st.sampled_from([True, True, True, False]),
        "after_kept": st.sampled_from([True, True, True, False]),
        "cids_kept": st.booleans(),
        "status_late": st.booleans(),
        "seed": st.integers(0, 1000),
    }
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    times=times,
    unit=st.sampled_from([SECOND, MS, MS // 1000]),
    traits=services,
    limit=st.sampled_from([4, 10, 20, 1000]),
    statuses=st.lists(st.sampled_from(PinStatus), min_size=1, max_size=4),
    known=st.booleans(),
)
@example(times=[0] * 12, unit=MS, traits={"order": "newest", "count": "page", "cap": 10}, limit=1000,
         statuses=[PinStatus.PINNED], known=False)  # fmt: skip
def test_complete_means_that_no_pin_is_missing(
    times: list[int], unit: int, traits: dict[str, Any], limit: int, statuses: list[PinStatus], known: bool
) -> None:
    pins = [pin(n, START + at * unit, statuses[n % len(statuses)]) for n, at in enumerate(times)]
    service = Service(pins, **traits)
    learned = Traits()
    for _ in range(2 if known else 1):
        reading, learned, sink = listed(service, learned, limit=limit, wanted=lambda: [pins[0].cid] if pins else [])
        assert reading.complete == (reading.reason is None)
        assert len(service.queries) < 1500
        if reading.complete:
            assert set(sink.pins) == {one.requestid for one in pins}


@settings(max_examples=150, deadline=None)
@given(
    times=st.lists(st.integers(0, 400), max_size=70, unique=True),
    order=st.sampled_from(["newest", "oldest"]),
    count=st.sampled_from(["total", "page", "total+1"]),
    inclusive=st.booleans(),
    limit=st.sampled_from([10, 20, 1000]),
)
def test_ordered_services_are_always_read_whole(
    times: list[int], order: Any, count: Any, inclusive: bool, limit: int
) -> None:
    service = Service([pin(n, START + at * MS) for n, at in enumerate(times)], order=order, count=count)
    service.inclusive = inclusive
    whole(service, limit=limit)
    assert len(service.queries) < 60
