"""What each request does to the pins, as a behaviour has it. Who may ask and how often is `engine`'s business."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from random import Random

from pinsync.cid import CidError, key_of
from pinsync.clock import Clock
from pinsync.emulator.behaviour import Behaviour
from pinsync.emulator.lifecycle import Lifecycle, new_id
from pinsync.emulator.listing import parse_query, without_status
from pinsync.emulator.pinbody import Wanted, parse_pin
from pinsync.emulator.records import Seed
from pinsync.emulator.store import Row, Store
from pinsync.emulator.wire import Answer, PinWriter, Refusal
from pinsync.model import PinStatus


class Service:
    """The five calls of the Pinning Service API over a `Store`. `behaviour` may be set anew at any time."""

    def __init__(self, behaviour: Behaviour, store: Store, clock: Clock, random: Random) -> None:
        self._b = behaviour
        self._writer = PinWriter(behaviour)
        self._store = store
        self._clock = clock
        self._random = random
        self.lifecycle = Lifecycle(store, self.seconds, lambda: self._b)

    @property
    def behaviour(self) -> Behaviour:
        """The one in force."""
        return self._b

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self._b = behaviour
        self._writer = PinWriter(behaviour)
        self._store.forget_texts()

    def seconds(self) -> float:
        """Seconds since the epoch by the server's own clock."""
        return self._clock.now() + self._b.skew

    def carry_out(self, method: str, requestid: str | None, query: bytes, body: bytes) -> Answer:
        """One request: `requestid` None for `/pins`, else `/pins/{requestid}`, unquoted. Raises `Refusal`."""
        self.lifecycle.catch_up()
        match method, requestid:
            case "GET", None:
                return self._list(query)
            case "POST", None:
                return self._pin(self._add(parse_pin(body, self._b)), self._b.post_code, in_post=True)
            case "GET", str():
                row = self._find(requestid, "missing")
                self.lifecycle.refresh(row)
                return self._pin(row, 200)
            case "POST", str():
                return self._replace(self._find(requestid, "missing"), parse_pin(body, self._b))
            case "DELETE", str():
                return self._delete(self._find(requestid, "delete-missing"))
        raise Refusal("method", f"{method} is not possible here")

    def seed(self, pins: Iterable[Seed | str], created: int | None, step: int | None) -> list[str]:
        """See `Emulator.seed_pins`."""
        seeds = [Seed(each) if isinstance(each, str) else each for each in pins]
        unit = self._b.created_resolution
        step = unit if step is None else step
        first = self._now() - len(seeds) * step if created is None else created
        number = self._store.next_seq
        rows = []
        for place, seed in enumerate(seeds):
            requestid = new_id(self._b.requestid, seed.cid, number + place, self._random)
            at = first + place * step if seed.created is None else seed.created
            meta = None if seed.meta is None else dict(seed.meta)
            rows.append(Row(requestid, seed.cid, seed.name, meta, (), seed.status, at - at % unit, seed.details))
        self._store.add_many(rows)
        return [row.requestid for row in rows]

    def _list(self, raw: bytes) -> Answer:
        b = self._b
        query = parse_query(raw, b, self._now())
        asked = without_status(query) if b.status_after_limit else query
        rows, total = self._store.select(
            asked.statuses, asked.lowest, asked.below, asked.limit, b.order, asked.keep(b), self._random
        )
        if b.status_after_limit:
            rows = [row for row in rows if row.status in query.statuses]
        count = (total if b.count.startswith("total") else len(rows)) + b.count.endswith("+1")
        text = self._text
        page = f'{{"count":{count},"results":[{",".join([row.text or text(row) for row in rows])}]}}'
        return Answer(200, page.encode(), b.content_type)

    def _add(self, wanted: Wanted) -> Row:
        b = self._b
        existing = self._store.of_cid(wanted.cid)
        if existing and b.repost != "new-row":
            return self._repost(existing[-1], wanted)
        if b.capacity is not None and len(self._store) >= b.capacity:
            raise Refusal("full", f"this account holds {b.capacity} pins at most")
        requestid = new_id(b.requestid, wanted.cid, self._store.next_seq, self._random)
        row = Row(requestid, wanted.cid, wanted.name, wanted.meta, wanted.origins, PinStatus.QUEUED, self._created())
        grave = self._store.grave(wanted.cid) if b.created_revived else None
        if grave is not None:
            row.status, row.created, row.details = grave.status, grave.created, grave.details
            row.pinning_at, row.settles_at = grave.pinning_at, grave.settles_at
        elif not (b.repost_stuck and any(self.lifecycle.status(row) is PinStatus.PINNED for row in existing)):
            row.status = self.lifecycle.queue(row)
        self._store.add(row)
        self.lifecycle.watch(row)
        return row

    def _repost(self, row: Row, wanted: Wanted) -> Row:
        b = self._b
        if b.repost == "keep":
            return row
        if wanted.name is not None or b.repost == "upsert-clearing":
            row.name = wanted.name
        if wanted.meta is not None or b.repost == "upsert-clearing":
            row.meta = wanted.meta
        row.origins = wanted.origins
        again = row.status is PinStatus.FAILED and b.repost_requeues_failed
        status = self.lifecycle.queue(row) if again else None
        self._store.change(row, status, self._created() if b.created_reset_by_repost else None)
        if again:
            self.lifecycle.watch(row)
        return row

    def _replace(self, row: Row, wanted: Wanted) -> Answer:
        b = self._b
        if not b.replace_keeps_meta:
            wanted = replace(wanted, meta=None, origins=())
        if wanted.cid == row.cid:
            if b.replace_same == "refuse":
                raise Refusal("same-cid", "the pin has this CID already")
            if b.replace_same == "unpin":
                answer = self._pin(row, b.replace_code, in_post=True)
                self._drop(row)
                return answer
            if b.replace_same == "in-place":
                row.name, row.meta, row.origins = wanted.name, wanted.meta, wanted.origins
                self._store.change(row)
                return self._pin(row, b.replace_code, in_post=True)
        # Made before the old one goes, as the specification wants it; with room for both at a full account.
        if wanted.cid == row.cid or b.capacity is not None:
            self._drop(row)
            return self._pin(self._add(wanted), b.replace_code, in_post=True)
        new = self._add(wanted)
        self._drop(row)
        return self._pin(new, b.replace_code, in_post=True)

    def _delete(self, row: Row) -> Answer:
        b = self._b
        for each in list(self._store.of_cid(row.cid)) if b.delete_takes_all else [row]:
            self._drop(each)
        if b.delete_body == "ok-text":
            return Answer(b.delete_code, b"OK", "text/plain; charset=utf-8")
        return Answer(b.delete_code, b"{}" if b.delete_body == "json" else b"", b.content_type)

    def _find(self, requestid: str, missing: str) -> Row:
        row = self._store.get(requestid)
        if row is not None:
            return row
        if self._b.requestid == "cid":
            try:
                key_of(requestid)
            except CidError:
                raise Refusal("bad-id", f"Invalid request id: {requestid}") from None
        raise Refusal(missing, "there is no pin with this id")

    def _drop(self, row: Row) -> None:
        self._store.remove(row, bury=self._b.created_revived)

    def _pin(self, row: Row, code: int, *, in_post: bool = False) -> Answer:
        exact = in_post and self._b.created_format_in_post is not None
        text = self._writer.text(row, self._now(), in_post=True) if exact else self._text(row)
        return Answer(code, text.encode(), self._b.content_type)

    def _text(self, row: Row) -> str:
        if row.text is None:
            row.text = self._writer.text(row)
        return row.text

    def _now(self) -> int:
        # A float of today's epoch is good for a microsecond, no finer.
        return round(self.seconds() * 1_000_000) * 1000

    def _created(self) -> int:
        unit = self._b.created_resolution
        now = self._now()
        now -= now % unit
        return max(now, self._store.newest + unit) if self._b.created_unique else now
