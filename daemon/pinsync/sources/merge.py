"""What is wanted at one remote: the union of the nodes' pins and the manifest, merged field by field. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby
from operator import itemgetter

from pinsync.model import EMPTY, DesiredPin, Excluded, Ignore, ManifestPin

NodeRow = tuple[bytes, int, str, str | None]
"""(key, index of the node, CID as the node spells it, name or None where the node tells none)."""


@dataclass(frozen=True, slots=True)
class NodeRules:
    """How one node's pins are taken: its name in reports, and whether its filters want a pin of this name."""

    label: str
    wants: Callable[[str | None], bool]


class Ignores:
    """The manifest's `[[ignore]]` entries, ready to be asked."""

    def __init__(self, ignores: Iterable[Ignore]) -> None:
        entries = tuple(ignores)
        self._keys = {entry.key for entry in entries if entry.key is not None}
        self._globs = tuple(entry.name_glob for entry in entries if entry.name_glob is not None)

    def match(self, key: bytes, name: str | None) -> bool:
        """Whether a node's pin is not to be mirrored."""
        return key in self._keys or (bool(name) and any(fnmatchcase(name or "", glob) for glob in self._globs))


def wanted_at(
    remote: str,
    takes_nodes: bool,
    node_rows: Iterable[NodeRow],
    nodes: Sequence[NodeRules],
    manifest: Sequence[ManifestPin],
    ignores: Ignores,
) -> Iterator[DesiredPin]:
    """Every pin that a source has, as `remote` should hold it, sorted by key.

    `node_rows` sorted by key, `manifest` likewise. What a source has but this remote should not hold comes out with
    `excluded` set, so that a removal can be told from a change of the configuration (semantics: *Wanted*).
    """
    entries = iter(manifest)
    entry = next(entries, None)
    for key, group in groupby(node_rows, key=itemgetter(0)):
        while entry is not None and entry.key < key:
            yield _merged(remote, takes_nodes, entry, (), nodes, ignores)
            entry = next(entries, None)
        if entry is not None and entry.key == key:
            yield _merged(remote, takes_nodes, entry, tuple(group), nodes, ignores)
            entry = next(entries, None)
        else:
            yield _merged(remote, takes_nodes, None, tuple(group), nodes, ignores)
    while entry is not None:
        yield _merged(remote, takes_nodes, entry, (), nodes, ignores)
        entry = next(entries, None)


def _merged(
    remote: str,
    takes_nodes: bool,
    entry: ManifestPin | None,
    rows: Collection[NodeRow],
    nodes: Sequence[NodeRules],
    ignores: Ignores,
) -> DesiredPin:
    first: NodeRow | None = None  # the node whose fields apply
    labels: tuple[str, ...] = ()
    excluded = Excluded.FILTER
    for row in rows:
        rules = nodes[row[1]]
        if ignores.match(row[0], row[3]):
            excluded = Excluded.IGNORED
        elif rules.wants(row[3]):
            first = first or row
            labels += (rules.label,)
    if entry is None:
        shown = first or next(iter(rows))
        if first is not None:
            excluded = Excluded.NOT if takes_nodes else Excluded.ROUTING
        return DesiredPin(shown[0], shown[2], shown[3], sources=labels, excluded=excluded)
    known = first or next(iter(rows), None)
    name = entry.name if entry.name is not None else known[3] if known else None
    excluded = Excluded.NOT if entry.remotes is None or remote in entry.remotes else Excluded.ROUTING
    return DesiredPin(
        entry.key,
        entry.cid,
        name,
        entry.meta or EMPTY,
        entry.origins or (),
        (*labels, "manifest"),
        excluded,
    )
