"""The profiles: `spec` and `nft.storage` shape by shape, the others by what sets them apart."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pinsync.cid import key_of
from pinsync.emulator.behaviour import SECOND
from pinsync.emulator.profiles import DOCUMENTED_RATES, PROFILES, profile
from pinsync.emulator.records import Seed
from pinsync.emulator.wire import parse_time
from pinsync.errors import UsageError
from pinsync.model import PinStatus
from tests.unit.emulator_kit import ALL, Api, cid

V0 = "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n"
ORIGIN = "/ip4/203.0.113.9/tcp/4001/p2p/12D3KooWOrigin"


# ── spec ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_spec_answers_with_the_objects_of_the_specification() -> None:
    api = Api("spec", token="t")
    answer = api.call("POST", "/pins", json={"cid": cid(1), "name": "n", "meta": {"k": "v"}, "origins": [ORIGIN]})
    posted = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (202, "application/json")
    assert posted == {
        "requestid": posted["requestid"],
        "status": "pinned",
        "created": "2026-09-21T14:13:20.250Z",
        "pin": {"cid": cid(1), "name": "n", "meta": {"k": "v"}},
        "delegates": posted["delegates"],
    }
    assert posted["requestid"]
    assert 1 <= len(posted["delegates"]) <= 20
    assert api.get(posted["requestid"]) == posted
    assert api.page() == {"count": 1, "results": [posted]}
    gone = api.delete(posted["requestid"])
    assert (gone.status_code, gone.content) == (202, b"")
    assert api.page() == {"count": 0, "results": []}


def test_spec_refuses_in_the_shape_of_the_specification() -> None:
    api = Api("spec", token="t")
    missing = {"error": {"reason": "NOT_FOUND", "details": "The specified resource was not found"}}
    assert api.refused("GET", "/pins/nobody") == (404, missing)
    assert api.refused("DELETE", "/pins/nobody") == (404, missing)
    assert api.refused("POST", "/pins/nobody", json={"cid": cid(1)}) == (404, missing)
    for wrong in (api.refused(json={}), api.refused("GET", "/pins?status=no"), api.refused(content=b"{")):
        status, body = wrong
        assert status == 400
        assert set(body) == {"error"}
        assert set(body["error"]) == {"reason", "details"}
        assert all(isinstance(text, str) for text in body["error"].values())


def test_spec_can_be_paged_as_the_specification_says() -> None:
    """Ten a page, `before` the oldest seen, until count is the page: every pin once."""
    api = Api("spec")
    for n in range(37):
        api.post(cid(n))
    seen: list[str] = []
    query: dict[str, str] = {}
    for _ in range(10):
        page = api.page(**query)
        seen += [row["pin"]["cid"] for row in page["results"]]
        if page["count"] == len(page["results"]):
            break
        query = {"before": page["results"][-1]["created"]}
    assert seen == [cid(n) for n in reversed(range(37))]


# ── nft.storage ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nft_storage_answers() -> None:
    api = Api("nft.storage", token="t")
    answer = api.call("POST", "/pins", json={"cid": cid(1), "meta": {"a": "b"}})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json;charset=UTF-8")
    assert answer.json() == {
        "requestid": cid(1),
        "status": "queued",
        "created": "2026-09-21T14:13:20.25+00:00",
        "pin": {"cid": cid(1), "meta": {"a": "b"}, "name": None, "origins": None},
        "delegates": [],
    }
    assert api.page(status=ALL) == {"count": 1, "results": [answer.json()]}
    replaced = api.replace(cid(1), cid(2), name="n", origins=[ORIGIN])
    assert replaced.status_code == 200
    assert replaced.json()["pin"] == {"cid": cid(2), "meta": None, "name": "n", "origins": [ORIGIN]}
    assert [pin.cid for pin in api.emulator.pins()] == [cid(2)]
    gone = api.delete(cid(2))
    assert (gone.status_code, gone.content) == (202, b"")


def test_nft_storage_refuses() -> None:
    api = Api("nft.storage", token="t")
    api.post(cid(1))
    no_token = api.refused("GET", headers={"authorization": ""})
    assert no_token[0] == 401
    assert (no_token[1]["ok"], no_token[1]["error"]["code"]) == (False, "EXPECTED_BEARER_STRING")
    bad_token = api.refused("GET", headers={"authorization": "Bearer x"})
    assert bad_token[0] == 401
    assert bad_token[1]["error"] == {
        "code": "ERROR_MALFORMED_TOKEN",
        "message": "API Key is malformed or failed to parse.",
    }
    assert api.refused("GET", f"/pins/{cid(9)}") == (
        404,
        {"error": {"reason": "NOT_FOUND", "details": "pin not found"}},
    )
    assert api.refused("DELETE", f"/pins/{cid(9)}") == (
        404,
        {"error": {"reason": "The specified resource was not found"}},
    )
    assert api.refused("GET", "/pins/no-cid") == (
        400,
        {"error": {"reason": "ERROR_INVALID_REQUEST_ID", "details": "Invalid request id: no-cid"}},
    )
    assert api.refused("DELETE", "/pins/no-cid")[0] == 400
    assert api.refused("POST", f"/pins/{cid(1)}", json={"cid": cid(1)})[0] == 400
    assert api.refused(json={"name": "x"})[1]["error"]["reason"] == "INVALID_PIN_DATA"
    assert api.refused(json={"cid": cid(2), "name": 5})[1]["error"]["reason"] == "INVALID_PIN_DATA"
    status, body = api.refused(content=b"{")
    assert (status, body["ok"]) == (500, False)


def test_nft_storage_words_a_bad_query_without_a_wrapper() -> None:
    api = Api("nft.storage")
    for query in ("limit=1001", "limit=0", "limit=x", "status=lost", "before=now", "match=no"):
        status, body = api.refused("GET", f"/pins?{query}")
        assert (status, body["reason"]) == (400, "VALIDATION_ERROR"), query
        assert isinstance(body["details"], list)
    assert api.refused("GET", "/pins?cid=nonsense")[1]["reason"] == "INVALID_CID"
    assert api.refused("GET", "/pins?meta=%7B")[1]["reason"] == "INVALID_META"


def test_nft_storage_under_maintenance() -> None:
    api = Api("nft.storage", closed="maintenance")
    api.emulator.seed_pins([cid(1)])
    status, body = api.refused(json={"cid": cid(2)})
    assert (status, body["ok"], body["error"]["code"]) == (503, False, "ERROR_MAINTENANCE")
    assert api.refused("DELETE", f"/pins/{cid(1)}")[1]["error"]["code"] == "ERROR_MAINTENANCE"
    assert api.cids() == [cid(1)]


def test_nft_storage_lists() -> None:
    api = Api("nft.storage")
    api.emulator.seed_pins([cid(n) for n in range(30)], created=1_700_000_000 * SECOND, step=SECOND)
    api.emulator.set_status(cid(29), PinStatus.QUEUED)
    page = api.page()
    assert page["count"] == len(page["results"]) == 9, "the tenth was cut before the status was looked at"
    oldest = page["results"][-1]
    assert api.page(before=oldest["created"])["results"][0] == oldest, "before includes its moment"
    assert len(api.cids(limit=1000)) == 29
    assert len(api.cids(meta='{"a":"b"}', limit=1000)) == 29, "the meta filter is ignored"


def test_nft_storage_has_one_record_a_cid() -> None:
    api = Api("nft.storage")
    first = api.post(cid(1), name="one", meta={"a": "b"})
    api.emulator.set_status(cid(1), PinStatus.FAILED)
    api.clock.pass_by(1000)
    second = api.post(cid(1), name="two")
    assert second["created"] == first["created"]
    assert second["pin"] == {"cid": cid(1), "name": "two", "meta": None, "origins": None}
    assert second["status"] == "failed", "it is not queued again"
    api.delete(cid(1))
    third = api.post(cid(1))
    assert (third["created"], third["status"]) == (first["created"], "failed"), "the old record is revived"


def test_nft_storage_tells_a_new_status_by_id_first() -> None:
    api = Api("nft.storage")
    api.post(cid(1))
    api.clock.pass_by(5)
    assert api.cids(status="queued") == [cid(1)]
    assert api.get(cid(1))["status"] == "pinned"
    assert api.cids() == [cid(1)]


def test_nft_storage_keeps_versions_apart_and_drops_odd_meta() -> None:
    api = Api("nft.storage")
    v1 = "bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
    assert [api.post(each)["requestid"] for each in (V0, v1)] == [V0, v1]
    assert api.page(status=ALL)["count"] == 2
    assert api.post(cid(1), meta={"a": "b", "n": 1})["pin"]["meta"] == {"a": "b"}


# ── the others ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pinata() -> None:
    api = Api("pinata", token="t", rate=DOCUMENTED_RATES["pinata"])
    posted = api.post(cid(1))
    assert posted["info"] == {"pinata_pinjob_status": "prechecking"}
    assert posted["pin"] == {"cid": cid(1), "origins": []}
    for n in range(2, 30):
        api.post(cid(n))
    page = api.page(status=ALL)
    assert (page["count"], len(page["results"])) == (30, 29)
    gone = api.delete(posted["requestid"])
    assert (gone.status_code, gone.text) == (200, "OK")
    assert gone.headers["content-type"].startswith("text/plain")
    no_token = api.refused("GET", headers={"authorization": ""})
    assert (no_token[0], no_token[1]["error"]["reason"]) == (400, "KEYS_MUST_BE_STRINGS")
    assert api.refused("GET", headers={"authorization": "Bearer x"})[0] == 401
    for _ in range(4):
        assert api.call("GET", "/pins").status_code == 200
    assert api.call("GET", "/pins").status_code == 429


def test_filebase() -> None:
    api = Api("filebase")
    posted = api.post(cid(1))
    assert posted["created"] == "2026-09-21T09:13:20.000-05:00"
    assert posted["pin"] == {"cid": cid(1), "name": cid(1), "origins": []}
    replaced = api.replace(posted["requestid"], cid(2))
    assert replaced.status_code == 200
    api.post(cid(3))
    assert api.page(limit=1, before=posted["created"])["count"] == 0, "ties within the second are lost"
    api.emulator.become(closed="lapsed")
    assert api.refused("GET")[0] == 403


def test_cluster() -> None:
    api = Api("cluster")
    assert (api.post(cid(1), meta={"a": "b"})["requestid"], api.post(cid(2))["requestid"]) == (cid(1), cid(2))
    assert len(api.cids(limit=100_000)) == 2
    empty = api.call("POST", "/pins", json={"name": "no cid"})
    assert (empty.status_code, empty.content) == (200, b"")
    assert api.refused("GET", "/pins?limit=abc")[0] == 500
    assert api.refused("DELETE", "/pins/nonsense")[0] == 400
    assert api.refused("DELETE", f"/pins/{cid(7)}")[0] == 404
    assert api.refused(json={"cid": cid(3), "name": "ä" * 128})[0] == 400
    replaced = api.replace(cid(2), cid(3), name="n", meta={"lost": "yes"})
    assert replaced.json()["pin"] == {"cid": cid(3), "name": "n"}
    assert api.replace(cid(1), cid(1)).status_code == 200
    assert [pin.cid for pin in api.emulator.pins()] == [cid(3)]


def test_helia() -> None:
    api = Api("helia")
    first = api.post(cid(1))
    assert api.post(cid(1))["requestid"] != first["requestid"]
    assert len(api.cids(cid=cid(99), meta='{"no":"body"}')) == 2
    assert api.replace(first["requestid"], cid(1), name="x").json()["requestid"] == first["requestid"]
    assert api.refused("GET", "/pins?limit=x") == (400, {"error": "Bad Request"})


def test_mock() -> None:
    api = Api("mock")
    assert [api.post(cid(n))["requestid"] for n in (1, 2, 1)] == ["req-1", "req-2", "req-1"]
    api.clock.pass_by(1)
    assert api.cids(limit=1) == [cid(1)], "oldest first"
    assert api.post("not a cid")["pin"]["cid"] == "not a cid"
    assert api.refused("GET", "/pins?meta=%7B%7D")[0] == 500


def test_rb() -> None:
    api = Api("rb")
    ids = [api.post(cid(1), meta={"a": "b"})["requestid"] for _ in range(2)]
    assert "meta" not in api.get(ids[0])["pin"]
    api.delete(ids[0])
    assert api.emulator.pins() == []


def test_kubo_hostile_is_odd_and_yet_readable() -> None:
    api = Api("kubo-hostile", token="t")
    posted = api.post(cid(1), name="n" * 100, meta={"a": "b"})
    assert len(posted["pin"]["name"]) == 64
    assert posted["pin"]["meta"] is None
    assert api.get(posted["requestid"])["pin"]["cid"] == cid(1)
    assert api.refused(json={"cid": cid(2), "origins": [ORIGIN]})[0] == 400
    assert api.delete(posted["requestid"]).content == b"{}"


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_keeps_what_it_is_given(name: str) -> None:
    """Whatever the oddities: a pin posted is found, settles, and is gone after its DELETE; all JSON can be read."""
    api = Api(name, token="t")
    posted = [api.post(cid(n), name=f"n{n}") for n in range(5)]
    api.clock.pass_by(200)
    for each in posted:
        now = api.get(each["requestid"])
        assert now["status"] == "pinned"
        assert key_of(now["pin"]["cid"]) == key_of(each["pin"]["cid"])
        assert now["pin"]["name"] == each["pin"]["name"]
        assert parse_time(each["created"]) is not None
    listed = {row["requestid"] for row in api.page(limit=100, status=ALL)["results"]}
    assert listed == {each["requestid"] for each in posted}
    for each in posted:
        assert api.delete(each["requestid"]).is_success
    assert api.emulator.pins() == []
    assert api.refused("GET", "/pins/" + cid(1))[0] in (400, 404)


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("closed", ["maintenance", "restricted", "refused", "full", "lapsed", "no-pinning-rights"])
def test_every_profile_can_be_closed(name: str, closed: Any) -> None:
    api = Api(name, closed=closed)
    assert api.refused(json={"cid": cid(1)})[0] >= 400
    assert api.emulator.pins() == []


def test_profiles_are_found_by_name_and_can_be_changed() -> None:
    assert profile("nft.storage", settle=0.0).settle == 0.0
    assert profile("nft.storage").settle > 0
    with pytest.raises(UsageError, match=r"nft\.storage"):
        profile("nft")
    assert set(DOCUMENTED_RATES) <= set(PROFILES)
    assert all(each.rate is None for each in PROFILES.values())


@pytest.mark.parametrize("name", PROFILES)
def test_texts_of_any_kind_come_back_as_json(name: str) -> None:
    api = Api(name, max_name=None, meta_kept=True)
    text = 'quotes " \\ \n \u2028 \x00 ä 🙂'
    api.emulator.seed_pins([Seed(cid(1), text, {text: text})])
    api.clock.pass_by(10)
    body = json.loads(api.call("GET", "/pins").content)
    pin = body["results"][0]["pin"]
    assert (pin["name"], pin["meta"]) == (text, {text: text})
