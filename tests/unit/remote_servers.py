"""A pinning service in a few lines, with every trait a switch, and a clock that nobody waits for: for test_remote_*."""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import parse_qs, unquote

import httpx
from pydantic import SecretStr

from pinsync.cid import key_of, text_of
from pinsync.model import PinStatus, RemotePin
from pinsync.remote.calls import ListQuery
from pinsync.remote.client import RemoteClient
from pinsync.remote.errors import PinRefused
from pinsync.remote.limits import RateLimiter
from pinsync.remote.parse import MS, Page, parse_time

EPOCH = 1_700_000_000
TOKEN = "s3cret-t0ken-nobody-may-see"


class VirtualClock:
    """Time that stands still until everybody sleeps, then jumps to the first who wakes. For one loop at a time."""

    def __init__(self, at: float = EPOCH + 86_400.0) -> None:
        self._at = at
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = 0
        self._quiet = 0
        self._turning: asyncio.AbstractEventLoop | None = None

    def now(self) -> float:
        return self._at

    def monotonic(self) -> float:
        return self._at - 1000.0

    async def sleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._number += 1
        heapq.heappush(self._sleepers, (self._at + max(seconds, 0.0), self._number, future))
        self._quiet = 0
        if self._turning is not loop:
            self._turning = loop
            self._sleepers = [one for one in self._sleepers if one[2].get_loop() is loop]
            heapq.heapify(self._sleepers)
            loop.call_soon(self._turn, loop)
        await future

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Move time only when, for some rounds of the loop, nobody else had begun to sleep."""
        self._quiet += 1
        if self._quiet > 12:
            self._quiet = 0
            while self._sleepers and self._sleepers[0][2].done():
                heapq.heappop(self._sleepers)
            if not self._sleepers:
                self._turning = None
                return
            wake, _, future = heapq.heappop(self._sleepers)
            self._at = max(self._at, wake)
            future.set_result(None)
        loop.call_soon(self._turn, loop)


def cid_of(number: int) -> str:
    """Some CID; another for each number."""
    return text_of(b"\x01\x55\x12\x20" + hashlib.sha256(str(number).encode()).digest())


def pin(number: int, created: int, status: PinStatus = PinStatus.PINNED, requestid: str | None = None) -> RemotePin:
    """A remote pin; `created` in nanoseconds."""
    cid = cid_of(number)
    return RemotePin(requestid or f"id-{number}", cid, key_of(cid), status, created)


@dataclass
class Service:
    """The list of a pinning service. What it shows by default is what the specification says, with exclusive times."""

    pins: list[RemotePin] = field(default_factory=list)
    order: Literal["newest", "oldest", "random"] = "newest"
    count: Literal["total", "page", "total+1", "page+1", "none", "all"] = "total"
    cap: int | None = 1000
    limit_kept: bool = True
    inclusive: bool = False
    grain: int = MS  # what `created` is cut to when shown
    before_kept: bool = True
    after_kept: bool = True
    cids_kept: bool = True
    status_late: bool = False  # the status filter comes after the limit
    hidden: frozenset[str] = frozenset()  # ids that take room on a page and are not shown
    big_refused: bool = False  # a limit above 1000 is an error
    seed: int = 0
    queries: list[ListQuery] = field(default_factory=list)
    clock: VirtualClock = field(default_factory=VirtualClock)
    skew: float | None = None

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    async def list_page(self, query: ListQuery) -> Page:
        """As `RemoteClient.list_page`, without HTTP."""
        self.queries.append(query)
        assert len(self.queries) < 30_000, "the listing does not end"
        return self.answer(query)

    def answer(self, query: ListQuery) -> Page:
        if self.big_refused and query.limit > 1000:
            raise PinRefused("store", "store: limit must not be more than 1000", status=400)
        found = [row for row in self.pins if self._matches(row, query)]
        if self.order == "random":
            self._random.shuffle(found)
        else:
            found.sort(key=lambda row: (row.created, row.requestid), reverse=self.order == "newest")
        limit = query.limit if self.limit_kept else self.cap or len(found)
        if self.cap is not None:
            limit = min(limit, self.cap)
        page = found[:limit]
        if self.status_late:
            page = [row for row in page if row.status in query.statuses]
        page = [row for row in page if row.requestid not in self.hidden]
        total = len([row for row in found if row.requestid not in self.hidden])
        count = {
            "total": total, "page": len(page), "total+1": total + 1, "page+1": len(page) + 1,
            "none": None, "all": len(self.pins),
        }[self.count]  # fmt: skip
        shown = tuple(self._shown(row) for row in page)
        return Page(count, shown, (), len(shown))

    def _shown(self, row: RemotePin) -> RemotePin:
        created = row.created // self.grain * self.grain
        return RemotePin(row.requestid, row.cid, row.key, row.status, created, row.name, row.meta)

    def _matches(self, row: RemotePin, query: ListQuery) -> bool:
        if self.cids_kept and query.cids and row.cid not in query.cids:
            return False
        if not self.status_late and row.status not in query.statuses:
            return False
        edge = 0 if self.inclusive else 1
        if self.before_kept and query.before is not None and row.created > query.before - edge:
            return False
        return not (self.after_kept and query.after is not None and row.created < query.after + edge)


def http(service: Service) -> httpx.MockTransport:
    """The same service, spoken to by HTTP."""

    def handle(request: httpx.Request) -> httpx.Response:
        asked = {name: values[0] for name, values in parse_qs(request.url.query.decode()).items()}
        query = ListQuery(
            limit=int(asked.get("limit", "10")),
            statuses=tuple(PinStatus(status) for status in asked["status"].split(",")),
            before=parse_time(asked["before"]) if "before" in asked else None,
            after=parse_time(asked["after"]) if "after" in asked else None,
            cids=tuple(asked["cid"].split(",")) if "cid" in asked else (),
        )
        service.queries.append(query)
        page = service.answer(query)
        rows = [row_of(row) for row in page.pins]
        return httpx.Response(200, json={"count": page.count, "results": rows})

    return httpx.MockTransport(handle)


def row_of(row: RemotePin) -> dict[str, Any]:
    """A `PinStatus` as JSON."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=row.created // 1000)
    return {
        "requestid": row.requestid,
        "status": row.status.value,
        "created": at.isoformat(timespec="milliseconds"),
        "pin": {"cid": row.cid, "name": row.name},
        "delegates": [],
    }


def body_of(number: int = 1, created: str = "2023-11-15T22:13:20.000Z", **more: Any) -> bytes:
    """A `PinStatus` as a service sends it."""
    row = {"requestid": f"id-{number}", "status": "queued", "created": created, "pin": {"cid": cid_of(number)}}
    return json.dumps({**row, "delegates": [], **more}).encode()


def client_for(transport: httpx.AsyncBaseTransport, clock: VirtualClock | None = None, **more: Any) -> RemoteClient:
    """A client of a service in this process, without rate limit."""
    clock = clock or VirtualClock()
    given: dict[str, Any] = {
        "auth": "bearer", "token": SecretStr(TOKEN), "limiter": RateLimiter(clock, None, 8), "jitter": lambda: 0.5,
    }  # fmt: skip
    return RemoteClient("store", "https://pins.example/api/", clock=clock, transport=transport, **given | more)


def path_of(request: httpx.Request) -> str:
    """The decoded path of a request."""
    return unquote(request.url.raw_path.decode().partition("?")[0])
