"""PSA answers that are not what was promised: bodies, headers, packing. A whole pass meets them, and the next ones too.

The request always has its effect at the emulator (unless the case says that the answer came instead of it); what comes
back is spoilt. A spoilt answer that still is one (another count, a row less, another status) is a lie, and what a lie
may cost is the simulation's business; here it may cost no pin. Anything else may cost nothing at all.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
from hypothesis import strategies as st

from pinsync.emulator.profiles import PROFILES as EMULATED
from pinsync.emulator.records import Request
from pinsync.remote.parse import read_json, read_page, read_pin
from pinsync.steps.report import action_json, sync_json
from tests.fuzz.kit import EDITS, JSONS, Case, Target, edited, scratch, speakable
from tests.mirror import Mirror, cid

DAY = 86_400.0
LONG = 366 * DAY
PROFILES = [
    "spec",
    "spec",
    "nft.storage",
    "nft.storage",
    *sorted(set(EMULATED) - {"spec", "nft.storage", "kubo-hostile"}),
]


class Pieces(httpx.AsyncByteStream):
    """A body in pieces of a size."""

    def __init__(self, body: bytes, size: int) -> None:
        self._body, self._size = body, size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._body), self._size):
            yield self._body[at : at + self._size]


class Spoiling(httpx.AsyncBaseTransport):
    """Spoils the answers that a case names, by kind of request and number; the others pass."""

    def __init__(self, inner: httpx.AsyncBaseTransport, spoils: list[dict[str, Any]], lies: list[str]) -> None:
        self._inner, self._lies = inner, lies
        self._spoils = {(one["call"], one["number"]): one for one in spoils}
        self._counts: dict[str, int] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        call = {"POST": "add", "DELETE": "delete"}.get(request.method) or (
            "get" if "/pins/" in request.url.path else "list"
        )
        number = self._counts[call] = self._counts.get(call, -1) + 1
        spoil = self._spoils.get((call, number)) or self._spoils.get((call, -1))
        if spoil is None:
            return await self._inner.handle_async_request(request)
        if spoil["instead"]:
            status, headers, body = 200, httpx.Headers({"content-type": "application/json"}), b"{}"
        else:
            true = await self._inner.handle_async_request(request)
            status, headers, body = true.status_code, true.headers, await true.aread()
            await true.aclose()
        spoilt, packing = spoiled_body(body, spoil)
        given = [(name, value) for name, value in headers.raw if name.lower() != b"content-length"] + packing
        given += [(name.encode(), value.encode("latin-1", "replace")) for name, value in spoil["headers"]]
        if spoil["status"] is not None:
            status = spoil["status"]
        if lies(call, request, status, body, spoilt, spoil):
            self._lies.append(call)
        return httpx.Response(status, headers=given, stream=Pieces(spoilt, spoil["pieces"]), request=request)

    async def aclose(self) -> None:
        await self._inner.aclose()


def spoiled_body(body: bytes, spoil: dict[str, Any]) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The body, and the headers that say how it is packed."""
    if spoil["json"] is not None:
        place, what, value = spoil["json"]
        try:
            body = json.dumps(changed(json.loads(body), list(place), what, value)).encode()
        except ValueError:
            body = json.dumps(value).encode()
    if spoil["edits"] is not None:
        body = edited(body, spoil["edits"])
    if spoil["coding"] is not None:
        body = body.decode("utf-8", "replace").encode(spoil["coding"], "replace")
    headers = []
    if spoil["packed"] is not None:
        said, how, times, lost = spoil["packed"]
        for _ in range(times):
            body = gzip.compress(body, 1) if how == "gzip" else zlib.compress(body, 1)
        body = body[: len(body) - lost]
        headers.append((b"content-encoding", said.encode()))
    return body, headers


def changed(value: Any, place: list[int], what: str, new: Any) -> Any:
    """`value` with something done at the place that the numbers lead to, each taken modulo what there is."""
    if place and isinstance(value, dict) and value:
        key = sorted(value)[place[0] % len(value)]
        if len(place) == 1 and what == "drop":
            return {name: inner for name, inner in value.items() if name != key}
        return {**value, key: changed(value[key], place[1:], what, new)}
    if place and isinstance(value, list) and value:
        at = place[0] % len(value)
        if len(place) == 1 and what == "drop":
            return value[:at] + value[at + 1 :]
        if len(place) == 1 and what == "twice":
            return [*value[:at], value[at], *value[at:]]
        return [*value[:at], changed(value[at], place[1:], what, new), *value[at + 1 :]]
    return new


