"""What `GET /pins` of the emulator answers, one trait a test."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinsync.emulator.behaviour import FOREVER, MILLISECOND, SECOND, Behaviour
from pinsync.emulator.records import Seed
from pinsync.emulator.wire import created_text, parse_time
from pinsync.model import PinStatus
from tests.unit.emulator_kit import ALL, START_NS, Api, cid

T0 = 1_700_000_000 * SECOND
TEN = [cid(n) for n in range(10)]


def seeded(pins: int, behaviour: Behaviour | str = "spec", **knobs: Any) -> Api:
    """Pins 0, 1, 2 … one second apart, the last the newest."""
    api = Api(behaviour, **knobs)
    api.emulator.seed_pins([cid(n) for n in range(pins)], created=T0, step=SECOND)
    return api


def at(seconds: float) -> str:
    return created_text(T0 + round(seconds * SECOND), "ns-z")


@pytest.mark.parametrize(("kind", "counted"), [("total", 25), ("page", 10), ("total+1", 26), ("page+1", 11)])
def test_count(kind: Literal["total", "page", "total+1", "page+1"], counted: int) -> None:
    assert seeded(25, count=kind).page()["count"] == counted


def test_count_is_of_what_the_filters_let_through_whatever_the_limit() -> None:
    assert seeded(25).page(before=at(20), limit=3)["count"] == 20


def test_a_page_has_ten_pins_unless_told_otherwise() -> None:
    assert len(seeded(25).cids()) == 10
    assert len(seeded(25, default_limit=None).cids()) == 25
    assert len(seeded(25).cids(limit=12)) == 12


def test_a_limit_beyond_the_maximum_is_refused_or_cut() -> None:
    assert seeded(5, max_limit=3).refused("GET", "/pins?limit=4")[0] == 400
    assert len(seeded(5, max_limit=3, over_limit="clamp").cids(limit=4)) == 3
    assert len(seeded(5, max_limit=None).cids(limit=1_000_000)) == 5


def test_a_limit_that_is_not_honoured_changes_nothing() -> None:
    assert len(seeded(25, limit_honoured=False).cids(limit=20)) == 10


@pytest.mark.parametrize("limit", ["0", "-1", "1.5", "abc", "1e3", "99999999999999"])
def test_a_limit_that_is_no_number_is_refused(limit: str) -> None:
    status, body = seeded(1).refused("GET", f"/pins?limit={limit}")
    assert status == 400
    assert body["error"]["reason"] == "BAD_REQUEST"
    assert "limit" in body["error"]["details"]


def test_order() -> None:
    assert seeded(10).cids() == TEN[::-1]
    assert seeded(10, order="oldest").cids() == TEN
    assert seeded(10, order="oldest").cids(limit=3) == TEN[:3]
    shuffled = seeded(10, order="shuffled")
    seen = [shuffled.cids() for _ in range(5)]
    assert all(sorted(each) == sorted(TEN) for each in seen)
    assert len({tuple(each) for each in seen}) > 1


def test_a_shuffled_page_is_a_sample_of_all() -> None:
    api = seeded(10, order="shuffled")
    pages = [api.cids(limit=3) for _ in range(60)]
    assert all(len(set(page)) == 3 for page in pages)
    assert {each for page in pages for each in page} == set(TEN)
    named = [api.cids(limit=3, cid=",".join(TEN)) for _ in range(60)]
    assert {each for page in named for each in page} == set(TEN)


@pytest.mark.parametrize(
    ("style", "text"),
    [
        ("ms-z", "2023-11-14T22:13:20.120Z"),
        ("ms-trimmed", "2023-11-14T22:13:20.12+00:00"),
        ("s-z", "2023-11-14T22:13:20Z"),
        ("s-minus-5", "2023-11-14T17:13:20.000-05:00"),
        ("us-z", "2023-11-14T22:13:20.120000Z"),
        ("ns-z", "2023-11-14T22:13:20.120000000Z"),
    ],
)
def test_created_format(style: Any, text: str) -> None:
    api = Api(created_format=style)
    api.emulator.seed_pins([cid(1)], created=T0 + 120 * MILLISECOND)
    assert api.page()["results"][0]["created"] == text


def test_trimmed_zeros_leave_no_lonely_point() -> None:
    assert created_text(T0, "ms-trimmed") == "2023-11-14T22:13:20+00:00"
    assert created_text(T0 + 900 * MILLISECOND, "ms-trimmed") == "2023-11-14T22:13:20.9+00:00"


def test_stored_resolution_decides_what_ties() -> None:
    for unit in (1000, MILLISECOND, SECOND):
        api = Api(created_resolution=unit)
        api.emulator.seed_pins([cid(1)], created=T0 + 123_456_789)
        assert api.emulator.pins()[0].created == T0 + 123_456_789 // unit * unit


def test_finer_stored_than_printed_loses_pins_at_a_page_edge() -> None:
    """As rb-pinning-service does: the printed time, used as `before`, lies before the pin's own."""
    api = Api("rb")
    api.emulator.seed_pins([cid(0), cid(1)], created=T0 + 500 * MILLISECOND, step=1000)
    newest = api.page(limit=1)["results"][0]
    assert api.cids(before=newest["created"]) == []
    assert len(api.cids()) == 2


