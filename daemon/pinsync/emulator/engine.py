"""`Emulator`: a pinning service in one object, without HTTP of its own; `app` puts it behind ASGI."""

from __future__ import annotations

import hmac
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random

from pinsync.clock import Clock, SystemClock
from pinsync.emulator.behaviour import Behaviour
from pinsync.emulator.faults import Faults
from pinsync.emulator.limiter import Limiter
from pinsync.emulator.profiles import profile
from pinsync.emulator.records import PinRecord, Request, Seed
from pinsync.emulator.service import Service
from pinsync.emulator.store import Row, Store
from pinsync.emulator.wire import Answer, Refusal, error_answer
from pinsync.model import PinStatus

_LOGGED = 10_000


class Emulator:
    """A pinning service that behaves as `behaviour` (a `Behaviour`, or the name of a profile).

    `token` None: every request is let in. `clock` and `seed` decide all that time and chance decide. `store` keeps the
    pins; by default in memory. Safe to use from several threads. Raises `UsageError` for an unknown profile.
    """

    def __init__(
        self,
        behaviour: Behaviour | str = "spec",
        *,
        token: str | None = None,
        clock: Clock | None = None,
        seed: int = 0,
        store: Store | None = None,
    ) -> None:
        known = profile(behaviour) if isinstance(behaviour, str) else behaviour
        self.clock: Clock = clock or SystemClock()
        self.store = store if store is not None else Store()
        self.faults = Faults()
        self.requests: deque[Request] = deque(maxlen=_LOGGED)
        """The last requests under `/pins`, oldest first."""
        self.mutations = 0
        """POST and DELETE requests that arrived under `/pins`, whatever became of them."""
        self.peak_concurrency = 0
        """The most requests that were under way at one time."""
        self.before_request: Callable[[Request], None] | None = None
        """Called for each request as it arrives, before it is carried out: change the world here, between two pages."""
        self._lock = threading.RLock()
        self._token = None if token is None else token.encode()
        self._under_way = 0
        self._limiter = Limiter(known.rate) if known.rate else None
        self._service = Service(known, self.store, self.clock, Random(seed))

    @property
    def behaviour(self) -> Behaviour:
        """The one in force; `become` changes it."""
        return self._service.behaviour

    @property
    def guarded(self) -> bool:
        """Whether a token is asked for."""
        return self._token is not None

    # ── for tests ───────────────────────────────────────────────────────────────────────────────────────────────────

    def become(self, behaviour: Behaviour | None = None, **knobs: object) -> None:
        """Behave as `behaviour` (or as now), with `knobs` set otherwise, from the next request on. Pins stay."""
        with self._lock:
            new = replace(behaviour or self.behaviour, **knobs)  # type: ignore[arg-type]
            if new.rate != self.behaviour.rate:
                self._limiter = Limiter(new.rate) if new.rate else None
            self._service.behaviour = new

    def seed_pins(
        self, pins: Iterable[Seed | str], *, created: int | None = None, step: int | None = None
    ) -> list[str]:
        """Put pins there in bulk, given as `Seed` or by CID; their ids, in the order given.

        Those without a `created` get `created` (ns) for the first and `step` (ns) more for each further one: a step
        of 0 makes them tie. By default they lie one stored step apart and the last is the newest, just before now.
        Raises `ValueError` for an id that is there already.
        """
        with self._lock:
            return self._service.seed(pins, created, step)

    def pins(self) -> list[PinRecord]:
        """Every pin there is, oldest first, with the status that GET by id would tell."""
        with self._lock:
            status = self._service.lifecycle.status
            return [
                PinRecord(
                    row.requestid, row.cid, row.name, row.meta, row.origins, status(row), row.created, row.details
                )
                for row in sorted(self.store, key=lambda row: (row.created, row.seq))
            ]

    def set_status(self, requestid: str, status: PinStatus, details: str | None = None) -> None:
        """Let a pin have this status from now on; `details` shows in its `info`. Raises `KeyError`."""
        with self._lock:
            row = self._row(requestid)
            row.details = details
            row.pinning_at = row.settles_at = None
            self.store.change(row, status)

    def remove_pins(self, requestids: Iterable[str]) -> None:
        """Let pins vanish without a request. Raises `KeyError`."""
        with self._lock:
            for requestid in requestids:
                self.store.remove(self._row(requestid))

    def reset_counters(self) -> None:
        """Empty the log of requests and set the counters to zero."""
        with self._lock:
            self.requests.clear()
            self.mutations = 0
            self.peak_concurrency = self._under_way

    # ── for `app`, and for simulations that need no HTTP ────────────────────────────────────────────────────────────

    def arrive(self, method: str, path: str, query: str) -> Request:
        """Note a request under `/pins`; to be followed by `leave`."""
        request = Request(method, path, query, method in ("POST", "DELETE"), self.clock.now())
        with self._lock:
            self.requests.append(request)
            self.mutations += request.mutating
            self._under_way += 1
            self.peak_concurrency = max(self.peak_concurrency, self._under_way)
        if self.before_request is not None:
            self.before_request(request)
        return request

    def leave(self) -> None:
        """A request that arrived is over."""
        with self._lock:
            self._under_way -= 1

    def handle(
        self,
        method: str,
        requestid: str | None,
        query: bytes = b"",
        body: bytes = b"",
        authorization: str | None = None,
    ) -> Answer:
        """Carry out one request: `requestid` None for `/pins`, else `/pins/{requestid}`, unquoted. Never waits.

        `authorization` is the header's text. Latency, faults and the log are left to the caller.
        """
        with self._lock:
            headers: dict[str, str] = {}
            try:
                self._authorize(authorization)
                headers = self._admit(is_list=method == "GET" and requestid is None)
                self._check_open(method)
                answer = self._service.carry_out(method, requestid, query, body)
            except Refusal as refusal:
                headers |= refusal.headers
                error = self.behaviour.error(refusal.kind)
                return error_answer(error, refusal.details, self.behaviour.content_type, headers)
            return replace(answer, headers=headers) if headers else answer

    def error(self, status: int) -> Answer:
        """An error with this status in the service's usual shape, as a fault asks for it."""
        usual = replace(self.behaviour.error("missing"), status=status, reason=f"ERROR_{status}", details=None)
        return error_answer(usual, "something went wrong on purpose", self.behaviour.content_type, {})

    def server_time(self) -> float:
        """Seconds since the epoch by this server's clock."""
        return self._service.seconds()

    def _row(self, requestid: str) -> Row:
        row = self.store.get(requestid)
        if row is None:
            raise KeyError(requestid)
        return row

    def _authorize(self, authorization: str | None) -> None:
        if self._token is None:
            return
        scheme, _, given = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise Refusal("no-token")
        if not hmac.compare_digest(given.strip().encode(), self._token):
            raise Refusal("wrong-token")

    def _admit(self, *, is_list: bool) -> dict[str, str]:
        if self._limiter is None or (self._limiter.rate.lists_only and not is_list):
            return {}
        admitted, headers = self._limiter.arrive(self.clock.monotonic(), self.server_time())
        if not admitted:
            raise Refusal("rate", headers=headers)
        return headers

    def _check_open(self, method: str) -> None:
        closed = self.behaviour.closed
        shut = {"maintenance": ("POST", "DELETE"), "delete-restricted": ("DELETE",)}.get(closed, ("POST",))
        if closed and (closed in ("lapsed", "no-pinning-rights") or method in shut):
            raise Refusal(closed)
