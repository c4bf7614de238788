"""The ledger's rows as values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pinsync.clock import rfc3339
from pinsync.model import PinBody, Traits
from pinsync.planning.plan import Kind, Shut, State
from pinsync.remote.calls import RequestRecord


@dataclass(frozen=True, slots=True)
class RemoteRecord:
    """What the ledger knows of a remote as a whole. Times in seconds since the epoch."""

    name: str
    endpoint: str | None = None
    traits: Traits = field(default_factory=Traits)
    ok: bool | None = None
    error: str | None = None
    complete: bool | None = None
    reason: str | None = None
    listed_at: float | None = None
    tried_at: float | None = None
    failures: int = 0
    present: int | None = None
    foreign: int | None = None
    other_marks: tuple[str, ...] = ()
    recent: tuple[float, ...] = ()
    paused_until: float | None = None
    closed: Shut | None = None
    no_deletes: Shut | None = None
    quiet: str | None = None
    seen: tuple[tuple[str, float], ...] = ()  # since when each trait is as it is


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """What the ledger knows of a node or of the manifest. `good_*`: by the last reading that was whole and believed."""

    name: str
    kind: str
    ok: bool = False
    error: str | None = None
    pins: int | None = None
    peer_id: str | None = None
    version: str | None = None
    read_at: float | None = None
    good_at: float | None = None
    good_pins: int | None = None
    good_peer_id: str | None = None
    path: str | None = None
    digest: str | None = None
    includes: str = "{}"


@dataclass(frozen=True, slots=True)
class OpenIntent:
    """A request that was meant, and perhaps sent, and whose outcome nobody noted."""

    id: int
    kind: Kind
    step: str
    key: bytes
    cid: str
    requestid: str | None
    at: float
    body: PinBody | None


@dataclass(frozen=True, slots=True)
class Settled:
    """The outcome of a journalled request. `state`: done, failed, unclear or moot."""

    id: int
    state: str
    outcome: str | None
    requestid: str | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """An action that waits or is held, as the last pass recorded it."""

    remote: str
    kind: Kind
    key: bytes
    requestid: str
    cid: str
    state: State
    code: str
    reason: str
    until: float | None
    step: str


@dataclass(frozen=True, slots=True)
class Pause:
    """A person's word that nothing is to be asked of a remote (`remote` "": of any) until then, or until resumed."""

    remote: str
    since: float
    until: float | None
    reason: str
    who: str

    def stands(self, now: float) -> bool:
        """Whether it is not over yet."""
        return self.until is None or now < self.until


MOST_REQUESTS = 50
"""Requests kept for one row of the journal: the first ones."""


def exchanges_text(requests: Sequence[RequestRecord]) -> str:
    """Requests as the journal keeps them: short, since there may be a million rows."""
    kept = requests[:MOST_REQUESTS]
    return json.dumps(
        [[round(r.at, 3), r.method, r.requestid, r.status, round(r.seconds * 1000), r.error] for r in kept],
        separators=(",", ":"),
    )


def exchanges_of(text: str | None) -> list[dict[str, Any]]:
    """What `exchanges_text` wrote, as `history CID --json` shows it; none for what cannot be read."""
    try:
        rows = json.loads(text or "[]")
        made = [
            (RequestRecord(method, "/pins", status, ms / 1000, error, at, of))
            for at, method, of, status, ms, error in rows
        ]
    except (ValueError, TypeError):
        return []
    return [
        {"at": rfc3339(one.at), "method": one.method, "path": one.full_path, "status": one.status,
         "seconds": one.seconds, "error": one.error}
        for one in made
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened and was no request. `at` in seconds since the epoch; `details` is for people."""

    at: float
    kind: str
    who: str
    remote: str
    cid: str
    details: str
