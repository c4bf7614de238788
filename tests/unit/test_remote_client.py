"""The client: what it sends, what it retries, what it says when a service misbehaves, and what it never shows."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from pinsync.model import PinBody, PinStatus
from pinsync.remote.calls import AddResult, ListQuery, RequestRecord, precedes
from pinsync.remote.client import RemoteClient
from pinsync.remote.errors import (
    BadAnswer,
    NotBegun,
    NotFound,
    OutOfService,
    PinRefused,
    RateLimited,
    Redirected,
    RemoteError,
    Unreachable,
)
from pinsync.remote.limits import RateLimiter
from pinsync.remote.parse import SECOND
from tests.unit.remote_servers import TOKEN, VirtualClock, body_of, cid_of, client_for, path_of

Handler = Callable[[httpx.Request], httpx.Response]
BODY = PinBody(cid_of(1))
DATE = "Wed, 15 Nov 2023 22:13:20 GMT"  # the virtual clock's beginning


class Server:
    """Answers one after the other, the last for ever; remembers the requests."""

    def __init__(self, *answers: httpx.Response | Exception | Handler, clock: VirtualClock | None = None) -> None:
        self.answers = list(answers)
        self.seen: list[httpx.Request] = []
        self.at: list[float] = []
        self.clock = clock or VirtualClock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        self.at.append(self.clock.now())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
        return answer(request)

    def run(self, call: Callable[[RemoteClient], Awaitable[Any]], **more: Any) -> Any:
        async def scenario() -> Any:
            async with client_for(httpx.MockTransport(self), self.clock, **more) as client:
                return await call(client)

        return asyncio.run(scenario())

    def fail(self, call: Callable[[RemoteClient], Awaitable[Any]], **more: Any) -> RemoteError:
        with pytest.raises(RemoteError) as caught:
            self.run(call, **more)
        assert TOKEN not in str(caught.value) + repr(caught.value) + repr(vars(caught.value))
        return caught.value


def answer(status: int, body: object = b"", **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(
        status, headers={name.replace("_", "-"): text for name, text in headers.items()}, content=content
    )


LISTED = answer(200, {"count": 0, "results": []})
ADDED = answer(202, body_of())


async def add(client: RemoteClient) -> AddResult:
    return await client.add(BODY)


async def get(client: RemoteClient) -> object:
    return await client.get("id-1")


async def delete(client: RemoteClient) -> object:
    await client.delete("id-1")
    return None


async def listing(client: RemoteClient) -> object:
    return await client.list_page(ListQuery())


def refused() -> Exception:
    return httpx.ConnectError("[Errno 111] Connection refused")


def hung() -> Exception:
    return httpx.ReadTimeout("")


# -- what is not sent any more -----------------------------------------------------------------------------------------


async def stopped_add(client: RemoteClient) -> AddResult:
    client.stop = asyncio.Event()
    client.stop.set()
    return await client.add(BODY)


def test_when_nothing_new_is_to_be_begun_no_change_is_sent_and_reading_goes_on() -> None:
    server = Server(ADDED)
    assert isinstance(server.fail(stopped_add), NotBegun)
    assert server.seen == []

    async def finish(client: RemoteClient) -> None:
        client.stop = asyncio.Event()
        client.stop.set()
        await client.get("id-1")
        await client.add(BODY, finishing=True)

    server.run(finish)
    assert [request.method for request in server.seen] == ["GET", "POST"]


def test_a_change_whose_first_try_had_no_answer_is_unclear_and_not_unbegun() -> None:
    clients: list[RemoteClient] = []

    def halt(request: httpx.Request) -> httpx.Response:
        assert clients[0].stop is not None
        clients[0].stop.set()
        raise hung()

    async def removal(client: RemoteClient) -> None:
        clients.append(client)
        client.stop = asyncio.Event()
        await client.delete("id-1")

    server = Server(halt)
    error = server.fail(removal, retry_for=60)
    assert isinstance(error, Unreachable) and error.maybe_applied
    assert len(server.seen) == 1


# -- what is sent ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["", "/", "/pins", "/pins/"])
def test_the_endpoint_may_end_as_people_write_it(end: str) -> None:
    server = Server(LISTED)

    async def scenario() -> None:
        clock = VirtualClock()
        async with RemoteClient(
            "store", f"https://pins.example/api{end}", auth="none", token=None, clock=clock,
            limiter=RateLimiter(clock, None, 1), transport=httpx.MockTransport(server),
        ) as client:  # fmt: skip
            await listing(client)

    asyncio.run(scenario())
    assert path_of(server.seen[0]) == "/api/pins"
    assert "authorization" not in server.seen[0].headers


@pytest.mark.parametrize(
    "endpoint",
    ["", "pins.example", "ftp://pins.example", "https://", "https://u:p@pins.example", "https://[", "https://x.y/?a=b"],
)
def test_an_endpoint_that_is_none_is_a_clear_error(endpoint: str) -> None:
    clock = VirtualClock()
    with pytest.raises(RemoteError, match="`endpoint`"):
        RemoteClient("store", endpoint, auth="none", token=None, clock=clock, limiter=RateLimiter(clock, None, 1))


def test_a_list_request_names_its_filters() -> None:
    server = Server(LISTED)
    query = ListQuery(
        limit=7, before=1_700_000_000_123 * 1_000_000, after=1_700_000_000_000_000_001, cids=("bafya", "bafyb"),
        name="a&b=%", match="partial", meta={"pinsync": "web-1"},
    )  # fmt: skip
    server.run(lambda client: client.list_page(query))
    assert dict(server.seen[0].url.params) == {
        "limit": "7", "status": "queued,pinning,pinned,failed", "before": "2023-11-14T22:13:20.123Z",
        "after": "2023-11-14T22:13:20.000000001Z", "cid": "bafya,bafyb", "name": "a&b=%", "match": "partial",
        "meta": '{"pinsync":"web-1"}',
    }  # fmt: skip
    assert server.seen[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert server.seen[0].headers["user-agent"].startswith("pinsync/")


def test_an_added_pin_sends_only_what_there_is() -> None:
    server = Server(ADDED)
    full = PinBody(cid_of(1), "docs", {"pinsync": "web-1"}, ("/ip4/192.0.2.1/tcp/4001/p2p/x",))

    async def scenario(client: RemoteClient) -> None:
        for body in (BODY, PinBody(cid_of(1), ""), full):
            await client.add(body)

    server.run(scenario)
    assert [json.loads(request.content) for request in server.seen] == [
        {"cid": cid_of(1)},
        {"cid": cid_of(1)},
        {"cid": cid_of(1), "name": "docs", "meta": {"pinsync": "web-1"}, "origins": ["/ip4/192.0.2.1/tcp/4001/p2p/x"]},
    ]


ESCAPES = ["../x", "a/b", "%2e%2e", "%2F", "?a=b", "#", "..%2f", "ü", "a\\b", "//", ".", "..", "\ud800"]


@given(st.text(min_size=1, max_size=40) | st.sampled_from(ESCAPES))
def test_an_id_never_leaves_its_path_segment(requestid: str) -> None:
    server = Server(answer(202))
    try:
        server.run(lambda client: client.delete(requestid))
    except RemoteError as error:
        assert not server.seen
        assert "id" in str(error)
        return
    raw = server.seen[0].url.raw_path.decode()
    assert raw.startswith("/api/pins/")
    assert "/" not in raw.removeprefix("/api/pins/")
    assert "?" not in raw
    assert path_of(server.seen[0]) == f"/api/pins/{requestid}"


def test_basic_authorization() -> None:
    server = Server(LISTED)
    server.run(listing, auth="basic", token=SecretStr("me:pass-word"))
    assert server.seen[0].headers["authorization"] == "Basic " + base64.b64encode(b"me:pass-word").decode()


@pytest.mark.parametrize("token", [None, SecretStr(""), SecretStr("two\nlines"), SecretStr("tökén")])
def test_a_token_that_cannot_be_sent_is_said_before_anything_is_sent(token: SecretStr | None) -> None:
    server = Server(LISTED)
    error = server.fail(listing, token=token)
    assert isinstance(error, OutOfService)
    assert error.kind == "auth"
    assert "token_file" in str(error)
    assert not server.seen
    assert token is None or not token.get_secret_value() or token.get_secret_value() not in str(error)


# -- success ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202])
def test_an_added_pin_comes_back(status: int) -> None:
    result: AddResult = Server(answer(status, body_of())).run(add)
    assert result.pin.requestid == "id-1"
    assert result.pin.status is PinStatus.QUEUED


@pytest.mark.parametrize("gone", [answer(202), answer(200, b"OK"), answer(202, {}), answer(204), answer(200, b"<p>ok")])
def test_every_way_to_say_that_a_pin_is_removed(gone: httpx.Response) -> None:
    Server(gone).run(delete)


@pytest.mark.parametrize(
    ("created", "date", "preexisting"),
    [
        ("2023-11-15T22:13:20.000Z", DATE, False),
        ("2023-11-15T22:13:18Z", DATE, False),
        ("2023-11-15T22:13:10Z", DATE, True),
        ("2021-01-01T00:00:00Z", DATE, True),
        ("2021-01-01T00:00:00Z", None, None),
        ("2023-11-16T22:13:20Z", "Thu, 16 Nov 2023 22:13:20 GMT", False),  # a server a day ahead of us
        ("2023-11-15T22:13:20Z", "Thu, 16 Nov 2023 22:13:20 GMT", True),
    ],
)
def test_a_record_older_than_the_request_was_there_before(
    created: str, date: str | None, preexisting: bool | None
) -> None:
    headers = {"date": date} if date else {}
    result: AddResult = Server(answer(200, body_of(created=created), **headers)).run(add)
    assert result.preexisting is preexisting


def test_precedes_prefers_the_servers_clock_and_allows_for_the_requests_duration() -> None:
    assert not precedes(95 * SECOND, 100.0, 110.0, 106.0)
    assert precedes(90 * SECOND, 100.0, 110.0, 106.0)
    assert not precedes(96 * SECOND, 100.0, 110.0, None)
    assert precedes(94 * SECOND, 100.0, 110.0, None)


def test_skew_is_the_median_of_what_the_servers_clock_says() -> None:
    ahead = answer(200, {"count": 0, "results": []}, date="Wed, 15 Nov 2023 22:14:20 GMT")
    odd = answer(200, {"count": 0, "results": []}, date="Fri, 01 Jan 1999 00:00:00 GMT")

    async def scenario(client: RemoteClient) -> None:
        assert client.skew is None
        for _ in range(5):
            await listing(client)
        assert client.skew == pytest.approx(60.5)

    Server(ahead, odd, ahead, ahead).run(scenario)


# -- retries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [refused(), hung(), httpx.ReadError(""), httpx.RemoteProtocolError("cut"), answer(502), answer(500, b"<html>")],
)
def test_a_get_is_tried_again(trouble: httpx.Response | Exception) -> None:
    server = Server(trouble, trouble, LISTED)
    server.run(listing)
    assert len(server.seen) == 3
    pauses = [later - at for at, later in zip(server.at, server.at[1:], strict=False)]
    assert 0 < pauses[0] < pauses[1]


def test_retries_end_after_retry_for_and_say_so() -> None:
    server = Server(refused())
    error = server.fail(listing, retry_for=20)
    assert isinstance(error, Unreachable)
    assert not error.maybe_applied
    assert "store: listing pins failed" in str(error)
    assert "Connection refused" in str(error)
    assert 10 < server.at[-1] - server.at[0] <= 20


def test_a_post_that_never_left_is_tried_again() -> None:
    server = Server(refused(), httpx.ConnectTimeout(""), ADDED)
    server.run(add)
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    "trouble",
    [hung(), httpx.ReadError(""), httpx.RemoteProtocolError(""), httpx.WriteError(""), answer(500), answer(503)],
)
def test_a_post_that_may_have_been_done_is_never_sent_twice(trouble: httpx.Response | Exception) -> None:
    server = Server(trouble, ADDED)
    error = server.fail(add)
    assert isinstance(error, Unreachable)
    assert error.maybe_applied
    assert len(server.seen) == 1


def test_a_delete_whose_answer_was_lost_is_done_when_the_pin_is_gone() -> None:
    server = Server(hung(), answer(404, {"error": {"reason": "NOT_FOUND"}}))
    server.run(delete)
    assert len(server.seen) == 2


@pytest.mark.parametrize("first", [[], [refused()]])
def test_a_delete_of_what_was_not_there_says_so(first: list[Exception]) -> None:
    error = Server(*first, answer(404, {"error": {"reason": "NOT_FOUND"}})).fail(delete)
    assert isinstance(error, NotFound)


def test_a_certificate_that_cannot_be_verified_is_not_tried_again() -> None:
    server = Server(httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"))
    error = server.fail(add)
    assert len(server.seen) == 1
    assert "ca_file" in str(error)
    assert isinstance(error, Unreachable)
    assert not error.maybe_applied


# -- the rate limit ---------------------------------------------------------------------------------------------------

LATER = "Wed, 15 Nov 2023 22:13:55 GMT"


@pytest.mark.parametrize(
    "headers",
    [
        {"retry_after": "35"},
        {"retry_after": LATER, "date": DATE},
        {"x_ratelimit_reset": "1700086435"},
        {"x_ratelimit_reset": "1700086435000"},
        {"x_ratelimit_reset": "35"},
        {"retry_after": "Wed, 15 Nov 2023 23:13:55 GMT", "date": "Wed, 15 Nov 2023 23:13:20 GMT"},
    ],
)
@pytest.mark.parametrize("call", [add, listing])
def test_429_is_obeyed_whatever_the_call(
    call: Callable[[RemoteClient], Awaitable[Any]], headers: dict[str, str]
) -> None:
    server = Server(answer(429, **headers), ADDED if call is add else LISTED)
    server.run(call)
    assert server.at[1] - server.at[0] == pytest.approx(35, abs=0.1)


def test_a_429_that_asks_for_hours_is_raised_and_nothing_more_is_sent() -> None:
    server = Server(answer(429, retry_after="7200"), LISTED)

    async def scenario(client: RemoteClient) -> None:
        for _ in range(3):
            with pytest.raises(RateLimited) as caught:
                await listing(client)
            assert caught.value.retry_at == pytest.approx(server.at[0] + 7200)
        assert len(server.seen) == 1
        await client.clock.sleep(7201)
        await listing(client)

    server.run(scenario)
    assert len(server.seen) == 2


def test_endless_429_is_raised() -> None:
    server = Server(answer(429))
    error = server.fail(listing)
    assert isinstance(error, RateLimited)
    assert len(server.seen) == RemoteClient.MAX_PAUSES + 1


def test_an_allowance_used_up_pauses_before_the_refusal() -> None:
    empty = answer(200, {"count": 0, "results": []}, x_ratelimit_remaining="0", x_ratelimit_reset="1700086440")

    async def scenario(client: RemoteClient) -> None:
        await listing(client)
        await listing(client)

    server = Server(empty)
    server.run(scenario)
    assert server.at[1] - server.at[0] == pytest.approx(40, abs=0.1)


# -- refusals ---------------------------------------------------------------------------------------------------------


def spec(reason: str, details: str = "because") -> dict[str, Any]:
    return {"error": {"reason": reason, "details": details}}


@pytest.mark.parametrize(
    ("call", "given", "kind"),
    [
        (listing, answer(401, spec("UNAUTHORIZED")), "auth"),
        (listing, answer(401, {"ok": False, "error": {"code": "ERROR_MALFORMED_TOKEN", "message": "bad"}}), "auth"),
        (listing, answer(400, spec("KEYS_MUST_BE_STRINGS")), "auth"),
        (add, answer(401, spec("ERROR_PINNING_UNAUTHORIZED")), "rights"),
        (listing, answer(403, spec("ERR_FORBIDDEN")), "forbidden"),
        (delete, answer(403, {"ok": False, "error": {"code": "ERROR_ACCOUNT_RESTRICTED"}}), "forbidden"),
        (add, answer(409, spec("INSUFFICIENT_FUNDS")), "funds"),
        (add, answer(402), "funds"),
        (add, answer(503, {"ok": False, "error": {"code": "ERROR_MAINTENANCE", "message": "down"}}), "maintenance"),
        (delete, answer(503, b"<html><title>Scheduled maintenance</title>"), "maintenance"),
        (add, answer(403, spec("GONE", "NFT.Storage no longer accepts new pins")), "closed"),
        (add, answer(410, b"uploads were discontinued"), "closed"),
    ],
)
def test_a_service_that_refuses_everything(call: Any, given: httpx.Response, kind: str) -> None:
    server = Server(given)
    error = server.fail(call)
    assert isinstance(error, OutOfService)
    assert error.kind == kind
    assert error.status == given.status_code
    assert not error.maybe_applied
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        (answer(400, spec("INVALID_ORIGINS", "origins are wrong")), {"origins"}),
        (answer(400, spec("BAD_REQUEST", "meta has too many keys")), {"meta"}),
        (answer(422, spec("VALIDATION", "name is too long")), {"name"}),
        (answer(400, {"reason": "BAD_REQUEST", "details": ["#/cid: bad", "#/x: worse"]}), set()),
        (answer(413, b"<html><h1>Too large</h1>"), set()),
        (answer(451), set()),
        (answer(409, spec("DUPLICATE_OBJECT", "already pinned")), set()),
    ],
)
def test_a_service_that_refuses_one_pin(given: httpx.Response, fields: set[str]) -> None:
    error = Server(given).fail(add)
    assert isinstance(error, PinRefused)
    assert {name for name in ("origins", "meta", "name") if getattr(error, name)} == fields


def test_the_servers_own_words_are_shortened_and_made_harmless() -> None:
    error = Server(answer(400, spec("BAD\x1b[31m", f"your token {TOKEN} is " + "x" * 900))).fail(add)
    assert error.reason == "BAD [31m"
    assert error.details is not None
    assert error.details.startswith("your token [secret] is xxx")
    assert len(str(error)) < 500
    assert "\x1b" not in str(error)


@pytest.mark.parametrize("call", [add, listing])
def test_a_wrong_address_is_no_missing_pin(call: Any) -> None:
    error = Server(answer(404, b"<html><title>Not here</title>")).fail(call)
    assert isinstance(error, BadAnswer)
    assert "endpoint" in str(error)


def test_a_web_page_404_for_an_id_proves_nothing() -> None:
    assert isinstance(Server(answer(404, b"<html>")).fail(get), BadAnswer)
    assert isinstance(Server(answer(404, spec("NOT_FOUND"))).fail(get), NotFound)


@pytest.mark.parametrize("call", [add, get, listing, delete])
def test_a_redirection_is_not_followed_and_names_where_it_leads(call: Any) -> None:
    server = Server(answer(308, location=f"https://u:{TOKEN}@new.example:8443/v2/pins?key={TOKEN}#x"))
    error = server.fail(call)
    assert isinstance(error, Redirected)
    assert error.location == "https://new.example:8443/v2/pins"
    assert "https://new.example:8443/v2/pins" in str(error)
    assert "endpoint" in str(error)
    assert len(server.seen) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b"[]", b"null", b'{"error": 1}', body_of(2)])
def test_an_answer_to_post_that_makes_no_sense_may_have_been_done(body: bytes) -> None:
    error = Server(answer(200, body)).fail(add)
    assert isinstance(error, BadAnswer)
    assert error.maybe_applied
    assert error.status == 200


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b"[]", b"null", b'{"count": 1}'])
def test_an_answer_to_get_that_makes_no_sense(body: bytes) -> None:
    for call in (listing, get):
        error = Server(answer(200, body)).fail(call)
        assert isinstance(error, BadAnswer)
        assert not error.maybe_applied


def test_an_endless_answer_is_cut_off() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65_536
            yield b" " * 65_536

    error = Server(lambda _: httpx.Response(200, content=endless())).fail(listing, max_body=2 << 20)
    assert isinstance(error, BadAnswer)
    assert "more than 2 MiB" in str(error)
    assert sent < 4 << 20


def test_a_body_that_breaks_off_is_a_lost_answer() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b'{"count": 1, "results": ['
        raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")

    error = Server(lambda _: httpx.Response(202, content=broken())).fail(add)
    assert isinstance(error, Unreachable)
    assert error.maybe_applied


def test_a_server_that_never_finishes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def dribbling() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0)

    async def scenario(client: RemoteClient) -> None:
        monkeypatch.setattr(client, "_deadline", 0.02)
        with pytest.raises(Unreachable, match="did not finish its answer"):
            await client.list_page(ListQuery())

    Server(lambda _: httpx.Response(200, content=dribbling())).run(scenario, retry_for=0)


# -- what is shown, and what is not -----------------------------------------------------------------------------------


def test_requests_are_counted_and_told_without_secrets() -> None:
    records: list[RequestRecord] = []

    async def scenario(client: RemoteClient) -> None:
        await client.list_page(ListQuery(cids=("bafy",)))
        with pytest.raises(NotFound):
            await client.delete("secret-id")
        with pytest.raises(Unreachable):
            await client.get("secret-id")
        assert (client.requests, client.mutations) == (3, 1)

    Server(LISTED, answer(404, spec("NOT_FOUND")), refused()).run(scenario, observer=records.append, retry_for=0)
    assert [(one.method, one.path, one.status, one.error) for one in records] == [
        ("GET", "/pins", 200, None),
        ("DELETE", "/pins/{requestid}", 404, None),
        ("GET", "/pins/{requestid}", None, "ConnectError"),
    ]


def test_the_token_is_in_no_log_and_no_repr(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def scenario(client: RemoteClient) -> None:
        await client.list_page(ListQuery())
        lanes: list[httpx.AsyncClient] = vars(client)["_lanes"]
        assert lanes
        assert TOKEN not in repr(client) + "".join(repr((one.headers, one.auth)) for one in lanes)

    Server(LISTED).run(scenario)
    assert TOKEN not in caplog.text
    assert "pins.example" not in caplog.text


def test_a_request_that_httpx_refuses_to_send_does_not_quote_the_token() -> None:
    error = Server(httpx.LocalProtocolError(f"Illegal header value b'Bearer {TOKEN}'")).fail(add)
    assert not error.maybe_applied
    assert error.__cause__ is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good answer with one thing wrong, or anything at all."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.binary(max_size=200))
    value: dict[str, Any] = {"count": 1, "results": [json.loads(body_of())]}
    row = value["results"][0]
    place = draw(st.sampled_from([value, row, row["pin"]]))
    name = draw(st.sampled_from([*place, "error", "meta", "name", "info", "reason"]))
    place[name] = draw(json_values | st.sampled_from(["0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "..", 10**400]))
    text = json.dumps(draw(st.sampled_from([value, row]))).encode()
    return text[: draw(st.integers(0, len(text)))] if draw(st.booleans()) else text


@settings(max_examples=300, deadline=None)
@given(
    body=mutated(),
    status=st.sampled_from([200, 202, 204, 304, 307, 400, 401, 403, 404, 409, 418, 429, 500, 503]),
    headers=st.dictionaries(
        st.sampled_from(["retry-after", "x-ratelimit-reset", "x-ratelimit-remaining", "date", "location"]),
        st.sampled_from(
            ["", "0", "-1", "1e400", "nan", "99999999999999999", DATE, "Mon, 99 Foo 99999 99:99:99", "//[", "/x"]
        ),
        max_size=3,
    ),
    call=st.sampled_from([add, get, listing, delete]),
)
def test_whatever_a_service_answers_is_a_result_or_a_remote_error(
    body: bytes, status: int, headers: dict[str, str], call: Any
) -> None:
    server = Server(httpx.Response(status, headers=headers, content=body))
    try:
        server.run(call, retry_for=1)
    except RemoteError as error:
        assert str(error).startswith("store: ")
        assert len(str(error)) < 900
        assert "\n" not in str(error)
