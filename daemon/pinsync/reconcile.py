"""The pass: observe → plan → guard → apply → record → report, always in this order."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

from .ledger.ledger import Ledger
from .model import Mode
from .planning.plan import State
from .spool import Spool
from .steps.apply import AbsenceProof, Applier
from .steps.follow import follow_up
from .steps.observe import observe
from .steps.plan import RemotePlan, plan_remote
from .steps.record import record
from .steps.report import PassReport, troubles
from .world import Progress, World

ALIVE_EVERY = 30.0  # seconds between two notes to the ledger that a pass is alive


async def reconcile(
    world: World, ledger: Ledger | None, spool: Spool, stack: AsyncExitStack, *, trigger: str = "sync",
    only: str | None = None, dry: bool = False, reader: Ledger | None = None,
) -> PassReport:  # fmt: skip
    """One pass over all remotes, or over `only` one. `dry`: plan alone, and `ledger` may be None or opened read-only.

    `reader` is a second connection to the same ledger, from which planning streams while the first one writes.
    Raises `StateError` when the ledger fails; everything else that goes wrong is in the report.
    """
    clock = world.clock
    started = clock.now()
    begun = clock.monotonic()
    run = ledger.start_run(trigger, started) if ledger and not dry else 0
    if ledger is not None and not dry:
        world = replace(world, progress=_alive(world, ledger, run))
    sources, views = await observe(world, ledger, spool, stack, only)
    plans = [await plan_remote(world, ledger, reader or ledger, spool, sources, view, dry) for view in views]
    report = PassReport(plans, sources, bool(sources.manifest.problems), started, dry=dry)
    if ledger is not None and not dry:
        proof = AbsenceProof(sources.mirrored)
        await asyncio.gather(*(apply_remote(world, ledger, run, plan, proof) for plan in plans))
    report.troubles = troubles(report)
    report.seconds = clock.monotonic() - begun
    if ledger is not None and not dry:
        record(world, ledger, report, run, whole=only is None)
    return report


async def apply_remote(world: World, ledger: Ledger, run: int, plan: RemotePlan, proof: AbsenceProof) -> None:
    """Carry out what the plan of one remote has to do, then look at what is on its way."""
    view, clock = plan.view, world.clock
    begun = clock.monotonic()
    if view.client is not None and view.listed != "failed" and plan.plan.mode is not Mode.READ_ONLY:
        todo = plan.count(State.DO)
        applier = Applier(
            run, ledger, view, plan.plan, proof if view.settings.nodes else AbsenceProof(()), clock, world.stop,
            lambda done: world.applying(view.settings.name, done.total, todo),
        )  # fmt: skip
        if todo:
            plan.done = await applier.apply(action for action in plan.actions() if action.state is State.DO)
        if not world.stop.is_set():
            followed = await follow_up(
                view.settings.name, view.client, ledger, clock, world.stop, concurrency=view.settings.concurrency
            )  # fmt: skip
            if followed.trouble:
                plan.done.trouble(followed.trouble)
    plan.seconds = clock.monotonic() - begun


def _alive(world: World, ledger: Ledger, run: int) -> Progress:
    """The progress callback that also tells the ledger, now and then, that the pass is alive."""
    last = world.clock.monotonic()

    def progress(what: str, count: int, of: int | None) -> None:
        nonlocal last
        if world.clock.monotonic() - last > ALIVE_EVERY:
            last = world.clock.monotonic()
            ledger.progress(run, world.clock.now())
        world.progress(what, count, of)

    return progress
