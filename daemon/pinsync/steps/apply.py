"""The fourth step of a pass: carry a remote's actions out, each journalled before it is requested and settled after.

The journal's order is what makes a crash harmless: an intent without an outcome makes the next pass look the CID up
before it posts anything (facts: POST-then-save left duplicates at 8 of 19 crash points, intent-first at none of 23).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from pinsync.clock import Clock
from pinsync.errors import NodeError
from pinsync.ledger.ledger import Ledger, Settled
from pinsync.model import MARK, DesiredPin, PinBody, PinStatus, RemotePin
from pinsync.planning.diff import backoff, drift, fingerprint, follow_pause, is_ours
from pinsync.planning.plan import STATE_OF, Action, Entry, How, Kind, Owned, PinState, Step, View
from pinsync.remote.calls import AddResult
from pinsync.remote.client import RemoteClient
from pinsync.remote.errors import BadAnswer, NotFound, OutOfService, PinRefused, RateLimited, RemoteError, Unreachable
from pinsync.remote.listing import find

from .observe import NodeView, RemoteView

log = logging.getLogger(__name__)

REFUSED_FIRST = 900.0  # seconds until a refused pin is tried again; doubles up to a day
GIVE_UP_AFTER = 3  # failures of the whole remote in a row, after which this pass leaves it alone
ALIKE = 5  # pins refused in a row for the same reason, after which it is the remote that refuses
FLUSH_EVERY = 1.0  # seconds after which outcomes are written though a batch is not full


class Contradiction(Exception):
    """A node still holds a pin that its list did not show: that list was not whole."""


class AbsenceProof:
    """Asks every node, CID by CID, whether it really lacks what is about to be removed (semantics: *Removal*).

    Shared by all remotes of a pass: the first contradiction ends removals everywhere.
    """

    def __init__(self, nodes: Sequence[NodeView]) -> None:
        self._nodes = nodes
        self._absent: set[bytes] = set()
        self.broken: str | None = None

    async def absent(self, key: bytes, cid: str) -> None:
        """Return when every node lacks it. Raises `Contradiction` or `NodeError`."""
        if self.broken is not None:
            raise Contradiction(self.broken)
        if key in self._absent:
            return
        for node in self._nodes:
            if node.client is None:
                raise Contradiction(f"node {node.settings.name!r} was not read")
            if await node.client.is_pinned(cid):
                node.error = self.broken = (
                    f"node {node.settings.name!r} still pins {cid}, which its list did not show: that list was not "
                    "whole, so nothing is removed in this pass"
                )
                raise Contradiction(self.broken)
            if node.reading is not None and (await node.client.identity()).peer_id != node.reading.peer_id:
                node.error = self.broken = (
                    f"node {node.settings.name!r} is another node than a moment ago; nothing is removed in this pass"
                )
                raise Contradiction(self.broken)
        self._absent.add(key)


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


class Applier:
    """Carries out the actions of one remote in one pass."""

    def __init__(
        self,
        run: int,
        ledger: Ledger,
        view: RemoteView,
        plan: View,
        proof: AbsenceProof,
        clock: Clock,
        stop: asyncio.Event,
        progress: Callable[[Done], None] = lambda done: None,
        dial: Callable[[Iterable[str]], None] = lambda addresses: None,
    ) -> None:
        assert view.client is not None
        self.done = Done()
        self._run = run
        self._ledger = ledger
        self._remote = view.settings.name
        self._client: RemoteClient = view.client
        self._concurrency = view.settings.concurrency
        self._plan = plan
        self._proof = proof
        self._clock = clock
        self._stop = stop
        self._progress = progress
        self._dial = dial
        self._outcomes: list[tuple[Settled, Callable[[float], None] | None]] = []
        self._flushed = clock.monotonic()
        self._posts_end: str | None = None  # why nothing more is posted in this pass
        self._deletes_end: str | None = None
        self._was_closed = view.record.closed is not None
        self._refusals = 0  # whole-remote failures in a row
        self._same: tuple[object, int] = (None, 0)  # the reason of the last refusal, and how often in a row

    async def apply(self, actions: Iterable[Action]) -> Done:
        """Carry them out, in order, some at a time; returns what came of them. Never raises for a remote's failure.

        When `stop` is set nothing new is begun. When cancelled, what is in flight stays an open intent.
        """
        queue: asyncio.Queue[tuple[int, Action]] = asyncio.Queue(self._concurrency)
        workers = [asyncio.create_task(self._work(queue)) for _ in range(self._concurrency)]
        try:
            stream = iter(actions)
            while not self._stop.is_set() and (batch := list(islice(stream, self._concurrency * 4))):
                batch = [action for action in batch if self._may(action)]
                self._flush()
                ids = self._ledger.intend(self._run, self._remote, batch, self._clock.now())
                for item in zip(ids, batch, strict=True):
                    await _unless_ended(queue.put(item), workers)
                self._progress(self.done)
            await _unless_ended(queue.join(), workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            self._flush()
        return self.done

    def _may(self, action: Action) -> bool:
        if action.step is Step.DELETE:
            return self._deletes_end is None
        if self._posts_end is None:
            return True
        if self.done.closed is not None and action.kind is Kind.ADD:
            self._later(None, lambda now: self._not_tried(action))
            self.done.refused += 1
        return False

    async def _work(self, queue: asyncio.Queue[tuple[int, Action]]) -> None:
        while True:
            id_, action = await queue.get()
            try:
                if self._stop.is_set() or not self._may(action):
                    self._later(Settled(id_, "moot", "not begun"), None)
                elif action.step is Step.POST:
                    await self._post(id_, action)
                else:
                    await self._delete(id_, action)
                if self._clock.monotonic() - self._flushed > FLUSH_EVERY:
                    self._flush()
                    self._progress(self.done)
            finally:
                queue.task_done()

    # -- adding -----------------------------------------------------------------------------------------------------

    async def _post(self, id_: int, action: Action) -> None:
        assert action.body is not None
        try:
            if action.lookup and await self._is_there(id_, action):
                return
            answer = await self._add(action.body)
        except RemoteError as error:
            self._not_posted(id_, action, error)
        else:
            self._refusals = 0
            self._same = (None, 0)
            self.done.posted = True
            self._count(action)
            self._learn(action, answer.pin)
            self._dial(answer.pin.delegates)
            self._later(
                Settled(id_, "done", f"{answer.pin.status}", answer.pin.requestid),
                lambda now: self._landed(action, answer.pin, now, preexisting=bool(answer.preexisting)),
            )

    async def _add(self, body: PinBody) -> AddResult:
        """POST; where the service refuses the pin for its origins or its meta, once more without them."""
        while True:
            try:
                return await self._client.add(body)
            except PinRefused as refusal:
                mark = {name: value for name, value in body.meta.items() if name == MARK}
                if refusal.origins and body.origins:
                    body = replace(body, origins=())
                elif refusal.meta and body.meta:
                    body = replace(body, meta=mark if mark != body.meta else {})
                else:
                    raise
                log.warning(
                    "%s: added %s", refusal, "without origins" if not refusal.meta else f"with meta {body.meta}"
                )

    def _learn(self, action: Action, pin: RemotePin) -> None:
        """What the answer to a POST shows of the service."""
        assert action.body is not None
        learned = self.done.learned
        learned["id_is_cid"] = pin.requestid == pin.cid
        if pin.mark is not None or not learned.get("meta_kept"):
            learned["meta_kept"] = pin.mark is not None
        if action.body.name:
            learned["name_kept"] = pin.name == action.body.name or bool(learned.get("name_kept"))
        if action.kind is not Kind.ADD and action.requestid is not None:
            learned["update_in_place"] = pin.requestid == action.requestid

    def _not_posted(self, id_: int, action: Action, error: RemoteError) -> None:
        """A POST did not end well: which of the pin, the remote or the way there is the matter decides what follows."""
        said = str(error)
        maybe = isinstance(error, Unreachable | BadAnswer) and error.maybe_applied
        refused = isinstance(error, PinRefused | OutOfService)
        if isinstance(error, PinRefused):
            self._refusals = 0
            self.done.trouble(said)
            self._alike(error)
        else:
            self._whole_remote(error)
        self.done.refused += refused
        self.done.unclear += maybe

        def note(now: float) -> None:
            if refused:
                self._refuse(action, said, now)
            else:
                self._unclear(action, said, maybe)

        self._later(Settled(id_, "unclear" if maybe else "failed", said), note)

    def _alike(self, error: PinRefused) -> None:
        """The same refusal of one pin after the other is no matter of these pins: the remote takes none."""
        reason = (error.status, error.reason)
        self._same = (reason, self._same[1] + 1 if self._same[0] == reason else 1)
        if self._same[1] >= (1 if self._was_closed else ALIKE):
            self._posts_end = self.done.closed = f"it refuses every pin: {error}"

    async def _is_there(self, id_: int, action: Action) -> bool:
        """Look the CID up over all statuses; True when nothing must be posted, and it was settled."""
        found = await find(self._client, [action.cid])
        rows = found.pins.get(action.key, [])
        owned = {one.requestid: one for one in self._ledger.owned_of(self._remote, action.key)}
        ours = [row for row in rows if is_ours(row, owned, self._plan.mirror_ids)]
        live = [row for row in ours or rows if row.status.live]
        if live:
            row = min(live, key=lambda row: (row.status is not PinStatus.PINNED, row.created))
            self._later(
                Settled(id_, "done", f"was there already ({row.status})", row.requestid),
                lambda now: self._landed(action, row, now, foreign=row not in ours),
            )
            return True
        if not found.certain and self._plan.listed != "complete":
            said = "not in a list that is not complete, and the remote cannot be asked for one CID alone; not added"
            self._later(Settled(id_, "moot", said), lambda now: self._unclear(action, said, False))
            return True
        return False

    def _count(self, action: Action) -> None:
        if action.kind is Kind.ADD:
            self.done.added += 1
        elif action.kind is Kind.RETRY:
            self.done.retried += 1
        else:
            self.done.updated += 1

    def _landed(
        self, action: Action, row: RemotePin, now: float, *, preexisting: bool = False, foreign: bool = False
    ) -> None:
        """A POST was answered, or a look-up found the pin."""
        owned = {one.requestid: one for one in self._ledger.owned_of(self._remote, action.key)}
        known = owned.get(row.requestid)
        if row.key != action.key:
            self.done.trouble(f"remote {self._remote!r} answered {row.cid} when asked to pin {action.cid}")
            return
        if known is None and preexisting and row.requestid == row.cid and not foreign:
            # One record serves everyone and it is older than our request: it was somebody's (semantics: *Ours*).
            self._ledger.own(self._remote, Owned(row.requestid, row.key, row.cid, How.FOREIGN, row.created), now)
            foreign = True
        elif not foreign:
            how = known.how if known and known.how is not How.MARK else How.CREATED
            foreign = how is How.FOREIGN
            self._ledger.own(self._remote, Owned(row.requestid, row.key, row.cid, how, row.created), now)
        self._ledger.drop_approval(self._remote, action)
        entry = self._entry(action)
        state = STATE_OF[row.status]
        pending = state in (PinState.QUEUED, PinState.PINNING)
        entry = replace(
            entry, state=state, requestid=row.requestid, created=row.created, missing=0, unclear=False,
            was_there="foreign" if foreign else "ours",
            follow_at=now + follow_pause(0) if pending else None, follows=0,
            declined=self._declined(action, row) or entry.declined,
        )  # fmt: skip
        if state is PinState.PINNED:
            entry = replace(entry, attempts=0, next_try=None, error=None)
        elif state is PinState.FAILED:
            entry = self._again(entry, row.info.get("status_details") or "the remote says failed", now)
        elif action.kind is Kind.ADD:
            entry = replace(entry, error=None, next_try=None)
        self._ledger.put_entry(self._remote, entry)

    def _declined(self, action: Action, row: RemotePin) -> str:
        """The fingerprint of what was asked for, when the answer shows that the service did not take it."""
        assert action.body is not None
        meta = {name: value for name, value in action.body.meta.items() if name != MARK}
        want = DesiredPin(action.key, action.cid, action.body.name or "", meta)
        return fingerprint(want.name, want.meta) if drift(want, row, self._plan) else ""

    def _entry(self, action: Action) -> Entry:
        return self._ledger.entry(self._remote, action.key) or Entry(
            action.key, action.cid, True, PinState.MISSING, since=self._plan.now
        )

    def _again(self, entry: Entry, error: str, now: float, first: float | None = None) -> Entry:
        attempts = entry.attempts + 1
        pause = backoff(attempts) if first is None else backoff(attempts, first)
        return replace(entry, attempts=attempts, next_try=now + pause, error=error)

    def _refuse(self, action: Action, error: str, now: float) -> None:
        entry = self._again(self._entry(action), error, now, REFUSED_FIRST)
        if action.kind is Kind.ADD:
            entry = replace(entry, state=PinState.REFUSED, unclear=False)
        self._ledger.put_entry(self._remote, entry)

    def _not_tried(self, action: Action) -> None:
        """Refused with all the others: due as soon as the remote takes pins again."""
        entry = replace(self._entry(action), state=PinState.REFUSED, error=self._posts_end, next_try=None)
        self._ledger.put_entry(self._remote, entry)

    def _unclear(self, action: Action, error: str, unclear: bool = True) -> None:
        entry = replace(self._entry(action), error=error)
        self._ledger.put_entry(self._remote, replace(entry, unclear=True) if unclear else entry)

    def _whole_remote(self, error: RemoteError) -> None:
        """A failure that is not about one pin: after some in a row, this pass leaves the remote alone."""
        self.done.trouble(str(error))
        self.done.failing = self.done.failing or str(error)
        self._refusals += 1
        if isinstance(error, RateLimited):
            self._posts_end = self._deletes_end = str(error)
        elif self._refusals >= (1 if self._was_closed else GIVE_UP_AFTER):
            self._posts_end = self._posts_end or str(error)
            if isinstance(error, OutOfService):
                self.done.closed = str(error)
            else:
                self._deletes_end = self._deletes_end or str(error)

    # -- removing ---------------------------------------------------------------------------------------------------

    async def _delete(self, id_: int, action: Action) -> None:
        assert action.requestid is not None
        requestid = action.requestid
        try:
            wrong = await self._objection(action)
            if wrong is not None:
                self.done.trouble(wrong)
                self._later(Settled(id_, "moot", wrong), None)
                return
            await self._client.delete(requestid)
        except NotFound:
            self._later(Settled(id_, "moot", "was gone already"), lambda now: self._removed(action, now))
        except (Contradiction, NodeError) as error:
            self._deletes_end = str(error)
            self.done.trouble(str(error))
            self._later(Settled(id_, "moot", str(error)), None)
        except RemoteError as error:
            maybe = isinstance(error, Unreachable | BadAnswer) and error.maybe_applied
            self._later(Settled(id_, "unclear" if maybe else "failed", str(error)), None)
            self._whole_remote(error)
            if isinstance(error, OutOfService):
                self._deletes_end = self.done.no_deletes = str(error)
        else:
            self._refusals = 0
            self.done.deleted = True
            if action.kind is Kind.REMOVE:
                self.done.removed += 1
            else:
                self.done.updated += 1
            self._later(Settled(id_, "done", "deleted"), lambda now: self._removed(action, now))
            if action.survivor is not None:
                await self._survived(action)

    async def _survived(self, action: Action) -> None:
        """See that the pin which was to stay did; where this service took it along, put it back at once."""
        assert action.survivor is not None and action.body is not None
        try:
            survivor: RemotePin | None = await self._client.get(action.survivor)
        except NotFound:
            survivor = None
        except RemoteError as error:
            self.done.trouble(str(error))
            return
        lone = survivor is not None and survivor.status.live
        self.done.learned["lone_delete"] = lone
        if lone:
            return
        self.done.trouble(
            f"remote {self._remote!r} deleted {action.survivor} along with {action.requestid}, another pin of "
            f"{action.cid}; it is added again, and no pin is replaced there any more"
        )
        again = replace(action, kind=Kind.ADD, step=Step.POST, requestid=None, survivor=None, lookup=False)
        (id_,) = self._ledger.intend(self._run, self._remote, [again], self._clock.now())
        self._later(None, lambda now: self._ledger.gone(self._remote, action.key, action.survivor or "", now))
        await self._post(id_, again)

    async def _objection(self, action: Action) -> str | None:
        """The proof that a deletion needs, taken right before it; what speaks against it, or None."""
        assert action.requestid is not None
        if action.confirm:
            await self._proof.absent(action.key, action.cid)
        what = f"remote {self._remote!r}, pin {action.requestid} ({action.cid})"
        if action.survivor is not None:
            try:
                survivor = await self._client.get(action.survivor)
            except NotFound:
                return f"{what} is not deleted: {action.survivor}, which was to take its place, is gone"
            if survivor.key != action.key or survivor.status is not PinStatus.PINNED:
                return f"{what} is not deleted: {action.survivor}, which is to take its place, is {survivor.status}"
        row = await self._client.get(action.requestid)
        if row.key != action.key:
            return f"{what} is not deleted: the remote now shows {row.cid} under this id"
        owned = {one.requestid: one for one in self._ledger.owned_of(self._remote, action.key)}
        if not is_ours(replace(row, requestid=action.requestid), owned, self._plan.mirror_ids):
            return f"{what} is not deleted: it is not ours any more"
        return None

    def _removed(self, action: Action, now: float) -> None:
        assert action.requestid is not None
        self._ledger.gone(self._remote, action.key, action.requestid, now)
        if action.kind is Kind.REMOVE:
            left = [one for one in self._ledger.owned_of(self._remote, action.key) if one.gone_at is None]
            if not any(one.how is not How.FOREIGN for one in left):
                self._ledger.forget_entry(self._remote, action.key)
            self._ledger.drop_approval(self._remote, action)

    # -- the journal ------------------------------------------------------------------------------------------------

    def _later(self, settled: Settled | None, change: Callable[[float], None] | None) -> None:
        """Keep an outcome until the next write; `change` is what it means for the books."""
        self._outcomes.append((settled or Settled(0, "moot", None), change))

    def _flush(self) -> None:
        outcomes, self._outcomes = self._outcomes, []
        self._flushed = self._clock.monotonic()
        if not outcomes:
            return
        now = self._clock.now()
        with self._ledger.store.transaction():
            self._ledger.settle((settled for settled, _ in outcomes if settled.id), now)
            for _, change in outcomes:
                if change is not None:
                    change(now)
            self._ledger.progress(self._run, now)


async def _unless_ended(waiting: Coroutine[Any, Any, None], workers: Sequence[asyncio.Task[None]]) -> None:
    """Wait for this, or raise what ended a worker: none of them ends by itself."""
    task = asyncio.ensure_future(waiting)
    try:
        await asyncio.wait({task, *workers}, return_when=asyncio.FIRST_COMPLETED)
        for worker in workers:
            if worker.done():
                worker.result()
    finally:
        task.cancel()


def resolve_intents(ledger: Ledger, view: RemoteView, rows: Callable[[Iterable[bytes]], Iterator[RemotePin]],
                    mirror_ids: tuple[str, ...], now: float, margin: float = 60.0) -> int:  # fmt: skip
    """Settle what an interrupted pass left open, by what the list shows now; returns how many were settled.

    With a list that is not complete an intent whose pin is not seen stays open; either way its entry is marked
    `unclear`, so that the CID is looked up singly before it is posted again.
    """
    intents = ledger.open_intents(view.settings.name)
    if not intents:
        return 0
    seen: dict[bytes, list[RemotePin]] = {}
    for row in rows({intent.key for intent in intents}):
        seen.setdefault(row.key, []).append(row)
    remote, skew = view.settings.name, view.traits.skew or 0.0
    settled = []
    with ledger.store.transaction():
        for intent in intents:
            there = seen.get(intent.key, [])
            if intent.step == Step.POST:
                owned = {one.requestid: one for one in ledger.owned_of(remote, intent.key)}
                for row in there:
                    after = row.created / 1e9 >= intent.at + skew - margin
                    if row.requestid in owned or row.mark not in (None, *mirror_ids):
                        continue
                    if after or row.requestid != row.cid:
                        if after or row.mark is not None:
                            ledger.own(remote, Owned(row.requestid, row.key, row.cid, How.CREATED, row.created), now)
                    else:
                        ledger.own(remote, Owned(row.requestid, row.key, row.cid, How.FOREIGN, row.created), now)
                entry = ledger.entry(remote, intent.key)
                if entry is not None and not there and not entry.unclear:
                    ledger.put_entry(remote, replace(entry, unclear=True))
                if there or view.listed == "complete":
                    settled.append(Settled(intent.id, "done" if there else "moot", "found by the next pass's list"))
            elif view.listed == "complete":
                gone = all(row.requestid != intent.requestid for row in there)
                settled.append(Settled(intent.id, "done" if gone else "moot", "found by the next pass's list"))
                if gone and intent.requestid is not None:
                    ledger.gone(remote, intent.key, intent.requestid, now)
        ledger.settle(settled, now)
    return len(settled)
