"""The values that pinsync thinks in: frozen, typed, without I/O.

Times are seconds since the epoch as `float`, except `RemotePin.created`, which keeps a server's nanoseconds as `int`.
`key` is always the normal form of a CID (`pinsync.cid`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from .record import record

MARK = "pinsync"
"""The key in a pin's `meta` under which our mirror id lies: the mark that makes a remote pin ours."""

EMPTY: Mapping[str, str] = MappingProxyType({})


class PinStatus(StrEnum):
    """The four states of a remote pin (Pinning Service API, schema `Status`)."""

    QUEUED = "queued"
    PINNING = "pinning"
    PINNED = "pinned"
    FAILED = "failed"

    @property
    def live(self) -> bool:
        """Whether the service holds the content or is about to."""
        return self is not PinStatus.FAILED


class Mode(StrEnum):
    """What pinsync may do at a remote."""

    MIRROR = "mirror"
    ADD_ONLY = "add-only"
    READ_ONLY = "read-only"


class Removals(StrEnum):
    """When a removal that is due may happen (`safety.removals`)."""

    AUTO = "auto"
    APPROVE = "approve"
    NEVER = "never"


class Excluded(StrEnum):
    """Why a pin that a source has is not wanted at a remote all the same."""

    NOT = ""
    FILTER = "filter"  # only_names or skip_names of its node
    ROUTING = "routing"  # the remote takes no node pins, or the entry's `remotes` does not name it
    IGNORED = "ignored"  # an [[ignore]] of the manifest


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` requests in any `seconds`."""

    count: int
    seconds: float

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 < self.seconds < float("inf"):
            raise ValueError(f"{self.count} requests in {self.seconds} s is no rate")

    def __str__(self) -> str:
        return f"{self.count}/{self.seconds:g}s"


@dataclass(frozen=True, slots=True)
class Safety:
    """`[safety]`, or what a remote makes of it: what holds removals back. Seconds and per cent."""

    removals: Removals = Removals.AUTO
    grace: float = 604800.0
    max_removals: int = 100
    max_removal_share: float = 10.0
    max_lost_share: float = 10.0


@dataclass(frozen=True, slots=True)
class ManifestPin:
    """A `[[pin]]` of the manifest or a line of a text list.

    None means *not said*: the node's value, or for `remotes` every remote, applies. `where` is `file:line`.
    """

    key: bytes
    cid: str
    name: str | None = None
    meta: Mapping[str, str] | None = None
    origins: tuple[str, ...] | None = None
    remotes: tuple[str, ...] | None = None
    where: str = ""


@dataclass(frozen=True, slots=True)
class Ignore:
    """An `[[ignore]]` of the manifest: a node's pin that is not to be mirrored. Exactly one of the two is set."""

    key: bytes | None
    name_glob: str | None
    where: str = ""


@record(frozen=True, slots=True)
class DesiredPin:
    """A pin that a source has, as one remote should hold it.

    `name` None: no source knows a name, so none is asked for and no name is drift. `meta` is what a person set, without
    our mark. `excluded` other than NOT: the source has it, but it is not wanted at this remote.
    """

    key: bytes
    cid: str
    name: str | None = None
    meta: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    origins: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    excluded: Excluded = Excluded.NOT


@record(frozen=True, slots=True)
class RemotePin:
    """A pin request at a remote (schema `PinStatus`).

    `created` is in nanoseconds since the epoch, UTC. `name` and `meta` are None where the server sent none.
    """

    requestid: str
    cid: str
    key: bytes
    status: PinStatus
    created: int
    name: str | None = None
    meta: Mapping[str, str] | None = None
    delegates: tuple[str, ...] = ()
    info: Mapping[str, str] = field(default_factory=lambda: EMPTY)

    @property
    def mark(self) -> str | None:
        """The mirror id that made this pin, when the service kept it."""
        return self.meta.get(MARK) if self.meta else None


@dataclass(frozen=True, slots=True)
class PinBody:
    """What a POST asks for (schema `Pin`). `name` None is left out of the request."""

    cid: str
    name: str | None = None
    meta: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """How sure a reading of one side is. `reason` says, in words for people, why it is not complete."""

    complete: bool
    reason: str | None = None
    count: int = 0
    read_at: float = 0.0


@dataclass(frozen=True, slots=True)
class NodeReading(Reading):
    """A node's reading; `pins` counts all its recursive pins before filters."""

    name: str = ""
    peer_id: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Traits:
    """What a remote was seen to do; None where it has not been seen yet.

    `id_is_cid`: requestid is the CID, so one record serves everyone (NFT.Storage, Cluster).
    `count_is_total`: `count` counts all matches, not this page's.
    `meta_kept`: `meta` comes back as sent. `name_kept`: likewise the name.
    `newest_first`: True, False for oldest first, None where unknown or no order.
    `lone_delete`: deleting one of two pins of a CID leaves the other (rb-pinning-service deletes both).
    `update_in_place`: a POST of a CID that is there changes its record, instead of making another.
    `page_cap`: the largest number of pins that it puts on a page, where less than asked for.
    """

    id_is_cid: bool | None = None
    count_is_total: bool | None = None
    meta_kept: bool | None = None
    name_kept: bool | None = None
    newest_first: bool | None = None
    lone_delete: bool | None = None
    update_in_place: bool | None = None
    page_cap: int | None = None
    skew: float | None = None  # seconds that the remote's clock is ahead of ours
