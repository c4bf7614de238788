"""What services send is read, however they write it; what cannot be is named, never a traceback."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinsync.model import PinStatus
from pinsync.remote.parse import MS, SECOND, format_time, parse_time, read_json, read_page, read_pin
from tests.unit.remote_servers import cid_of

ROW: dict[str, Any] = {
    "requestid": "id-1",
    "status": "pinned",
    "created": "2022-06-27T16:23:22.9+00:00",
    "pin": {"cid": cid_of(1), "name": "docs", "meta": {"pinsync": "web-1"}, "origins": None},
    "delegates": ["/ip4/192.0.2.1/tcp/4001/p2p/x"],
    "info": {"status_details": "fine"},
}


def test_a_row_with_everything() -> None:
    pin = read_pin(ROW)
    assert (pin.requestid, pin.cid, pin.status, pin.name) == ("id-1", cid_of(1), PinStatus.PINNED, "docs")
    assert pin.created == 1_656_347_002_900_000_000
    assert pin.mark == "web-1"
    assert pin.delegates == ("/ip4/192.0.2.1/tcp/4001/p2p/x",)
    assert pin.info == {"status_details": "fine"}


@pytest.mark.parametrize(
    ("change", "attribute", "value"),
    [
        ({"requestid": None, "requestId": "other"}, "requestid", "other"),
        ({"requestid": 17}, "requestid", "17"),
        ({"requestid": "../../a%2F?ü"}, "requestid", "../../a%2F?ü"),
        ({"delegates": None}, "delegates", ()),
        ({"delegates": [None, "/ip4/192.0.2.1"]}, "delegates", ("/ip4/192.0.2.1",)),
        ({"info": None}, "info", {}),
        ({"info": {"a": 1, "b": "c"}}, "info", {"b": "c"}),
        ({"status": "Queued"}, "status", PinStatus.QUEUED),
        ({"pin": {"cid": cid_of(1)}}, "name", None),
        ({"pin": {"cid": cid_of(1), "name": None}}, "name", None),
        ({"pin": {"cid": cid_of(1)}}, "meta", None),
        ({"pin": {"cid": cid_of(1), "meta": {"a": "b", "n": 7, "x": None}}}, "meta", {"a": "b"}),
        ({"pin": {"cid": cid_of(1).upper()}}, "key", read_pin(ROW).key),
    ],
)
def test_every_spelling_in_the_wild(change: dict[str, Any], attribute: str, value: object) -> None:
    assert getattr(read_pin(ROW | change), attribute) == value


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"requestid": ""}, "requestid"),
        ({"requestid": "."}, "requestid"),
        ({"requestid": ".."}, "requestid"),
        ({"requestid": None}, "requestid"),
        ({"requestid": True}, "requestid"),
        ({"pin": None}, "no `pin`"),
        ({"pin": {}}, "pin.cid"),
        ({"pin": {"cid": "bafynonsense"}}, "not a CID"),
        ({"status": "unpinned"}, "unknown `status` 'unpinned'"),
        ({"status": ["pinned"]}, "status"),
        ({"created": None}, "created"),
        ({"created": "yesterday"}, "created"),
        ({"created": "2022-13-27T16:23:22Z"}, "created"),
        ({"created": 1_656_347_002}, "created"),
    ],
)
def test_a_row_that_cannot_be_understood_is_skipped_and_named(change: dict[str, Any], said: str) -> None:
    page = read_page({"count": 2, "results": [ROW, ROW | change]})
    assert len(page.pins) == 1
    assert page.rows == 2
    assert len(page.skipped) == 1
    assert page.skipped[0].startswith("row 2: ")
    assert said in page.skipped[0]


@pytest.mark.parametrize(
    ("value", "count", "rows"),
    [
        ({"count": 0, "results": []}, 0, 0),
        ({"count": 0, "results": None}, 0, 0),
        ({"count": -1, "results": []}, None, 0),
        ({"count": "3", "results": [ROW]}, None, 1),
        ({"count": True, "results": [ROW]}, None, 1),
        ({"count": 10**30, "results": [ROW]}, None, 1),
        ({"results": [ROW, "x"]}, None, 2),
    ],
)
def test_odd_pages(value: Any, count: int | None, rows: int) -> None:
    page = read_page(value)
    assert (page.count, page.rows) == (count, rows)


@pytest.mark.parametrize("value", [None, [], "x", 7, {}, {"count": 1}, {"count": 1, "results": None}, {"results": {}}])
def test_json_that_is_no_page(value: Any) -> None:
    with pytest.raises(ValueError, match="results"):
        read_page(value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"<!doctype html><p>hello", "a web page"),
        (b'{"count": 1, "resul', "not JSON"),
        (b"\xff\xfe{}", "UTF-8"),
        (b"[" * 200_000, "not JSON"),
        (b'{"count": ' + b"9" * 10_000 + b"}", "not JSON"),
    ],
)
def test_bodies_that_are_no_json(body: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_json(body)


def test_half_a_surrogate_pair_becomes_printable() -> None:
    pin = read_pin(read_json(json.dumps(ROW | {"requestid": "a\ud800b"}).encode()))
    pin.requestid.encode()
    assert pin.requestid == "a?b"


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2023-01-25T18:01:43.000-05:00", 1_674_687_703 * SECOND),
        ("2022-06-27T16:23:22.9+00:00", 1_656_347_002_900 * MS),
        ("2022-06-27T16:23:22.123456789Z", 1_656_347_002_123_456_789),
        ("2022-06-27T16:23:22.123456789987Z", 1_656_347_002_123_456_789),
        ("2022-06-27t16:23:22z", 1_656_347_002 * SECOND),
        ("2022-06-27T16:23:22+0530", (1_656_347_002 - 19_800) * SECOND),
        ("0000-01-01T00:00:00Z", -62_167_219_200 * SECOND),
        ("0001-01-01T00:00:00Z", -62_135_596_800 * SECOND),
        ("9999-12-31T23:59:59.999999999Z", 253_402_300_799_999_999_999),
    ],
)
def test_times(text: str, ns: int) -> None:
    assert parse_time(text) == ns


@given(
    at=st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)),
    offset=st.integers(-23 * 60, 23 * 60),
)
def test_times_agree_with_the_library(at: datetime, offset: int) -> None:
    there = at.replace(tzinfo=timezone(timedelta(minutes=offset)))
    since = there - datetime(1970, 1, 1, tzinfo=UTC)
    assert parse_time(there.isoformat()) == (since.days * 86_400 + since.seconds) * SECOND + since.microseconds * 1000


@given(ns=st.integers(-62_135_596_800 * SECOND, 253_402_300_799 * SECOND))
def test_times_come_back_as_they_were(ns: int) -> None:
    assert parse_time(format_time(ns)) == ns


@given(ns=st.integers(-(10**22), 10**22))
def test_any_time_can_be_written(ns: int) -> None:
    assert len(format_time(ns)) in (24, 27, 30)


@given(st.text() | st.none() | st.integers())
def test_no_text_is_more_than_a_value_error(text: object) -> None:
    try:
        assert isinstance(parse_time(text), int)
    except ValueError as error:
        assert "created" in str(error)


def test_a_thousand_rows_are_read_in_15_ms() -> None:
    body = json.dumps({"count": 1000, "results": [ROW | {"requestid": f"id-{n}"} for n in range(1000)]}).encode()
    best = 9.0
    for _ in range(8):
        began = time.perf_counter()
        page = read_page(read_json(body))
        best = min(best, time.perf_counter() - began)
    assert len(page.pins) == 1000
    assert best < 0.015