def test_bounds_exclude_or_include_the_moment_they_name() -> None:
    exclusive, inclusive = seeded(10), seeded(10, bounds="inclusive")
    assert exclusive.cids(before=at(2)) == TEN[1::-1]
    assert inclusive.cids(before=at(2)) == TEN[2::-1]
    assert exclusive.cids(after=at(7)) == TEN[:7:-1]
    assert inclusive.cids(after=at(7)) == TEN[:6:-1]
    assert exclusive.cids(after=at(2), before=at(5)) == TEN[4:2:-1]
    assert inclusive.cids(after=at(2), before=at(5)) == TEN[5:1:-1]


def test_bounds_are_times_not_texts() -> None:
    api = seeded(10)
    assert api.cids(before="2023-11-14T17:13:22-05:00") == TEN[1::-1]
    assert api.cids(before="2023-11-14T22:13:22.000000001Z") == TEN[2::-1]


@pytest.mark.parametrize("text", ["yesterday", "2023-11-14", "2023-11-14T22:13:20", "2023-13-14T22:13:20Z"])
def test_a_bound_that_is_no_time_is_refused(text: str) -> None:
    assert seeded(1).refused("GET", "/pins", params={"before": text})[0] == 400


def test_an_unescaped_plus_is_a_space_and_so_no_time() -> None:
    assert seeded(1).refused("GET", "/pins?before=2023-11-14T22:13:20+00:00")[0] == 400
    assert seeded(1).call("GET", "/pins?before=2023-11-14T22:13:20%2B00:00").status_code == 200


def with_statuses(**knobs: Any) -> Api:
    api = Api(**knobs)
    api.emulator.seed_pins([Seed(cid(n), status=status) for n, status in enumerate(PinStatus)], created=T0, step=SECOND)
    return api


def test_status_filter() -> None:
    assert with_statuses().cids() == [cid(2)]
    assert with_statuses(status_default="all").cids() == [cid(n) for n in (3, 2, 1, 0)]
    assert with_statuses().cids(status="failed,queued") == [cid(3), cid(0)]
    assert with_statuses().cids(status=ALL) == [cid(n) for n in (3, 2, 1, 0)]
    assert with_statuses().refused("GET", "/pins?status=lost")[0] == 400


def test_status_after_the_limit_makes_pages_short_or_empty_before_the_end() -> None:
    api = with_statuses(status_after_limit=True, count="page")
    assert api.page(status="queued", limit=2) == {"count": 0, "results": []}
    assert api.cids(status="pinned", limit=2) == [cid(2)]
    assert api.cids(status="queued", limit=4) == [cid(0)]


def test_cid_filter() -> None:
    asked = ",".join([cid(3), cid(8), cid(99)])
    assert seeded(10).page(cid=asked)["count"] == 2
    assert seeded(10).cids(cid=asked) == [cid(8), cid(3)]
    assert len(seeded(10, cid_filter="ignored").cids(cid=asked)) == 10
    assert seeded(10).cids(cid=asked, before=at(8)) == [cid(3)]
    assert seeded(10, cid_filter="alone").cids(cid=asked, before=at(8)) == [cid(8), cid(3)]


def test_cid_filter_takes_ten() -> None:
    eleven = ",".join(cid(n) for n in range(11))
    assert seeded(20).refused("GET", f"/pins?cid={eleven}")[0] == 400
    assert len(seeded(20, max_cids=None).cids(cid=eleven, limit=50)) == 11
    assert len(seeded(20, max_cids=None, cid_filter="first-10").cids(cid=eleven, limit=50)) == 10


