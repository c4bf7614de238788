"""The one loop that makes passes: never two at once, and another one right after when something changed meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pinsync.clock import rfc3339
from pinsync.ending import until_idle
from pinsync.errors import LedgerDamaged, Paused, PinsyncError, StateError
from pinsync.house import State, mirror_id, run_pass
from pinsync.ledger.records import Pause
from pinsync.steering import all_paused, words
from pinsync.steps.report import PassReport, sync_json
from pinsync.words import placed

from .between import FollowUps
from .inforce import Configuration
from .monitor import Monitor
from .notify import Notifier
from .pulse import Pulse, patience
from .teller import Teller
from .telling import counts, local, observed, overheard, reading_progress
from .ticker import Ticker
from .wishes import Listener, Wish, Wishes

FIRST_PAUSE = 5.0  # seconds until a failed pass is tried again; doubles up to `schedule.every`
SUCCESSOR_PAUSE = 10.0  # seconds at least between a pass and the next one that finishes an update
STATE_PAUSE = 30.0  # seconds between two looks at pins on their way while the ledger fails
_MOST_LINES = 20  # of troubles logged for one pass
_VERDICTS = {0: "in sync", 1: "failing", 2: "the manifest cannot be read", 3: "converging", 4: "held for a person"}


@dataclass(slots=True)
class Running:
    """The pass that is under way."""

    trigger: str
    only: str | None
    since: float
    progress: dict[str, dict[str, Any]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For `status`."""
        return {
            "trigger": self.trigger,
            "remote": self.only,
            "since": rfc3339(self.since),
            "progress": list(self.progress.values()),
        }


