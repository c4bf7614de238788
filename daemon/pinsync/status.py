"""The reconciliation report: what the ledger says about where things stand. Pure reading, no network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .cid import Cid
from .clock import rfc3339
from .ledger.ledger import Ledger
from .ledger.life import life
from .ledger.pauses import fresh_since, pauses
from .ledger.records import Pause, RemoteRecord, SourceRecord
from .ledger.recovery import about, went_back
from .ledger.remembered import remembered
from .planning.plan import Kind, PinState, State
from .remote.errors import unnamed
from .settings.model import RemoteSettings, Settings

STALE_AFTER = 3  # intervals without a good pass
CLOCKS_DIFFER = 600.0  # seconds that a good pass may lie ahead before the clock must have been set back
CID_HISTORY = 50  # things that happened to a pin, the newest; `pinsync history CID` has all

EXIT = {"failing": 1, "stale": 5, "never-ran": 5, "held": 4, "converging": 3, "in-sync": 0}


def status(
    ledger: Ledger | None, settings: Settings, now: float, daemon: Mapping[str, object], only: str | None = None
) -> dict[str, Any]:
    """The object that `status --json` prints. `daemon` says whether one is running."""
    sources = ledger.sources() if ledger else {}
    remotes = [remote_status(ledger, remote) for remote in settings.remotes if only in (None, remote.name)]
    last = ledger.last_run() if ledger else None
    next_pass = float((ledger.fact("next_pass_at") if ledger else None) or 0)
    report: dict[str, Any] = {
        "format": 1,
        "verdict": "",
        "daemon": dict(daemon),
        "sources": {
            "nodes": [_node(node.name, sources.get(f"node:{node.name}")) for node in settings.nodes if node.mirror],
            "manifest": _manifest(settings, sources.get("manifest")),
        },
        "remotes": remotes,
        "paused": [pause_json(one) for one in pauses(ledger, now) if only in (None, one.remote or only)],
        "doubts": _doubts(ledger, settings, only),
        "ledger": _ledger(ledger, settings, remotes),
        "last_pass": _run(last),
        "last_good_pass_at": rfc3339(ledger.last_good()) if ledger else None,
        "next_pass_at": rfc3339(next_pass) if daemon.get("running") and next_pass else None,
        "config": str(settings.source.path) if settings.source.path else None,
        "state": str(settings.state.path),
    }
    report["verdict"] = verdict(report, fresh_since(ledger, now), settings.schedule.every, now)
    json.dumps(report)  # a cell that damage made bytes of shows here, where it is known for damage
    return report


def _doubts(ledger: Ledger | None, settings: Settings, only: str | None) -> list[dict[str, str]]:
    """Those that nobody has released; where `only` one remote is asked for, without those about another one alone."""
    others = tuple(f"@{remote.name}" for remote in settings.remotes if only not in (None, remote.name))
    found = ledger.standing_doubts() if ledger else ()
    return [{"code": code, "reason": reason} for code, reason in found if not code.endswith(others)]


def pause_json(one: Pause) -> dict[str, Any]:
    """A pause; `remote` None: of everything."""
    return {
        "remote": one.remote or None,
        "since": rfc3339(one.since),
        "until": rfc3339(one.until),
        "reason": one.reason or None,
        "by": one.who or None,
    }


def verdict(report: Mapping[str, Any], last_good: float | None, every: float, now: float) -> str:
    """One word for everything, by the promised order: failing, stale or never-ran, held, converging, in-sync.

    What a person paused is held, and nothing else is said of it.
    """
    if report["last_pass"] is None:
        return "never-ran"
    resting = {one["remote"] for one in report.get("paused", ())}
    if None in resting:
        return "held"
    remotes = [remote for remote in report["remotes"] if remote["name"] not in resting]
    failing = any(not node["ok"] for node in report["sources"]["nodes"] if node["ok"] is not None)
    failing = failing or any(remote["ok"] is False or remote["failed"] or remote["refused"] for remote in remotes)
    if failing:
        return "failing"
    if last_good is None:
        return "never-ran" if report["last_pass"]["finished_at"] is None else "stale"
    if not -CLOCKS_DIFFER <= now - last_good <= STALE_AFTER * every:  # in the future: the clock was set back since
        return "stale"
    if resting or report.get("doubts") or any(remote["held"] for remote in remotes):
        return "held"
    moving = ("queued", "pinning", "missing", "waiting_removal", "waiting")
    if any(remote[what] for remote in remotes for what in moving) or report["last_pass"]["finished_at"] is None:
        return "converging"
    if any(remote["listed_at"] is None for remote in remotes):
        return "converging"
    return "in-sync"


def _ledger(ledger: Ledger | None, settings: Settings, remotes: list[dict[str, Any]]) -> dict[str, Any]:
    """What became of the ledger: gone now (`lost`), set aside or lost before (`since`), an older copy (`old_since`)."""
    kept = remembered(settings.state.path)  # before the ledger, which a pass under way writes first
    found = about(ledger) if ledger else dict.fromkeys(("path", "since", "why", "old_since", "old_to"))
    rebuilt = {one["name"]: one["listed_at"] is not None for one in remotes} if found["since"] else {}
    unmarked = [
        one["name"]
        for one in remotes
        if rebuilt.get(one["name"]) and one["foreign"] and one["foreign"] == one["present"]
    ]
    if found["old_since"]:  # of what was added since, the marks that were dropped cannot tell whose it is
        unmarked = [one["name"] for one in remotes if one["foreign"] and one["traits"].get("meta_kept") is False]
    return {
        "lost": ledger is None and kept is not None,
        "behind": ledger is not None and went_back(ledger, kept),
        "set_aside": found["path"],
        "since": rfc3339(found["since"]),
        "why": found["why"],
        "rebuilt": rebuilt,
        "unmarked": unmarked,
        "old_since": rfc3339(found["old_since"]),
        "old_to": rfc3339(found["old_to"]),
    }


def exit_code(report: Mapping[str, Any]) -> int:
    """What `status` exits with: a manifest that cannot be read comes before the verdict."""
    return 2 if report["sources"]["manifest"]["ok"] is False else EXIT[report["verdict"]]


def remote_status(ledger: Ledger | None, settings: RemoteSettings) -> dict[str, Any]:
    """One remote's line."""
    record = ledger.remote(settings.name) if ledger else RemoteRecord(settings.name)
    counts = ledger.state_counts(settings.name) if ledger else dict.fromkeys(PinState, 0)
    pending = ledger.pending_counts(settings.name) if ledger else {}
    error = _closed(record) or record.error
    return {
        "name": settings.name,
        "endpoint": settings.endpoint,
        "mode": settings.mode.value,
        "ok": record.ok,
        "error": unnamed(settings.name, error) if error else error,
        "complete": record.complete,
        "reason": record.reason,
        "wanted": sum(counts.values()),
        **{state.value: counts[state] for state in PinState},
        "foreign": record.foreign or 0,
        "waiting_removal": pending.get((Kind.REMOVE, State.WAITING), 0),
        "waiting": sum(count for (_, state), count in pending.items() if state is State.WAITING),
        "held": sum(count for (_, state), count in pending.items() if state is State.HELD),
        "present": record.present,
        "other_mirrors": list(record.other_marks),
        "listed_at": rfc3339(record.listed_at),
        "closed_since": rfc3339(record.closed.since if record.closed else None),
        "next_probe_at": rfc3339(record.closed.probe_at if record.closed else None),
        "no_deletes_since": rfc3339(record.no_deletes.since if record.no_deletes else None),
        "reasons": [
            {"state": state.value, "kind": kind.value, "reason": reason, "count": count, "code": code}
            for state, kind, reason, count, code in (ledger.reasons(settings.name) if ledger else ())
        ],
        "traits": {
            name: getattr(record.traits, name)
            for name in record.traits.__slots__
            if getattr(record.traits, name) is not None
        },
        "traits_since": {name: rfc3339(at) for name, at in record.seen},
    }


