"""The pass: observe → plan → guard → apply → record → report, always in this order."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from .ledger.ledger import Ledger
from .ledger.pauses import paused
from .ledger.records import RemoteRecord
from .ledger.remembered import advance
from .model import Mode
from .planning.plan import State
from .remote.errors import RemoteError
from .spool import Spool
from .steering import held_by, note_ends
from .steps.apply import Applier
from .steps.dial import Dialer
from .steps.doubts import doubt_remote, own_doubts
from .steps.follow import follow_up
from .steps.observe import RemoteView, Sources, list_remote, open_remote, read_sources
from .steps.plan import RemotePlan, plan_remote, quiet_plan, view_of
from .steps.quiet import may_be_quiet, same_wants, unchanged
from .steps.record import record
from .steps.removing import AbsenceProof
from .steps.report import PassReport, troubles
from .world import Progress, World

ALIVE_EVERY = 30.0  # seconds between two notes to the ledger that a pass is alive


async def reconcile(
    world: World, ledger: Ledger | None, spool: Spool, stack: AsyncExitStack, *, trigger: str = "sync",
    only: str | None = None, dry: bool = False, reader: Ledger | None = None,
) -> PassReport:  # fmt: skip
    """One pass over all remotes, or over `only` one. `dry`: plan alone, and `ledger` may be None or opened read-only.

    Remotes that a person paused are left out: nothing is asked of them. A dry pass looks at them all the same, and
    shows as held what the pause keeps from being done.

    `reader` is a second connection to the same ledger, from which planning streams while the first one writes.
    Raises `StateError` when the ledger fails; everything else that goes wrong is in the report.
    """
    clock = world.clock
    started = clock.now()
    begun = clock.monotonic()
    run = ledger.start_run(trigger, started) if ledger and not dry else 0
    pauses = {
        remote.name: one
        for remote in world.settings.remotes
        if only in (None, remote.name) and (one := paused(ledger, started, remote.name)) is not None
    }
    resting = frozenset() if dry else pauses.keys()
    if ledger is not None and not dry:
        advance(ledger)
        note_ends(ledger, started)
        world = replace(world, progress=_alive(world, ledger, run))
    views = [
        RemoteView(index, remote, ledger.remote(remote.name) if ledger else RemoteRecord(remote.name))
        for index, remote in enumerate(world.settings.remotes)
        if only in (None, remote.name) and remote.name not in resting
    ]
    reading = asyncio.ensure_future(_read(world, ledger, spool, stack))
    books = Books(ledger, reader or ledger, spool, run, dry)
    nodes = Nodes(reading)
    stack.push_async_callback(nodes.close)
    plans = await _all(reading, *(mirror_remote(world, books, stack, reading, view, nodes) for view in views))
    sources = reading.result()
    for plan in plans:
        if (one := pauses.get(plan.view.settings.name)) is not None:
            plan.hold("paused", held_by(one))
    report = PassReport(plans, sources, bool(sources.manifest.problems), started, dry=dry)
    report.paused = sorted(pauses)
    report.troubles = troubles(report)
    report.seconds = clock.monotonic() - begun
    if ledger is not None and not dry:
        record(world, ledger, report, run, whole=only is None and not resting)
    return report


async def _read(world: World, ledger: Ledger | None, spool: Spool, stack: AsyncExitStack) -> Sources:
    sources = await read_sources(world.settings, ledger, spool, stack, world.make_node, world.progress, world.mirror_id)
    sources.own_doubts = own_doubts(world, ledger)
    return sources


@dataclass(frozen=True, slots=True)
class Books:
    """Where a pass reads and writes: the ledger, a second connection to stream from, and scratch space."""

    ledger: Ledger | None
    reader: Ledger | None
    spool: Spool
    run: int
    dry: bool


async def mirror_remote(
    world: World, books: Books, stack: AsyncExitStack, reading: asyncio.Future[Sources], view: RemoteView,
    nodes: Nodes,
) -> RemotePlan:  # fmt: skip
    """The pass at one remote, which waits for no other: observe, plan, guard, apply."""
    clock, ledger = world.clock, books.ledger
    begun = clock.monotonic()
    await open_remote(view, world.make_remote, stack)
    plan = await _quietly(world, books, reading, view)
    if plan is None:
        known = None if ledger is None else partial(ledger.wanted_cids, view.settings.name)
        await list_remote(view, books.spool, world.progress, known)
        doubt_remote(world, ledger, view)
        sources = await reading
        plan = await plan_remote(world, ledger, books.reader, books.spool, sources, view, books.dry)
    if ledger is not None and not books.dry:
        await reading
        await apply_remote(world, ledger, books.run, plan, nodes)
    plan.seconds = clock.monotonic() - begun
    return plan


async def _quietly(world: World, books: Books, reading: asyncio.Future[Sources], view: RemoteView) -> RemotePlan | None:
    """The plan where nothing changed at the remote or in what is wanted; None where a full listing must tell."""
    quiet = may_be_quiet(view, books.ledger, world.clock.now(), world.settings.schedule.full_listing)
    if quiet is None or view.client is None or books.ledger is None:
        return None
    try:
        same = await unchanged(view, quiet)
    except RemoteError:
        return None  # the listing that follows says what is the matter
    doubt_remote(world, books.ledger, view)
    if view.doubts:
        return None
    sources = await reading
    if not same or not same_wants(sources, view, view_of(world, books.ledger, sources, view), books.spool, quiet):
        return None
    view.listed = "unchanged"
    return quiet_plan(world, books.ledger, sources, view)


class Nodes:
    """What all remotes of a pass share of the nodes, once these are read: the proof of absence, and the dialling."""

    def __init__(self, reading: asyncio.Future[Sources]) -> None:
        self._reading = reading
        self._proof: AbsenceProof | None = None
        self._dialer: Dialer | None = None

    def proof(self, takes_nodes: bool) -> AbsenceProof:
        """The one for a remote."""
        sources = self._reading.result()
        if not takes_nodes:
            return AbsenceProof((), sources.manifest)
        self._proof = self._proof or AbsenceProof(sources.mirrored, sources.manifest)
        return self._proof

    def dial(self, addresses: Iterable[str]) -> None:
        """Have the nodes connect to a service's delegates."""
        self._dialer = self._dialer or Dialer(self._reading.result().mirrored)
        self._dialer.dial(addresses)

    async def close(self) -> None:
        """Before the nodes' clients are closed."""
        if self._dialer is not None:
            await self._dialer.close()


