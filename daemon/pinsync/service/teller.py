"""The teller: decides after each pass whether people are to be told, and tells them beside everything else.

Deciding is `news`; trying is `receivers`; here is what lies between: what is remembered in the ledger, so that a
restart repeats nothing and forgets nothing, and the deliveries, of which none ever delays a pass.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pinsync.clock import Clock
from pinsync.errors import PinsyncError, StateError
from pinsync.house import State
from pinsync.ledger.pauses import fresh_since
from pinsync.settings.model import NotifySettings, Settings
from pinsync.status import STALE_AFTER, status
from pinsync.steps.report import PassReport

from . import receivers
from .news import Matter, Standing, broken, matters, message, news, remembered, resting, stale
from .receivers import RECEIVERS, Answered, Receiver, configured

FACT = "notify"
TRIES = 3
FIRST_PAUSE = 2.0  # seconds between two tries; three times as long each further time
GRACE = 1.0  # seconds for what is under way when the daemon ends
LOOK_EVERY = 60.0  # seconds between two looks whether the mirror has become stale

Message = dict[str, Any]
Tell = Callable[[Receiver, NotifySettings, Message, Mapping[str, str], Clock], Awaitable[Answered]]


@dataclass(slots=True)
class _Box:
    """One receiver's letter box: it holds the newest message alone, and whoever carries it."""

    message: Message | None = None
    carrier: asyncio.Task[None] | None = None
    not_before: float = 0.0  # after a delivery that failed: the clock's monotonic


@dataclass(slots=True)
class _Memory:
    """What the ledger keeps for us: the matters that stand, and what a receiver has not been told yet."""

    standing: dict[str, Standing] = field(default_factory=dict)
    undelivered: dict[Receiver, Message] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str | None) -> _Memory:
        try:
            kept = json.loads(text or "{}")
            waiting = kept.get("undelivered", {})
            known = {one: waiting[one] for one in RECEIVERS if isinstance(waiting.get(one), dict)}
            return cls(remembered(kept.get("standing")), known)
        except (ValueError, AttributeError):
            return cls()

    def text(self) -> str:
        standing = [one.as_json() for one in self.standing.values()]
        return json.dumps({"standing": standing, "undelivered": self.undelivered})


