"""The first step of a pass: read what is wanted and what is there, and say how sure each reading is."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from pinsync.clock import Clock
from pinsync.errors import ConfigError, ManifestError, NodeError, Problem
from pinsync.ledger.ledger import Ledger
from pinsync.ledger.records import RemoteRecord, SourceRecord
from pinsync.model import DesiredPin, ManifestPin, Traits
from pinsync.paths import present
from pinsync.planning.plan import Doubt
from pinsync.remote.client import RemoteClient
from pinsync.remote.errors import RemoteError
from pinsync.remote.listing import list_all
from pinsync.settings.model import NodeSettings, RemoteSettings, Settings
from pinsync.sources.kubo import KuboClient, KuboReading, choose_origins, judged
from pinsync.sources.kubo_pins import NameFilter
from pinsync.sources.manifest import Included, Manifest, emptied, manifest_from_rows, read_manifest
from pinsync.sources.merge import Ignores, NodeRules, wanted_at
from pinsync.spool import Spool
from pinsync.world import Progress

PARTLY = ":partly"  # of the code of a doubt: not empty any more, and not back either


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that went wrong in a pass, for people and for `errors` in JSON."""

    where: str
    message: str


@dataclass(slots=True)
class NodeView:
    """One node as this pass found it. `reading` is None where nothing could be read."""

    settings: NodeSettings
    label: str
    client: KuboClient | None = None
    reading: KuboReading | None = None
    error: str | None = None
    origins: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether its list may be believed to lack what it lacks."""
        return self.reading is not None and self.reading.complete and self.error is None


@dataclass(slots=True)
class ManifestView:
    """The manifest in force, and what is wrong with the one on disk, if anything."""

    manifest: Manifest | None = None
    problems: tuple[Problem, ...] = ()
    changed: bool = False
    stamps: tuple[object, ...] = ()

    def moved(self) -> bool:
        """Whether one of its files is not what it was when it was read."""
        return self.manifest is not None and _stamps(self.manifest.files) != self.stamps

    @property
    def pins(self) -> tuple[ManifestPin, ...]:
        """The entries in force."""
        return self.manifest.pins if self.manifest else ()


@dataclass(slots=True)
class Sources:
    """All that is wanted, and how sure that is."""

    nodes: list[NodeView] = field(default_factory=list)
    manifest: ManifestView = field(default_factory=ManifestView)
    node_doubts: list[Doubt] = field(default_factory=list)
    manifest_doubts: list[Doubt] = field(default_factory=list)
    changes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    own_doubts: list[Doubt] = field(default_factory=list)
    unknown: frozenset[str] = frozenset()
    accepted: frozenset[tuple[str, str]] = frozenset()

    @property
    def mirrored(self) -> list[NodeView]:
        """The nodes whose pins are wanted."""
        return [node for node in self.nodes if node.settings.mirror]

    def observed(self, remote: RemoteSettings) -> list[Doubt]:
        """What makes this pass doubt itself or a source of this remote, accepted by a person or not."""
        return [*self.own_doubts, *(self.node_doubts if remote.nodes else ()), *self.manifest_doubts]

    def accepts(self, remote: str, doubt: Doubt) -> bool:
        """Whether a person said that this is how things are, for this remote or for all."""
        return (doubt.code, "") in self.accepted or (doubt.code, remote) in self.accepted

    def doubts(self, remote: RemoteSettings) -> list[Doubt]:
        """What holds every removal at this remote."""
        return [doubt for doubt in self.observed(remote) if not self.accepts(remote.name, doubt)]

    def unsettled(self, remotes: Sequence[RemoteSettings]) -> list[Doubt]:
        """Doubts that somebody has yet to accept for some remote: their sources do not become the new truth."""
        return list({doubt.code: doubt for remote in remotes for doubt in self.doubts(remote)}.values())

    def config_change(self, remote: str) -> tuple[str, ...]:
        """The parts of the configuration that differ from the last pass over this remote."""
        return self.changes.get(remote, ())

    def gone(self, remote: str) -> frozenset[str]:
        """Sources that fed this remote and do not any more."""
        return self.unknown | ({"manifest"} if "manifest.path" in self.config_change(remote) else set())

    @property
    def whole(self) -> frozenset[str]:
        """The sources that were read whole."""
        manifest = set() if self.manifest.problems else {"manifest"}
        return frozenset({node.label for node in self.mirrored if node.whole} | manifest)

    def not_whole(self, remote: RemoteSettings) -> str | None:
        """Why not everything that could be wanted at this remote was read; None where everything was."""
        if self.manifest.problems:
            return f"the manifest cannot be read: {self.manifest.problems[0]}"
        for node in self.mirrored if remote.nodes else ():
            if node.error is not None:
                return node.error
            if not node.whole:
                return f"node {node.settings.name!r} was not read whole"
        return None

    def wanted(self, remote: RemoteSettings, spool: Spool) -> Iterator[DesiredPin]:
        """Everything that a source has, as this remote should hold it, sorted by key."""
        rules = [
            NodeRules(node.label, NameFilter(node.settings.only_names, node.settings.skip_names).wants)
            for node in self.nodes
        ]
        ignores = Ignores(self.manifest.manifest.ignores if self.manifest.manifest else ())
        return wanted_at(remote.name, remote.nodes, spool.node_pins(), rules, self.manifest.pins, ignores)

    def origins(self, remote: RemoteSettings) -> tuple[str, ...]:
        """The addresses that a service may fetch from."""
        if remote.origins == "none":
            return ()
        if remote.origins != "auto":
            return remote.origins
        return tuple(address for node in self.mirrored for address in node.origins)[:20]


@dataclass(slots=True)
class RemoteView:
    """One remote as this pass found it.

    `listed`: "complete", "incomplete", "failed", or "unchanged" where a probe showed that a listing would bring
    nothing. `doubts`: what holds every removal at this remote alone.
    """

    index: int
    settings: RemoteSettings
    record: RemoteRecord
    client: RemoteClient | None = None
    listed: str = "failed"
    reason: str | None = None
    error: RemoteError | None = None
    trouble: str | None = None
    traits: Traits = field(default_factory=Traits)
    doubts: list[Doubt] = field(default_factory=list)
    clock_sure: bool = True

    @property
    def whole(self) -> bool:
        """Whether all its pins are known."""
        return self.listed in ("complete", "unchanged")

    def fail(self, error: RemoteError) -> None:
        """It could not be listed."""
        self.listed, self.error, self.trouble = "failed", error, str(error)


async def read_sources(
    settings: Settings,
    ledger: Ledger | None,
    spool: Spool,
    stack: AsyncExitStack,
    make_node: Callable[[NodeSettings], KuboClient],
    progress: Progress,
    mirror_id: str = "",
) -> Sources:
    """Read all nodes (at once) and the manifest; nothing is raised for a node or a manifest that cannot be read."""
    records = ledger.sources() if ledger else {}
    sources = Sources(nodes=[NodeView(node, f"node:{node.name}") for node in settings.nodes])
    sources.manifest = _read_manifest(settings, ledger)
    await asyncio.gather(
        *(
            _read_node(view, index, spool, stack, make_node, progress)
            for index, view in enumerate(sources.nodes)
            if view.settings.mirror
        )
    )
    sources.changes = {
        remote.name: _config_change(settings, ledger, remote.name, mirror_id) for remote in settings.remotes
    }
    labels = {view.label for view in sources.mirrored} | ({"manifest"} if settings.manifest.path else set())
    sources.unknown = frozenset(name for name in records if name not in labels)
    sources.accepted = ledger.accepted_doubts() if ledger else frozenset()
    standing = ledger.doubts() if ledger else {}
    for view in sources.mirrored:
        record = _node_record(ledger, records, view)
        sources.node_doubts += _node_doubts(view, record, standing)
    sources.manifest_doubts = list(_manifest_doubts(sources.manifest, records.get("manifest"), standing))
    return sources


async def _read_node(
    view: NodeView,
    index: int,
    spool: Spool,
    stack: AsyncExitStack,
    make_node: Callable[[NodeSettings], KuboClient],
    progress: Progress,
) -> None:
    name = view.settings.name
    try:
        view.client = await stack.enter_async_context(make_node(view.settings))
        reading = await view.client.read_pins(
            spool.node_sink(index),
            on_restart=lambda: spool.forget_node(index),
            progress=lambda count: progress(f"node {name}", count, None),
        )
        view.reading = judged(reading, NameFilter(view.settings.only_names, view.settings.skip_names))
        if view.settings.peer_id and view.reading.peer_id != view.settings.peer_id:
            spool.forget_node(index)
            view.error = (
                f"the node at {view.client.address} is {view.reading.peer_id}, not the configured kubo.peer_id "
                f"{view.settings.peer_id}; none of its pins are mirrored and nothing is removed"
            )
        elif not view.reading.complete:
            view.error = view.reading.reason
        view.origins = choose_origins((await view.client.identity()).addresses, view.reading.peer_id or "")
    except (NodeError, ConfigError) as error:  # of its address or its authorization, which may have gone meanwhile
        if view.reading is None:
            spool.forget_node(index)
            view.error = str(error)


def _read_manifest(settings: Settings, ledger: Ledger | None) -> ManifestView:
    path = settings.manifest.path
    if path is None:
        return ManifestView()
    known = ledger.sources().get("manifest") if ledger else None
    if not settings.manifest.configured and not present(path, unknown=True) and not (known and known.good_pins):
        return ManifestView()  # the default path, and there never was one
    try:
        manifest = read_manifest(path, remotes=[remote.name for remote in settings.remotes])
    except ManifestError as error:
        return ManifestView(last_good_manifest(ledger), error.problems)
    changed = known is None or known.digest != manifest.digest
    return ManifestView(manifest, changed=changed, stamps=_stamps(manifest.files))


def _stamps(files: Iterable[Path]) -> tuple[object, ...]:
    """What tells a file from a changed one, without reading it."""
    found: list[object] = []
    for path in files:
        try:
            at = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((at.st_ino, at.st_size, at.st_mtime_ns) if stat.S_ISREG(at.st_mode) else True)
    return tuple(found)


def last_good_manifest(ledger: Ledger | None) -> Manifest | None:
    """The manifest that was in force in the last pass, as the ledger kept it."""
    rows = list(ledger.good_manifest()) if ledger else []
    return manifest_from_rows(rows) if rows else None


def configuration(settings: Settings, mirror_id: str) -> dict[str, str]:
    """`Settings.fingerprint_parts`, with the mirror id that is in force, wherever it came from."""
    return {**settings.fingerprint_parts(), **({"mirror.id": json.dumps(mirror_id)} if mirror_id else {})}


def _config_change(settings: Settings, ledger: Ledger | None, remote: str, mirror_id: str) -> tuple[str, ...]:
    before: dict[str, str] = json.loads((ledger.fact(fingerprint_of(remote)) if ledger else None) or "{}")
    if before.get("mirror.id") == "null":  # noted by a version that did not look at an id made by itself
        del before["mirror.id"]
    now = configuration(settings, mirror_id)
    changed = (part for part, value in before.items() if now.get(part) != value)
    return tuple(dict.fromkeys(_in_words(part, now) for part in changed))


def _in_words(part: str, now: Mapping[str, str]) -> str:
    """A changed part of the configuration; of a node that is not in it any more that, and not each of its settings."""
    kind, found, _ = part.rpartition(": ")
    if kind.startswith("node ") and found and not any(one.startswith(f"{kind}: ") for one in now):
        return f"{kind} was taken out"
    return part


def fingerprint_of(remote: str) -> str:
    """The name of the fact that holds the configuration of the last pass over a remote."""
    return f"fingerprint of {remote}"


def _node_record(ledger: Ledger | None, records: Mapping[str, SourceRecord], view: NodeView) -> SourceRecord | None:
    """What is known of a node: also of one that was not mirrored for a while, which may have been emptied meanwhile."""
    return records.get(view.label) or (ledger.left_source(view.label, "node") if ledger else None)


def _node_doubts(view: NodeView, record: SourceRecord | None, standing: Mapping[str, str]) -> Iterable[Doubt]:
    reading, name = view.reading, view.settings.name
    code = f"emptied:{view.label}"
    if record is None or reading is None or not view.whole:  # nothing is known of what was doubted
        about = [one for one in standing if one in (code, code + PARTLY) or one.startswith(f"peer:{name}:")]
        yield from (Doubt(one, standing[one], view.label) for one in about)
        return
    if record.good_peer_id and reading.peer_id and reading.peer_id != record.good_peer_id:
        yield Doubt(
            f"peer:{name}:{reading.peer_id}",
            f"node {name!r} is another node than before ({reading.peer_id} instead of {record.good_peer_id})",
            view.label,
        )
    if missed := _missed(code, record.good_pins, reading.count, standing):
        had = _counted(record.good_pins, "pin", "pins")
        yield Doubt(missed, f"node {name!r} had {had} and has {reading.count or 'none'} now", view.label)


def _missed(code: str, before: int | None, now: int, standing: Mapping[str, str]) -> str | None:
    """The code of the doubt about a source that is empty and was not, or that was and has not got back what it had.

    The first pin that appears does not say that the others are meant to be gone: somebody may be restoring them. It is
    another doubt than the first, so that what was said of an empty source is not taken for said of this.
    """
    if not before or now >= before:
        return None
    if not now:
        return code
    return code + PARTLY if code in standing or code + PARTLY in standing else None


def _counted(count: int | None, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _manifest_doubts(view: ManifestView, record: SourceRecord | None, standing: Mapping[str, str]) -> Iterable[Doubt]:
    if record is None or view.manifest is None or view.problems:
        about = [code for code in standing if code.startswith(("emptied:manifest", "emptied:include:"))]
        yield from (Doubt(code, standing[code], "manifest") for code in about)
        return
    if missed := _missed("emptied:manifest", record.good_pins, len(view.pins), standing):
        had = _counted(record.good_pins, "entry", "entries")
        yield Doubt(missed, f"the manifest had {had} and has {len(view.pins) or 'none'} now", "manifest")
    before = {name: Included(*gave) for name, gave in json.loads(record.includes).items()}
    lost = emptied(before, view.manifest.includes)
    for name, gave in before.items():
        code, now = f"emptied:include:{name}", view.manifest.includes.get(name)
        if name in lost:
            yield Doubt(code, f"the include {name} has lost all that it gave", "manifest")
        elif now is not None and now.entries and (missed := _missed(code, gave.entries, now.entries, standing)):
            had = _counted(gave.entries, "entry", "entries")
            yield Doubt(missed, f"the include {name} gave {had}, then none, and gives {now.entries} now", "manifest")


async def open_remote(
    view: RemoteView, make_remote: Callable[[RemoteSettings, RemoteRecord], RemoteClient], stack: AsyncExitStack
) -> None:
    """Give the view its client."""
    if view.record.endpoint not in (None, view.settings.endpoint):  # another service: nothing learned holds for it
        view.record = replace(
            view.record, traits=Traits(), seen=(), closed=None, no_deletes=None, quiet=None, recent=(), listed_at=None
        )
    view.traits = view.record.traits
    try:
        view.client = await stack.enter_async_context(make_remote(view.settings, view.record))
    except RemoteError as error:
        view.fail(error)


async def list_remote(
    view: RemoteView, spool: Spool, progress: Progress, wanted: Callable[[], Iterable[str]] | None
) -> None:
    """List one remote into the spool; what goes wrong is noted in the view, nothing is raised for it."""
    sink = spool.remote_sink(view.index)
    if view.client is None:
        return
    try:
        reading, view.traits = await list_all(
            view.client,
            sink,
            traits=view.record.traits,
            wanted=wanted,
            progress=lambda count, of: progress(f"remote {view.settings.name}", count, of),
            expected=view.record.present or 0,
        )
    except RemoteError as error:
        view.fail(error)
        return
    view.listed = "complete" if reading.complete else "incomplete"
    view.reason = reading.reason
    if not reading.complete:
        view.trouble = f"the list of remote {view.settings.name!r} is not complete: {reading.reason}"


def source_records(sources: Sources, settings: Settings, ledger: Ledger, clock: Clock) -> list[SourceRecord]:
    """The records of the sources as this pass leaves them; what is in doubt does not become the new truth."""
    before = ledger.sources()
    now = clock.now()
    unsettled = {doubt.code: doubt.source for doubt in sources.unsettled(settings.remotes)}
    found = []
    for view in sources.mirrored:
        record = _node_record(ledger, before, view) or SourceRecord(view.label, "node")
        reading = view.reading
        record = replace(
            record,
            ok=view.whole,
            error=view.error,
            pins=reading.count if reading else record.pins,
            peer_id=reading.peer_id if reading else record.peer_id,
            version=reading.version if reading else record.version,
            read_at=now if reading else record.read_at,
        )
        if view.whole and reading is not None and view.label not in unsettled.values():
            record = replace(
                record, good_at=now, good_pins=reading.count, good_peer_id=reading.peer_id or record.good_peer_id
            )
        found.append(record)
    if settings.manifest.path is not None:
        view_of_manifest = sources.manifest
        record = before.get("manifest", SourceRecord("manifest", "manifest"))
        manifest = view_of_manifest.manifest
        problems = view_of_manifest.problems
        record = replace(
            record,
            ok=not problems,
            error="; ".join(map(str, problems[:3])) or None,
            pins=len(view_of_manifest.pins),
            read_at=now,
            path=str(settings.manifest.path),
        )
        believed = not problems and "manifest" not in unsettled.values()
        if believed:
            record = replace(
                record,
                good_at=now,
                good_pins=len(view_of_manifest.pins),
                includes=json.dumps(dict(manifest.includes) if manifest else {}),
            )
        if believed:
            record = replace(record, digest=manifest.digest if manifest else None)
        found.append(record)
    return found