def _closed(record: RemoteRecord) -> str | None:
    """In one sentence what a remote that refuses does not take, and what to do."""
    if record.closed is not None:
        why = unnamed(record.name, record.closed.reason)
        return (
            f"takes no new pins: {why} It is asked again now and then; pins that are there are safe. "
            "If it has closed for good, add another [[remote]]"
        )
    return f"deletes nothing: {unnamed(record.name, record.no_deletes.reason)}" if record.no_deletes else None


def cid_status(ledger: Ledger | None, settings: Settings, cid: Cid, only: str | None = None) -> dict[str, Any]:
    """The object that `status CID --json` prints."""
    remotes = []
    for remote in settings.remotes:
        if only not in (None, remote.name):
            continue
        entry = ledger.entry(remote.name, cid.key) if ledger else None
        owned = [one for one in ledger.owned_of(remote.name, cid.key) if one.gone_at is None] if ledger else []
        waits = ledger.pending(remote.name, cid.key) if ledger else []
        remotes.append(
            {
                "name": remote.name,
                "wanted": bool(entry and entry.wanted),
                "wanted_by": entry.sources.split() if entry and entry.wanted else [],
                "wanted_since": rfc3339(entry.since) if entry and entry.wanted else None,
                "unwanted_since": rfc3339(entry.unwanted_since) if entry else None,
                "requestid": entry.requestid if entry else None,
                "status": entry.state.value if entry else None,
                "created": rfc3339(entry.created / 1e9) if entry and entry.created is not None else None,
                "ours": any(entry is not None and one.requestid == entry.requestid for one in owned)
                and not any(one.how.value == "foreign" for one in owned),
                "attempts": entry.attempts if entry else 0,
                "last_error": entry.error if entry else None,
                "next_try": rfc3339(entry.next_try) if entry else None,
                "waiting": [
                    {
                        "kind": one.kind.value,
                        "state": one.state.value,
                        "reason": one.reason,
                        "until": rfc3339(one.until),
                        "requestid": one.requestid or None,
                    }
                    for one in waits
                ],
            }
        )
    told = life(ledger, cid.key, since=0.0, remote=only, most=CID_HISTORY)[0] if ledger else []
    return {
        "format": 1,
        "cid": str(cid),
        "wanted": any(remote["wanted"] for remote in remotes),
        "remotes": remotes,
        "history": [
            {
                "at": rfc3339(one["at"]),
                "remote": one["remote"],
                "kind": one["kind"],
                "step": one["step"] or "event",
                "requestid": one["requestid"],
                "state": one["state"] or "done",
                "settled_at": rfc3339(one["settled_at"] if one["state"] else one["at"]),
                "outcome": one["outcome"],
                "who": one["who"] or None,
            }
            for one in reversed(told)
        ],
    }


def _node(name: str, record: SourceRecord | None) -> dict[str, Any]:
    record = record or SourceRecord(name, "node")
    seen = record.read_at is not None or record.error is not None
    return {
        "name": name,
        "ok": record.ok if seen else None,
        "pins": record.pins,
        "peer_id": record.peer_id,
        "version": record.version,
        "read_at": rfc3339(record.read_at),
        "error": record.error,
    }


def _manifest(settings: Settings, record: SourceRecord | None) -> dict[str, Any]:
    path = settings.manifest.path
    if path is None or record is None:
        return {"ok": None, "path": str(path) if path else None, "there": None, "pins": 0, "error": None}
    there = record.digest is not None
    return {"ok": record.ok, "path": str(path), "there": there, "pins": record.pins or 0, "error": record.error}


def _run(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        "trigger": row["trigger"],
        "started_at": rfc3339(row["started_at"]),
        "progress_at": rfc3339(row["progress_at"]),
        "finished_at": rfc3339(row["finished_at"]),
        "good": None if row["good"] is None else bool(row["good"]),
        "exit_code": row["exit_code"],
    }