class Teller:
    """Tells people what changed. No method raises, and but for `finish` and `close` none waits.

    For one event loop, in which all of it runs; `tell` stands in for the receivers in tests.
    """

    def __init__(
        self, state: State, clock: Clock, env: Mapping[str, str], log: logging.Logger, tell: Tell = receivers.tell
    ) -> None:
        self._state, self._clock, self._env, self._log, self._tell = state, clock, env, log, tell
        self._boxes: dict[Receiver, _Box] = {}
        self._memory: _Memory | None = None
        self._looked = clock.monotonic()
        self._complained: dict[Receiver, str] = {}

    def after_pass(self, settings: Settings, report: PassReport | None, *, whole: bool, broke: str = "") -> None:
        """A pass is over, `whole` or over one remote; `report` None where it could not be finished, `broke` saying why.

        A heartbeat is sent after each whole pass in which everything could be read and obeyed.
        """
        with self._survived():
            found, verdict = self._look(settings, broke)
            self._change(settings, found, verdict)
            if whole and report is not None and report.good and "heartbeat" in configured(settings.notify, self._env):
                self._post(settings, "heartbeat", {})

    def look(self, settings: Settings) -> None:
        """Between passes, as often as one likes: whether the mirror has become stale meanwhile."""
        now = self._clock.monotonic()
        if now - self._looked < LOOK_EVERY:
            return
        self._looked = now
        with self._survived():
            before = self._remembered().standing
            found = [one.matter for one in before.values() if one.matter.what != "stale"]
            found += self._stale(settings, found)
            if len(found) > len(before):  # what is over is told after a pass
                self._change(settings, found, "stale")

    async def finish(self, seconds: float) -> None:
        """Wait for the deliveries under way, but no longer than this; what is left is tried by the next run."""
        carriers = [box.carrier for box in self._boxes.values() if box.carrier is not None]
        if carriers:
            await asyncio.wait(carriers, timeout=seconds)

    async def close(self, grace: float = GRACE) -> None:
        """The end: what is under way gets a moment, in seconds."""
        await self.finish(grace)
        carriers = [box.carrier for box in self._boxes.values() if box.carrier is not None]
        for carrier in carriers:
            carrier.cancel()
        if carriers:
            await asyncio.wait(carriers)

    # -- deciding ---------------------------------------------------------------------------------------------------

    def _remembered(self) -> _Memory:
        """What is remembered; read once."""
        if self._memory is None:
            try:
                self._memory = _Memory.read(self._state.ledger.fact(FACT))
            except StateError:  # then this is what people are told
                self._memory = _Memory()
        return self._memory

    def _look(self, settings: Settings, broke: str) -> tuple[list[Matter], str]:
        """What needs a person now, and the verdict."""
        if not broke:
            try:
                report = status(self._state.ledger, settings, self._clock.now(), {"running": True})
                found = list(matters(report))
                at_rest = resting(report)  # what was told of these is neither over nor new while nobody asks them
                known = self._remembered().standing.values()
                found += [one.matter for one in known if one.told and one.matter.remote in at_rest]
                return [*found, *self._stale(settings, found)], str(report["verdict"])
            except StateError as error:
                broke = str(error)
        standing = [one.matter for one in self._remembered().standing.values()]
        return [*standing, broken(broke)], "failing"

    def _stale(self, settings: Settings, found: Iterable[Matter]) -> list[Matter]:
        """One matter where no pass went well for too long. Where something fails that is why, and is told instead."""
        last = self._state.ledger.last_good()
        since = fresh_since(self._state.ledger, self._clock.now())
        if last is None or since is None or self._clock.now() - since <= STALE_AFTER * settings.schedule.every:
            return []
        one = stale(last)
        stands = one.key in self._remembered().standing
        return [one] if stands or all(matter.what != "failing" for matter in found) else []

    def _change(self, settings: Settings, found: Iterable[Matter], verdict: str) -> None:
        memory, now = self._remembered(), self._clock.now()
        readers: list[Receiver] = [one for one in configured(settings.notify, self._env) if one != "heartbeat"]
        unique = {matter.key: matter for matter in found}
        change = news(memory.standing, unique.values(), now, settings.notify.failing_after * settings.schedule.every)
        waiting = {name: told for name, told in memory.undelivered.items() if name in readers}
        if change.news is not None and readers:
            told = message(
                change.news, verdict=verdict, host=socket.gethostname(), mirror=self._state.mirror_id, now=now
            )
            waiting = dict.fromkeys(readers, told)
            self._log.info("telling: %s", told["subject"])
        before = memory.text()
        memory.undelivered = waiting
        memory.standing = change.after if readers else {key: one.untold for key, one in change.after.items()}
        if memory.text() != before:
            with self._survived():
                self._note(change.began, change.ended)
        for receiver in readers:
            if receiver in waiting:
                self._post(settings, receiver, waiting[receiver])

    def _note(self, began: Iterable[Standing], ended: Iterable[Standing]) -> None:
        """Into the ledger: what is remembered, and the changes as events."""
        ledger, now = self._state.ledger, self._clock.now()
        with ledger.store.transaction():
            ledger.set_fact(FACT, self._remembered().text())
            for one in began:
                ledger.happened("verdict", now, remote=one.matter.remote, details=f"{one.matter.key}: {one.matter.why}")
            for one in ended:
                ledger.happened("verdict", now, remote=one.matter.remote, details=f"{one.matter.key}: over")

    # -- delivering -------------------------------------------------------------------------------------------------

    def _post(self, settings: Settings, receiver: Receiver, what: Message) -> None:
        """Put a message into the box; one that is older and not delivered yet is replaced."""
        box = self._boxes.setdefault(receiver, _Box())
        fresh = box.message != what
        box.message = what
        if box.carrier is not None and not box.carrier.done():
            return
        if fresh or self._clock.monotonic() >= box.not_before:
            box.carrier = asyncio.get_running_loop().create_task(self._carry(settings, receiver, box))

    async def _carry(self, settings: Settings, receiver: Receiver, box: _Box) -> None:
        """Deliver what is in the box, and what comes into it meanwhile."""
        while box.message is not None:
            answered, delivered = await self._try(settings, receiver, box)
            with self._survived():
                self._told(receiver, answered, delivered)
            if not answered.ok:
                box.not_before = self._clock.monotonic() + settings.schedule.every
                if receiver == "heartbeat":
                    box.message = None
                return
            if box.message is delivered:
                box.message = None

    async def _try(self, settings: Settings, receiver: Receiver, box: _Box) -> tuple[Answered, Message]:
        """Up to three tries, each with the newest message."""
        pause = FIRST_PAUSE
        tried = 0
        while True:
            what = box.message
            assert what is not None
            answered = await self._tell(receiver, settings.notify, what, self._env, self._clock)
            tried += 1
            if answered.ok or not answered.again or tried == TRIES:
                return answered, what
            await self._clock.sleep(pause)
            pause *= 3

    def _told(self, receiver: Receiver, answered: Answered, what: Message) -> None:
        where = f"{receiver} {answered.where}".rstrip()
        before = self._complained.pop(receiver, "")
        if not answered.ok:
            self._complained[receiver] = answered.said
            if answered.said != before:
                later = "" if receiver == "heartbeat" else "; it is tried again later"
                self._log.warning("%s could not be told: %s%s", where, answered.said, later)
            return
        if receiver == "heartbeat":
            self._log.debug("%s: %s", where, answered.said)
            return
        memory, ledger = self._remembered(), self._state.ledger
        if memory.undelivered.get(receiver) == what:
            del memory.undelivered[receiver]
        with ledger.store.transaction():
            ledger.set_fact(FACT, memory.text())
            details = f"{where}: {what.get('subject', '')} ({answered.said})"
            ledger.happened("notified", self._clock.now(), details=details)

    def _survived(self) -> _Survived:
        return _Survived(self._log)


class _Survived:
    """Telling people is never a reason for a pass to fail: what goes wrong with it is logged."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, StateError):
            self._log.debug("%s", error)  # the pass has said so
        elif isinstance(error, PinsyncError):
            self._log.warning("%s", error)
        elif isinstance(error, Exception):
            self._log.error("telling people failed; this is a bug in pinsync, please report it", exc_info=error)
        return error is None or isinstance(error, Exception)


async def trial(settings: Settings, mirror: str, clock: Clock, env: Mapping[str, str]) -> list[Answered]:
    """Tell every receiver that this is a trial, once and at the same time; in the order of `RECEIVERS`."""
    told = message(None, verdict="", host=socket.gethostname(), mirror=mirror, now=clock.now())
    wanted = configured(settings.notify, env)
    return list(await asyncio.gather(*(receivers.tell(one, settings.notify, told, env, clock) for one in wanted)))


def trial_json(answers: Iterable[Answered]) -> dict[str, Any]:
    """The object that `notify --json` prints."""
    return {"format": 1, "receivers": [one.as_json() for one in answers]}
