"""The manifest: what people want pinned, in TOML files and text lists. Read whole or not at all.

The result depends on nothing but the files' contents and the names of the remotes. Where anything is wrong, nothing is
returned and every problem is told at once: the caller keeps the last good manifest, which it stores as `manifest_rows`.

`include` patterns are relative to the file that holds them; a `.toml` among them is a manifest in turn, a `.txt` a
text list (`manifest_entry.split_line` has its rules), anything else an error. A pattern without a wildcard must find
its file; one with a wildcard may find none. A file reached in two ways is read once.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pinsync.cid import key_of, text_of
from pinsync.errors import ManifestError
from pinsync.model import Ignore, ManifestPin
from pinsync.sources.manifest_files import Disk, Files
from pinsync.sources.manifest_reading import GaveUp, Included, Reading

__all__ = [
    "Included",
    "Manifest",
    "UnusableManifest",
    "emptied",
    "manifest_from_rows",
    "manifest_rows",
    "read_manifest",
]

Row = tuple[str, str | None, str | None, str | None, str | None, str | None, str]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that is right throughout. Equal `digest` means that nothing has changed.

    `pins` are sorted by key, no key twice. `files` is everything to be watched for changes: files as they are named and
    where links lead to, and each directory that a pattern looks into, there or not. `includes` has an entry for every
    include as `"<file that holds it>: <pattern>"`, and one for a manifest that is a directory: what `emptied` compares.
    """

    pins: tuple[ManifestPin, ...]
    ignores: tuple[Ignore, ...]
    digest: str
    files: tuple[Path, ...]
    includes: Mapping[str, Included]


class UnusableManifest(ManifestError):
    """`ManifestError` as `read_manifest` raises it; `files` is what to watch for the repair."""

    files: tuple[Path, ...] = ()


def read_manifest(path: Path, *, remotes: Collection[str], files: Files | None = None) -> Manifest:
    """Reads a manifest file, or the `*.toml` of a directory, with everything that it includes.

    `remotes` are the names of the configured remotes; `files` stands in for the disk in tests and before an edit.
    Raises `UnusableManifest` with every problem (at most 1000, then how many more) in file order.
    """
    reading = Reading(files or Disk(), remotes)
    with suppress(GaveUp):
        reading.start(path)
    watched = tuple(sorted(reading.watched))
    if reading.faults:
        error = UnusableManifest(reading.problems(path))
        error.files = watched
        raise error
    return Manifest(
        pins=tuple(reading.pins[key] for key in sorted(reading.pins)),
        ignores=_sorted(reading.ignores.values()),
        digest=reading.digest.hexdigest(),
        files=watched,
        includes=MappingProxyType(reading.includes),
    )


def emptied(before: Mapping[str, Included], now: Mapping[str, Included]) -> tuple[str, ...]:
    """The includes that gave files, or entries, before and give none now; one taken out of the manifest is not one."""
    return tuple(
        name
        for name, gave in before.items()
        if name in now and ((gave.files and not now[name].files) or (gave.entries and not now[name].entries))
    )


def manifest_rows(manifest: Manifest) -> Iterator[Row]:
    """The manifest as rows of seven texts (or None) for a table or as JSON; `manifest_from_rows` reads them back."""
    yield "digest", manifest.digest, None, None, None, None, ""
    for path in manifest.files:
        yield "file", str(path), None, None, None, None, ""
    for name, gave in manifest.includes.items():
        yield "include", name, _packed(gave), None, None, None, ""
    for ignore in manifest.ignores:
        text = text_of(ignore.key) if ignore.key else None
        yield "ignore", text, ignore.name_glob, None, None, None, ignore.where
    for pin in manifest.pins:
        meta = None if pin.meta is None else _packed(dict(pin.meta))
        yield "pin", pin.cid, pin.name, meta, _packed(pin.origins), _packed(pin.remotes), pin.where


def manifest_from_rows(rows: Iterable[Sequence[str | None]]) -> Manifest:
    """What `manifest_rows` made, from its rows in any order. Raises `ValueError` where they are damaged."""
    digest, files, ignores, pins = "", [], [], []
    includes: dict[str, Included] = {}
    for kind, text, name, meta, origins, remotes, where in rows:
        match kind:
            case "pin" if text:
                pins.append(
                    ManifestPin(
                        key=key_of(text),
                        cid=text,
                        name=name,
                        meta=None if meta is None else MappingProxyType(json.loads(meta)),
                        origins=None if origins is None else tuple(json.loads(origins)),
                        remotes=None if remotes is None else tuple(json.loads(remotes)),
                        where=where or "",
                    )
                )
            case "ignore":
                ignores.append(Ignore(key_of(text) if text else None, name, where or ""))
            case "include" if text and name:
                includes[text] = Included(*json.loads(name))
            case "file" if text:
                files.append(Path(text))
            case "digest":
                digest = text or ""
            case _:
                raise ValueError(f"unknown row {kind!r} in a stored manifest")
    pins.sort(key=lambda pin: pin.key)
    return Manifest(tuple(pins), _sorted(ignores), digest, tuple(sorted(files)), MappingProxyType(includes))


def _sorted(ignores: Iterable[Ignore]) -> tuple[Ignore, ...]:
    return tuple(sorted(ignores, key=lambda one: (one.key or b"", one.name_glob or "")))


def _packed(value: object) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
