"""What came of a pass's requests: counted for the report, and written to the journal and the books in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pinsync.clock import Clock
from pinsync.ledger.ledger import Ledger
from pinsync.ledger.records import Settled, exchanges_text
from pinsync.planning.plan import View
from pinsync.remote.calls import hearing
from pinsync.remote.client import RemoteClient
from pinsync.remote.errors import OutOfService, RateLimited, RemoteError

from .observe import RemoteView

GIVE_UP_AFTER = 3  # failures of the whole remote in a row, after which this pass leaves it alone
FLUSH_EVERY = 1.0  # seconds after which outcomes are written though a batch is not full


@dataclass(slots=True)
class Done:
    """What applying came to, for the report."""

    added: int = 0
    updated: int = 0
    removed: int = 0
    retried: int = 0
    refused: int = 0
    unclear: int = 0
    troubles: list[str] = field(default_factory=list)
    failing: str | None = None  # the remote itself, not a pin of it, made trouble
    closed: str | None = None  # why the remote takes no pins, where it said so
    no_deletes: str | None = None  # likewise deletions
    posted: bool = False  # a POST was taken
    deleted: bool = False  # a DELETE was taken
    learned: dict[str, bool | None] = field(default_factory=dict)  # traits, by their names

    @property
    def total(self) -> int:
        """How many actions came to an end."""
        return self.added + self.updated + self.removed + self.retried + self.refused + self.unclear

    def trouble(self, message: str) -> None:
        """Note a message once."""
        if message not in self.troubles and len(self.troubles) < 20:
            self.troubles.append(message)


class Desk:
    """One remote's part of a pass: what adding and removing share. Outcomes are kept until `flush`.

    `posts_end` and `deletes_end`: why nothing more of that kind is requested in this pass.
    """

    def __init__(self, run: int, ledger: Ledger, view: RemoteView, plan: View, clock: Clock) -> None:
        assert view.client is not None
        self.done = Done()
        self.run = run
        self.ledger = ledger
        self.remote = view.settings.name
        self.client: RemoteClient = view.client
        self.plan = plan
        self.clock = clock
        self.posts_end: str | None = None
        self.deletes_end: str | None = None
        self.was_closed = view.record.closed is not None
        self.failures = 0  # of the whole remote, in a row
        self._outcomes: list[tuple[Settled, Callable[[float], None] | None]] = []
        self._exchanges: dict[int, str] = {}
        self._flushed = clock.monotonic()

    def whole_remote(self, error: RemoteError) -> None:
        """A failure that is not about one pin: after some in a row, this pass leaves the remote alone."""
        self.done.trouble(str(error))
        self.done.failing = self.done.failing or str(error)
        self.failures += 1
        if isinstance(error, RateLimited):
            self.posts_end = self.deletes_end = str(error)
        elif self.failures >= (1 if self.was_closed else GIVE_UP_AFTER):
            self.posts_end = self.posts_end or str(error)
            if isinstance(error, OutOfService):
                self.done.closed = str(error)
            else:
                self.deletes_end = self.deletes_end or str(error)

    def later(self, settled: Settled | None, change: Callable[[float], None] | None) -> None:
        """Keep an outcome until the next write; `change` is what it means for the books."""
        self._outcomes.append((settled or Settled(0, "moot", None), change))

    @contextmanager
    def journalled(self, id_: int) -> Iterator[None]:
        """The requests made meanwhile belong to this row of the journal."""
        with hearing() as records:
            try:
                yield
            finally:
                if records:
                    self._exchanges[id_] = exchanges_text(records)

    def flush(self) -> None:
        outcomes, self._outcomes = self._outcomes, []
        exchanges, self._exchanges = self._exchanges, {}
        self._flushed = self.clock.monotonic()
        if not (outcomes or exchanges):
            return
        now = self.clock.now()
        with self.ledger.store.transaction():
            self.ledger.settle([settled for settled, _ in outcomes if settled.id], now, exchanges)
            for _, change in outcomes:
                if change is not None:
                    change(now)
            self.ledger.progress(self.run, now)

    @property
    def overdue(self) -> bool:
        """Whether outcomes have been kept for long."""
        return self.clock.monotonic() - self._flushed > FLUSH_EVERY
