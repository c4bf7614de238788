"""One remote, spoken to by the Pinning Service API.

`RemoteClient` has a method for each call and raises `pinsync.remote.errors.RemoteError`s only. It retries what is safe
to retry, obeys the rate limit, follows no redirect, reads no more of a list than `max_body`, and shows its token to
nobody.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote, unquote

import httpx
from pydantic import SecretStr

from pinsync import __version__
from pinsync.cid import CidError, key_of
from pinsync.clock import Clock
from pinsync.model import PinBody, RemotePin
from pinsync.remote.calls import AddResult, ListQuery, RequestRecord, note_request, precedes
from pinsync.remote.classify import (
    READ_OF_ERRORS,
    Answer,
    Call,
    doing,
    exhausted,
    failure,
    reset_at,
    retry_at,
    server_date,
    tidy,
)
from pinsync.remote.errors import BadAnswer, NotBegun, NotFound, OutOfService, RateLimited, RemoteError, Unreachable
from pinsync.remote.limits import RateLimiter
from pinsync.remote.parse import Page, read_json, read_page, read_pin
from pinsync.remote.transport import Authorization, base_url, lost, opened, trust
from pinsync.remote.unpack import ASKED_FOR, Unpacker
from pinsync.secrecy import hidden_bytes, spellings

Auth = Literal["bearer", "basic", "none"]
Observer = Callable[[RequestRecord], None]
T = TypeVar("T")

_WRITES = ("add", "replace", "delete")
_ONE_PIN = 1 << 20  # bytes; an answer about one pin has a few hundred
_ENDPOINT_HINT = "Check that `endpoint` is a pinning service's."


def whole_answer(timeout: float) -> float:
    """Seconds that one answer may take from end to end, where no silence in it may last longer than `timeout`."""
    return max(60.0, 4 * timeout)


class RemoteClient:
    """The Pinning Service API of one remote; an async context manager.

    `endpoint` with or without `/pins`. `timeout` is for each silence, `whole_answer` for an answer from end to end;
    `retry_for` bounds the retries of one call (seconds). `requests` and `mutations` count what went out.
    """

    MAX_PAUSE = 120.0  # seconds that a call waits for a rate limit; longer ones are the caller's to plan
    MAX_PAUSES = 4  # in one call

    def __init__(
        self,
        name: str,
        endpoint: str,
        *,
        auth: Auth,
        token: SecretStr | None,
        clock: Clock,
        limiter: RateLimiter,
        timeout: float = 30,
        retry_for: float = 20,
        ca_file: Path | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        max_body: int = 64 * 1024 * 1024,
        jitter: Callable[[], float] = random.random,
        observer: Observer | None = None,
    ) -> None:
        for logger in ("httpx", "httpcore"):  # they write whole URLs at INFO
            logging.getLogger(logger).setLevel(logging.WARNING)
        self.name = name
        self.clock = clock
        self.limiter = limiter
        self.observer = observer
        self.stop: asyncio.Event | None = None  # set: no change that still waits for its turn is sent
        self.requests = 0
        self.mutations = 0
        self._retry_for = retry_for
        self._deadline = whole_answer(timeout)
        self._max_body = max_body
        self._jitter = jitter
        self._leads: deque[float] = deque(maxlen=5)  # Date minus our clock, of the last answers
        self._limited: RateLimited | None = None
        self._base = base_url(name, endpoint)
        secret = token.get_secret_value() if token and auth != "none" else ""
        self._secrets = spellings(secret, pair=auth == "basic")
        self._unsendable = auth != "none" and not (secret and secret.isascii() and secret.isprintable())
        # A lane is a client with one connection. One client with many would look through all of them at each request.
        self._open_lane = partial(
            httpx.AsyncClient,
            auth=Authorization(auth, secret) if secret else None,
            headers={
                "User-Agent": f"pinsync/{__version__}",
                "Accept": "application/json",
                "Accept-Encoding": ASKED_FOR,
            },
            timeout=timeout,
            follow_redirects=False,
            http2=False,
            limits=httpx.Limits(max_connections=1 if transport is None else None),
            transport=transport,
            trust_env=transport is None,  # proxies; and a given transport is the only one
            verify=trust(name, self._base, ca_file),
        )
        self._lanes: list[httpx.AsyncClient] = []
        self._free: list[httpx.AsyncClient] = []

    def __repr__(self) -> str:
        return f"<RemoteClient {self.name} at {self._base}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        for lane in self._lanes:
            await lane.aclose()

    @property
    def skew(self) -> float | None:
        """Seconds that the remote's clock is ahead of ours, the median of its last answers; None before the first."""
        return median(self._leads) if self._leads else None

    async def list_page(self, query: ListQuery) -> Page:
        """One page of pins. The filters are only asked for: whether they were obeyed is the caller's to check."""
        answer, _ = await self._call("list", "GET", f"/pins?{query.encoded()}")
        return self._read("list", answer, read_page)

    async def get(self, requestid: str) -> RemotePin:
        """The pin request of this id. Raises `NotFound` too."""
        answer, _ = await self._call("get", "GET", self._path("get", requestid))
        return self._read("get", answer, read_pin)

    async def add(self, body: PinBody, *, finishing: bool = False) -> AddResult:
        """Ask for a pin. After an error with `maybe_applied` the caller looks the CID up before it asks again.

        `finishing`: it ends what was begun, so it is sent in spite of `stop`.
        """
        return await self._ask("add", "/pins", body, finishing)

    async def replace(self, requestid: str, body: PinBody) -> AddResult:
        """Replace a pin request. Never with the same CID: IPFS Cluster unpins it, NFT.Storage refuses."""
        return await self._ask("replace", self._path("replace", requestid), body)

    async def delete(self, requestid: str) -> None:
        """Remove a pin request. Raises `NotFound` when the first answer already says that there is none."""
        await self._call("delete", "DELETE", self._path("delete", requestid))

    async def try_add(self) -> None:
        """Ask to add half a JSON object, of which nothing can come but an error: which one tells whether adding is
        allowed. `pinsync.remote.rights` reads it.
        """
        await self._call("add", "POST", "/pins", b"{")

    async def _ask(self, call: Call, path: str, body: PinBody, finishing: bool = False) -> AddResult:
        wanted: dict[str, Any] = {"cid": body.cid}
        if body.name:
            wanted["name"] = body.name
        if body.origins:
            wanted["origins"] = list(body.origins)
        if body.meta:
            wanted["meta"] = dict(body.meta)
        answer, sent_at = await self._call(call, "POST", path, json.dumps(wanted).encode(), finishing)
        pin = self._read(call, answer, read_pin)
        try:
            same = key_of(body.cid) == pin.key
        except CidError:
            same = body.cid == pin.cid
        if not same:
            raise self._bad(call, answer, f"a pin of another CID ({tidy(pin.cid, self._secrets)}, not {body.cid})")
        date = server_date(answer)
        skew = self.skew
        known = date if date is not None or skew is None else answer.now + skew
        before = None if known is None else precedes(pin.created, sent_at, answer.now, known)
        return AddResult(pin, sent_at, date, before)

    def _path(self, call: Call, requestid: str) -> str:
        try:
            if requestid not in ("", ".", ".."):
                return f"/pins/{quote(requestid, safe='')}"
        except UnicodeEncodeError:
            pass
        raise RemoteError(
            self.name, f"{self.name}: {doing(call)} is impossible, {requestid!r} cannot be the id of a pin."
        )

    def _read(self, call: Call, answer: Answer, reader: Callable[[Any], T]) -> T:
        try:
            return reader(read_json(answer.body))
        except ValueError as error:
            raise self._bad(call, answer, tidy(str(error), self._secrets)) from None

    def _bad(self, call: Call, answer: Answer, what: str) -> BadAnswer:
        return BadAnswer(
            self.name,
            f"{self.name}: {doing(call)} was answered with {what} (HTTP {answer.status}). "
            + ("Whether it was done is looked up before it is tried again." if call in _WRITES else _ENDPOINT_HINT),
            status=answer.status,
            maybe_applied=call in _WRITES,
        )

    async def _call(
        self, call: Call, method: str, path: str, content: bytes | None = None, finishing: bool = False
    ) -> tuple[Answer, float]:
        """The successful answer, and when the request for it was sent (epoch seconds)."""
        if self._unsendable:
            raise OutOfService(
                self.name,
                f"{self.name}: {doing(call)} needs a token, and there is none or it has characters that no HTTP "
                f"header may hold. Check `token_file` of {self.name!r}.",
                kind="auth",
            )
        began = self.clock.monotonic()
        tries = pauses = 0
        maybe = False  # whether some earlier try may have had its effect
        last: RemoteError | None = None
        while True:
            if self._limited and self._limited.retry_at > self.clock.now():
                raise RateLimited(self.name, str(self._limited), retry_at=self._limited.retry_at)
            asked = 0.0  # seconds of pause that the server asked for
            try:
                answer, sent_at = await self._once(call, method, path, content, finishing)
            except NotBegun as halted:
                raise last or halted from None  # an earlier try was begun, and may have had its effect
            except Unreachable as none:
                error: RemoteError = none
            else:
                found = failure(self.name, call, f"{self._base}/pins", answer, self._secrets)
                if found is None or (isinstance(found, NotFound) and call == "delete" and maybe):
                    return answer, sent_at  # the latter: a try whose answer was lost had removed it
                if isinstance(found, Unreachable):
                    asked = (retry_at(answer) or answer.now) - answer.now
                error = found
            if isinstance(error, RateLimited):
                pauses += 1
                if error.retry_at - self.clock.now() > self.MAX_PAUSE or pauses > self.MAX_PAUSES:
                    self._limited = error
                    raise error
                self.limiter.pause_until(error.retry_at)
                continue
            if not isinstance(error, Unreachable):
                raise error
            maybe = maybe or error.maybe_applied
            error.maybe_applied = maybe
            last = error
            pause = max(asked, min(0.5 * 2**tries, 8.0) * (0.5 + self._jitter()))
            tries += 1
            safe = error.transient and not (method == "POST" and maybe)
            if not safe or self.clock.monotonic() - began + pause > self._retry_for:
                raise error
            await self.clock.sleep(pause)

    async def _once(
        self, call: Call, method: str, path: str, content: bytes | None, finishing: bool
    ) -> tuple[Answer, float]:
        """One request and its answer, under the limiter. Raises `Unreachable`; `BadAnswer` beyond `max_body`."""
        async with self.limiter.slot():
            if call in _WRITES and not finishing and self.stop is not None and self.stop.is_set():
                raise NotBegun(self.name, f"{self.name}: {doing(call)} was not begun.")
            sent_at, began = self.clock.now(), self.clock.monotonic()
            self.requests += 1
            self.mutations += call in _WRITES
            status: int | None = None
            problem: str | None = None
            try:
                async with asyncio.timeout(self._deadline):
                    headers = {"Content-Type": "application/json"} if content is not None else None
                    url = self._base + path
                    with self._lane() as lane, self.limiter.finishing() if call in _WRITES else nullcontext():
                        async with lane.stream(method, url, content=content, headers=headers) as response:
                            status = response.status_code
                            body = await self._body(call, response)
                            given = {name.lower(): value for name, value in response.headers.items()}
                answer = Answer(status, given, body, self.clock.now())
            except RemoteError as error:
                problem = type(error).__name__
                raise
            except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError, ValueError) as error:
                problem = type(error).__name__
                raise lost(
                    self.name, self._base, call, error, self._secrets
                ) from None  # a chained exception may quote the header
            finally:
                of = unquote(path.removeprefix("/pins/")) if path.startswith("/pins/") else None
                record = RequestRecord(
                    method, "/pins" if of is None else "/pins/{requestid}", status, self.clock.monotonic() - began,
                    problem, sent_at, of,
                )  # fmt: skip
                note_request(record)
                if self.observer:
                    self.observer(record)
        date = server_date(answer)
        if date is not None:
            self._leads.append(date + 0.5 - (sent_at + answer.now) / 2)  # Date is cut to the second
        if exhausted(answer):
            reset = reset_at(answer)
            if reset is not None and reset - answer.now <= self.MAX_PAUSE:
                self.limiter.pause_until(reset)
        return answer, sent_at

    @contextmanager
    def _lane(self) -> Iterator[httpx.AsyncClient]:
        """A connection that is free; the limiter sees to it that there are no more than `concurrency`."""
        if not self._free:
            self._free.append(opened(self.name, self._open_lane))
            self._lanes.append(self._free[-1])
        lane = self._free.pop()
        try:
            yield lane
        finally:
            self._free.append(lane)

    async def _body(self, call: Call, response: httpx.Response) -> bytes:
        """The body, unpacked. Of an error no more is read than its words; success beyond bounds is `BadAnswer`."""
        most = self._max_body if call == "list" else min(self._max_body, _ONE_PIN)
        failed = not response.is_success
        unpacker = Unpacker(response.headers.get("content-encoding", ""))
        body = bytearray()
        read = 0
        assert isinstance(response.stream, httpx.AsyncByteStream)
        async for part in response.stream:  # not `aiter_bytes`, which unpacks without bounds
            read += len(part)
            body += unpacker.feed(part, (READ_OF_ERRORS if failed else most) - len(body))
            if failed and max(read, len(body)) > READ_OF_ERRORS:
                break
            if max(read, len(body)) > most:
                raise BadAnswer(
                    self.name,
                    f"{self.name}: {doing(call)} was answered with more than {most >> 20} MiB "
                    f"(HTTP {response.status_code}), which was cut off. {_ENDPOINT_HINT}",
                    status=response.status_code,
                    maybe_applied=call in _WRITES,
                )
        else:
            unpacker.end()
        return hidden_bytes(bytes(body), self._secrets)  # it ends in names, messages and the ledger
