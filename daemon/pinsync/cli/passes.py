"""`sync` and `plan`: one pass, by the daemon where one runs, else here."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pinsync.errors import ConfigError, PinsyncError, StateError

from . import asking
from .progress import meter
from .render_plan import PlanView, plan_lines
from .render_sync import sync_lines
from .text import listed
from .ui import Ui, chosen

if TYPE_CHECKING:
    from pinsync.house import House
    from pinsync.settings.model import Settings
    from pinsync.steps.report import PassReport

T = TypeVar("T")


class Stopped(PinsyncError):
    """A signal ended the command before its work was done."""

    def __init__(self, number: int) -> None:
        super().__init__("stopped; what was in flight is in the journal, and the next pass goes on from there")
        self.exit_code = 128 + number


def plan(ui: Ui, remote: str | None) -> int:
    """`pinsync plan`."""
    from pinsync.house import House, mirror_id, reading, run_plan
    from pinsync.ledger.pauses import pauses
    from pinsync.service.logs import shown_requests
    from pinsync.service.telling import observed
    from pinsync.steering import words

    settings = ui.settings()
    chosen(settings, remote)
    house = House(settings, os.environ)

    def use(report: PassReport) -> None:
        _show_plan(ui, report)

    try:
        for warning in house.unlock(remote):
            ui.warn(warning)
        with reading(settings) as ledger, shown_requests(ui.verbose) as log, meter(ui) as busy:
            for one in pauses(ledger, house.clock.now()):
                ui.warn(words(one))
            world = observed(house.world(mirror_id(settings, None), busy.reading), log)
            report = asyncio.run(run_plan(world, ledger, only=remote, use=use))
        code: int = report.exit_code()
        return code
    except (ConfigError, StateError) as error:
        daemon = asking.instead(settings, error)
    asking.tell_whose_requests(ui)
    found, code = daemon.plan(remote)
    if ui.json:
        ui.emit(found)
    else:
        views = [PlanView.of_json(one) for one in found["remotes"]]
        _plan_lines(ui, views, bool(found["errors"]), found.get("doubts", ()), found.get("paused", ()))
    ui.troubles(found["errors"])
    return code


def _show_plan(ui: Ui, report: PassReport) -> None:
    """Print while the actions can still be read: a first plan may have a million of them."""
    from pinsync.steps.report import doubts_json, plan_json

    found = plan_json(report, gather=iter)
    if ui.json:
        ui.emit(found)
    else:
        views = [PlanView.of_plan(one) for one in report.remotes]
        _plan_lines(ui, views, bool(report.troubles), doubts_json(report), report.paused)
    ui.troubles({"where": one.where, "message": one.message} for one in report.troubles)


def _plan_lines(
    ui: Ui, views: Sequence[PlanView], trouble: bool, doubts: Iterable[Mapping[str, str]], paused: Sequence[str]
) -> None:
    said = [doubt["reason"] for doubt in doubts]
    ui.show(plan_lines(views, trouble, width=ui.width, verbose=ui.verbose, quiet=ui.quiet, doubts=said, paused=paused))


def sync(ui: Ui, remote: str | None) -> int:
    """`pinsync sync`."""
    settings, last_good = asking.in_force(ui, remote)
    daemon = last_good or asking.find(settings)
    if daemon is not None:
        theirs = daemon.status(None, None).get("config")
        if theirs != (str(settings.source.path) if settings.source.path else None):
            ui.warn(f"the daemon that holds this state makes the pass by its own configuration, {theirs}")
        from pinsync.service.logs import shown_requests

        try:
            with shown_requests(ui.verbose) as log, meter(ui, patience=0.0) as busy:
                tell = partial(log.debug, "%s") if ui.verbose else None
                found, code = daemon.sync(remote, False, busy.told, tell)
        except KeyboardInterrupt:
            ui.tell("not waited for: the daemon goes on with its pass; `pinsync status` shows it")
            raise
        code = _conclude(ui, found, code)
        return ConfigError.exit_code if last_good else code
    return _sync_here(ui, settings, remote)


def _sync_here(ui: Ui, settings: Settings, remote: str | None) -> int:
    from pinsync.house import House, run_pass, writing
    from pinsync.ledger.lock import holder
    from pinsync.service.logs import shown_requests
    from pinsync.service.telling import observed
    from pinsync.steering import check_paused
    from pinsync.steps.report import sync_json

    from .notify import tell_after

    house = House(settings, os.environ)
    locked: ConfigError | None = None
    try:
        for warning in house.unlock(remote):
            ui.warn(warning)
    except ConfigError as error:
        if not holder(settings.state.path):  # else 6 comes first
            raise asking.Alone(error) if getattr(error, "elsewhere", False) else error from None
        locked = error
    with writing(settings, "sync") as state:
        for note in state.notes:
            ui.warn(note)
        names = [one.name for one in settings.remotes if remote in (None, one.name)]
        check_paused(state.ledger, house.clock.now(), names)
        if locked is not None:
            raise locked
        with shown_requests(ui.verbose) as log, meter(ui) as busy:
            world = observed(house.world(state.mirror_id, busy.reading, busy.applying), log)
            report, number = until_signalled(
                lambda: run_pass(world, state, trigger="sync", only=remote),
                house,
                lambda: ui.tell("stopping: nothing new is begun, what is in flight may end; once more ends it now"),
            )
            _show_metrics(ui, settings)
        code = _conclude(ui, sync_json(report), report.exit_code())
        tell_after(ui, house, state, report, whole=remote is None, stopped=number is not None)
    if number is not None:
        ui.tell("stopped before everything was done; the next pass goes on from there")
        return 128 + number
    return code


def _show_metrics(ui: Ui, settings: Settings) -> None:
    """Write `[metrics] textfile`, for those who have cron in the place of a daemon."""
    if settings.metrics.textfile is None:
        return
    import time

    from pinsync.service.metrics import read_record, textfile
    from pinsync.service.textfile import write_textfile

    text = textfile(read_record(settings, time.time(), {"running": False}))
    if said := write_textfile(settings.metrics.textfile, text):
        ui.warn(said)


def _conclude(ui: Ui, found: dict[str, Any], code: int) -> int:
    if ui.json:
        ui.emit(found)
    elif not ui.quiet:
        ui.show(sync_lines(found, code, width=ui.width))
    if left := found.get("paused"):
        ui.tell(f"left out, because a person paused it: {listed(left)}; `pinsync status` says until when")
    ui.troubles(found["errors"])
    return code


def until_signalled(
    work: Callable[[], Coroutine[Any, Any, T]], house: House, on_signal: Callable[[], None]
) -> tuple[T, int | None]:
    """Run `work`; SIGINT and SIGTERM set `house.stop` and wait for changes in flight alone, a second signal for none.

    Returns its result and the signal that came, if one did. Raises `Stopped` when it was not over by then.
    """
    from pinsync.ending import until_idle

    async def run() -> tuple[T, int | None]:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(work())
        came: list[int] = []
        ending: list[asyncio.Task[None]] = []

        async def end() -> None:
            await until_idle(task, house.limiters)
            task.cancel()

        def asked(number: int) -> None:
            came.append(number)
            house.stop.set()
            if len(came) == 1:
                on_signal()
                ending.append(asyncio.ensure_future(end()))
            else:
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, asked, number)
        try:
            return await task, came[0] if came else None
        except asyncio.CancelledError:
            if came:
                raise Stopped(came[0]) from None
            raise
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
            for one in ending:
                one.cancel()

    return asyncio.run(run())
