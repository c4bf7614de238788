"""How a pass shows: to those who wait for it, and in the log."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from pinsync.planning.plan import State
from pinsync.remote.calls import RequestRecord
from pinsync.remote.client import RemoteClient
from pinsync.steps.report import PassReport
from pinsync.world import World

_LONG = 120  # characters of a path


def reading_progress(what: str, count: int, of: int | None) -> dict[str, Any]:
    """A line of progress for those who wait."""
    return {"step": "read", "what": f"reading {what}", "count": count, "of": of}


def observed(world: World, log: logging.Logger) -> World:
    """The same world, in which every request to a remote is logged for debugging: no query, no secret."""
    return overheard(world, partial(log.debug, "%s")) if log.isEnabledFor(logging.DEBUG) else world


def overheard(world: World, tell: Callable[[str], None]) -> World:
    """The same world, in which `tell` hears of every request to a remote in words: no query, no secret."""
    make = world.make_remote
    world.make_remote = lambda settings, record: _heard(make(settings, record), tell)
    return world


def watched(client: RemoteClient, log: logging.Logger) -> RemoteClient:
    """The same client, with its requests logged for debugging; whoever observed them before still does."""
    return _heard(client, partial(log.debug, "%s")) if log.isEnabledFor(logging.DEBUG) else client


def _heard(client: RemoteClient, tell: Callable[[str], None]) -> RemoteClient:
    before = client.observer

    def observe(request: RequestRecord) -> None:
        if before is not None:
            before(request)
        tell(request_words(client.name, request))

    client.observer = observe
    return client


def request_words(remote: str, request: RequestRecord) -> str:
    """A request and its answer in one line, without query or secret."""
    came = request.status if request.error is None else request.error
    path = request.full_path if len(request.full_path) <= _LONG else f"{request.full_path[:_LONG]}…"
    return f"{remote}: {request.method} {path}: {came} in {request.seconds * 1000:.0f} ms"


def counts(report: PassReport) -> str:
    """What was done and what is left, in a few words; nothing is left out that is not zero."""
    sums: Counter[str] = Counter()
    for plan in report.remotes:
        done = plan.done
        sums += Counter(
            added=done.added, updated=done.updated, removed=done.removed, retried=done.retried, refused=done.refused,
            waiting=plan.count(State.WAITING), held=plan.count(State.HELD),
        )  # fmt: skip
    words = [f"{count} {what}" for what, count in sums.items() if count]
    if doubts := len(report.doubts):
        words.append(f"{doubts} {'doubt' if doubts == 1 else 'doubts'}")
    if report.on_their_way:
        words.append(f"{report.on_their_way} on their way")
    if report.missing:
        words.append(f"{report.missing} not there yet")
    return ", ".join(words) or "nothing to do"


def local(at: float | None) -> str:
    """A time as people here write it."""
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S") if at else "no time"
