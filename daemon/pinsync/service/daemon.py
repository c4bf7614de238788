"""`pinsync run`: the long-running process. Everything that it does is started, watched and ended here."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from pinsync import __version__
from pinsync.clock import Clock, SystemClock
from pinsync.errors import StateError
from pinsync.house import State, writing
from pinsync.settings.model import Settings
from pinsync.settings.places import socket_group, socket_path, summary_path

from .contents import Contents, Survey, survey
from .control import application, create_app
from .desk import Desk
from .inforce import Configuration
from .listen import AGAIN, ControlServer, Door
from .monitor import Monitor
from .notify import Notifier
from .public import Listener, public_status, watching
from .pulse import Watchdog
from .runner import Runner
from .summary import Summary
from .threads import in_thread
from .watch import Watch

POLL = 2.0  # seconds between two looks at files, watches and the clock
QUIET = 0.15  # seconds without an event after which a change is taken to be finished
MOST_NOISE = 0.6  # seconds after which it is looked at all the same


async def run_daemon(
    load: Callable[[], Settings], env: Mapping[str, str], *, clock: Clock | None = None,
    ready: Callable[[], None] | None = None, log: logging.Logger | None = None,
) -> int:  # fmt: skip
    """Mirror until SIGTERM or SIGINT, then return 0.

    `load` reads the configuration, now and whenever it changes. `ready` is called once the control socket answers and
    the first pass has begun. Raises `ConfigError`, `StateHeld` and `StateError` when it cannot begin; later they are
    lived through.
    """
    return await Daemon(load, env, clock=clock, ready=ready, log=log).run()


class Daemon:
    """One run of the daemon; `run` does it, `stop` and `reload` are what signals do. For one event loop."""

    def __init__(
        self, load: Callable[[], Settings], env: Mapping[str, str], *, clock: Clock | None = None,
        ready: Callable[[], None] | None = None, log: logging.Logger | None = None,
    ) -> None:  # fmt: skip
        self._load, self._env = load, env
        self._clock = clock or SystemClock()
        self._ready = ready or (lambda: None)
        self._log = log or logging.getLogger("pinsync")
        self._stop = asyncio.Event()
        self._changed = asyncio.Event()
        self._hang_up = False
        self._begun = False
        self._survey = Survey()
        self._remotes: list[str] = []
        self._covered: Contents | None = None
        self._bug = ""
        self._caught_up: tuple[str, str | None] = ("", None)
        self._notifier = Notifier(env)
        self._watchdog = Watchdog(self._notifier, self._log)
        self._runner: Runner | None = None

    def stop(self) -> None:
        """End soon: nothing new is begun, and what is in flight gets three seconds."""
        if not self._stop.is_set():
            self._log.info("ending; what is in flight is finished or noted for the next start")
            self._notifier.tell(STOPPING="1", STATUS="ending")
        self._stop.set()
        if self._runner is not None:
            self._runner.wake()

    def reload(self) -> None:
        """Read the configuration, the tokens and the manifest again and make a pass, changed or not."""
        self._hang_up = True
        self._changed.set()

    async def run(self) -> int:
        """See `run_daemon`."""
        with self._signals():
            configuration = Configuration(self._load, self._env, self._clock, self._stop, self._log)
            settings = configuration.settings
            with writing(settings, "pinsync run", self._clock) as state:
                for note in state.notes:
                    self._log.error("%s", note)
                path = socket_path(settings, self._env)
                with Door(path, self._log, socket_group(settings)) as door:
                    door.take(strict=True)
                    self._log.info("pinsync %s, by %s", __version__, settings.source.path or settings.source.why)
                    self._log.info("ledger %s, control socket %s", settings.state.path, path)
                    monitor = Monitor(configuration, state, self._log)
                    runner = self._runner = Runner(
                        configuration, state, self._stop, self._notifier, self._log, self._tell_ready, monitor
                    )
                    desk = Desk(configuration, state, runner, self._log, monitor)
                    server = ControlServer(create_app(desk, self._log, watching(monitor)))
                    serving = asyncio.create_task(self._serve(door, server))
                    watched = self._watched(configuration, monitor, desk)
                    summary = Summary(summary_path(settings, self._env), self._log)
                    if summary.path is not None:
                        watched.add(asyncio.create_task(summary.keep(runner.turned, desk.public, self._clock)))
                    try:
                        await self._live(configuration, state, runner, {serving, *watched})
                    finally:
                        await desk.close()
                        for task in watched:
                            task.cancel()
                        await asyncio.wait(watched)
                        summary.remove()
                        server.end()
                        if door.sock is not None:
                            await asyncio.wait({serving}, timeout=2.0)
                        serving.cancel()
        self._log.info("ended")
        return 0

    async def _live(
        self, configuration: Configuration, state: State, runner: Runner, serving: set[asyncio.Task[None]]
    ) -> None:
        """Work until `stop`; what watches and serves meanwhile must not end before that."""
        watch = Watch(self._changed.set, ignore=configuration.settings.state.path, log=self._log)
        others = set(serving)
        try:
            self._note_error(state, configuration)
            await self._look_at_manifest(configuration, watch)
            working = asyncio.create_task(runner.work())
            others |= {
                asyncio.create_task(self._keep(configuration, watch, runner)),
                asyncio.create_task(self._notice(configuration, state, watch, runner)),
            }
            try:
                done, _ = await asyncio.wait({working, *others}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not working.done():
                    working.cancel()
                    await asyncio.wait({working})
            for task in done:
                task.result()
        finally:
            others -= serving
            for task in others:
                task.cancel()
            if others:
                await asyncio.wait(others)
            watch.close()

    def _watched(self, configuration: Configuration, monitor: Monitor, desk: Desk) -> set[asyncio.Task[None]]:
        """What shows the daemon to those who watch it. It ends last, with the control socket."""
        public = application({**watching(monitor), **public_status(monitor)}, {}, self._log)
        listener = Listener(public, lambda: configuration.settings.listen.address, self._clock, self._log)
        monitor.about, monitor.listening = desk.about, listener.about
        return {asyncio.create_task(monitor.keep()), asyncio.create_task(listener.keep())}

    # -- the tasks --------------------------------------------------------------------------------------------------

    async def _keep(self, configuration: Configuration, watch: Watch, runner: Runner) -> None:
        """What is to be done again and again: catch changes that no event told of, and say that we live."""
        limit = self._notifier.watchdog
        pause = min(POLL, limit / 4) if limit else POLL
        while True:
            await self._clock.sleep(pause)
            with self._survived():
                watch.tend()
                if self._survey.contents.stirred() or configuration.contents.stirred():
                    self._changed.set()
                self._catch_up(runner)
            runner.look_at_clock()
            self._watchdog.feed(runner.overdue())

    def _catch_up(self, runner: Runner) -> None:
        """A pass may have read a manifest that was put back before noticing looked at it: it saw no change."""
        seen, went_by = self._survey.digest, runner.went_by
        if not seen or went_by in (None, seen) or runner.running is not None or runner.wishes:
            return
        if self._caught_up != (seen, went_by):  # once for each such case
            self._caught_up = (seen, went_by)
            runner.ask("manifest")

    async def _serve(self, door: Door, server: ControlServer) -> None:
        """Answer at the control socket, as soon as it can be had."""
        while (sock := door.sock) is None:
            await self._clock.sleep(AGAIN)
            door.take()
        await server.serve(sockets=[sock])

    async def _notice(self, configuration: Configuration, state: State, watch: Watch, runner: Runner) -> None:
        """From a flag that something may have changed to a pass, if something did."""
        while True:
            await self._changed.wait()
            if not self._hang_up:
                await self._until_quiet()
            self._changed.clear()
            asked, self._hang_up = self._hang_up, False
            if asked:
                monotonic = str(time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)
                self._notifier.tell(RELOADING="1", MONOTONIC_USEC=monotonic)
            with self._survived():
                await self._look(configuration, state, watch, runner, asked)
            if asked:
                self._notifier.tell(READY="1")

    async def _look(
        self, configuration: Configuration, state: State, watch: Watch, runner: Runner, asked: bool
    ) -> None:
        watch.tend()
        stirred = configuration.contents.stirred() or self._survey.contents.stirred()
        before = configuration.error
        different = configuration.refresh(force=asked)
        if configuration.error != before:
            self._note_error(state, configuration)
        reads_differently = await self._look_at_manifest(configuration, watch)
        # Asked for in one go, so that one save of several files is one pass.
        wanted = {"configuration": different, "manifest": reads_differently, "reload": asked}
        for trigger in (name for name, wish in wanted.items() if wish):
            runner.monitor.changed(trigger, [str(problem) for problem in self._survey.problems])
            runner.ask(trigger)
        if stirred and not any(wanted.values()):  # else saying so could be the next event: the log may lie beside
            self._log.debug("the watched files hold what they held")

    async def _until_quiet(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + MOST_NOISE
        while loop.time() < end:
            self._changed.clear()
            try:
                async with asyncio.timeout(QUIET):
                    await self._changed.wait()
            except TimeoutError:
                return

    async def _look_at_manifest(self, configuration: Configuration, watch: Watch) -> bool:
        """Whether the manifest says something else than at the last look; and watch what it consists of now."""
        settings, before = configuration.settings, self._survey
        path, remotes = settings.manifest.path, [remote.name for remote in settings.remotes]

        def look() -> Survey:
            if path in before.contents.seen and not before.contents.changed() and remotes == self._remotes:
                return before
            return survey(path, remotes)

        self._survey = await in_thread(look)
        self._remotes = remotes
        if self._survey is not before or self._covered is not configuration.contents:
            self._covered = configuration.contents
            watch.cover([*self._covered.seen, *self._survey.contents.seen])
        return not self._survey.says_the_same(before)

    # -- small things -----------------------------------------------------------------------------------------------

    def _tell_ready(self) -> None:
        if not self._begun:
            self._begun = True
            self._notifier.tell(READY="1")
            self._ready()

    def _note_error(self, state: State, configuration: Configuration) -> None:
        """For `status` without us."""
        try:
            state.ledger.set_fact("config_error", configuration.error)
        except StateError as error:
            self._log.error("%s", error)

    @contextlib.contextmanager
    def _survived(self) -> Iterator[None]:
        """A bug in noticing changes is told, once, and does not end the mirroring on schedule."""
        try:
            yield
        except Exception as error:
            if self._bug != repr(error):
                self._bug = repr(error)
                self._log.error(
                    "looking for changes failed; this is a bug in pinsync, please report it", exc_info=error
                )

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end it, SIGHUP reloads; only the main thread of a process gets signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        handlers = {signal.SIGTERM: self.stop, signal.SIGINT: self.stop, signal.SIGHUP: self.reload}
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)
