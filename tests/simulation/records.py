"""What the oracle remembers of mirrors and accounts, and what makes a source doubtful."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .truth import Row, Rows, Wishes

OTHERS = "others"


class Violation(Exception):
    """An invariant is broken; `number` is its number in architecture.md, 8 for convergence, 0 for any other promise."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(f"invariant {number}: {message}")
        self.number = number


@dataclass(slots=True)
class Origin:
    """How a row came to be. `owner`: a mirror's name or OTHERS. `echo`: the network sent a POST twice.

    `unsure`: a mirror that may take it for its own: it was made by others under an id that was that mirror's before,
    and the mirror had no chance to see that its own was gone; or the mirror asked for it in the same wink.
    `unclaimed`: the service keeps no mark, and nobody noted (yet) the answer that told of it.
    `turned`: when its status last changed without a request, and from what moment on lists know it.
    """

    owner: str
    requestid: str
    key: bytes
    since: int
    at: float
    echo: bool = False
    unsure: str = ""
    unclaimed: bool = False
    turned: int = 0
    told: float = float("-inf")


@dataclass(slots=True)
class Grave:
    """A row of a mirror that is gone, by its id. `noticed`: the mirror has seen since that it is."""

    owner: str
    gone: int
    noticed: bool = False


@dataclass(slots=True)
class Account:
    """An account at a remote, and what the oracle remembers of it. `lies`: its lists may leave out what is there."""

    name: str
    look: Callable[[], Rows]
    time: Callable[[], float]
    keeps_meta: bool = True
    deletes_all: bool = False
    id_is_cid: bool = False
    list_lag: float = 0.0  # seconds until lists know a new status
    requeues: bool = True  # a POST makes a failed pin be tried again
    resets: bool = False  # nobody can tell by its times whether a record was there before
    lies: bool = False
    lag: float = 0.0  # the longest time that its lists left out what was new
    blind: bool = False  # what its lists leave out is not found by a look-up either
    wobbles: bool = False  # what was there was out of sight at some time
    contents: set[bytes] = field(default_factory=set)  # all that ever was there
    stirred: int = 0  # when others did something to it
    origins: dict[int, Origin] = field(default_factory=dict)
    graves: dict[str, Grave] = field(default_factory=dict)


@dataclass(slots=True)
class Watch:
    """One mirror, as the oracle sees it. Everything about a remote is kept by the remote's name."""

    name: str
    wishes: Wishes
    now: Callable[[], float]
    serial: bool = False  # one request at a time at each remote
    wanted: dict[str, dict[bytes, int]] = field(default_factory=dict)  # content → since when
    left: dict[tuple[str, bytes], int] = field(default_factory=dict)  # when it stopped to be wanted
    by_config: set[tuple[str, bytes]] = field(default_factory=set)  # unwanted because the configuration changed
    unwanted_seen: dict[tuple[str, bytes], float] = field(default_factory=dict)
    removed: dict[str, list[float]] = field(default_factory=dict)
    approved: dict[tuple[str, str, bytes], tuple[str, bool]] = field(default_factory=dict)
    """Remote, id and content → the code of what held it as a person was shown it, and whether it was with --now."""
    hidden: set[bytes] = field(default_factory=set)  # left out by a filter, and by a list: nobody could see the former
    adopted: set[tuple[str, int]] = field(default_factory=set)
    accepted: set[tuple[str, str]] = field(default_factory=set)  # code of a doubt, remote or ""
    believed: dict[str, tuple[object, ...]] = field(default_factory=dict)
    forgot: bool = False  # its ledger was lost, or replaced by an old one
    asking: dict[tuple[str, bytes], tuple[float, str | None, int]] = field(default_factory=dict)  # in this pass
    asked: dict[tuple[str, bytes], tuple[float, str | None, int]] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    running: bool = False
    began: int = 0
    doubts: set[str] = field(default_factory=set)  # those that stood all through this pass
    listed: dict[str, set[str]] = field(default_factory=dict)
    got: dict[str, set[str]] = field(default_factory=dict)
    told: dict[str, set[str]] = field(default_factory=dict)  # by answers to POSTs
    previous: dict[str, tuple[str, int]] = field(default_factory=dict)  # the last request's id there; when another came
    most: dict[str, int] = field(default_factory=dict)
    mutations: int = 0
    touched: set[str] = field(default_factory=set)  # sources that changed during this pass
    states: dict[str, tuple[object, ...]] = field(default_factory=dict)  # of the sources when this pass began
    flickered: set[str] = field(default_factory=set)  # sources whose state was another in the middle of some pass

    def shown(self, remote: str, requestid: str) -> bool:
        """Whether an answer of this pass told of a pin."""
        return requestid in self.listed.get(remote, ()) or requestid in self.got.get(remote, ())

    def owns(self, remote: str, seq: int, origin: Origin) -> bool:
        return origin.owner == self.name or (remote, seq) in self.adopted


def doubts(watch: Watch) -> set[str]:
    """What makes the sources as they are now untrustworthy, in words of its own."""
    found = set()
    wishes = watch.wishes
    for node in wishes.nodes:
        if not node.mirror:
            continue
        if node.away:
            found.add(f"away:node:{node.name}")
            continue
        if node.cut is not None:
            found.add(f"cut:node:{node.name}")
            continue
        before = watch.believed.get(f"node:{node.name}")
        if before is not None:
            had, peer = before
            if had and not node.shown():
                found.add(f"emptied:node:{node.name}")
            if peer != node.peer:
                found.add(f"peer:{node.name}:{node.peer}")
    if wishes.manifest.configured:
        if not wishes.readable:
            found.add("unreadable:manifest")
        else:
            before, now = watch.believed.get("manifest"), _manifest_state(wishes)
            if before is not None and before[0] and not now[0]:
                found.add("emptied:manifest")
            if before is not None and any(had and not has for had, has in zip(before[1:], now[1:], strict=True)):
                found.add("emptied:include")
    return found


def _manifest_state(wishes: Wishes) -> tuple[object, ...]:
    """Whether it has entries; whether its include finds a file, and lines in it."""
    manifest = wishes.manifest
    file = manifest.include and manifest.list_there
    return bool(wishes.entries()), file, file and bool(manifest.listed)


def states(wishes: Wishes) -> dict[str, tuple[object, ...]]:
    """What a whole reading would show of each source that can be read whole now."""
    found: dict[str, tuple[object, ...]] = {
        f"node:{node.name}": (bool(node.shown()), node.peer)
        for node in wishes.nodes
        if node.mirror and not node.away and node.cut is None
    }
    if wishes.manifest.configured and wishes.readable:
        found["manifest"] = _manifest_state(wishes)
    return found


def about(label: str, source: str) -> bool:
    return label.endswith(source) or (source.startswith("node:") and label.startswith(f"peer:{source[5:]}:")) or (
        source == "manifest" and label == "emptied:include"
    )  # fmt: skip


def whole(standing: set[str], takes_nodes: bool) -> bool:
    """Whether all that could be wanted at a remote can be read now; what a reading shows may still be in doubt."""
    return not any(concerns(label, takes_nodes) and not label.startswith(("emptied", "peer")) for label in standing)


def concerns(label: str, takes_nodes: bool) -> bool:
    return takes_nodes or label.endswith((":manifest", ":include"))


def accepted(watch: Watch, label: str, remote: str) -> bool:
    return any(code.startswith(label) and where in ("", remote) for code, where in watch.accepted)


def changed(before: Row, after: Row) -> bool:
    return (before.cid, before.name, before.mark, before.created) != (after.cid, after.name, after.mark, after.created)