def lies(call: str, request: httpx.Request, status: int, true: bytes, spoilt: bytes, spoil: dict[str, Any]) -> bool:
    """Whether a spoilt answer is a well-formed one that says what is not so: nobody can tell it from the truth."""
    good = status in (200, 201, 202, 204)
    if spoil["instead"]:
        return good  # "done", and it was not
    if call in ("add", "delete"):
        if not good:
            # "Not done", and it was. Only what may pass leaves open whether it was done.
            return status < 500 and status not in (408, 425)
        return spoilt != true
    if not good:
        return status == 404  # "no such pin"
    try:
        value, told = read_json(spoilt), read_json(true)
        if call == "get":
            return read_pin(value) != read_pin(told)
        page, truth = read_page(value), read_page(told)
        # A list with rows that cannot be understood is not complete, so that nothing may come of what it lacks.
        return any(pin not in truth.pins for pin in page.pins) or (not page.skipped and page != truth)
    except ValueError:
        return spoil["packed"] is not None or spoil["coding"] is not None


def check(case: Case) -> None:
    with scratch() as directory:
        _check(Mirror(directory, case["profile"]), case)


def _check(mirror: Mirror, case: Case) -> None:
    mirror.pin(*range(6))
    mirror.pin("wanted, theirs")
    foreign = set(mirror.seed("theirs", "wanted, theirs"))
    mirror.sync()
    mirror.unpin(5)
    mirror.pin(6, 7)
    lied: list[str] = []
    harm: list[str] = []

    def watch(request: Request) -> None:
        if request.method == "DELETE":
            harm.extend(harm_of(mirror, request.path.removeprefix("/pins/"), foreign))

    mirror.emulator.before_request = watch
    mirror.transports["there"] = lambda inner: Spoiling(inner, case["spoils"], lied)
    for _ in range(2):
        _look(mirror, case)
    assert harm == [], harm
    assert lied or all(len(statuses) == 1 for statuses in mirror.there().values()), f"added twice: {mirror.there()}"
    mirror.transports.clear()
    for _ in range(6):
        mirror.later(case["pause"])
        mirror.emulator.reset_counters()
        _look(mirror, case)
        assert harm == [], harm
        if not mirror.emulator.mutations and mirror.status()["verdict"] == "in-sync":
            break
    live = {text: sum(status != "failed" for status in statuses) for text, statuses in mirror.there().items()}
    lost = [text for text in mirror.node.pins if not live.get(text)]
    assert not lost or lied, f"after the fault the mirror did not come to rest: {lost} of {mirror.there()}"
    assert live.get(cid("theirs")), "a foreign pin is gone"
    assert lied or all(live.get(text) == 1 for text in mirror.node.pins), f"twice: {mirror.there()}"


def harm_of(mirror: Mirror, requestid: str, foreign: set[str]) -> list[str]:
    """What a DELETE of this id would harm."""
    pins = {pin.requestid: pin for pin in mirror.emulator.pins()}
    pin = pins.get(requestid)
    if pin is None:
        return []
    found = [f"a foreign pin is deleted: {pin}"] if requestid in foreign else []
    others = [one for one in pins.values() if one.cid == pin.cid and one.requestid != requestid and one.status.live]
    if pin.cid in mirror.node.pins and not others:
        found.append(f"the only pin of a wanted CID is deleted: {pin}")
    return found


def _look(mirror: Mirror, case: Case) -> None:
    """A pass, and everything that is shown of it."""
    report = mirror.sync()
    for trouble in report.troubles:
        speakable(trouble.message)
    shown = json.dumps([sync_json(report), mirror.status()])
    assert "Traceback" not in shown
    if case.get("plan"):
        _, actions = mirror.plan()
        json.dumps([action_json(one) for one in actions])