def test_content_is_told_apart_by_the_text_of_its_cid() -> None:
    v0, v1 = (
        "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n",
        "bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    )
    api = Api()
    api.emulator.seed_pins([v0, v1])
    assert api.cids(cid=v0) == [v0]
    assert api.cids(cid=v1) == [v1]


def named(**knobs: Any) -> Api:
    api = Api(**knobs)
    names = ["Alpha", "alpha", "alphabet", "50% off_sale", None]
    api.emulator.seed_pins([Seed(cid(n), name=name) for n, name in enumerate(names)], created=T0, step=SECOND)
    return api


@pytest.mark.parametrize(
    ("name", "match", "found"),
    [
        ("alpha", None, [1]),
        ("alpha", "exact", [1]),
        ("alpha", "iexact", [1, 0]),
        ("lpha", "partial", [2, 1, 0]),
        ("LPHA", "partial", []),
        ("LPHA", "ipartial", [2, 1, 0]),
        ("a%", "exact", []),
    ],
)
def test_name_filter(name: str, match: str | None, found: list[int]) -> None:
    query = {"name": name} | ({"match": match} if match else {})
    assert named().cids(**query) == [cid(n) for n in found]


def test_name_filter_with_wildcards() -> None:
    like = named(name_filter="like")
    assert like.cids(name="alph_") == [cid(1)]
    assert like.cids(name="alpha%") == [cid(2), cid(1)]
    assert like.cids(name="ALPHA%", match="iexact") == [cid(2), cid(1), cid(0)]
    assert like.cids(name="50% off_sale") == [cid(3)]


def test_name_filter_that_is_less() -> None:
    assert named(name_filter="exact-only").cids(name="lpha", match="partial") == []
    assert len(named(name_filter="ignored").cids(name="nobody")) == 5
    assert named().refused("GET", "/pins?name=x&match=fuzzy")[0] == 400
    assert named().refused("GET", "/pins", params={"name": "x" * 256})[0] == 400


def test_a_name_that_is_echoed_as_the_cid_is_found_so() -> None:
    assert named(absent_name="cid").cids(name=cid(4)) == [cid(4)]


def with_meta(**knobs: Any) -> Api:
    api = Api(**knobs)
    metas = [None, {"a": "1"}, {"a": "1", "b": "2"}, {"a": "2"}]
    api.emulator.seed_pins([Seed(cid(n), meta=meta) for n, meta in enumerate(metas)], created=T0, step=SECOND)
    return api


def test_meta_filter() -> None:
    assert with_meta().cids(meta=json.dumps({"a": "1"})) == [cid(2), cid(1)]
    assert with_meta().cids(meta=json.dumps({"a": "1", "b": "2"})) == [cid(2)]
    assert len(with_meta(meta_filter="ignored").cids(meta=json.dumps({"a": "1"}))) == 4
    status, page = with_meta(meta_filter="error").refused("GET", "/pins?meta=%7B%7D")
    assert (status, "<html" in page) == (500, True)


@pytest.mark.parametrize("meta", ["{", "[]", '{"a":1}', "null", "[" * 100_000])
def test_a_meta_filter_that_is_no_object_of_texts_is_refused(meta: str) -> None:
    answer = Api().emulator.handle("GET", None, b"meta=" + meta.encode())
    assert answer.status == 400


def test_filters_join() -> None:
    api = with_meta(status_default="all")
    api.emulator.set_status(api.emulator.pins()[2].requestid, PinStatus.FAILED)
    assert api.cids(meta='{"a":"1"}', status="failed") == [cid(2)]
    assert api.cids(meta='{"a":"1"}', status="pinned", cid=",".join([cid(1), cid(3)])) == [cid(1)]


def test_a_new_pin_may_take_time_to_be_listed() -> None:
    api = Api(list_delay=5.0)
    posted = api.post(cid(1))
    assert api.cids() == []
    assert api.get(posted["requestid"])["pin"]["cid"] == cid(1)
    api.clock.pass_by(5.5)
    assert api.cids() == [cid(1)]


def test_a_list_may_learn_of_a_status_later_than_get_by_id() -> None:
    api = Api(settle=2.0, list_lag=60.0)
    first, second = api.post(cid(1)), api.post(cid(2))
    api.clock.pass_by(10)
    assert api.cids(status="queued") == [cid(2), cid(1)]
    assert api.get(first["requestid"])["status"] == "pinned"
    assert api.cids(status="queued") == [cid(2)]
    assert api.cids(status="pinned") == [cid(1)]
    api.clock.pass_by(60)
    assert api.cids(status="pinned") == [cid(2), cid(1)]
    assert second["status"] == "queued"


def test_a_list_that_never_learns() -> None:
    api = Api(settle=2.0, list_lag=FOREVER)
    api.post(cid(1))
    api.clock.pass_by(1e6)
    assert api.cids(status="queued") == [cid(1)]
    assert [pin.status for pin in api.emulator.pins()] == [PinStatus.PINNED]


def test_an_unknown_parameter_is_left_aside_and_a_broken_query_refused() -> None:
    assert seeded(1).call("GET", "/pins?colour=red").status_code == 200
    assert seeded(1).refused("GET", "/pins?name=%FF")[0] == 400


def test_the_world_can_be_changed_between_two_pages() -> None:
    api = seeded(3)
    ids = [pin.requestid for pin in api.emulator.pins()]
    api.emulator.before_request = lambda request: api.emulator.remove_pins(ids[:1] if "before" in request.query else [])
    assert len(api.cids()) == 3
    assert api.cids(before=at(2)) == [cid(1)]


@given(
    created=st.lists(st.integers(0, 6), min_size=0, max_size=40),
    statuses=st.lists(st.sampled_from(PinStatus), min_size=40, max_size=40),
    asked=st.sets(st.sampled_from(PinStatus), min_size=1),
    after=st.integers(-1, 7) | st.none(),
    before=st.integers(-1, 7) | st.none(),
    limit=st.integers(1, 50),
    order=st.sampled_from(["newest", "oldest", "shuffled"]),
    bounds=st.sampled_from(["exclusive", "inclusive"]),
    gone=st.sets(st.integers(0, 39)),
)
def test_a_page_is_what_a_plain_search_finds(
    created: list[int],
    statuses: list[PinStatus],
    asked: set[PinStatus],
    after: int | None,
    before: int | None,
    limit: int,
    order: Any,
    bounds: Any,
    gone: set[int],
) -> None:
    """Whatever the ties, statuses and bounds: the sorted index answers as if every pin had been looked at."""
    api = Api(order=order, bounds=bounds)
    api.emulator.seed_pins([Seed(cid(n), created=T0 + second * SECOND) for n, second in enumerate(created)])
    pins = {pin.cid: pin for pin in api.emulator.pins()}
    for n, _ in enumerate(created):
        api.emulator.set_status(pins[cid(n)].requestid, statuses[n])
        if n in gone:
            api.emulator.remove_pins([pins[cid(n)].requestid])

    def fits(n: int) -> bool:
        edge = bounds == "inclusive"
        return (
            n not in gone
            and statuses[n] in asked
            and (after is None or created[n] > after or (edge and created[n] == after))
            and (before is None or created[n] < before or (edge and created[n] == before))
        )

    expected = [n for n in range(len(created)) if fits(n)]
    query: dict[str, Any] = {"status": ",".join(sorted(asked)), "limit": limit}
    if after is not None:
        query["after"] = at(after)
    if before is not None:
        query["before"] = at(before)
    answer = api.emulator.handle("GET", None, "&".join(f"{key}={value}" for key, value in query.items()).encode())
    body = json.loads(answer.body)
    got = [row["pin"]["cid"] for row in body["results"]]
    assert body["count"] == len(expected)
    assert len(got) == len(set(got)) == min(limit, len(expected))
    assert set(got) <= {cid(n) for n in expected}
    if order != "shuffled":
        by_time = sorted(expected, key=lambda n: (created[n], n), reverse=order == "newest")
        assert got == [cid(n) for n in by_time[:limit]]


@given(
    st.integers(0, 4_000_000_000 * SECOND), st.sampled_from(["ms-z", "ms-trimmed", "s-z", "s-minus-5", "us-z", "ns-z"])
)
def test_what_is_printed_is_read_as_the_same_time(created: int, style: Any) -> None:
    unit = {"ns": 1, "us": 1000, "ms": MILLISECOND, "s": SECOND}[style.partition("-")[0]]
    assert parse_time(created_text(created, style)) == created // unit * unit


def test_the_start_is_when_the_tests_think() -> None:
    api = Api()
    assert parse_time(api.post(cid(1))["created"]) == START_NS
