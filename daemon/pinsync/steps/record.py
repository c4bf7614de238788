"""The fifth step of a pass: what it learned about sources and remotes as a whole goes into the ledger."""

from __future__ import annotations

import json
from dataclasses import fields, replace

from pinsync.ledger.ledger import DAY, Ledger
from pinsync.ledger.records import RemoteRecord
from pinsync.ledger.recovery import forget_expected
from pinsync.ledger.remembered import advance
from pinsync.model import Traits
from pinsync.planning.plan import Doubt, Kind, PinState, Shut, State
from pinsync.sources.manifest import manifest_rows
from pinsync.world import World

from .doubts import forget_strangers, note_clock, settle_own_doubts
from .observe import Sources, configuration, fingerprint_of, source_records
from .plan import RemotePlan
from .report import PassReport, sync_json

KEEP_HISTORY = 180 * DAY
PROBE_FIRST, PROBE_CAP = 900.0, DAY


def record(world: World, ledger: Ledger, report: PassReport, run: int, *, whole: bool) -> None:
    """Write what this pass learned about sources and remotes as a whole, and how it ended."""
    now, settings, sources = world.clock.now(), world.settings, report.sources
    visited = {plan.view.settings.name for plan in report.remotes}
    unvisited = [remote for remote in settings.remotes if remote.name not in visited]
    with ledger.store.transaction():
        for source in source_records(sources, settings, ledger, world.clock):
            ledger.put_source(source)
        sources_unsettled = sources.unsettled(settings.remotes)
        ledger.record_doubts([*sources_unsettled, *_at_remotes(report)], now, [one.name for one in unvisited])
        settle_own_doubts(world, ledger, sources_unsettled, sources.own_doubts)
        parts = configuration(settings, world.mirror_id)
        for plan in report.remotes:
            _settle_remote(plan, sources, ledger, now)
            if plan.plan.sources_whole:
                ledger.set_fact(fingerprint_of(plan.view.settings.name), json.dumps(parts))
        if whole and all(plan.plan.sources_whole for plan in report.remotes):
            for name in sources.unknown - {"manifest"}:
                ledger.forget_source(name)
        manifest = sources.manifest
        doubted = any(doubt.source == "manifest" for doubt in sources.unsettled(settings.remotes))
        if manifest.manifest is not None and manifest.changed and not manifest.problems and not doubted:
            ledger.put_good_manifest(manifest_rows(manifest.manifest))
        for plan in report.remotes:
            ledger.put_remote(_remote_record(plan, now), now)
            report.again = report.again or _can_go_on(plan, ledger)
            counts = ledger.state_counts(plan.view.settings.name)
            report.on_their_way += counts[PinState.QUEUED] + counts[PinState.PINNING]
            report.missing += counts[PinState.MISSING]
            report.not_taken += counts[PinState.FAILED] + counts[PinState.REFUSED]
        ledger.finish_run(
            run, now, good=report.good, exit_code=report.exit_code(), report=json.dumps(sync_json(report))
        )
        if all(plan.view.clock_sure for plan in report.remotes):  # else history might go before its time
            ledger.prune(now - KEEP_HISTORY)
    advance(ledger, {plan.view.settings.name: had for plan in report.remotes if (had := _had(plan)) is not None})


def _at_remotes(report: PassReport) -> list[Doubt]:
    """The doubts about remotes that nobody has released."""
    return [
        doubt
        for plan in report.remotes
        for doubt in plan.view.doubts
        if not report.sources.accepts(plan.view.settings.name, doubt)
    ]


def _settle_remote(plan: RemotePlan, sources: Sources, ledger: Ledger, now: float) -> None:
    """What was not doubted at a remote, or a person released, is the truth from now on."""
    view, name = plan.view, plan.view.settings.name
    accepted = [doubt.code for doubt in view.doubts if sources.accepts(name, doubt)]
    note_clock(ledger, view, now, view.clock_sure or any(code.startswith("clock:") for code in accepted))
    if any(code.startswith("clone:pins:") for code in accepted):
        forget_strangers(ledger, name)
    if plan.tally is not None and view.listed == "complete" and not plan.count(State.HELD, Kind.ADD):
        forget_expected(ledger, name)  # what is wanted is there, or a person said that it may be added


def _had(plan: RemotePlan) -> list[object] | None:
    """How many pins of wanted content are at a remote after this pass, as `Remembered.had` keeps it."""
    tally, view = plan.tally, plan.view
    if tally is None or view.listed != "complete":
        return None
    known = max(tally.seen, tally.had, tally.expected)
    return [view.settings.endpoint, max(0, known + plan.done.added - plan.done.removed)]


def _can_go_on(plan: RemotePlan, ledger: Ledger) -> bool:
    """Whether something that waited when this pass was planned waits no more."""
    done, before = plan.done, plan.view.record
    if (before.closed and done.posted) or (before.no_deletes and done.deleted) or "lone_delete" in done.learned:
        return True
    return ledger.successor_is_ready(plan.view.settings.name)


def _remote_record(plan: RemotePlan, now: float) -> RemoteRecord:
    view, done, before = plan.view, plan.done, plan.view.record
    failing = view.trouble or (None if done.closed else done.failing)
    learned = {**done.learned, **dict.fromkeys(plan.shown, True)}  # a POST's answer may leave out what is kept
    traits = replace(view.traits, **{name: value for name, value in learned.items() if value is not None})
    record = replace(
        before,
        endpoint=view.settings.endpoint,
        traits=traits,
        seen=_seen(before, traits, now),
        ok=failing is None,
        error=failing,
        complete=view.whole,
        reason=view.reason,
        tried_at=now,
        failures=before.failures + 1 if failing else 0,
        quiet=plan.quiet.text() if plan.quiet else None,
        recent=tuple(view.client.limiter.recent()) if view.client else (),
        closed=_shut(before.closed, done.closed, done.posted, now),
        no_deletes=_shut(before.no_deletes, done.no_deletes, done.deleted, now),
    )
    if view.listed == "complete":
        present = max(0, plan.present + done.added - done.removed)  # after a first mirror it was 0 before
        record = replace(
            record, listed_at=now, present=present, foreign=plan.foreign, other_marks=tuple(sorted(plan.marks))
        )
    return record


def _shut(before: Shut | None, reason: str | None, opened: bool, now: float) -> Shut | None:
    """Whether the remote takes writes of one kind after this pass, and when it is tried again."""
    if reason is None:
        return None if opened else before
    probes = before.probes + 1 if before else 0
    pause = min(PROBE_CAP, PROBE_FIRST * 2.0 ** min(probes, 20))
    return Shut(reason, before.since if before else now, now + pause, probes)


def _seen(before: RemoteRecord, traits: Traits, now: float) -> tuple[tuple[str, float], ...]:
    """Since when each trait is as it is: what was learned, and corrected, in this pass is dated now."""
    dates = dict(before.seen)
    for one in fields(Traits):
        value = getattr(traits, one.name)
        if value is None:
            dates.pop(one.name, None)
        elif one.name not in dates or value != getattr(before.traits, one.name):
            dates[one.name] = now
    dates.pop("skew", None)  # measured afresh in every pass
    return tuple(sorted(dates.items()))