HEADERS = st.one_of(
    st.tuples(
        st.just("Retry-After"),
        st.sampled_from(
            [
                "",
                "0",
                "-1",
                "1",
                "120",
                "35.5",
                "1e400",
                "nan",
                "inf",
                "9" * 400,
                "99999999999",
                "Wed, 21 Oct 2015 07:28:00 GMT",
                "Wed, 21 Oct 9999999 07:28:00 GMT",
                "Thu, 01 Jan 0000 00:00:00 GMT",
                "Wed, 21 Oct 2215 07:28:00 +9999",
                "soon",
            ]
        ),
    ),
    st.tuples(
        st.just("Date"),
        st.sampled_from(
            [
                "",
                "yesterday",
                "Wed, 21 Oct 1015 07:28:00 GMT",
                "Wed, 21 Oct 9015 07:28:00 GMT",
                "Wed, 99 Foo 2015 99:99:99 GMT",
                "Wed, 21 Oct 99999999999999999999 07:28:00 GMT",
                "0 0 0 0 0",
                "1, 1 Jan 1 1:1:1 -99999999999999999999",
            ]
        ),
    ),
    st.tuples(
        st.sampled_from(["X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit-Reset"]),
        st.sampled_from(["0", "1", "-1", "nan", "1e308", "99999999999", "1700086401", "1700086401000", "", "x"]),
    ),
    st.tuples(
        st.just("Location"),
        st.sampled_from(
            [
                "",
                "/",
                "//",
                "http://[",
                "http://[::1",
                "http://evil.example:99999/",
                "javascript:alert(1)",
                "http://a:b@c/pins",
                "\x7f",
                "http://\u00e4.example/",
                "///pins",
                "http://x:/",
            ]
        ),
    ),
    st.tuples(
        st.just("Content-Type"),
        st.sampled_from(
            [
                "",
                "text/html",
                "application/json; charset=utf-16",
                "text/html; charset=\x7f",
                "application/json; charset=nope",
            ]
        ),
    ),
    st.tuples(
        st.sampled_from(["X", "Content-Length", "Transfer-Encoding", "Trailer", "Connection"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=10),
    ),
).map(list)
STATUSES = st.one_of(
    st.sampled_from(
        [
            200,
            201,
            202,
            204,
            301,
            302,
            307,
            400,
            401,
            402,
            403,
            404,
            405,
            408,
            409,
            410,
            413,
            418,
            422,
            425,
            429,
            451,
            500,
            502,
            503,
            504,
            507,
            599,
        ]
    ),
    st.integers(100, 999),
)
PACKED = st.tuples(
    st.sampled_from(["gzip", "deflate", "identity", "gzip, gzip", "br", "zstd", "x", "gzip, br, deflate", "GZIP", ""]),
    st.sampled_from(["gzip", "deflate"]),
    st.integers(0, 3),
    st.sampled_from([0, 0, 1, 8]),
).map(list)
SPOILS = st.fixed_dictionaries(
    {
        "call": st.sampled_from(["list", "list", "add", "add", "get", "delete"]),
        "number": st.integers(-1, 6),
        "instead": st.sampled_from([False, False, False, True]),
        "status": st.one_of(st.none(), st.none(), STATUSES),
        "headers": st.lists(HEADERS, max_size=2),
        "json": st.one_of(
            st.none(),
            st.tuples(
                st.lists(st.integers(0, 12), max_size=5), st.sampled_from(["set", "set", "drop", "twice"]), JSONS
            ).map(list),
        ),
        "edits": st.one_of(st.none(), st.none(), EDITS),
        "coding": st.one_of(
            *[st.none()] * 5, st.sampled_from(["utf-16", "utf-32", "latin-1", "utf-7", "cp500", "utf-8-sig"])
        ),
        "packed": st.one_of(*[st.none()] * 4, PACKED),
        "pieces": st.sampled_from([1, 7, 1000, 1 << 20]),
    }
)

ANSWERS = Target(
    "answers",
    st.fixed_dictionaries(
        {
            "profile": st.sampled_from(PROFILES),
            "spoils": st.lists(SPOILS, min_size=1, max_size=4),
            "pause": st.sampled_from([DAY, LONG]),
            "plan": st.booleans(),
        }
    ),
    check,
)
