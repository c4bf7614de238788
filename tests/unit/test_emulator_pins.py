"""What POST, GET by id, replace and DELETE of the emulator do, one trait a test."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pinsync.emulator.behaviour import FOREVER, SECOND, Behaviour, Rate
from pinsync.emulator.records import Seed
from pinsync.errors import UsageError
from pinsync.model import PinStatus
from tests.unit.emulator_kit import ALL, START, START_NS, Api, cid

V0 = "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n"
HERE = "/ip4/203.0.113.9/tcp/4001/p2p/12D3KooWOrigin"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("cid", cid(1)),
        ("sequence", "req-1"),
        ("opaque", "Z2lkOi8vZW11bGF0b3IvUGluLzE"),
        ("awkward", "../pins/1%2F..%25?n=1 #ü"),
    ],
)
def test_requestid(kind: Any, expected: str) -> None:
    api = Api(requestid=kind, repost="upsert")
    posted = api.post(cid(1))
    assert posted["requestid"] == expected
    assert api.get(expected)["pin"]["cid"] == cid(1)
    assert api.delete(expected).status_code == 202
    assert api.emulator.pins() == []


def test_a_uuid_names_one_request() -> None:
    api = Api()
    assert len({api.post(cid(1))["requestid"] for _ in range(20)}) == 20


def test_an_id_that_is_not_quoted_reaches_no_pin() -> None:
    api = Api(requestid="cid", repost="upsert", cid_checked=False)
    api.emulator.seed_pins(["a/b"])
    assert api.call("GET", "/pins/a/b").status_code == 404
    assert api.call("DELETE", "/pins/a/b").status_code == 404
    assert api.get("a/b")["pin"]["cid"] == "a/b"


def test_nothing_else_is_served() -> None:
    api = Api()
    for path in ("/psa/pins", "/pin", "/pins/", "/pins/a/b", "/health"):
        assert api.call("GET", path).status_code == 404, path
    assert api.refused("PUT", "/pins")[0] == 405
    assert api.refused("DELETE", "/pins")[0] == 405


def test_created_is_unique_or_ties() -> None:
    unique, ties = Api(), Api(created_unique=False)
    assert len({unique.post(cid(n))["created"] for n in range(5)}) == 5
    assert len({ties.post(cid(n))["created"] for n in range(5)}) == 1


def test_a_skewed_clock_shows_in_created_and_in_the_date() -> None:
    api = Api(skew=3600.0)
    answer = api.call("POST", "/pins", json={"cid": cid(1)})
    plain = Api().call("POST", "/pins", json={"cid": cid(1)})
    assert plain.json()["created"].startswith("2026-09-21T14:13:20.250")
    assert answer.json()["created"].startswith("2026-09-21T15:13:20.250")
    assert answer.headers["date"] == "Mon, 21 Sep 2026 15:13:20 GMT"


def test_created_may_look_otherwise_in_the_answer_to_post() -> None:
    api = Api("cluster")
    posted = api.post(cid(1))
    assert posted["created"] == "2026-09-21T14:13:20.250000000Z"
    assert api.get(cid(1))["created"] == "2026-09-21T14:13:20Z"


# ── names, meta, origins ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_long_name_is_refused_or_cut_or_kept() -> None:
    assert Api().refused(json={"cid": cid(1), "name": "n" * 256})[0] == 400
    assert Api().post(cid(1), name="n" * 255)["pin"]["name"] == "n" * 255
    assert Api(max_name=4, long_name="cut").post(cid(1), name="näher")["pin"]["name"] == "nähe"
    assert Api(max_name=4, long_name="cut", name_in_bytes=True).post(cid(1), name="näher")["pin"]["name"] == "näh"
    assert Api(name_in_bytes=True).refused(json={"cid": cid(1), "name": "ä" * 128})[0] == 400
    assert len(Api(max_name=None).post(cid(1), name="n" * 5000)["pin"]["name"]) == 5000


def test_an_absent_name() -> None:
    assert "name" not in Api().post(cid(1))["pin"]
    assert Api(absent_name="null").post(cid(1))["pin"]["name"] is None
    assert Api(absent_name="cid").post(cid(1))["pin"]["name"] == cid(1)


def test_meta_is_kept_dropped_or_refused() -> None:
    meta = {"pinsync": "web-1"}
    assert Api().post(cid(1), meta=meta)["pin"]["meta"] == meta
    assert "meta" not in Api(meta_kept=False).post(cid(1), meta=meta)["pin"]
    assert Api(meta_allowed=False).refused(json={"cid": cid(1), "meta": meta})[0] == 400
    assert Api(absent_meta="null").post(cid(1))["pin"]["meta"] is None
    assert Api(absent_meta="empty").post(cid(1))["pin"]["meta"] == {}


def test_meta_that_is_no_text_is_refused_or_dropped() -> None:
    meta = {"a": "1", "b": 2}
    assert Api().refused(json={"cid": cid(1), "meta": meta})[0] == 400
    assert Api(meta_values="drop").post(cid(1), meta=meta)["pin"]["meta"] == {"a": "1"}


def test_origins() -> None:
    sent = {"cid": cid(1), "origins": [HERE]}
    assert Api(origins="refused").refused(json=sent) == (
        400,
        {"error": {"reason": "INVALID_ORIGINS", "details": "origins: are not taken by this service"}},
    )
    assert Api(origins="refused").post(cid(1))["pin"]["cid"] == cid(1)
    assert Api().refused(json={"cid": cid(1), "origins": [HERE] * 21})[0] == 400
    public = Api(origins="public", shown_origins="echo")
    assert public.post(cid(1), origins=[HERE])["pin"]["origins"] == [HERE]
    for bad in (
        "/ip4/127.0.0.1/tcp/1/p2p/Qm",
        "/ip4/10.1.2.3/tcp/1/p2p/Qm",
        "/ip6/fd00::1/tcp/1/p2p/Qm",
        "/ip4/203.0.113.9/tcp/1",
    ):
        assert public.refused(json={"cid": cid(2), "origins": [HERE, bad]})[0] == 400, bad
    assert public.emulator.pins()[0].origins == (HERE,)
    assert public.post(cid(3))["pin"]["origins"] is None
    assert Api(shown_origins="empty").post(cid(1), origins=[HERE])["pin"]["origins"] == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[]",
        b"null",
        b"[" * 200_000,
        b'{"cid":7}',
        b"{}",
        b'{"cid":"Qm"}',
        b'{"cid":"x","name":1}',
        b"\xff",
    ],
)
def test_a_body_that_is_no_pin_is_refused(body: bytes) -> None:
    api = Api()
    assert api.refused(content=body)[0] == 400
    assert api.emulator.pins() == []


def test_a_cid_is_checked_and_spelt_as_the_service_does() -> None:
    z = "zb2rhe5P4gXftAwvA4eXQ5HJwsER2owDyS9sKaQRRVQPn93bA"
    assert Api().post(z)["pin"]["cid"] == z
    assert (
        Api(cid_spelling="decoded").post(z)["pin"]["cid"]
        == "bafkreidon73zkcrwdb5iafqtijxildoonbwnpv7dyd6ef3qdgads2jc4su"
    )
    assert Api(cid_spelling="decoded").post(V0)["pin"]["cid"] == V0
    assert Api(cid_checked=False).post("no cid at all")["pin"]["cid"] == "no cid at all"
    assert Api(refuses=(cid(1),)).refused(json={"cid": cid(1)})[0] == 400


# ── the same CID again ──────────────────────────────────────────────────────────────────────────────────────────────


def twice(**knobs: Any) -> tuple[Api, dict[str, Any], dict[str, Any]]:
    api = Api(**knobs)
    first = api.post(cid(1), name="one", meta={"a": "1"})
    api.clock.pass_by(100)
    return api, first, api.post(cid(1), name="two")


def test_repost_makes_a_new_row() -> None:
    api, first, second = twice()
    assert first["requestid"] != second["requestid"]
    assert [pin.name for pin in api.emulator.pins()] == ["one", "two"]


def test_repost_keeps_what_was_there() -> None:
    _, first, second = twice(repost="keep")
    assert second == first


def test_repost_overwrites() -> None:
    api, first, second = twice(repost="upsert")
    assert second["pin"] == first["pin"] | {"name": "two"}
    assert (second["requestid"], second["created"]) == (first["requestid"], first["created"])
    assert len(api.emulator.pins()) == 1


def test_repost_clears_what_is_left_out() -> None:
    _, _, second = twice(repost="upsert-clearing")
    assert second["pin"] == {"cid": cid(1), "name": "two"}


def test_repost_may_reset_created() -> None:
    api, first, second = twice(repost="upsert", created_reset_by_repost=True)
    assert first["created"] < second["created"]
    api.post(cid(2))
    assert api.cids() == [cid(2), cid(1)]


@pytest.mark.parametrize(("requeues", "status"), [(True, "queued"), (False, "failed")])
def test_repost_of_a_failed_pin(requeues: bool, status: str) -> None:
    api = Api(repost="upsert", repost_requeues_failed=requeues, settle=10.0)
    posted = api.post(cid(1))
    api.emulator.set_status(posted["requestid"], PinStatus.FAILED, "no peers")
    assert api.get(posted["requestid"])["info"] == {"status_details": "no peers"}
    assert api.post(cid(1))["status"] == status
    api.clock.pass_by(10)
    assert api.page(status=ALL)["results"][0]["status"] == ("pinned" if requeues else "failed")


def test_a_second_row_may_stay_queued_for_ever() -> None:
    api = Api(repost_stuck=True, settle=1.0)
    first = api.post(cid(1))
    api.clock.pass_by(1)
    second = api.post(cid(1))
    api.clock.pass_by(1e6)
    assert api.get(second["requestid"])["status"] == "queued"
    assert api.page(status="pinned")["count"] == 1

    api.emulator.set_status(first["requestid"], PinStatus.FAILED)
    third = api.post(cid(1))
    api.clock.pass_by(1)
    assert api.get(third["requestid"])["status"] == "pinned", "only what is pinned already is left in the queue"


def test_a_repost_after_a_delete_may_revive_the_record() -> None:
    for revived in (True, False):
        api = Api(created_revived=revived, settle=10.0)
        first = api.post(cid(1), name="one")
        api.clock.pass_by(20)
        assert api.get(first["requestid"])["status"] == "pinned"
        api.delete(first["requestid"])
        again = api.post(cid(1))
        assert (again["created"] == first["created"]) is revived
        assert again["status"] == ("pinned" if revived else "queued")
        assert "name" not in again["pin"]


def test_one_id_a_cid_and_new_rows_cannot_both_be() -> None:
    with pytest.raises(ValueError, match="requestid='cid'"):
        Behaviour(requestid="cid")
    with pytest.raises(ValueError, match="nonsense"):
        Behaviour(errors={"nonsense": Behaviour().error("missing")})


# ── replace and delete ──────────────────────────────────────────────────────────────────────────────────────────────


def test_replace_makes_a_new_request_and_ends_the_old() -> None:
    api = Api(replace_code=202)
    old = api.post(cid(1), name="one")
    answer = api.replace(old["requestid"], cid(2), name="two", meta={"k": "v"})
    assert answer.status_code == 202
    new = answer.json()
    assert new["requestid"] != old["requestid"]
    assert new["pin"] == {"cid": cid(2), "name": "two", "meta": {"k": "v"}}
    assert [pin.cid for pin in api.emulator.pins()] == [cid(2)]


def test_replace_may_forget_meta() -> None:
    api = Api(replace_keeps_meta=False)
    new = api.replace(api.post(cid(1))["requestid"], cid(2), name="two", meta={"k": "v"}).json()
    assert new["pin"] == {"cid": cid(2), "name": "two"}


def test_replace_with_the_same_cid() -> None:
    refuses = Api(replace_same="refuse")
    old = refuses.post(cid(1))
    assert refuses.replace(old["requestid"], cid(1)).status_code == 400
    assert len(refuses.emulator.pins()) == 1

    unpins = Api(replace_same="unpin")
    answer = unpins.replace(unpins.post(cid(1))["requestid"], cid(1))
    assert (answer.status_code, answer.json()["pin"]["cid"]) == (202, cid(1))
    assert unpins.emulator.pins() == []

    renews = Api(replace_same="new-id")
    old = renews.post(cid(1))
    assert renews.replace(old["requestid"], cid(1), name="x").json()["requestid"] != old["requestid"]
    assert [pin.name for pin in renews.emulator.pins()] == ["x"]

    edits = Api(replace_same="in-place")
    old = edits.post(cid(1), meta={"k": "v"})
    new = edits.replace(old["requestid"], cid(1), name="x").json()
    assert new == old | {"pin": {"cid": cid(1), "name": "x"}}


@pytest.mark.parametrize(
    ("kind", "body", "content_type"),
    [
        ("none", b"", "application/json"),
        ("ok-text", b"OK", "text/plain; charset=utf-8"),
        ("json", b"{}", "application/json"),
    ],
)
def test_what_a_delete_answers(kind: Any, body: bytes, content_type: str) -> None:
    api = Api(delete_body=kind, delete_code=200)
    answer = api.delete(api.post(cid(1))["requestid"])
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, body, content_type)


def test_a_delete_takes_its_row_or_all_of_the_cid() -> None:
    for takes_all, left in ((False, 1), (True, 0)):
        api = Api(delete_takes_all=takes_all)
        api.post(cid(1))
        api.delete(api.post(cid(1))["requestid"])
        assert len(api.emulator.pins()) == left


def test_codes_of_success() -> None:
    api = Api(post_code=200, replace_code=201, delete_code=204)
    posted = api.call("POST", "/pins", json={"cid": cid(1)})
    replaced = api.replace(posted.json()["requestid"], cid(2))
    gone = api.delete(replaced.json()["requestid"])
    assert [each.status_code for each in (posted, replaced, gone)] == [200, 201, 204]


# ── time ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_pin_settles_in_two_steps() -> None:
    api = Api(settle=10.0)
    requestid = api.post(cid(1))["requestid"]
    seen = []
    for _ in range(4):
        seen.append((api.get(requestid)["status"], api.page(status=ALL)["results"][0]["status"]))
        api.clock.pass_by(3.5)
    assert seen == [("queued",) * 2, ("queued",) * 2, ("pinning",) * 2, ("pinned",) * 2]


def test_a_list_settles_without_anybody_asking_by_id() -> None:
    api = Api(settle=10.0)
    api.post(cid(1))
    api.clock.pass_by(5)
    assert api.cids(status="pinning") == [cid(1)]
    api.clock.pass_by(5)
    assert api.cids(status="pinned") == [cid(1)]


def test_pins_that_never_settle_and_pins_that_are_there_at_once() -> None:
    never = Api(settle=FOREVER)
    never.post(cid(1))
    never.clock.pass_by(1e9)
    assert never.cids(status="queued") == [cid(1)]
    assert Api().post(cid(1))["status"] == "pinned"


def test_some_cids_fail() -> None:
    api = Api(settle=10.0, fails=(cid(1), "Qm*"))
    failing = api.post(cid(1))
    fine = api.post(cid(2))
    api.post(V0)
    api.clock.pass_by(10)
    assert api.page(status="failed")["count"] == 2
    assert api.get(fine["requestid"])["status"] == "pinned"
    assert api.get(failing["requestid"])["info"]["status_details"] == "no providers were found for this CID"
    assert Api(fails=("*",)).post(cid(1))["status"] == "failed"


def test_a_status_that_was_set_stays() -> None:
    api = Api(settle=10.0)
    requestid = api.post(cid(1))["requestid"]
    api.emulator.set_status(requestid, PinStatus.PINNING)
    api.clock.pass_by(100)
    assert api.get(requestid)["status"] == "pinning"
    with pytest.raises(KeyError):
        api.emulator.set_status("nobody", PinStatus.PINNED)


def test_latency_is_the_clocks_and_comes_after_the_effect() -> None:
    api = Api(latency=0.25)
    api.post(cid(1))
    assert api.clock.slept == [0.25]
    assert api.emulator.pins()[0].created == START_NS


# ── refusing ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_token() -> None:
    api = Api(token="right")
    assert api.call("GET", "/pins").status_code == 200
    for header in ("", "Bearer", "Bearer ", "Basic right", "right"):
        assert api.refused("GET", headers={"authorization": header}) == (
            401,
            {"error": {"reason": "UNAUTHORIZED", "details": "Access token is missing or invalid"}},
        )
    assert api.refused(headers={"authorization": "Bearer wröng".encode()}, json={"cid": cid(1)})[0] == 401
    assert api.emulator.pins() == []
    assert "right" not in repr(api.emulator.requests) + repr(vars(api.emulator).keys())


def test_closed_for_maintenance_still_lists() -> None:
    api = Api(closed="maintenance")
    [requestid] = api.emulator.seed_pins([cid(1)])
    assert api.refused(json={"cid": cid(2)})[0] == 503
    assert api.refused("POST", f"/pins/{requestid}", json={"cid": cid(2)})[0] == 503
    assert api.delete(requestid).status_code == 503
    assert api.cids() == [cid(1)]
    assert api.get(requestid)["status"] == "pinned"


@pytest.mark.parametrize(
    ("closed", "get", "post", "delete"),
    [
        ("restricted", 200, 403, 202),
        ("delete-restricted", 200, 202, 403),
        ("refused", 200, 400, 202),
        ("full", 200, 409, 202),
        ("lapsed", 403, 403, 403),
        ("no-pinning-rights", 401, 401, 401),
        ("", 200, 202, 202),
    ],
)
def test_closed_in_other_ways(closed: Any, get: int, post: int, delete: int) -> None:
    api = Api(closed=closed)
    [requestid] = api.emulator.seed_pins([cid(1)])
    answers = (api.call("GET", "/pins"), api.call("POST", "/pins", json={"cid": cid(2)}), api.delete(requestid))
    assert tuple(each.status_code for each in answers) == (get, post, delete)


def test_a_full_account_takes_no_more() -> None:
    api = Api(capacity=2)
    first = api.post(cid(1))
    api.post(cid(2))
    assert api.refused(json={"cid": cid(3)})[1]["error"]["reason"] == "INSUFFICIENT_FUNDS"
    assert api.replace(first["requestid"], cid(3)).status_code == 202
    assert {pin.cid for pin in api.emulator.pins()} == {cid(2), cid(3)}


def test_the_rate_is_counted_as_requests_arrive() -> None:
    api = Api(rate=Rate(3, 10.0))
    codes = []
    for _ in range(5):
        codes.append(api.call("GET", "/pins").status_code)
        api.clock.pass_by(1)
    assert codes == [200, 200, 200, 429, 429]
    refused = api.call("GET", "/pins")
    assert refused.headers["retry-after"] == "5"
    api.clock.pass_by(4.9)
    assert api.call("GET", "/pins").status_code == 429
    api.clock.pass_by(0.1)
    assert [api.call("GET", "/pins").status_code for _ in range(2)] == [200, 429]


def test_how_a_refused_client_learns_when_to_come_back() -> None:
    fixed = Api(rate=Rate(1, 10.0, retry_after=35.0))
    fixed.call("GET", "/pins")
    assert fixed.call("GET", "/pins").headers["retry-after"] == "35"

    dated = Api(rate=Rate(1, 10.0, tell="date"))
    assert "retry-after" not in dated.call("GET", "/pins").headers
    assert dated.call("GET", "/pins").headers["retry-after"] == "Mon, 21 Sep 2026 14:13:31 GMT"

    silent = Api(rate=Rate(1, 10.0, tell="nothing"))
    silent.call("GET", "/pins")
    assert silent.call("GET", "/pins").status_code == 429
    assert "retry-after" not in silent.call("GET", "/pins").headers

    reset = Api(rate=Rate(2, 10.0, tell="reset", lists_only=True))
    seen = [reset.call("GET", "/pins") for _ in range(3)]
    assert [each.headers["x-ratelimit-remaining"] for each in seen] == ["1", "0", "0"]
    assert seen[2].status_code == 429
    assert int(seen[2].headers["x-ratelimit-reset"]) == 1_790_000_011
    assert "x-ratelimit-limit" not in reset.call("POST", "/pins", json={"cid": cid(1)}).headers


def test_rates_in_words() -> None:
    assert Rate.parse("30/10s") == Rate(30, 10.0)
    assert Rate.parse(" 180 / 1m ") == Rate(180, 60.0)
    assert Rate.parse("5/h") == Rate(5, 3600.0)
    assert Rate.parse("") is None
    for wrong in ("fast", "0/1s", "3/0s", "3", "3/1d"):
        with pytest.raises(UsageError, match="30/10s"):
            Rate.parse(wrong)


# ── what tests see ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_requests_are_logged_and_mutations_counted() -> None:
    api = Api()
    posted = api.post(cid(1))
    api.page(status="pinned")
    api.refused(json={})
    api.delete(posted["requestid"])
    log = [(each.method, each.path, each.query, each.status, each.mutating) for each in api.emulator.requests]
    assert log == [
        ("POST", "/pins", "", 202, True),
        ("GET", "/pins", "status=pinned", 200, False),
        ("POST", "/pins", "", 400, True),
        ("DELETE", f"/pins/{posted['requestid']}", "", 202, True),
    ]
    assert api.emulator.requests[0].at == START
    assert api.emulator.mutations == 3
    api.emulator.reset_counters()
    assert (api.emulator.mutations, len(api.emulator.requests), api.emulator.peak_concurrency) == (0, 0, 0)


def test_a_behaviour_can_change_while_pins_stay() -> None:
    api = Api()
    api.post(cid(1))
    assert "name" not in api.page()["results"][0]["pin"]
    api.emulator.become(absent_name="cid", delegates=())
    row = api.page()["results"][0]
    assert (row["pin"]["name"], row["delegates"]) == (cid(1), [])


def test_seeds_are_as_given() -> None:
    api = Api()
    ids = api.emulator.seed_pins(
        [Seed(cid(1), "a", {"k": "v"}, PinStatus.FAILED, 5 * SECOND, "why"), cid(2), Seed(cid(3), created=7 * SECOND)]
    )
    pins = {pin.requestid: pin for pin in api.emulator.pins()}
    first = pins[ids[0]]
    assert (first.cid, first.name, first.meta, first.status, first.created, first.details) == (
        cid(1),
        "a",
        {"k": "v"},
        PinStatus.FAILED,
        5 * SECOND,
        "why",
    )
    assert [pin.cid for pin in api.emulator.pins()] == [cid(1), cid(3), cid(2)]
    assert pins[ids[1]].created < START_NS
    assert api.emulator.seed_pins([cid(4), cid(5)], created=SECOND, step=0)
    assert [pin.created for pin in api.emulator.pins()][:2] == [SECOND, SECOND]
    assert api.emulator.mutations == 0


def test_the_page_says_what_this_is_and_how_to_use_it() -> None:
    api = Api("nft.storage", token="very-secret")
    api.emulator.seed_pins([cid(1), cid(2)])
    page = api.call("GET", "/", headers={"authorization": ""}).text
    assert "Not for production" in page
    assert "nft.storage" in page
    assert "pins      2" in page
    assert 'endpoint = "http://emulator.test/pins"' in page
    assert "very-secret" not in page
    assert 'auth = "none"' in Api().call("GET", "/").text
    assert not api.emulator.requests


def test_the_same_seed_gives_the_same_service() -> None:
    def history() -> str:
        api = Api(order="shuffled")
        for n in range(10):
            api.post(cid(n))
        return json.dumps([api.page() for _ in range(3)])

    assert history() == history()
