"""`manifest add` and `manifest rm`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pinsync.errors import UsageError

from .text import Line, line
from .ui import Ui, chosen

if TYPE_CHECKING:
    from pinsync.model import ManifestPin
    from pinsync.settings.model import Settings
    from pinsync.sources.manifest_edit import EditResult


def add(ui: Ui, cids: Sequence[str], name: str | None, meta: Sequence[str], remotes: Sequence[str]) -> int:
    """`pinsync manifest add`: each CID with the same name, meta and remotes."""
    from pinsync.sources.manifest_edit import NewEntry, add_entries

    settings = ui.settings()
    for remote in remotes:
        chosen(settings, remote)
    pairs = _pairs(meta)
    entries = [NewEntry(cid, name, pairs or None, tuple(remotes) or None) for cid in cids]
    return _told(ui, add_entries(_path(settings), entries, remotes=[one.name for one in settings.remotes]))


def remove(ui: Ui, cids: Sequence[str]) -> int:
    """`pinsync manifest rm`."""
    from pinsync.sources.manifest_edit import remove_entries

    settings = ui.settings()
    return _told(ui, remove_entries(_path(settings), cids, remotes=[one.name for one in settings.remotes]))


def _path(settings: Settings) -> Path:
    path = settings.manifest.path
    if path is None:
        raise UsageError(
            'there is no manifest to edit: [manifest] path is "" or there is no configuration file beside which it '
            "would lie"
        )
    return path


def _pairs(meta: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in meta:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"--meta {text!r} is not understood; write it as key=value")
        if found.setdefault(key, value) != value:
            raise UsageError(f"--meta {key} is given twice, with different values")
    return found


def _told(ui: Ui, result: EditResult) -> int:
    if ui.json:
        groups = {"added": result.added, "removed": result.removed, "unchanged": result.unchanged}
        ui.emit(
            {
                "path": str(result.path),
                "created": result.created,
                **{what: [_pin(pin) for pin in pins] for what, pins in groups.items()},
            }
        )
    elif not ui.quiet:
        ui.show(_lines(result))
    return 0


def _pin(pin: ManifestPin) -> dict[str, object]:
    return {
        "cid": pin.cid,
        "name": pin.name,
        "meta": dict(pin.meta) if pin.meta else {},
        "remotes": list(pin.remotes) if pin.remotes else None,
    }


def _lines(result: EditResult) -> Iterator[Line]:
    groups = (("added", "green", result.added), ("removed", "red", result.removed),
              ("unchanged", "dim", result.unchanged))  # fmt: skip
    for what, style, pins in groups:
        for pin in pins:
            yield line((f"{what:9}", style), f"  {pin.cid}  {pin.name or ''}")
    if result.added or result.removed:
        made = " (new)" if result.created else ""
        yield line((f"in {result.path}{made}; a daemon takes it up by itself, else `pinsync sync` does", "dim"))
