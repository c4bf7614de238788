"""What is really so in a history, as plain values: what is wanted, by whom, and what is at a remote.

Nothing here, and nothing in `oracle`, imports the product: what both had wrong would be found by neither.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache

_B58 = {char: at for at, char in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")}


@lru_cache(maxsize=4096)
def content(cid: str) -> bytes:
    """Codec and multihash of a CID in base58 version 0 or base32 version 1: equal for equal content."""
    if cid.startswith("Qm"):
        number = 0
        for char in cid:
            number = number * 58 + _B58[char]
        return b"\x70" + number.to_bytes(34, "big")
    data = base64.b32decode(cid[1:].upper() + "=" * (-len(cid[1:]) % 8))
    return data[1:]


@dataclass(slots=True)
class NodeTruth:
    """A node. `hidden` and `silent` are lies of its list, `cut` and `away` it admits."""

    name: str
    pins: dict[str, str] = field(default_factory=dict)
    peer: str = "12D3KooWOne"
    away: bool = False
    cut: int | None = None
    silent: int | None = None
    hidden: set[str] = field(default_factory=set)
    mirror: bool = True
    skip: tuple[str, ...] = ()
    saved: dict[str, str] | None = None

    def shown(self) -> list[tuple[str, str]]:
        """What its list shows."""
        rows = [(cid, name) for cid, name in self.pins.items() if cid not in self.hidden]
        ends = [end for end in (self.cut, self.silent) if end is not None]
        return rows[: min(ends)] if ends else rows

    def takes(self, name: str) -> bool:
        return not any(fnmatchcase(name, glob) for glob in self.skip)


@dataclass(slots=True)
class ManifestTruth:
    """A manifest file and the list that it includes. `state`: "good", "invalid" or "missing"."""

    configured: bool = False
    state: str = "good"
    main: dict[str, tuple[str | None, tuple[str, ...] | None]] = field(default_factory=dict)
    listed: dict[str, str] = field(default_factory=dict)
    include: bool = False
    list_there: bool = True
    ignored: tuple[str, ...] = ()  # CIDs
    ignored_names: tuple[str, ...] = ()
    last_good: dict[str, tuple[str | None, tuple[str, ...] | None]] = field(default_factory=dict)

    def written(self) -> dict[str, tuple[str | None, tuple[str, ...] | None]]:
        """CID → name and remotes, as the files say."""
        found = dict(self.main)
        if self.include and self.list_there:
            found.update({cid: (name or None, None) for cid, name in self.listed.items()})
        return found


@dataclass(slots=True)
class Policy:
    """What a mirror is told about one remote. Shares in per cent, `grace` in seconds."""

    name: str
    nodes: bool = True
    mode: str = "mirror"
    removals: str = "auto"
    grace: float = 0.0
    max_removals: int = 100
    share: float = 10.0
    lost_share: float = 10.0
    dropped: bool = False


@dataclass(slots=True)
class Wishes:
    """All that decides what one mirror wants."""

    nodes: list[NodeTruth]
    manifest: ManifestTruth
    policies: dict[str, Policy]

    @property
    def readable(self) -> bool:
        """Whether the manifest is right: its text, and every remote that it names is configured."""
        known = {policy.name for policy in self.policies.values() if not policy.dropped}
        named = {remote for _, remotes in self.manifest.main.values() for remote in remotes or ()}
        return self.manifest.state == "good" and named <= known

    def entries(self) -> dict[str, tuple[str | None, tuple[str, ...] | None]]:
        """The manifest in force: as written, or as it was last right."""
        if not self.manifest.configured:
            return {}
        return self.manifest.written() if self.readable else self.manifest.last_good

    def wanted(self, remote: str, *, shown: bool = False) -> dict[bytes, str | None]:
        """Content → name (None: any), as semantics.md has it under *Wanted*; `shown`: by what lists show."""
        policy = self.policies[remote]
        found: dict[bytes, str | None] = {}
        routed = {content(cid): entry for cid, entry in self.entries().items()}
        for key, (name, remotes) in routed.items():
            if remotes is None or remote in remotes:
                found[key] = name
        ignored = set(map(content, self.manifest.ignored)) if self.manifest.configured else set()
        globs = self.manifest.ignored_names if self.manifest.configured else ()
        for node in self.nodes:
            if not (node.mirror and policy.nodes):
                continue
            for cid, name in node.shown() if shown else node.pins.items():
                key = content(cid)
                if key in routed or key in ignored or not node.takes(name):
                    if key in found and found[key] is None:
                        found[key] = name
                    continue
                if name and any(fnmatchcase(name, glob) for glob in globs):
                    continue
                found.setdefault(key, name)
        return found

    def filtered(self) -> set[bytes]:
        """What filters leave out."""
        return {content(cid) for node in self.nodes for cid, name in node.pins.items() if not node.takes(name)}

    def routed(self, key: bytes) -> tuple[str, ...]:
        """The remotes that the manifest names for some content; none where it leaves that open."""
        return next((remotes or () for cid, (_, remotes) in self.entries().items() if content(cid) == key), ())

    def held_by_a_source(self, *, configured: bool) -> set[bytes]:
        """All that some source has and nobody ignores, wanted or not: a `configured` one, or any."""
        found = {content(cid) for node in self.nodes if node.mirror or not configured for cid in node.pins}
        ignored = set(map(content, self.manifest.ignored)) if self.manifest.configured else set()
        return (found - ignored) | set(map(content, self.entries()))


@dataclass(slots=True)
class Row:
    """A pin at a remote as it really is. `seq` tells it from one that came later under the same id."""

    seq: int
    requestid: str
    cid: str
    key: bytes
    status: str
    name: str | None
    mark: str | None
    created: int

    @property
    def live(self) -> bool:
        return self.status != "failed"


Rows = dict[int, Row]
