"""Carrying out what is posted: adds, retries, and the first half of an update."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace

from pinsync.ledger.records import Settled
from pinsync.model import MARK, DesiredPin, PinBody, PinStatus, RemotePin
from pinsync.planning.plan import STATE_OF, Action, Entry, How, Kind, Owned, PinState
from pinsync.planning.rules import backoff, drift, fingerprint, follow_pause, is_ours
from pinsync.remote.calls import AddResult
from pinsync.remote.errors import BadAnswer, NotBegun, OutOfService, PinRefused, RemoteError, Unreachable
from pinsync.remote.listing import find

from .outcomes import Desk
from .removing import PUT_BACK

log = logging.getLogger(__name__)

REFUSED_FIRST = 900.0  # seconds until a refused pin is tried again; doubles up to a day
ALIKE = 5  # pins refused in a row for the same reason, after which it is the remote that refuses


class Adder:
    """Posts pins at one remote; `dial` is told the addresses that the service will fetch from."""

    def __init__(self, desk: Desk, dial: Callable[[Iterable[str]], None]) -> None:
        self._desk = desk
        self._dial = dial
        self._same: tuple[object, int] = (None, 0)  # the reason of the last refusal, and how often in a row

    async def post(self, id_: int, action: Action) -> None:
        with self._desk.journalled(id_):
            await self._post(id_, action)

    async def _post(self, id_: int, action: Action) -> None:
        assert action.body is not None
        if self._disowned(action):
            said = "a person disowned it while this pass was under way; not written over"
            self._desk.later(Settled(id_, "moot", said), None)
            return
        try:
            if action.lookup and await self._is_there(id_, action):
                return
            answer = await self._add(action.body, finishing=action.code == PUT_BACK)
        except NotBegun:
            self._desk.later(Settled(id_, "moot", "not begun"), None)
        except RemoteError as error:
            self._not_posted(id_, action, error)
        else:
            self._desk.failures = 0
            self._same = (None, 0)
            self._desk.done.posted = True
            self._count(action)
            self._learn(action, answer.pin)
            self._dial(answer.pin.delegates)
            self._desk.later(
                Settled(id_, "done", f"{answer.pin.status}", answer.pin.requestid),
                lambda now: self._landed(action, answer.pin, now, preexisting=bool(answer.preexisting)),
            )

    def _disowned(self, action: Action) -> bool:
        """Whether this would write over a record that became foreign after it was planned."""
        if action.requestid is None or action.requestid != action.cid:
            return False
        owned = self._desk.ledger.owned_of(self._desk.remote, action.key)
        return any(one.requestid == action.requestid and one.how is How.FOREIGN for one in owned)

    async def _add(self, body: PinBody, *, finishing: bool) -> AddResult:
        """POST; where the service refuses the pin for its origins or its meta, once more without them."""
        while True:
            try:
                return await self._desk.client.add(body, finishing=finishing)
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
        learned = self._desk.done.learned
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
            self._desk.failures = 0
            self._desk.done.trouble(said)
            self._alike(error)
        else:
            self._desk.whole_remote(error)
        self._desk.done.refused += refused
        self._desk.done.unclear += maybe

        def note(now: float) -> None:
            if refused:
                self._refuse(action, said, now)
            else:
                self._unclear(action, said, maybe)

        self._desk.later(Settled(id_, "unclear" if maybe else "failed", said), note)

    def _alike(self, error: PinRefused) -> None:
        """The same refusal of one pin after the other is no matter of these pins: the remote takes none."""
        reason = (error.status, error.reason)
        self._same = (reason, self._same[1] + 1 if self._same[0] == reason else 1)
        if self._same[1] >= (1 if self._desk.was_closed else ALIKE):
            self._desk.posts_end = self._desk.done.closed = f"it refuses every pin: {error}"

    async def _is_there(self, id_: int, action: Action) -> bool:
        """Look the CID up over all statuses; True when nothing must be posted, and it was settled."""
        found = await find(self._desk.client, [action.cid])
        rows = found.pins.get(action.key, [])
        owned = {one.requestid: one for one in self._desk.ledger.owned_of(self._desk.remote, action.key)}
        plan = self._desk.plan
        ours = [row for row in rows if is_ours(row, owned, plan.mirror_ids, plan.traits.meta_kept)]
        if action.kind is not Kind.ADD:
            return self._is_made(id_, action, ours)
        live = [row for row in ours or rows if row.status.live]
        if live:
            row = min(live, key=lambda row: (row.status is not PinStatus.PINNED, row.created))
            self._desk.later(
                Settled(id_, "done", f"was there already ({row.status})", row.requestid),
                lambda now: self._landed(action, row, now, foreign=row not in ours),
            )
            return True
        if ours:  # failed, which the list did not tell
            row = max(ours, key=lambda row: row.created)
            self._desk.later(
                Settled(id_, "moot", "is there and failed", row.requestid), lambda now: self._landed(action, row, now)
            )
            return True
        theirs = next((row for row in rows if row.requestid == row.cid), None)
        if theirs is not None:
            # A record that serves everyone, is not ours, and failed: posting would overwrite it.
            self._desk.later(
                Settled(
                    id_, "moot", f"somebody else's pin of it is {theirs.status}; not posted over", theirs.requestid
                ),
                lambda now: self._landed(action, theirs, now, foreign=True),
            )
            return True
        if not found.certain and self._desk.plan.listed != "complete":
            said = "not in a list that is not complete, and the remote cannot be asked for one CID alone; not added"
            self._desk.later(Settled(id_, "moot", said), lambda now: self._unclear(action, said, False))
            return True
        return False

    def _is_made(self, id_: int, action: Action, ours: list[RemotePin]) -> bool:
        """Whether an update's or a retry's new pin is there already, though the list did not show it."""
        others = [row for row in ours if row.requestid != action.requestid]
        alike = [row for row in others if not drift(self._asked(action), row, self._desk.plan)]
        live = [row for row in (others if action.kind is Kind.RETRY else alike) if row.status.live]
        if live:
            row = min(live, key=lambda row: (row.status is not PinStatus.PINNED, row.created))
            self._desk.later(
                Settled(id_, "done", f"was there already ({row.status})", row.requestid),
                lambda now: self._landed(action, row, now),
            )
            return True
        unlisted = [row for row in others if row.status.live] or (alike if action.kind is Kind.UPDATE else [])
        if unlisted:
            said = f"{unlisted[0].requestid} is there, which the list does not show yet; not added beside it"
            self._desk.later(Settled(id_, "moot", said), None)
        return bool(unlisted)

    def _asked(self, action: Action) -> DesiredPin:
        """What a POST asks for, without our mark."""
        assert action.body is not None
        meta = {name: value for name, value in action.body.meta.items() if name != MARK}
        return DesiredPin(action.key, action.cid, action.body.name or "", meta)

    def _count(self, action: Action) -> None:
        if action.kind is Kind.ADD:
            self._desk.done.added += 1
        elif action.kind is Kind.RETRY:
            self._desk.done.retried += 1
        else:
            self._desk.done.updated += 1

    def _landed(
        self, action: Action, row: RemotePin, now: float, *, preexisting: bool = False, foreign: bool = False
    ) -> None:
        """A POST was answered, or a look-up found the pin."""
        owned = {one.requestid: one for one in self._desk.ledger.owned_of(self._desk.remote, action.key)}
        known = owned.get(row.requestid)
        if row.key != action.key:
            self._desk.done.trouble(f"remote {self._desk.remote!r} answered {row.cid} when asked to pin {action.cid}")
            return
        marked = row.requestid != row.cid and row.mark in self._desk.plan.mirror_ids  # not by this request
        if known is None and preexisting and not marked and not foreign:
            # One record of a CID serves everyone and it is older than our request: it was somebody's (semantics:
            # *Ours*).
            self._desk.ledger.own(
                self._desk.remote, Owned(row.requestid, row.key, row.cid, How.FOREIGN, row.created), now
            )
            foreign = True
        elif not foreign:
            how = known.how if known and known.how is not How.MARK else How.CREATED
            foreign = how is How.FOREIGN
            self._desk.ledger.own(self._desk.remote, Owned(row.requestid, row.key, row.cid, how, row.created), now)
        self._desk.ledger.drop_approval(self._desk.remote, action)
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
        self._desk.ledger.put_entry(self._desk.remote, entry)

    def _declined(self, action: Action, row: RemotePin) -> str:
        """The fingerprint of what was asked for, when the answer shows that the service did not take it."""
        want = self._asked(action)
        return fingerprint(want.name, want.meta) if drift(want, row, self._desk.plan) else ""

    def _entry(self, action: Action) -> Entry:
        return self._desk.ledger.entry(self._desk.remote, action.key) or Entry(
            action.key, action.cid, True, PinState.MISSING, since=self._desk.plan.now
        )

    def _again(self, entry: Entry, error: str, now: float, first: float | None = None) -> Entry:
        attempts = entry.attempts + 1
        pause = backoff(attempts) if first is None else backoff(attempts, first)
        return replace(entry, attempts=attempts, next_try=now + pause, error=error)

    def _refuse(self, action: Action, error: str, now: float) -> None:
        entry = self._again(self._entry(action), error, now, REFUSED_FIRST)
        if action.kind is Kind.ADD:
            entry = replace(entry, state=PinState.REFUSED, unclear=False)
        self._desk.ledger.put_entry(self._desk.remote, entry)

    def not_tried(self, action: Action) -> None:
        """Refused with all the others: due as soon as the remote takes pins again."""
        entry = replace(self._entry(action), state=PinState.REFUSED, error=self._desk.posts_end, next_try=None)
        self._desk.ledger.put_entry(self._desk.remote, entry)

    def _unclear(self, action: Action, error: str, unclear: bool = True) -> None:
        entry = replace(self._entry(action), error=error)
        self._desk.ledger.put_entry(self._desk.remote, replace(entry, unclear=True) if unclear else entry)
