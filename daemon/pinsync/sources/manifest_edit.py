"""`pinsync manifest add` and `rm`: edits that leave every other byte of the file as it is.

An entry is appended as text, and taken out as the lines from its header to its last value; comments above and below
it stay. What the file would then hold is read and checked before it takes the old one's place.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pinsync.cid import Cid, CidError, parse_cid
from pinsync.errors import ManifestError, PinsyncError, Problem, UsageError
from pinsync.model import ManifestPin
from pinsync.paths import is_folder
from pinsync.sources.manifest import Manifest, read_manifest
from pinsync.sources.manifest_entry import EntryReader
from pinsync.sources.manifest_files import MAX_FILE, Disk, Overlay, explain
from pinsync.sources.manifest_toml import Block, blocks, body_end, quote, quote_key

MAIN = "pins.toml"
"""The file of a manifest directory that is edited."""

_GAP = re.compile(r"(\n)(?:[ \t]*\r?\n)+\Z")  # blank lines at the end
_BLANK = re.compile(r"\A(?:[ \t]*\r?\n)+")  # blank lines at the start


@dataclass(frozen=True, slots=True)
class NewEntry:
    """A `[[pin]]` to be added; None is left out of it."""

    cid: str
    name: str | None = None
    meta: Mapping[str, str] | None = None
    remotes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class EditResult:
    """What an edit did to `path`; `created` when the file was not there before.

    `unchanged` are entries that were there already, exactly so. When nothing else was asked for, nothing was written.
    """

    path: Path
    created: bool = False
    added: tuple[ManifestPin, ...] = ()
    removed: tuple[ManifestPin, ...] = ()
    unchanged: tuple[ManifestPin, ...] = ()


def add_entries(path: Path, entries: Sequence[NewEntry], *, remotes: Collection[str]) -> EditResult:
    """Appends entries to the manifest's main file: `path`, or `pins.toml` in it where it is a directory.

    All or none. Raises `UsageError` for an entry that is wrong in itself or is there already with other values, in this
    file or an included one; `ManifestError` where the manifest is not in order, before or after, or cannot be written.
    """
    main = _main(path)
    with _edited(main):
        disk = Disk()
        created = not os.path.lexists(main)
        before = b"" if created else _bytes(disk, main)
        now = read_manifest(path, remotes=remotes, files=Overlay(disk, main, before))
        text = before.decode()
        there = {pin.key: pin for pin in now.pins}
        added, unchanged, faults = [], [], []
        for pin in _checked(entries, remotes):
            known = there.get(pin.key)
            if known is None:
                there[pin.key] = pin
                added.append(pin)
            elif _same(known, pin):
                unchanged.append(known)
            else:
                spelt = "" if known.cid == pin.cid else f" as {known.cid}"
                place = f"at {known.where}{spelt}; change it there" if known.where else f"given before{spelt}"
                faults.append(f"{pin.cid} is already {place}")
        _refuse(faults)
        if added:
            newline = "\r\n" if "\r\n" in text[: text.find("\n") + 1] else "\n"
            gap = "" if not text.removeprefix("\ufeff") else newline if text.endswith("\n") else newline * 2
            if text.endswith(newline * 2):
                gap = ""
            text += gap + newline.join(_rendered(pin, newline) for pin in added)
            after = _replace(disk, path, main, before, text.encode(), created, remotes)
            wheres = {pin.key: pin for pin in after.pins}
            added = [wheres[pin.key] for pin in added]
        return EditResult(main, created and bool(added), tuple(added), (), tuple(unchanged))


def remove_entries(path: Path, cids: Sequence[str], *, remotes: Collection[str]) -> EditResult:
    """Takes the entries of these CIDs, in any spelling, out of the manifest's main file. All or none.

    Raises `UsageError` for a CID that is not in the manifest, or lies in an included file; `ManifestError` as
    `add_entries` does.
    """
    main = _main(path)
    with _edited(main):
        disk = Disk()
        before = _bytes(disk, main) if os.path.lexists(main) else b""
        now = read_manifest(path, remotes=remotes, files=Overlay(disk, main, before))
        text = before.decode()
        there = {pin.key: pin for pin in now.pins}
        faults: list[str] = []
        found: dict[bytes, ManifestPin] = {}
        for cid in cids:
            try:
                pin = there.get(_parsed(cid).key)
            except CidError as error:
                faults.append(str(error))
                continue
            if pin is None:
                faults.append(f"{cid} is not in the manifest {path}, so there is nothing to remove")
            elif pin.where.rpartition(":")[0] != str(main):
                faults.append(f"{cid} lies in an included file; take it out by hand at {pin.where}")
            else:
                found[pin.key] = pin
        _refuse(faults)
        if found:
            after, left = _without(text, set(found))
            by_hand = "has no [[pin]] table of its own; take it out by hand at"
            _refuse([f"{found[key].cid} {by_hand} {found[key].where}" for key in left])
            _replace(disk, path, main, before, after.encode(), False, remotes)
        return EditResult(main, removed=tuple(found.values()))


# --- the text


def _rendered(pin: ManifestPin, newline: str) -> str:
    lines = ["[[pin]]", f"cid = {quote(pin.cid)}"]
    if pin.name is not None:
        lines.append(f"name = {quote(pin.name)}")
    if pin.meta is not None:
        inside = ", ".join(f"{quote_key(key)} = {quote(value)}" for key, value in pin.meta.items())
        lines.append(f"meta = {{ {inside} }}" if inside else "meta = {}")
    if pin.remotes is not None:
        lines.append(f"remotes = [{', '.join(map(quote, pin.remotes))}]")
    return newline.join(lines) + newline


def _without(text: str, keys: set[bytes]) -> tuple[str, set[bytes]]:
    """The text without these entries, and the keys of those that do not stand in a `[[pin]]` table of their own."""
    left = set(keys)
    kept = "\ufeff" if text.startswith("\ufeff") else ""
    parts = [kept]
    for block in blocks(text.removeprefix("\ufeff")):
        key = _sole_key(block)
        if key is None or key not in left:
            parts.append(block.text)
            continue
        left.discard(key)
        rest = block.text[body_end(block) :]
        # Of the gaps above and below the entry, one goes with it.
        if parts[-1] == kept or _GAP.search(parts[-1][-200:]):
            rest = _BLANK.sub("", rest)
        if rest:
            parts.append(rest)
        elif block.start + len(block.text) == len(text) - len(kept):
            parts[-1] = _GAP.sub(r"\1", parts[-1])
    return "".join(parts), left


def _sole_key(block: Block) -> bytes | None:
    pins = block.data.get("pin")
    if not block.header or len(block.data) != 1 or not isinstance(pins, list) or len(pins) != 1:
        return None
    return parse_cid(pins[0]["cid"]).key


# --- what is asked for


def _checked(entries: Sequence[NewEntry], remotes: Collection[str]) -> list[ManifestPin]:
    reader = EntryReader(remotes)
    faults: list[str] = []
    pins = []
    for entry in entries:
        routes = None if entry.remotes is None else list(entry.remotes)
        given = {"cid": entry.cid, "name": entry.name, "meta": entry.meta, "remotes": routes}
        table = {key: value for key, value in given.items() if value is not None}

        def complain(key: str, message: str, entry: NewEntry = entry) -> None:
            faults.append(message if key == "cid" else f"{entry.cid}: {message}")

        pin = reader.pin(table, "", complain)
        if pin:
            pins.append(pin)
    _refuse(faults)
    return pins


def _parsed(cid: str) -> Cid:
    try:
        return parse_cid(cid)
    except CidError:
        with suppress(CidError):
            return parse_cid(cid.lower())  # a removal may name it in capitals
        raise


def _same(one: ManifestPin, other: ManifestPin) -> bool:
    def said(pin: ManifestPin) -> tuple[object, ...]:
        return pin.cid, pin.name, dict(pin.meta or {}), pin.origins, pin.remotes

    return said(one) == said(other)


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        raise UsageError("\n".join([*faults, "nothing was changed"]))


# --- the file


def _main(path: Path) -> Path:
    return path / MAIN if is_folder(path) else path


def _bytes(disk: Disk, main: Path) -> bytes:
    try:
        return disk.read(main, MAX_FILE)
    except OSError as error:
        raise ManifestError([Problem(str(main), None, f"{explain(error)}; nothing was changed")]) from error


def _replace(
    disk: Disk, path: Path, main: Path, before: bytes, content: bytes, created: bool, remotes: Collection[str]
) -> Manifest:
    """Puts `content` in the place of `before`, if it makes a valid manifest and nobody was quicker."""
    try:
        after = read_manifest(path, remotes=remotes, files=Overlay(disk, main, content))
    except ManifestError as error:
        first = Problem(str(main), None, "nothing was changed, since the edited manifest would not be valid:")
        raise ManifestError([first, *error.problems]) from error
    target = disk.real(main)  # behind a link, the link stays
    spare = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        old = None if created else target.stat()
        if old and not os.access(target, os.W_OK):
            raise PermissionError(0, "it is write-protected")
        handle = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            with open(handle, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
                if old:
                    with suppress(PermissionError):
                        os.fchown(handle, old.st_uid, old.st_gid)
                    os.fchmod(handle, old.st_mode & 0o7777)
                file.write(content)
                file.flush()
                os.fsync(handle)
            if os.path.lexists(main) if created else disk.read(main, MAX_FILE) != before:
                raise ManifestError([Problem(str(main), None, "changed meanwhile; nothing was written, try again")])
            spare.replace(target)
        except BaseException:
            spare.unlink(missing_ok=True)
            raise
        folder = os.open(target.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise _unwritten(main, "cannot be written", error) from error
    return after


@contextmanager
def _edited(main: Path) -> Iterator[None]:
    """Lets one edit at a time happen in the directory of the file."""
    folder = Path(os.path.realpath(main)).parent
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unwritten(main, f"cannot be edited, its directory {folder} cannot be opened", error) from error
    try:
        with suppress(OSError):  # not every network file system can lock; then the check before the rename remains
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _unwritten(main: Path, what: str, error: OSError) -> PinsyncError:
    return ManifestError([Problem(str(main), None, f"{what}: {error.strerror or error}; nothing was changed")])
