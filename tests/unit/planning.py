"""Small makers of planning's values, so that a test says only what it is about."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pinsync.cid import text_of
from pinsync.model import MARK, DesiredPin, PinStatus, RemotePin, Traits
from pinsync.planning.diff import decide
from pinsync.planning.plan import Decision, Entry, How, Known, Owned, PinState, View

ME = "here-0a1b2c"
NOW = 1_800_000_000.0
DAY = 86400.0


def key(name: str) -> bytes:
    """The key of a made-up raw block."""
    return b"\x01\x55\x12\x20" + hashlib.sha256(name.encode()).digest()


def cid(name: str) -> str:
    return text_of(key(name))


def want(of: str = "a", **changes: Any) -> DesiredPin:
    return replace(DesiredPin(key(of), cid(of), "", sources=("node:kubo",)), **changes)


def row(
    name: str = "a",
    requestid: str = "r1",
    status: PinStatus = PinStatus.PINNED,
    *,
    mark: str | None = ME,
    created: float = NOW - DAY,
    called: str | None = None,
    meta: dict[str, str] | None = None,
    info: dict[str, str] | None = None,
) -> RemotePin:
    kept = {**(meta or {}), **({MARK: mark} if mark else {})}
    return RemotePin(requestid, cid(name), key(name), status, int(created * 1e9), called, kept or None, (), info or {})


def entry(of: str = "a", **changes: Any) -> Entry:
    base = Entry(
        key(of), cid(of), True, PinState.PINNED, since=NOW - DAY, sources="node:kubo", requestid="r1",
        was_there="ours",
    )  # fmt: skip
    return replace(base, **changes)


def own(name: str = "a", requestid: str = "r1", how: How = How.CREATED, **changes: Any) -> Owned:
    return replace(Owned(requestid, key(name), cid(name), how), **changes)


def view(**changes: Any) -> View:
    base = View("there", (ME,), NOW, traits=Traits(id_is_cid=False), whole_sources=frozenset({"node:kubo"}))
    return replace(base, **changes)


CID_IDS = Traits(id_is_cid=True)


def decided(
    wanted: DesiredPin | None,
    rows: Sequence[RemotePin] = (),
    before: Entry | None = None,
    owned: Sequence[Owned] = (),
    *,
    name: str = "a",
    **changes: Any,
) -> Decision:
    known = Known(key(name), before, tuple(owned)) if before or owned else None
    decision = decide(key(name), wanted, list(rows), known, view(**changes))
    assert decision is not None
    return decision
