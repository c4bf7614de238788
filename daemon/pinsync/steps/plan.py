"""The second and third step of a pass, plan and guard, for one remote: the pure planner between spool and ledger."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from pinsync.ledger.ledger import DAY, Ledger, mirror_ids
from pinsync.ledger.recovery import expected, mistrust
from pinsync.planning import guard
from pinsync.planning.diff import diff
from pinsync.planning.guard import in_force, judge
from pinsync.planning.plan import Action, Decision, Doubt, Kind, State, Tally, View
from pinsync.spool import Spool
from pinsync.world import World

from .doubts import Strangers, note_strange, strange_share
from .elsewhere import Elsewhere
from .intents import resolve_intents
from .observe import RemoteView, Sources, configuration, fingerprint_of
from .outcomes import Done
from .quiet import Digest, Quiet, note_quiet, standing

CHUNK = 2000  # decisions between two looks at what else there is to do


@dataclass(slots=True)
class RemotePlan:
    """The plan for one remote: it can be counted and explained; its actions are read from the spool."""

    view: RemoteView
    plan: View
    counts: dict[tuple[Kind, State], int]
    actions: Callable[[], Iterator[Action]]
    doubts: list[Doubt]
    present: int = 0  # pins seen at the remote
    foreign: int = 0  # of these, not ours
    marks: frozenset[str] = frozenset()  # ids of other mirrors seen in their meta
    shown: frozenset[str] = frozenset()  # names of traits that the list shows to be true
    quiet: Quiet | None = None  # what must stay the same for the next pass to have nothing to do
    tally: Tally | None = None  # None where nothing was planned anew
    done: Done = field(default_factory=Done)
    seconds: float = 0.0

    def count(self, state: State, *kinds: Kind) -> int:
        """How many actions are in this state, of these kinds or of any."""
        return sum(n for (kind, at), n in self.counts.items() if at is state and (not kinds or kind in kinds))

    def hold(self, code: str, reason: str) -> None:
        """Hold all that would be done now. What waits or is held already stays so, for its own reason."""
        counts: Counter[tuple[Kind, State]] = Counter()
        for (kind, state), count in self.counts.items():
            counts[kind, State.HELD if state is State.DO else state] += count
        self.counts, actions = dict(counts), self.actions

        def held() -> Iterator[Action]:
            for action in actions():
                holds = action.state is State.DO
                yield replace(action, state=State.HELD, code=code, reason=reason) if holds else action

        self.actions = held


def view_of(world: World, ledger: Ledger | None, sources: Sources, view: RemoteView) -> View:
    """What planning for one remote rests on, besides the three streams."""
    remote = view.settings
    not_whole = sources.not_whole(remote)
    accepted = [doubt for doubt in view.doubts if sources.accepts(remote.name, doubt)]
    return View(
        remote.name, mirror_ids(world.mirror_id, ledger), world.clock.now(), remote.mode, remote.safety, view.traits,
        view.listed, view.reason, not_whole is None, not_whole, sources.config_change(remote.name),
        sources.gone(remote.name),
        first_listing=view.record.listed_at is None, origins=sources.origins(remote), whole_sources=sources.whole,
        clock_sure=view.clock_sure or any(map(_about_clock, accepted)),
    )  # fmt: skip


def _ended(ledger: Ledger, observed: list[Doubt], remote: str) -> bool:
    """Whether a doubt about a source that stood is gone, and nobody had said that this is how things are."""
    accepted, codes = ledger.accepted_doubts(), {doubt.code for doubt in observed}
    return any(
        code.startswith(("emptied:", "peer:")) and code not in codes and not {(code, ""), (code, remote)} & accepted
        for code in ledger.doubts()
    )


def _about_clock(doubt: Doubt) -> bool:
    return doubt.code.startswith("clock:")


def quiet_plan(world: World, ledger: Ledger, sources: Sources, view: RemoteView) -> RemotePlan:
    """The plan of a pass in which nothing changed: what waited and what was held still is."""
    name, record = view.settings.name, view.record
    return RemotePlan(
        view, view_of(world, ledger, sources, view), ledger.pending_counts(name), lambda: standing(ledger, name), [],
        record.present or 0, record.foreign or 0, frozenset(record.other_marks), quiet=Quiet.read(record.quiet),
    )  # fmt: skip


async def plan_remote(
    world: World,
    ledger: Ledger | None,
    reader: Ledger | None,
    spool: Spool,
    sources: Sources,
    view: RemoteView,
    dry: bool,
) -> RemotePlan:
    """Plan one remote and judge the plan; what was learned goes into the ledger unless `dry`."""
    remote, now = view.settings, world.clock.now()
    writer = None if dry else ledger
    plan = view_of(world, ledger, sources, view)
    ids = plan.mirror_ids
    if writer is not None and view.listed != "failed":
        resolve_intents(writer, view, lambda keys: spool.rows_of(view.index, keys), ids, now)
        if any(doubt.code.startswith("old-ledger:") for doubt in sources.own_doubts):
            mistrust(writer, remote.name, spool.observed(view.index), view.traits.meta_kept, now)
    observed_doubts = [*sources.observed(remote), *view.doubts]
    doubts = [doubt for doubt in observed_doubts if not sources.accepts(remote.name, doubt)]
    accepted = {doubt.code for doubt in observed_doubts if sources.accepts(remote.name, doubt)}
    approvals = in_force(ledger.approvals(remote.name) if ledger else {}, observed_doubts, accepted, plan.sources_whole)
    if writer is not None:
        with writer.store.transaction():
            # Before the first pin is made, so that after a crash too it is known by which mark and configuration.
            writer.set_fact("mirror_ids", json.dumps(ids))
            if writer.fact(fingerprint_of(remote.name)) is None:
                writer.set_fact(fingerprint_of(remote.name), json.dumps(configuration(world.settings, world.mirror_id)))
            writer.not_quiet(remote.name)  # until this pass has found that it is
            writer.keep_approvals(remote.name, approvals)
            if _ended(writer, observed_doubts, remote.name):
                writer.begin_graces_anew(remote.name, now)
    removed = ledger.removed_since(remote.name, now - DAY) if ledger else 0
    counter = guard.Counter(approvals, doubts, remote.safety, removed, strange_share(world, ledger, view, plan, doubts))
    put = spool.action_sink(view.index)
    decisions: list[Decision] = []

    async def take(decisions: list[Decision]) -> None:
        put([action for decision in decisions for action in decision.actions])
        if writer is not None:
            with writer.store.transaction():
                writer.record_decisions(remote.name, decisions, now)
        world.alive()
        await asyncio.sleep(0)

    digest = Digest(plan)
    changed = False
    strangers = Strangers(ledger, view)
    elsewhere = Elsewhere(sources, ledger, remote.name)
    suspicious = ledger is not None and not (
        plan.first_listing or sources.own_doubts or "mirror.id" in plan.config_change
    )
    observed = spool.observed(view.index) if view.listed != "failed" else iter(())
    known = reader.known(remote.name) if reader else iter(())
    for seen, planned in enumerate(diff(digest.over(sources.wanted(remote, spool)), observed, known, plan), 1):
        decision = elsewhere.look(planned)
        counter.count(decision)
        if suspicious and decision.found:
            strangers.look(decision)
        if decision.actions or decision.after is not decision.before or decision.found or decision.gone:
            decisions.append(decision)
            changed = changed or decision.after is not decision.before or bool(decision.found or decision.gone)
        if seen % CHUNK == 0:
            await take(decisions)
            decisions = []
    await take(decisions)
    if strangers.count:
        found = strangers.doubt()
        observed_doubts.append(found)
        doubts.append(found)
        view.doubts = [doubt for doubt in view.doubts if not doubt.code.startswith("clone:pins:")] + [found]
        if writer is not None:
            with writer.store.transaction():
                strangers.note(now)
    if writer is not None:
        with writer.store.transaction():
            note_strange(writer, view, counter)
    record = view.record
    tally = replace(counter.tally(), expected=expected(ledger, remote.name, remote.endpoint))
    judgement = judge(
        remote.name, tally, remote.safety, now=now, approvals=approvals, doubts=doubts, closed=record.closed,
        no_deletes=record.no_deletes, lone_delete=view.traits.lone_delete,
    )  # fmt: skip
    counts = spool.judge(view.index, judgement)
    if writer is not None:
        with writer.store.transaction():
            writer.record_pending(remote.name, spool.judged(view.index))
    present, marks = spool.observed_count(view.index), spool.marks(view.index)
    shown = {"meta_kept"} if marks.intersection(ids) else set()
    shown |= {"name_kept"} if spool.shows_names(view.index) else set()
    quiet = None
    if writer is not None and not observed_doubts and not plan.config_change:
        quiet = await note_quiet(view, plan, digest, spool.judged(view.index), spool, changed)
    return RemotePlan(
        view, plan, counts, lambda: spool.judged(view.index), doubts, present, present - counter.ours,
        marks - {*ids}, frozenset(shown), quiet, tally,
    )  # fmt: skip