class Runner:
    """Passes and follow-ups, one at a time. `begun` is called when a pass begins."""

    def __init__(
        self, configuration: Configuration, state: State, stop: asyncio.Event, notifier: Notifier,
        log: logging.Logger, begun: Callable[[], None], monitor: Monitor,
    ) -> None:  # fmt: skip
        self.monitor = monitor
        self.wishes = Wishes()
        self.running: Running | None = None
        self.next_at: float | None = None
        self.went_by: str | None = None  # the digest of the manifest that the last whole pass read, if it could
        self.turned = asyncio.Event()  # a pass or a look at pins on their way began or ended
        self._configuration, self._state, self._stop = configuration, state, stop
        self._notifier, self._log, self._begun = notifier, log, begun
        self._clock = configuration.house.clock
        self._pulse = Pulse(self._clock)
        self._follows = FollowUps(state.ledger, self._clock, log)
        self._teller = Teller(state, self._clock, configuration.house.env, log)
        self._wake = asyncio.Event()
        self._ticker = Ticker(self._tick)
        self._next_monotonic = float("inf")
        self._next_trigger = "schedule"
        self._ended = 0.0
        self._halt = asyncio.Event()
        self._afterwards: list[Callable[[], None]] = []
        self._resting: Pause | None = None
        self._failures = 0
        self._troubles: dict[tuple[str, str], None] = {}
        self._doubts: set[str] = set()

    def ask(self, trigger: str, only: str | None = None, listener: Listener | None = None) -> None:
        """Want a pass: it begins as soon as the one under way is over."""
        if not self.wishes and self.running is None:
            self._pulse.beat()  # from now on the worker has something to do
        self.wishes.add(trigger, only, listener)
        self._wake.set()

    def halt(self) -> None:
        """Have the pass under way begin nothing more; what is in flight ends."""
        self._halt.set()

    def afterwards(self, work: Callable[[], None]) -> None:
        """Do something to the ledger when the pass under way cannot write over it any more; at once without one."""
        if self.running is not None:
            self._afterwards.append(work)
        else:
            work()

    def wake(self) -> None:
        """Something is to be looked at: the wish to stop, a pin that is due."""
        self._wake.set()

    def overdue(self) -> float:
        """Seconds by which the worker has been silent for longer than the configured timeouts account for; else 0."""
        house = self._configuration.house
        return max(0.0, self._pulse.silent_for(house.limiters.values()) - patience(house.settings))

    def look_at_clock(self) -> None:
        """Catch what a ticker misses: a machine that slept, a clock that was set."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        if self.next_at is not None and (now >= self.next_at or monotonic >= self._next_monotonic):
            self._tick()
        elif self.running is None and self._follow_due():
            self.wake()
        self._teller.look(self._configuration.settings)

    def _tick(self) -> None:
        """It is time. A pass that lasts longer than the interval is not followed by another one at once."""
        if self.next_at is not None:
            trigger = self._next_trigger
            self._expect(None)
            self.ask(trigger)

    async def work(self) -> None:
        """Make passes until `stop` is set."""
        self.ask("start")
        try:
            while not self._stop.is_set():
                self._wake.clear()
                if (wish := self.wishes.take()) is not None:
                    await self._pass(wish)
                elif self._follow_due():
                    self._pulse.beat()
                    await self._follow()
                    self.turned.set()
                else:
                    self._pulse.rest()
                    await self._wake.wait()
        finally:
            self._ticker.close()
            await self._teller.close()
            while (wish := self.wishes.take()) is not None:
                for listener in wish.listeners:
                    listener.error(1, "the daemon is ending, so this pass was not begun")

    # -- a pass -----------------------------------------------------------------------------------------------------

    async def _pass(self, wish: Wish) -> None:
        clock = self._clock
        if (pause := self._paused(wish)) is not None:
            self._rest(wish, pause)
            return
        self._resting = None
        self._halt = asyncio.Event()
        self.running = Running(wish.trigger, wish.only, clock.now())
        self._pulse.beat()
        self.turned.set()
        self._log.debug("pass (%s) begins", wish.trigger)
        self.monitor.pass_begins(wish.trigger, wish.only)
        self._notifier.tell(STATUS=f"mirroring ({wish.trigger})")
        if wish.only is None:
            self._expect(None)
        task = asyncio.create_task(self._run(wish))
        stopped = asyncio.create_task(self._stop.wait())
        self._begun()
        try:
            await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                self._halt.set()
                await until_idle(task, self._configuration.house.limiters)
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=1.0)
        finally:
            stopped.cancel()
            task.cancel()
            self.running = None
            self._ended = clock.now()
            self._do_afterwards()
        self._pulse.beat()
        self._conclude(wish, task)
        self.turned.set()

    def _paused(self, wish: Wish) -> Pause | None:
        """What keeps this pass from doing anything; a ledger that fails is the pass's to tell."""
        names = [remote.name for remote in self._configuration.settings.remotes if wish.only in (None, remote.name)]
        try:
            return all_paused(self._state.ledger, self._clock.now(), names)
        except StateError:
            return None

    def _rest(self, wish: Wish, pause: Pause) -> None:
        """Make no pass: a person said so. The next one is when the pause ends, or looks again on schedule."""
        for listener in wish.listeners:
            listener.error(Paused.exit_code, words(pause))
        self._begun()
        if wish.only is None:
            every = self._configuration.settings.schedule.every
            self._ticker.every(every)
            upcoming = self._clock.now() + every
            if pause.until is not None and pause.until < upcoming:
                self._expect(pause.until, "end of a pause")
            else:
                self._expect(upcoming)
        if pause != self._resting:
            self._log.info("no passes: %s", words(pause))
            self._notifier.tell(STATUS=words(pause))
        self._resting = pause

    def _do_afterwards(self) -> None:
        todo, self._afterwards = self._afterwards, []
        for work in todo:
            try:
                work()
            except PinsyncError as error:
                self._log.error("%s", error)

    async def _run(self, wish: Wish) -> PassReport:
        house, state, running = self._configuration.house, self._state, self.running
        assert running is not None
        for note in state.ready(self._clock.now()):
            self._log.error("%s", note)
        self._follows.ledger = state.ledger
        state.mirror_id = mirror_id(house.settings, state.ledger)

        def told(key: str, what: dict[str, Any]) -> None:
            self._pulse.beat()
            running.progress[key] = what
            self.monitor.events.progress(what)
            for listener in wish.listeners:
                listener.progress(what)

        world = house.world(
            state.mirror_id,
            lambda what, count, of: told(what, reading_progress(what, count, of)),
            lambda remote, done, of: told(
                f"remote {remote}", {"step": "apply", "what": f"mirroring to {remote}", "count": done, "of": of}
            ),
        )
        world.stop, world.alive = self._halt, self._pulse.beat
        for curious in wish.listeners:
            if curious.verbose:
                overheard(world, curious.request)
        try:
            return await run_pass(observed(world, self._log), state, trigger=wish.trigger, only=wish.only)
        except LedgerDamaged as error:
            raise state.renew(error, self._clock.now()) from error  # the next pass has a new one
        finally:
            self._follows.ledger = state.ledger

    def _conclude(self, wish: Wish, task: asyncio.Task[PassReport]) -> None:
        """Tell what came of a pass, and plan the next."""
        if not task.done() or task.cancelled():
            message = "the daemon ended in the middle of this pass; the next pass goes on from there"
            self._log.info("%s", message)
            self.monitor.pass_is_over(wish.trigger, wish.only, None, message)
            for listener in wish.listeners:
                listener.error(1, message)
            return
        error = task.exception()
        report, broke = None, ""
        if error is None:
            report = task.result()
            if wish.only is None:
                manifest = report.sources.manifest
                self.went_by = manifest.manifest.digest if manifest.manifest and not manifest.problems else None
            for listener in wish.listeners:
                listener.result(sync_json(report), report.exit_code())
            troubles = [(trouble.where, trouble.message) for trouble in report.troubles]
            failed, said = report.failed, f"{_VERDICTS[report.exit_code()]}: {counts(report)}, {report.seconds:.1f} s"
        else:
            known = isinstance(error, PinsyncError)
            message = str(error) if known else f"this is a bug in pinsync, please report it: {error!r}"
            for listener in wish.listeners:
                listener.error(error.exit_code if isinstance(error, PinsyncError) else 1, message)
            troubles, failed, said = [("pass", message)], True, "failing: it could not be finished"
            broke = message
            if not known:
                self._log.error("a pass ended by a bug", exc_info=error)
        self.monitor.pass_is_over(wish.trigger, wish.only, None if error else task.result(), said)
        if report is not None:
            self._tell_doubts(report)
        if wish.only is None:
            self._tell_troubles(troubles)
            self._failures = self._failures + 1 if failed else 0
            self._plan_next()
        if report is not None and report.again:
            self._soon()
        self._teller.after_pass(self._configuration.settings, report, whole=wish.only is None, broke=broke)
        if not self._stop.is_set():
            upcoming = f"next at {local(self.next_at)}" if self.next_at else "another one follows"
            line = f"pass ({wish.trigger}{f', {wish.only} alone' if wish.only else ''}): {said}; {upcoming}"
            self._log.info("%s", line)
            self._notifier.tell(STATUS=line)

    def _tell_troubles(self, troubles: list[tuple[str, str]]) -> None:
        """Log what is newly wrong, and what is well again; what goes on being wrong was said."""
        current = dict.fromkeys(troubles)
        fresh = [trouble for trouble in current if trouble not in self._troubles]
        for where, message in fresh[:_MOST_LINES]:
            self._log.error("%s", placed(where, message))
        if len(fresh) > _MOST_LINES:
            self._log.error("and %d more; `pinsync status` and `pinsync check` tell them", len(fresh) - _MOST_LINES)
        still = {where for where, _ in current}
        for where in dict.fromkeys(where for where, _ in self._troubles):
            if where not in still:
                self._log.info("%s: well again", where)
        self._troubles = current

    def _tell_doubts(self, report: PassReport) -> None:
        """Log each doubt that is new, since everything may look well beside it."""
        current = {doubt.code: doubt.reason for doubt in report.doubts}
        for code in current.keys() - self._doubts:
            self._log.warning(
                "held for a person: %s: no removal. If it is meant, `pinsync approve --all`", current[code]
            )
        self._doubts = set(current)

    # -- when the next one is ---------------------------------------------------------------------------------------

    def _plan_next(self) -> None:
        every = self._configuration.settings.schedule.every
        pause = min(every, FIRST_PAUSE * 2.0 ** min(self._failures - 1, 20)) if self._failures else every
        self._ticker.every(pause)
        self._expect(self._clock.now() + pause)

    def _expect(self, at: float | None, trigger: str = "schedule") -> None:
        self.next_at, self._next_trigger = at, trigger
        self._next_monotonic = float("inf") if at is None else self._clock.monotonic() + at - self._clock.now()
        if at is not None:
            try:
                self._state.ledger.set_fact("next_pass_at", str(at))
            except StateError as error:
                self._log.debug("%s", error)  # the pass has said so

    # -- between passes ---------------------------------------------------------------------------------------------

    def _soon(self) -> None:
        """Something that waited can go on: bring the next pass forward."""
        now = self._clock.now()
        soon = max(now, min(self._ended, now) + SUCCESSOR_PAUSE)
        if self.next_at is None or soon < self.next_at:
            self._expect(soon, "follow-up")

    def _follow_due(self) -> bool:
        try:
            at = self._follows.due_at(self._configuration.house)
        except StateError as error:
            self._log.debug("%s", error)
            return False
        return at is not None and at <= self._clock.now()

    async def _follow(self) -> None:
        interrupt = asyncio.Event()
        task = asyncio.create_task(self._follows.round(self._configuration.house, interrupt))
        try:
            while not task.done():
                woken = asyncio.create_task(self._wake.wait())
                await asyncio.wait({task, woken}, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
                if self.wishes or self._stop.is_set():
                    return
                self._wake.clear()
            ready = task.result()
        except StateError as error:
            self._log.error("%s", error)
            self._follows.rest(STATE_PAUSE)
            return
        finally:
            if not task.done():
                interrupt.set()
                task.cancel()
                await asyncio.wait({task})
        self.monitor.pins_moved()
        if ready:
            self._soon()
