"""The last step of a pass: what it found and did, as a value and as the promised JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pinsync.clock import rfc3339
from pinsync.planning.plan import Action, Doubt, State
from pinsync.remote.errors import unnamed

from .observe import Sources, Trouble
from .plan import RemotePlan


@dataclass(slots=True)
class PassReport:
    """What a pass found and did. `dry`: nothing was changed anywhere."""

    remotes: list[RemotePlan]
    sources: Sources
    manifest_wrong: bool
    started_at: float
    seconds: float = 0.0
    dry: bool = False
    troubles: list[Trouble] = field(default_factory=list)
    on_their_way: int = 0  # wanted pins queued or pinning after the pass
    missing: int = 0  # wanted pins that are not there after the pass
    again: bool = False  # something that waited in this pass can go on: another one is worth while soon
    not_taken: int = 0  # wanted pins failed or refused after the pass
    paused: list[str] = field(default_factory=list)  # remotes left out because a person paused them; `dry`: planned

    @property
    def failed(self) -> bool:
        """Whether the node, a remote or the state failed."""
        return any(trouble.where != "manifest" for trouble in self.troubles)

    @property
    def good(self) -> bool:
        """Whether every source and remote could be read and obeyed."""
        return not self.troubles

    @property
    def doubts(self) -> list[Doubt]:
        """What holds removals here until a person releases it, whether there is anything to remove or not."""
        found: dict[str, Doubt] = {}
        for plan in self.remotes:
            remote = plan.view.settings
            own = [doubt for doubt in plan.view.doubts if not self.sources.accepts(remote.name, doubt)]
            found |= {doubt.code: doubt for doubt in (*self.sources.doubts(remote), *own)}
        return list(found.values())

    def exit_code(self) -> int:
        """By the promised order 2 1 4 3 0."""
        if self.manifest_wrong:
            return 2
        if self.failed or self.not_taken:
            return 1
        if self.paused or self.doubts or any(plan.count(State.HELD) for plan in self.remotes):
            return 4
        states = (State.DO, State.WAITING) if self.dry else (State.WAITING,)
        if self.on_their_way or self.missing or any(plan.count(state) for plan in self.remotes for state in states):
            return 3
        return 0


def troubles(report: PassReport) -> list[Trouble]:
    """Everything that went wrong, each with where."""
    found = [Trouble("manifest", str(problem)) for problem in report.sources.manifest.problems]
    found += [
        Trouble(f"node {node.settings.name}", node.error) for node in report.sources.mirrored if node.error is not None
    ]
    for plan in report.remotes:
        name = plan.view.settings.name
        said = dict.fromkeys(filter(None, (plan.view.trouble, *plan.done.troubles)))
        found += [Trouble(f"remote {name}", unnamed(name, message)) for message in said]
    return found


def sync_json(report: PassReport) -> dict[str, object]:
    """The object that `sync --json` prints."""
    return {
        "format": 1,
        "remotes": [
            {
                "name": plan.view.settings.name,
                "complete": plan.view.whole,
                "added": plan.done.added,
                "updated": plan.done.updated,
                "removed": plan.done.removed,
                "retried": plan.done.retried,
                "refused": plan.done.refused,
                "waiting": plan.count(State.WAITING),
                "held": plan.count(State.HELD),
                "requests": plan.view.client.requests if plan.view.client else 0,
                "seconds": round(plan.seconds, 3),
            }
            for plan in report.remotes
        ],
        "paused": list(report.paused),
        "doubts": doubts_json(report),
        "errors": [{"where": trouble.where, "message": trouble.message} for trouble in report.troubles],
    }


def plan_json(
    report: PassReport, *, gather: Callable[[Iterator[dict[str, object]]], object] = list
) -> dict[str, object]:
    """The object that `plan --json` prints. `gather` is what becomes of the actions of one remote, here a list."""
    return {
        "format": 1,
        "remotes": [
            {
                "name": plan.view.settings.name,
                "complete": plan.view.whole,
                "reason": plan.view.reason or plan.view.trouble,
                "actions": gather(map(action_json, plan.actions())),
            }
            for plan in report.remotes
        ],
        "paused": list(report.paused),
        "doubts": doubts_json(report),
        "errors": [{"where": trouble.where, "message": trouble.message} for trouble in report.troubles],
    }


def doubts_json(report: PassReport) -> list[dict[str, str]]:
    """The doubts that wait for a person."""
    return [{"code": doubt.code, "reason": doubt.reason} for doubt in report.doubts]


def action_json(action: Action) -> dict[str, object]:
    """One action as `plan --json` has it."""
    return {
        "kind": action.kind.value,
        "cid": action.cid,
        "name": action.body.name if action.body else None,
        "state": action.state.value,
        "reason": action.reason,
        "until": rfc3339(action.until),
        "requestid": action.requestid,
    }
