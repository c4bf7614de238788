"""What those who watch the daemon get: events, metrics, health. Nothing here delays a pass or ends the daemon."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pinsync.errors import PinsyncError, StateError
from pinsync.house import State, reading
from pinsync.ledger.pauses import fresh_since
from pinsync.status import STALE_AFTER
from pinsync.steps.report import PassReport, sync_json

from .events import Events
from .inforce import Configuration
from .metrics import Record, Tally, exposition, read_record, textfile
from .textfile import write_textfile
from .threads import in_thread

EVERY = 60.0  # seconds at most between two looks at the record; after a pass there is one at once
AT_A_TIME = 2  # threads that read the ledger, however many ask: with a million pins each takes a moment of a core
PATIENCE = 10.0  # seconds for writing the textfile, after which what else there is to tell goes on


class Monitor:
    """The runner tells it of passes; sockets and `keep` show what came of them.

    `about` answers what the daemon says of itself (`daemon` in the status), `listening` what became of the listener on
    TCP, `trouble` why the textfile could not be written.
    """

    def __init__(self, configuration: Configuration, state: State, log: logging.Logger) -> None:
        self._configuration, self._log = configuration, log
        self._clock = configuration.house.clock
        self.events = Events(self._clock, lambda: state.ledger)
        self.tally = Tally(self._clock.now(), self._waited)
        self.tally.expect(remote.name for remote in configuration.settings.remotes)
        configuration.house.observer = self.tally.request
        self.about: Callable[[], Mapping[str, Any]] = lambda: {"running": True}
        self.listening: Callable[[], dict[str, str | None] | None] = lambda: None
        self.trouble = ""
        self._begun = 0.0
        self._over = 0
        self._under_way = False
        self._fresh = asyncio.Event()
        self._writing: asyncio.Task[str] | None = None
        self._few = asyncio.Semaphore(AT_A_TIME)
        self._before: tuple[str, dict[str, Any]] | None = None  # the verdict, and what was held

    # -- what the runner tells --------------------------------------------------------------------------------------

    def pass_begins(self, trigger: str, only: str | None) -> None:
        """A pass is under way from now on."""
        self._under_way, self._begun = True, self._clock.monotonic()
        self.tally.expect(remote.name for remote in self._configuration.settings.remotes)
        self.events.overhear()
        self.events.tell("pass-begun", trigger=trigger, remote=only)

    def pass_is_over(self, trigger: str, only: str | None, report: PassReport | None, said: str) -> None:
        """It ended, with a report or without one; `said` are the words of the log."""
        seconds = self._clock.monotonic() - self._begun
        code = None if report is None else report.exit_code()
        self._under_way = False
        self._over += 1
        self.tally.passed(code, seconds)
        if self.events.wanted:
            self.events.tell(
                "pass-ended", trigger=trigger, remote=only, exit_code=1 if code is None else code, said=said,
                seconds=round(seconds, 3), result=sync_json(report) if report else None,
            )  # fmt: skip
        self.events.pass_is_over()
        self._fresh.set()

    def pins_moved(self) -> None:
        """Pins on their way were looked at."""
        self._fresh.set()

    def changed(self, what: str, problems: Sequence[str]) -> None:
        """The manifest or the configuration says something else; `problems` are those of the manifest."""
        if what == "manifest":
            self.events.tell("manifest-changed", problems=list(problems))
        elif what == "configuration":
            self.events.tell("configuration-changed")

    # -- what is asked ----------------------------------------------------------------------------------------------

    async def record(self) -> Record:
        """What the ledger says now, read in a thread. Raises `StateError`."""
        async with self._few:
            settings, now, about = self._configuration.settings, self._clock.now(), dict(self.about())
            return await in_thread(lambda: read_record(settings, now, about))

    async def metrics(self, accept: str = "") -> tuple[bytes, str]:
        """The text of `/metrics` and its content type. Without a ledger it has what this process counted."""
        record: Record | None
        try:
            record = await self.record()
        except StateError as error:
            self._log.debug("%s", error)
            record = None
        return await in_thread(lambda: exposition(record, self.tally, accept))

    async def not_ready(self) -> str:
        """Why mirroring does not go well, in words; "" where it does.

        It does when a pass went well, or makes progress, within three intervals, and in the first pass of this process;
        and while a person wants no passes. The intervals count from the end of such a pause.
        """
        if self._configuration.house.stop.is_set():
            return "the daemon is ending"
        if self._under_way and not self._over:
            return ""
        settings, now = self._configuration.settings, self._clock.now()

        def last_good() -> float | None:
            with reading(settings) as ledger:
                return fresh_since(ledger, now)

        try:
            async with self._few:
                at = await in_thread(last_good)
        except StateError as error:
            return str(error)
        if at is None:
            return "no pass has gone well yet; `pinsync status` says why"
        if now - at > STALE_AFTER * settings.schedule.every:
            return f"no pass has gone well for {(now - at) / 60:.0f} min; `pinsync status` says why"
        return ""

    # -- what is done again and again -------------------------------------------------------------------------------

    async def keep(self) -> None:
        """Tell changes of the verdict and write the textfile: after each pass, and every minute. Never returns."""
        while True:
            self._fresh.clear()
            try:
                await self._look()
            except PinsyncError as error:
                self._log.debug("%s", error)  # passes and `status` say so
            except Exception as error:
                self._log.error("watching failed; this is a bug in pinsync, please report it", exc_info=error)
            waits = [
                asyncio.ensure_future(self._clock.sleep(EVERY)), asyncio.ensure_future(self._fresh.wait())
            ]  # fmt: skip
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()

    async def standing(self) -> str | None:
        """The verdict, from which on changes are told; None where the ledger cannot be read."""
        try:
            record = await self.record()
        except StateError as error:
            self._log.debug("%s", error)
            return None
        self._compare(record)
        return str(record.report["verdict"])

    async def _look(self) -> None:
        path = self._configuration.settings.metrics.textfile
        if path is None:
            self.trouble = ""
        if path is None and not self.events.wanted:
            self._before = None
            return
        record = await self.record()
        if self.events.wanted:
            self._compare(record)
        if path is None or (self._writing is not None and not self._writing.done()):
            return
        self._writing = asyncio.create_task(
            in_thread(lambda: write_textfile(path, textfile(record, self.tally)))
        )  # fmt: skip
        done, _ = await asyncio.wait({self._writing}, timeout=PATIENCE)
        said = self._writing.result() if done else f"writing the metrics to {path} takes longer than {PATIENCE:g} s"
        if said and said != self.trouble:
            self._log.warning("%s", said)
        elif self.trouble and not said:
            self._log.info("the metrics are written to %s again", path)
        self.trouble = said

    def _compare(self, record: Record) -> None:
        """Tell what is another verdict, and what else is held, than when it was last looked at."""
        verdict = str(record.report["verdict"])
        held = {
            remote["name"]: {
                "count": remote["held"],
                "reasons": [
                    {name: one[name] for name in ("kind", "reason", "count")}
                    for one in remote["reasons"]
                    if one["state"] == "held"
                ],
            }
            for remote in record.report["remotes"]
        }
        before, self._before = self._before, (verdict, held)
        if before is None:
            return
        if before[0] != verdict:
            self.events.tell("verdict-changed", **{"from": before[0], "to": verdict})
        for remote, now in held.items():
            if now != before[1].get(remote, {"count": 0, "reasons": []}):
                self.events.tell("held", remote=remote, **now)

    def _waited(self) -> dict[str, float]:
        return {name: limiter.waited for name, limiter in list(self._configuration.house.limiters.items())}
