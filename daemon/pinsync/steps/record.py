"""The fifth step of a pass: what it learned about sources and remotes as a whole goes into the ledger."""

from __future__ import annotations

import json
from dataclasses import replace

from pinsync.ledger.ledger import DAY, Ledger, RemoteRecord
from pinsync.planning.plan import PinState
from pinsync.sources.manifest import manifest_rows
from pinsync.world import World

from .observe import source_records
from .plan import RemotePlan, mirror_ids
from .report import PassReport, sync_json

KEEP_HISTORY = 180 * DAY
PROBE_FIRST, PROBE_CAP = 900.0, DAY


def record(world: World, ledger: Ledger, report: PassReport, run: int, *, whole: bool) -> None:
    """Write what this pass learned about sources and remotes as a whole, and how it ended."""
    now, settings, sources = world.clock.now(), world.settings, report.sources
    with ledger.store.transaction():
        if whole:
            for source in source_records(sources, settings, ledger, world.clock):
                ledger.put_source(source)
            ledger.record_doubts([*sources.node_doubts, *sources.manifest_doubts], now)
            if not sources.manifest.problems and all(node.whole for node in sources.mirrored):
                ledger.set_fact("fingerprint", json.dumps(settings.fingerprint_parts()))
                for name in sources.gone - {"manifest"}:
                    ledger.forget_source(name)
            manifest = sources.manifest.manifest
            if manifest is not None and sources.manifest.changed and not sources.manifest.problems:
                ledger.put_good_manifest(manifest_rows(manifest))
        ledger.set_fact("mirror_ids", json.dumps(mirror_ids(world.mirror_id, ledger)))
        for plan in report.remotes:
            ledger.put_remote(_remote_record(plan, now), now)
            counts = ledger.state_counts(plan.view.settings.name)
            report.on_their_way += sum(counts[state] for state in (PinState.QUEUED, PinState.PINNING, PinState.MISSING))
            report.not_taken += counts[PinState.FAILED] + counts[PinState.REFUSED]
        ledger.finish_run(
            run, now, good=report.good, exit_code=report.exit_code(), report=json.dumps(sync_json(report))
        )
        ledger.prune(now - KEEP_HISTORY)


def _remote_record(plan: RemotePlan, now: float) -> RemoteRecord:
    view, done, before = plan.view, plan.done, plan.view.record
    failing = view.trouble or (None if done.closed else done.failing)
    record = replace(
        before,
        endpoint=view.settings.endpoint,
        traits=replace(view.traits, lone_delete=done.lone_delete) if done.lone_delete is not None else view.traits,
        ok=failing is None,
        error=failing,
        complete=view.whole,
        reason=view.reason,
        tried_at=now,
        failures=before.failures + 1 if failing else 0,
        quiet=plan.quiet.text() if plan.quiet else None,
        recent=tuple(view.client.limiter.recent()) if view.client else (),
    )
    if view.listed == "complete":
        record = replace(
            record, listed_at=now, present=plan.present, foreign=plan.foreign, other_marks=tuple(sorted(plan.marks))
        )
    if done.closed is not None:
        probes = before.probes + 1 if before.closed else 0
        pause = min(PROBE_CAP, PROBE_FIRST * 2.0 ** min(probes, 20))
        return replace(
            record, closed=done.closed, closed_since=before.closed_since or now, probes=probes, probe_at=now + pause
        )
    if before.closed and done.probed:
        return replace(record, closed=None, closed_since=None, probe_at=None, probes=0)
    return record
