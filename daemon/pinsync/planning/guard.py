"""What must not be done yet: moves actions from *do* to *waiting* or *held*, each with a reason and a way out.

Pure. `tally` counts a remote's whole plan first, `judge` then answers for one action after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from pinsync.model import Removals, Safety

from .plan import STRANGE, Action, Approval, Approvals, Decision, Doubt, Kind, PinState, Shut, State, Step, Tally
from .rules import due

PROBE_CAP = 86400.0  # seconds; the longest pause between two probes of a remote that takes no writes
SHARE_FLOOR = 5  # the share never holds so few removals (semantics: *Limits*), nor so few pins gone
FAILED_FLOOR = 3  # with so few failed pins, "more than half" says nothing about the service

LOST_ONCE = "lost-once"
"""The code of an add that waits for a second complete list, where too many of ours are gone from the first."""

_LIVE = {PinState.PINNED, PinState.QUEUED, PinState.PINNING}


@dataclass(slots=True)
class Counter:
    """Counts decisions as they stream by; `tally()` at the end.

    `strange_share`: above which share of the pins known by their mark alone those that were never wanted are held; None
    for never.
    """

    approvals: Approvals
    doubts: Sequence[Doubt]
    safety: Safety
    removed_today: int = 0
    strange_share: float | None = None
    owned_live: int = 0
    seen: int = 0
    failed: int = 0
    had: int = 0
    lost: int = 0
    due: int = 0
    ours: int = 0
    marked: int = 0
    strange: int = 0
    strange_due: int = 0

    def count(self, decision: Decision) -> None:
        """Take one decision into account."""
        before, after = decision.before, decision.after
        self.ours += decision.ours
        self.marked += decision.marked
        self.strange += decision.strange
        if after is not None and after.was_there and not after.missing:
            self.seen += 1
            self.failed += after.state is PinState.FAILED
            if after.was_there == "ours" and after.state in _LIVE:
                self.owned_live += max(1, decision.ours)  # pins, as removals are: an update has two of one CID
        if before is not None and before.was_there == "ours":
            self.had += 1
            self.lost += after is not None and after.wanted and after.missing > 0
        for action in decision.actions:
            if action.kind is Kind.REMOVE and action.state is State.DO and not self._beyond_limits(action):
                self.due += 1
                self.strange_due += action.why == STRANGE

    def _beyond_limits(self, action: Action) -> bool:
        """Whether something else than a limit decides about this removal."""
        approved = stands(_approval(action, self.approvals), action, self.doubts)
        return approved or bool(self.doubts) or action.why not in ("", STRANGE)

    def tally(self) -> Tally:
        """The counts so far."""
        held = self.strange_held
        due = self.due - self.strange_due if held else self.due
        return Tally(
            self.owned_live, self.seen, self.failed, self.had, self.lost, due, self.removed_today, strange_held=held
        )

    @property
    def strange_held(self) -> bool:
        """Whether pins that only our mark calls ours, and that were never wanted here, are too many to be ours."""
        return self.strange_share is not None and self.strange > self.strange_share * self.marked


def tally(
    decisions: Iterable[Decision],
    safety: Safety,
    approvals: Approvals | None = None,
    doubts: Sequence[Doubt] = (),
    removed_today: int = 0,
) -> Tally:
    """Count a whole plan."""
    counter = Counter(approvals or {}, doubts, safety, removed_today)
    for decision in decisions:
        counter.count(decision)
    return counter.tally()


def judge(
    remote: str,
    counts: Tally,
    safety: Safety,
    *,
    now: float,
    approvals: Approvals | None = None,
    doubts: Sequence[Doubt] = (),
    closed: Shut | None = None,
    no_deletes: Shut | None = None,
    lone_delete: bool | None = True,
) -> Callable[[Action], Action]:
    """The judgement over one remote's actions, as a function from an action to the action as it may be carried out.

    `closed` and `no_deletes`: the remote takes no POSTs, or no DELETEs.
    It remembers nothing but whether the one probe of a closed remote was given out, and the one deletion that shows
    whether this service keeps the other pin of a CID (`lone_delete` None: not known yet).
    """
    given = approvals or {}
    limit = _limit(counts, safety)
    lost = _lost(counts, safety)
    bought = _bought_before(remote, counts, safety)
    mass = _mass_failure(counts)
    strange = _strange(remote)
    shut = {Step.POST: closed, Step.DELETE: no_deletes}
    probes = {step: one is not None and due(one.probe_at, now, PROBE_CAP) for step, one in shut.items()}

    def removal(action: Action) -> Action:
        approval = _approval(action, given)
        if action.state is State.WAITING and action.code != "grace":
            return action
        for doubt in doubts:
            if approval is None or approval.code != doubt.code:
                return replace(action, state=State.HELD, code=doubt.code, reason=doubt.reason, until=None)
        if action.why == STRANGE:
            if counts.strange_held and (approval is None or not _about_mark(approval, doubts)):
                return replace(action, state=State.HELD, code=MARK_CODE, reason=strange, until=None)
        elif action.why and (approval is None or approval.code not in (config_code(action.why), "shared")):
            reason = f"a change of the configuration ({action.why}) made it unwanted; {_release(remote)}"
            return replace(action, state=State.HELD, code=config_code(action.why), reason=reason, until=None)
        if action.state is State.WAITING and not (approval and approval.now):
            return action
        if action.code == "shared" and (approval is None or approval.code != "shared"):
            return replace(action, reason=f"{action.reason}; {_release(remote)}")
        if stands(approval, action, doubts):
            return replace(
                action,
                state=State.DO,
                code="",
                until=None,
                approved=True,
                reason=f"{action.reason}; approved",
            )
        if safety.removals is Removals.APPROVE:
            reason = f'safety.removals is "approve"; {_release(remote)}'
            return replace(action, state=State.HELD, code="approve", reason=reason)
        if limit:
            return replace(action, state=State.HELD, code="limit", reason=f"{limit}; {_release(remote)}")
        return action

    untried = lone_delete is None

    def open_to(action: Action) -> Action:
        """Whether the remote takes such a request; what is to be done already passed everything else."""
        closed = shut[action.step]
        if action.state is not State.DO or closed is None:
            return action
        if probes[action.step]:
            probes[action.step] = False
            return action
        what = "pins" if action.step is Step.POST else "deletions"
        reason = f"the remote takes no {what} for now: {closed.reason}"
        return replace(action, state=State.WAITING, code="closed", reason=reason, until=closed.probe_at)

    def judgement(action: Action) -> Action:
        nonlocal untried
        if action.kind is Kind.REMOVE:
            return open_to(removal(action))
        if lost and action.code == "missing-once" and _approval(action, given) is None:
            reason = f"{lost} Adding them again is held when the next complete list shows the same"
            return replace(action, code=LOST_ONCE, reason=reason)
        if action.state is not State.DO:
            return action
        if action.step is Step.DELETE:
            if lone_delete is None and not untried:
                reason = f"{action.reason}; first one such deletion shows whether this service keeps the other pin"
                return replace(action, state=State.WAITING, code="one-first", reason=reason)
            untried = False
            return open_to(action)
        if action.kind is Kind.RETRY and mass:
            return replace(action, state=State.WAITING, code="mass-failure", reason=mass)
        again = bought or (f"{lost} {_release(remote)}" if lost and action.lookup else "")
        if action.kind is Kind.ADD and again and _approval(action, given) is None:
            return replace(action, state=State.HELD, code="lost", reason=again)
        return open_to(action)

    return judgement


DOUBTS = ("emptied:", "peer:", "clock:", "clone:", "old-ledger:")
"""How the codes of doubts begin."""

CONFIRMED = "confirmed"
"""The code of an approval whose doubt was accepted while it stood: what it was about has become the truth."""


def in_force(
    approvals: Approvals, observed: Sequence[Doubt], accepted: Collection[str], sources_whole: bool
) -> Approvals:
    """The approvals as this pass finds them (semantics: *Approve*: what changed since is not released).

    One that was given for a doubt is void when the doubt is gone, and confirmed when the doubt stands and was accepted
    as a whole. While a source cannot be read whole nothing is known about its doubts, and nothing is voided.
    """
    codes = {doubt.code for doubt in observed}
    kept = {}
    for key, approval in approvals.items():
        about_doubt = approval.code.startswith(DOUBTS)
        if about_doubt and approval.code in accepted and approval.code in codes:
            kept[key] = replace(approval, code=CONFIRMED)
        elif not about_doubt or approval.code in codes or not sources_whole:
            kept[key] = approval
    return kept


def stands(approval: Approval | None, action: Action, doubts: Sequence[Doubt]) -> bool:
    """Whether an approval is about what holds this removal now, so that neither setting nor limit counts for it."""
    if approval is None:
        return False
    if approval.code in ("limit", "approve", "shared", MARK_CODE, CONFIRMED) or approval.now:
        return True
    return approval.code == config_code(action.why) or any(approval.code == doubt.code for doubt in doubts)


def config_code(why: str) -> str:
    """The code of a hold for a changed configuration."""
    return f"config:{why}"


MARK_CODE = "strange-mark"
"""The code of a hold for what carries our mark, though we neither made it nor ever saw it wanted."""


def _about_mark(approval: Approval, doubts: Sequence[Doubt]) -> bool:
    return approval.code in (MARK_CODE, "shared", CONFIRMED) or any(approval.code == doubt.code for doubt in doubts)


def _strange(remote: str) -> str:
    return (
        "it carries our mark, but this ledger neither made it nor ever saw it wanted there: does another machine use "
        f"our mirror id, or is this another remote's account? {_release(remote)}"
    )


def _approval(action: Action, approvals: Approvals) -> Approval | None:
    return approvals.get((action.kind, action.key, action.requestid or ""))


def _release(remote: str) -> str:
    return f"`pinsync approve --remote {remote}` releases it"


def _limit(counts: Tally, safety: Safety) -> str:
    """Why the limits hold every due removal, or ""."""
    total = counts.removals_due + counts.removed_today
    before = counts.owned_live + counts.removed_today
    if not counts.removals_due:
        return ""
    said = f"{counts.removals_due} to remove"
    if counts.removed_today:
        said += f" after {counts.removed_today} in the last 24 h"
    if total > safety.max_removals:
        return f"{said} is more than safety.max_removals = {safety.max_removals} a day"
    # A share of 100 is no limit, though pins that failed are removed too and do not count as live.
    share = safety.max_removal_share
    if total > SHARE_FLOOR and share < 100.0 and 100.0 * total > share * before:
        return f"{said} is more than safety.max_removal_share = {share:g} % a day of the {before} pins of ours there"
    return ""


def _lost(counts: Tally, safety: Safety) -> str:
    """Why pins that were there and are gone are not added again, or ""."""
    few = counts.lost <= SHARE_FLOOR and not (counts.lost == counts.had and counts.lost > 1)
    if few or 100.0 * counts.lost <= safety.max_lost_share * counts.had:
        return ""
    return (
        f"{counts.lost} of the {counts.had} pins of ours are gone at once, more than safety.max_lost_share = "
        f"{safety.max_lost_share:g} %: is this the token of another account?"
    )


def _bought_before(remote: str, counts: Tally, safety: Safety) -> str:
    """Why nothing is added by a ledger that is newer than the pins, or older, or ""."""
    gone = counts.expected - counts.seen
    if gone <= SHARE_FLOOR or 100.0 * gone <= safety.max_lost_share * counts.expected:
        return ""
    return (
        f"an earlier ledger knew {counts.expected} wanted pins there and {counts.seen} are seen; more are gone than "
        f"safety.max_lost_share = {safety.max_lost_share:g} %: is this the token of another account? {_release(remote)}"
    )


def _mass_failure(counts: Tally) -> str:
    """Why no failed pin is tried again, or ""."""
    if counts.failed <= FAILED_FLOOR or 2 * counts.failed <= counts.seen:
        return ""
    return (
        f"{counts.failed} of {counts.seen} pins are reported failed: that is the remote's trouble, "
        "and trying them all again would not mend it"
    )
