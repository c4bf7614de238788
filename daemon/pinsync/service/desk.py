"""What the daemon does for those who ask it over the control socket."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Any, TypeVar

from pinsync import __version__
from pinsync.cid import Cid, CidError, parse_cid
from pinsync.clock import rfc3339
from pinsync.errors import PinsyncError, UsageError
from pinsync.history import cid_history, history
from pinsync.house import State, reading, run_plan
from pinsync.inventory import rows, take
from pinsync.ledger.ledger import Ledger, mirror_ids
from pinsync.ledger.pauses import pauses
from pinsync.model import Reading
from pinsync.people import Adopted, adopt, approve, held
from pinsync.settings.model import RemoteSettings
from pinsync.spool import Spool
from pinsync.status import cid_status, status
from pinsync.steering import disown, due_again, pause, resume, retry, words
from pinsync.steps.report import PassReport, plan_json, sync_json
from pinsync.words import counted

from .answers import adopted_json, approved_json, disowned_json, held_json, paused_json, retried_json
from .events import Reader
from .inforce import Configuration
from .monitor import Monitor
from .runner import Runner
from .summary import public
from .teller import trial, trial_json
from .telling import observed, reading_progress
from .wishes import Listener

T = TypeVar("T")
_CHUNK = 500  # pins of a list that are sent before anything else may happen
_ENDING = "the daemon is ending, so this was given up; nothing was done"


class Desk:
    """One method for each request. Every method may raise `PinsyncError`; `UsageError` for a request that is wrong."""

    def __init__(
        self, configuration: Configuration, state: State, runner: Runner, log: logging.Logger, monitor: Monitor
    ) -> None:  # fmt: skip
        self._configuration, self._state, self._runner, self._log = configuration, state, runner, log
        self._monitor = monitor
        self._clock = configuration.house.clock
        self._since = self._clock.now()
        self._tasks: set[asyncio.Task[Any]] = set()

    def about(self) -> dict[str, Any]:
        """`daemon` in the status."""
        running = self._runner.running
        return {
            "running": True,
            "pid": os.getpid(),
            "version": __version__,
            "since": rfc3339(self._since),
            "pass": running.as_json() if running else None,
            "config_error": self._configuration.error or None,
            "restart_needed": self._configuration.restart_needed or None,
            "listen": self._monitor.listening(),
            "textfile_error": self._monitor.trouble or None,
        }

    def status(self, remote: str | None, cid: str | None) -> dict[str, Any]:
        """The object that `status --json` prints."""
        self._check(remote)
        ledger, settings = self._state.ledger, self._configuration.settings
        if cid is not None:
            return cid_status(ledger, settings, _cid(cid), remote)
        return status(ledger, settings, self._clock.now(), self.about(), remote)

    def public(self) -> dict[str, Any]:
        """What every user of the machine may know of the status."""
        every = self._configuration.settings.schedule.every
        return public(self.status(None, None), now=self._clock.now(), every=every)

    def sync(self, remote: str | None, dry_run: bool, verbose: bool = False) -> Listener:
        """Want a pass; what is under way now does not count. `dry_run` plans alone, at once."""
        self._check(remote)
        listener = Listener(verbose)
        if not dry_run:
            self._runner.ask("sync", remote, listener)
            if self._runner.running is not None:
                listener.progress({"step": "wait", "what": "waiting for the pass under way", "count": 0, "of": None})
            return listener
        self._start(self._dry_run(remote, listener))
        return listener

    async def plan(self, remote: str | None) -> tuple[dict[str, Any], int]:
        """The object that `plan --json` prints, and its exit code."""
        self._check(remote)
        return await self._unless_ending(self._planned(remote, plan_json, lambda what, count, of: None))

    async def ls(self, remote: str) -> AsyncIterator[bytes]:
        """All pins of a remote, read now: lines of JSON, `{"reading"}` first, then a `{"pin"}` each."""
        settings = self._check(remote)
        assert settings is not None
        house = self._configuration.house
        stack = ExitStack()
        try:
            ledger = stack.enter_context(reading(house.settings))
            spool = stack.enter_context(Spool())
            found = await self._unless_ending(self._take(settings, ledger, spool))
        except BaseException:
            stack.close()
            raise
        pins = rows(spool, ledger, remote, mirror_ids(self._state.mirror_id, ledger))
        head = {"complete": found.complete, "reason": found.reason, "count": found.count}

        async def lines() -> AsyncIterator[bytes]:
            with stack:
                yield json.dumps({"reading": head}).encode() + b"\n"
                while batch := list(islice(pins, _CHUNK)):
                    yield b"".join(json.dumps({"pin": pin}).encode() + b"\n" for pin in batch)

        return lines()

    async def _take(self, remote: RemoteSettings, ledger: Ledger | None, spool: Spool) -> Reading:
        record = self._state.ledger.remote(remote.name)
        async with self._configuration.house.remote(remote, record) as client:
            return await take(client, ledger, spool)

    def held(self, remote: str | None) -> dict[str, Any]:
        """What the last pass held."""
        self._check(remote)
        return held_json(held(self._state.ledger, remote))

    def approve(
        self, remote: str | None, cids: Sequence[str], now: bool, by: str, shown: str | None = None
    ) -> dict[str, Any]:
        """Release what is held: all of it for no CIDs, if it still is what was `shown`. The next pass acts on it."""
        self._check(remote)
        named = [_cid(text) for text in cids]
        at = self._clock.now()
        released = approve(self._state.ledger, remote, named, now_too=now, at=at, by=by, shown=shown)
        actions, doubts = counted(len(released.pins), "held action"), counted(len(released.doubts), "doubt")
        self._log.info("%s approved %s and %s", by, actions, doubts)
        return approved_json(released)

    async def adopt(self, remote: str, cids: Sequence[str], by: str) -> dict[str, Any]:
        """Make pins at the remote ours: the wanted ones, or those that are named."""
        settings = self._check(remote)
        assert settings is not None
        named = [_cid(text) for text in cids]
        ledger = self._state.ledger

        async def adopt_them() -> Adopted:
            async with self._configuration.house.remote(settings, ledger.remote(remote)) as client:
                return await adopt(ledger, client, mirror_ids(self._state.mirror_id, ledger), named, self._clock, by)

        adopted = await self._unless_ending(adopt_them())
        self._log.info("%s had %d pins of remote %s adopted", by, len(adopted.pins), remote)
        return adopted_json(remote, adopted)

    async def listen(self, cut: Callable[[], None]) -> tuple[Reader, bytes]:
        """Somebody who is told what happens, and the first line: where things stand."""
        events = self._monitor.events
        events.room()
        hello = {"version": __version__, "verdict": await self._monitor.standing(), "daemon": self.about()}
        return Reader(events, cut), events.line("hello", hello)

    async def doctor(self, remote: str | None) -> dict[str, Any]:
        """What the doctor finds that only this process may see: remotes, state, the mirror; tried anew, now."""
        from pinsync.doctor.examine import examine_for_another

        self._check(remote)
        house = self._configuration.house
        work = examine_for_another(house.settings, house.env, self._clock, house.limiters, remote)
        found = await self._unless_ending(work)
        return {"format": 1, "checks": [one.as_json() for one in found]}

    async def notify(self) -> dict[str, Any]:
        """Tell everybody that is to be told when something is the matter that this is a trial; what each answered."""
        house = self._configuration.house
        return trial_json(
            await self._unless_ending(trial(house.settings, self._state.mirror_id, self._clock, house.env))
        )

    def history(self, cid: str | None, remote: str | None, since: float | None, most: int | None) -> dict[str, Any]:
        """The object that `history --json` prints, or `history CID --json`."""
        ledger = self._state.ledger
        if cid is not None:
            return cid_history(ledger, _cid(cid), since=since, remote=remote, most=most)
        return history(ledger, now=self._clock.now(), since=since, remote=remote, most=most)

    def retry(self, remote: str | None, cids: Sequence[str], by: str) -> dict[str, Any]:
        """Make what failed or was refused due, all of it for no CIDs, and ask for a pass."""
        names, named = self._names(remote), [_cid(text) for text in cids]
        retried = retry(self._state.ledger, names, named, at=self._clock.now(), by=by)
        asked = bool(retried.pins or retried.opened)
        if asked:
            self._log.info("%s has %d pins tried again", by, len(retried.pins))
            if self._runner.running is not None:  # what that pass still writes would undo it
                self._runner.afterwards(lambda: due_again(self._state.ledger, retried, self._clock.now()))
            self._runner.ask("retry", remote)
        return retried_json(retried, asked)

    def disown(self, remote: str | None, cids: Sequence[str], by: str) -> dict[str, Any]:
        """Make pins of ours foreign."""
        if not cids:
            raise UsageError("say which pins to disown: name their CIDs")
        names, named = self._names(remote), [_cid(text) for text in cids]
        disowned = disown(self._state.ledger, names, named, at=self._clock.now(), by=by)
        self._log.info("%s disowned %s", by, counted(len(disowned), "pin"))
        return disowned_json(disowned)

    def pause(
        self, remote: str | None, seconds: float | None, until: float | None, reason: str, by: str
    ) -> dict[str, Any]:
        """Leave a remote alone, or all of them; the pass under way begins nothing more."""
        self._check(remote)
        ledger, now = self._state.ledger, self._clock.now()
        one = pause(ledger, remote, until=until if seconds is None else now + seconds, reason=reason, at=now, by=by)
        self._log.info("%s", words(one))
        if self._runner.running is not None and self._runner.running.only in (None, remote):
            self._runner.halt()
        self._runner.ask("pause")  # the other remotes go on, and the next pass is planned anew
        return paused_json(pauses(ledger, now))

    def resume(self, remote: str | None, by: str) -> dict[str, Any]:
        """End one pause, or all; asks for a pass."""
        ledger, now = self._state.ledger, self._clock.now()
        if remote not in {one.remote for one in pauses(ledger, now)}:
            self._check(remote)
        ended = resume(ledger, remote, at=now, by=by)
        if ended:
            self._log.info("%s resumed what was paused", by)
            self._runner.ask("resume")
        return paused_json(pauses(ledger, now), ended)

    async def close(self) -> None:
        """The daemon ends: give up what only this desk does, and tell who waits for it."""
        self._monitor.events.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _unless_ending(self, work: Coroutine[Any, Any, T]) -> T:
        task = self._start(work)
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()  # who asked has gone away
        if task.cancelled():
            raise PinsyncError(_ENDING)
        return task.result()

    async def _dry_run(self, remote: str | None, listener: Listener) -> None:
        def progress(what: str, count: int, of: int | None) -> None:
            listener.progress(reading_progress(what, count, of))

        try:
            listener.result(*await self._planned(remote, sync_json, progress))
        except PinsyncError as error:
            listener.error(error.exit_code, str(error))
        except asyncio.CancelledError:
            listener.error(1, _ENDING)
            raise
        except Exception as error:  # a reader that waits must hear of it
            self._log.error("a dry pass ended by a bug", exc_info=error)
            listener.error(1, f"this is a bug in pinsync, please report it: {error!r}")

    async def _planned(
        self,
        remote: str | None,
        render: Callable[[PassReport], dict[str, Any]],
        progress: Callable[[str, int, int | None], None],
    ) -> tuple[dict[str, Any], int]:
        """A pass that changes nothing, beside whatever goes on: its own scratch space, and the ledger read-only."""
        house = self._configuration.house
        rendered: list[dict[str, Any]] = []
        with reading(house.settings) as ledger:
            world = observed(house.world(self._state.mirror_id, progress), self._log)
            report = await run_plan(world, ledger, only=remote, use=lambda report: rendered.append(render(report)))
        return rendered[0], report.exit_code()

    def _names(self, remote: str | None) -> list[str]:
        self._check(remote)
        return [one.name for one in self._configuration.settings.remotes if remote in (None, one.name)]

    def _check(self, remote: str | None) -> RemoteSettings | None:
        known = {one.name: one for one in self._configuration.settings.remotes}
        if remote is None or remote in known:
            return known.get(remote or "")
        raise UsageError(f"no remote is called {remote!r}; the configuration in force has {', '.join(known)}")


def _cid(text: str) -> Cid:
    try:
        return parse_cid(text)
    except CidError as error:
        raise UsageError(str(error)) from None
