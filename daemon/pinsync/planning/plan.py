"""The vocabulary of planning: what may be done, in which state, and what the ledger knows of an entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pinsync.model import Mode, PinBody, PinStatus, Safety, Traits
from pinsync.record import record


class Kind(StrEnum):
    """What an action is for a person."""

    ADD = "add"
    UPDATE = "update"
    REMOVE = "remove"
    RETRY = "retry"


class State(StrEnum):
    """`DO` in this pass; `WAITING` for grace or a next try; `HELD` for a person."""

    DO = "do"
    WAITING = "waiting"
    HELD = "held"


class Step(StrEnum):
    """The request that an action consists of."""

    POST = "post"
    DELETE = "delete"


class PinState(StrEnum):
    """The bucket in which a wanted entry is counted; `wanted` is their sum, always."""

    PINNED = "pinned"
    QUEUED = "queued"
    PINNING = "pinning"
    FAILED = "failed"
    REFUSED = "refused"
    MISSING = "missing"


STATE_OF = {
    PinStatus.PINNED: PinState.PINNED,
    PinStatus.QUEUED: PinState.QUEUED,
    PinStatus.PINNING: PinState.PINNING,
    PinStatus.FAILED: PinState.FAILED,
}


class How(StrEnum):
    """How the ledger came to its opinion about who owns a remote pin."""

    CREATED = "created"  # our POST made it
    ADOPTED = "adopted"  # a person said so
    MARK = "mark"  # a complete listing showed our mark
    FOREIGN = "foreign"  # our POST met a record that was there before: never ours, whatever its meta says now


@record(frozen=True, slots=True)
class Owned:
    """A remote pin about whose owner the ledger has an opinion."""

    requestid: str
    key: bytes
    cid: str
    how: How
    created: int | None = None
    gone_at: float | None = None  # when it was removed or last found to be gone; the row stays as a memory


@record(frozen=True, slots=True)
class Entry:
    """What the ledger knows of one CID at one remote, over passes.

    `since`: when it was first wanted here. `unwanted_since`: start of its grace; `unwanted_why`: "" or the part of the
    configuration whose change made it unwanted. `was_there`: "", "ours" or "foreign", by the last sighting.
    `missing`: complete listings in a row without it. `attempts`, `next_try`, `error`: of failed and refused pins.
    `follow_at`, `follows`: when a pin on its way is looked at again, and how often it was. `declined`: fingerprint of
    the name and meta that the service was asked for and did not take. `unclear`: a POST was sent whose effect is not
    known.
    """

    key: bytes
    cid: str
    wanted: bool
    state: PinState
    since: float | None = None
    sources: str = ""
    unwanted_since: float | None = None
    unwanted_why: str = ""
    requestid: str | None = None
    created: int | None = None
    was_there: str = ""
    missing: int = 0
    attempts: int = 0
    next_try: float | None = None
    error: str | None = None
    follow_at: float | None = None
    follows: int = 0
    declined: str = ""
    unclear: bool = False


@record(frozen=True, slots=True)
class Known:
    """The ledger's side of the merge: one key, its entry if there is one, and the opinions about owners."""

    key: bytes
    entry: Entry | None
    owned: tuple[Owned, ...] = ()


STRANGE = "mark"
"""`Action.why` of a pin that only our mark calls ours and that this ledger never saw wanted there."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do at a remote, and why.

    `code` is the machine's word for what makes it wait or holds it ("grace", "limit", "emptied:node:kubo"…):
    approvals bind to it. `until` is when waiting ends by itself, if it does. `lookup`: the CID must be looked up singly
    before the POST.
    `survivor`: for the deletion of a superseded row, the requestid that must be seen `pinned` first.
    `confirm`: for a removal, whether its absence from the nodes must be proved (a node might hold it).
    """

    kind: Kind
    step: Step
    key: bytes
    cid: str
    state: State = State.DO
    code: str = ""
    reason: str = ""
    until: float | None = None
    requestid: str | None = None
    body: PinBody | None = None
    lookup: bool = False
    survivor: str | None = None
    confirm: bool = True
    why: str = ""  # `unwanted_why` of a removal, or STRANGE
    approved: bool = False  # released by a person: outside the limits


@record(frozen=True, slots=True)
class Decision:
    """What planning says about one key: the entry as it is to be recorded (None: forget it) and what to do."""

    key: bytes
    before: Entry | None
    after: Entry | None
    actions: tuple[Action, ...] = ()
    found: tuple[Owned, ...] = ()  # newly known to be ours, by mark
    gone: tuple[str, ...] = ()  # requestids of ours that a complete listing no longer shows
    ours: int = 0  # how many pins of ours hold it
    marked: int = 0  # of these, known by their mark alone
    strange: int = 0  # of these, never seen wanted here by this ledger


@dataclass(frozen=True, slots=True)
class Doubt:
    """A reason to hold every removal at the remotes that a source feeds, whatever the limits say."""

    code: str
    reason: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Shut:
    """A remote that takes no writes of one kind for now. One probe is let through when `probe_at` has come.

    `probes`: how many were refused; the pauses between them grow.
    """

    reason: str
    since: float
    probe_at: float
    probes: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """All that planning for one remote rests on, besides the three streams.

    `listed`: "complete", "incomplete" or "failed", and `listed_reason` why it is not complete.
    `sources_whole`: every source that could want something here was read whole; else `sources_reason`.
    `config_change`: the parts of the configuration that differ from the last pass (`Settings.fingerprint_parts`).
    `gone_sources`: names of sources that fed this remote and are not in the configuration any more.
    `whole_sources`: names of sources that were read whole in this pass.
    `first_listing`: this ledger has never seen a complete listing of this remote.
    `mirror_ids`: the current id first, then ids that this ledger used before.
    `clock_sure`: our clock may be believed, so that grace can begin.
    """

    remote: str
    mirror_ids: tuple[str, ...]
    now: float
    mode: Mode = Mode.MIRROR
    safety: Safety = field(default_factory=Safety)
    traits: Traits = field(default_factory=Traits)
    listed: str = "complete"
    listed_reason: str | None = None
    sources_whole: bool = True
    sources_reason: str | None = None
    config_change: tuple[str, ...] = ()
    gone_sources: frozenset[str] = frozenset()
    whole_sources: frozenset[str] = frozenset()
    first_listing: bool = False
    origins: tuple[str, ...] = ()
    clock_sure: bool = True


@dataclass(frozen=True, slots=True)
class Tally:
    """What the guard must know of the whole plan of a remote before it can judge one action."""

    owned_live: int = 0  # live pins of ours seen there
    seen: int = 0  # entries seen there, ours or foreign
    failed: int = 0  # of these, failed
    had: int = 0  # pins of ours that were there by our last knowledge
    lost: int = 0  # of these, gone from a complete listing
    removals_due: int = 0  # removals that nothing but the limits would stop
    removed_today: int = 0  # removals done in the last 24 hours that nobody had approved
    expected: int = 0  # entries that were there by what outlived an earlier ledger
    strange_held: bool = False  # whether what only our mark calls ours, and nobody here ever wanted, is held


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's word: this removal (or adding again) of this pin, held for this reason, may go on."""

    kind: Kind
    requestid: str
    key: bytes
    code: str
    now: bool = False


Approvals = Mapping[tuple[Kind, bytes, str], Approval]
"""Approvals of one remote, by kind, key and requestid ("" for adding again)."""