async def _all(reading: asyncio.Future[Sources], *parts: Coroutine[Any, Any, RemotePlan]) -> list[RemotePlan]:
    """Everything at once; when one thing ends in an exception, so does everything else before it is raised."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        await reading
        return await asyncio.gather(*tasks)
    finally:
        reading.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(reading, *tasks, return_exceptions=True)


async def apply_remote(world: World, ledger: Ledger, run: int, plan: RemotePlan, nodes: Nodes) -> None:
    """Carry out what the plan of one remote has to do, then look at what is on its way."""
    view, clock = plan.view, world.clock
    if view.client is not None and view.listed != "failed" and plan.plan.mode is not Mode.READ_ONLY:
        todo = plan.count(State.DO)
        view.client.stop = world.stop
        applier = Applier(
            run, ledger, view, plan.plan, nodes.proof(view.settings.nodes), clock, world.stop,
            lambda done: world.applying(view.settings.name, done.total, todo), nodes.dial,
        )  # fmt: skip
        if todo:
            plan.done = await applier.apply(action for action in plan.actions() if action.state is State.DO)
        if not world.stop.is_set():
            followed = await follow_up(
                view.settings.name, view.client, ledger, clock, world.stop, concurrency=view.settings.concurrency
            )  # fmt: skip
            if followed.trouble:
                plan.done.trouble(followed.trouble)


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
