"""What is examined, and with what. The ledger is read and never locked, so a daemon beside us is not disturbed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from pinsync.clock import Clock
from pinsync.errors import PinsyncError
from pinsync.house import House, mirror_id, reading
from pinsync.ledger.ledger import Ledger, mirror_ids
from pinsync.ledger.records import RemoteRecord, SourceRecord
from pinsync.remote.limits import RateLimiter
from pinsync.settings.model import RemoteSettings, Settings

T = TypeVar("T")

RETRY_FOR = 2.0  # seconds: what does not work now is told, not waited for


@dataclass(slots=True)
class Patient:
    """The mirror under examination. `ledger` None: there is none yet, or it cannot be read, and `trouble` says why.

    `peers`: node → peer id, as far as nodes have answered.
    """

    settings: Settings
    env: Mapping[str, str]
    clock: Clock
    house: House
    ledger: Ledger | None = None
    trouble: PinsyncError | None = None
    peers: dict[str, str] = field(default_factory=dict)

    @property
    def now(self) -> float:
        return self.clock.now()

    def record(self, remote: RemoteSettings) -> RemoteRecord:
        """What the ledger knows of a remote; an empty one where it cannot be asked."""
        return self._recalled(lambda ledger: ledger.remote(remote.name)) or RemoteRecord(remote.name)

    def source(self, name: str) -> SourceRecord:
        """What the ledger knows of a source (`node:kubo`, `manifest`); an empty one where it cannot be asked."""
        return self._recalled(lambda ledger: ledger.sources().get(name)) or SourceRecord(name, "")

    def mirror_ids(self) -> tuple[str, ...]:
        """The marks that are ours; none where that cannot be known."""
        try:
            return mirror_ids(mirror_id(self.settings, None), self.ledger)
        except (PinsyncError, sqlite3.DatabaseError):
            return ()

    def _recalled(self, what: Callable[[Ledger], T | None]) -> T | None:
        """A damaged ledger is told of as the state, and keeps nothing else from being tried."""
        try:
            return what(self.ledger) if self.ledger else None
        except (PinsyncError, sqlite3.DatabaseError):
            return None


@contextmanager
def admitted(
    settings: Settings, env: Mapping[str, str], clock: Clock, limiters: dict[str, RateLimiter] | None = None
) -> Iterator[Patient]:
    """`limiters`: those of a daemon, whose requests and ours then share one allowance."""
    hasty = replace(
        settings,
        nodes=tuple(replace(node, retry_for=min(node.retry_for, RETRY_FOR)) for node in settings.nodes),
        remotes=tuple(replace(remote, retry_for=min(remote.retry_for, RETRY_FOR)) for remote in settings.remotes),
    )
    patient = Patient(hasty, env, clock, House(hasty, env, clock, limiters=limiters if limiters is not None else {}))
    with ExitStack() as stack:
        try:
            patient.ledger = stack.enter_context(reading(settings))
        except PinsyncError as error:
            patient.trouble = error
        yield patient
