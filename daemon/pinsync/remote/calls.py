"""What is asked of a pinning service and what comes of it, as values, and the one judgement about time they need."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlencode

from pinsync.model import PinStatus, RemotePin
from pinsync.remote.parse import SECOND, format_time

ALL_STATUSES = (PinStatus.QUEUED, PinStatus.PINNING, PinStatus.PINNED, PinStatus.FAILED)
"""Named in every listing: what a missing status filter means differs from service to service."""

TOLERANCE = 5.0
"""Seconds by which `created` must precede a request before `precedes` believes it: `Date` and `created` may both be
whole seconds, and a service's machines do not agree to the second."""


@dataclass(frozen=True, slots=True)
class ListQuery:
    """The filters of a list request. `before` and `after` are nanoseconds since the epoch; None leaves a filter out."""

    limit: int = 1000
    statuses: tuple[PinStatus, ...] = ALL_STATUSES
    before: int | None = None
    after: int | None = None
    cids: tuple[str, ...] = ()
    name: str | None = None
    match: Literal["exact", "iexact", "partial", "ipartial"] | None = None
    meta: Mapping[str, str] | None = None

    def encoded(self) -> str:
        """As the query part of a URL."""
        params: dict[str, str] = {}
        if self.cids:
            params["cid"] = ",".join(self.cids)
        if self.name is not None:
            params["name"] = self.name
        if self.match is not None:
            params["match"] = self.match
        if self.statuses:
            params["status"] = ",".join(self.statuses)
        if self.before is not None:
            params["before"] = format_time(self.before)
        if self.after is not None:
            params["after"] = format_time(self.after)
        if self.meta:
            params["meta"] = json.dumps(dict(self.meta), separators=(",", ":"))
        params["limit"] = str(self.limit)
        return urlencode(params, errors="replace")


@dataclass(frozen=True, slots=True)
class AddResult:
    """A pin as the service took it, and whether its record was there before we asked.

    `sent_at` is our clock's when the request went out, `server_date` the answer's `Date`. `preexisting` None: the
    service does not tell its time, so nobody can know.
    """

    pin: RemotePin
    sent_at: float
    server_date: float | None
    preexisting: bool | None


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One HTTP request, for logs, metrics and the journal: no query, no secret.

    `path` has a place for the id, which is in `requestid`; `at` is when it was sent (epoch seconds), `error` an
    exception's class name.
    """

    method: str
    path: str
    status: int | None
    seconds: float
    error: str | None
    at: float = 0.0
    requestid: str | None = None

    @property
    def full_path(self) -> str:
        """The path as it was sent, without its query."""
        return self.path if self.requestid is None else f"/pins/{quote(self.requestid, safe='')}"


_heard: ContextVar[list[RequestRecord] | None] = ContextVar("requests heard", default=None)


@contextmanager
def hearing() -> Iterator[list[RequestRecord]]:
    """Collects the requests that this task, and those that it starts, make meanwhile. What is inside another has its
    own."""
    records: list[RequestRecord] = []
    token = _heard.set(records)
    try:
        yield records
    finally:
        _heard.reset(token)


def note_request(record: RequestRecord) -> None:
    """A request is over: whoever is hearing in this task gets it."""
    records = _heard.get()
    if records is not None:
        records.append(record)


def precedes(created_ns: int, sent_at: float, answered_at: float, server_date: float | None) -> bool:
    """Whether a record made at `created_ns` (the server's clock) was there before the request sent at `sent_at`.

    The server's own `Date` less the request's duration is when, by its clock, it was asked; without it our clock has to
    do. Only a lead of more than `TOLERANCE` seconds counts.
    """
    asked = sent_at if server_date is None else server_date - max(0.0, answered_at - sent_at)
    return created_ns / SECOND < asked - TOLERANCE
