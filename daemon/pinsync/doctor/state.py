"""The ledger: where it lies and why, whether it is whole, who holds it; and what it says of the mirror."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import stat
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from pinsync.house import ID_FILE, mirror_id
from pinsync.ledger.ledger import Ledger
from pinsync.ledger.lock import holder, lock_of
from pinsync.ledger.pauses import fresh_since
from pinsync.ledger.schema import VERSION
from pinsync.ledger.store import Store
from pinsync.paths import is_folder, present
from pinsync.settings.model import Settings
from pinsync.settings.places import default_state
from pinsync.status import STALE_AFTER, status

from .finding import About, Finding, Result, lasting, moment
from .patient import Patient

STATE, MIRROR = About("state"), About("mirror")
LITTLE, NOTHING = 200 << 20, 20 << 20  # bytes that are free
AHEAD = 60.0  # seconds by which something in the ledger may lie in the future
_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph", "glusterfs", "fuse.glusterfs", "afs")


async def state(patient: Patient) -> AsyncIterator[Finding]:
    """The directory and the file."""
    settings = patient.settings
    path = settings.state.path
    default = default_state(settings.source, patient.env)
    why = "the place for this configuration" if path == default else "as [state] path says"
    yield STATE.ok("place", f"{path}: {why}")
    nearest = next(there for there in (path.parent, *path.parent.parents) if present(there))
    if not is_folder(path.parent):
        yield _to_come(path, nearest)
    else:
        for finding in _directory(path):
            yield finding
    yield _space(path, nearest)
    if (system := _file_system(nearest)) in _NETWORK:
        yield STATE.warn(
            "file system", f"{nearest} is on a network ({system})", "put it on a local disk: locks and SQLite need one"
        )
    yield _lock(patient)
    async for finding in _ledger(patient, path):
        yield finding
    if patient.trouble is None:
        yield _mark(patient, settings)


def _to_come(path: Path, nearest: Path) -> Finding:
    if os.access(nearest, os.W_OK | os.X_OK):
        return STATE.ok("directory", f"{path.parent} is not there yet; the first pass makes it")
    return STATE.fail(
        "directory", f"{path.parent} is not there, and this user may not make it", "make it, or set [state] path"
    )


def _directory(path: Path) -> list[Finding]:
    """Who may do what there."""
    found = []
    for what, there in (("directory", path.parent), ("ledger file", path)):
        try:
            seen = there.stat()
        except OSError:
            continue
        mode = stat.S_IMODE(seen.st_mode)
        told = f"{_owner(seen.st_uid)}, mode {mode:04o}"
        if mode & 0o002 and not mode & stat.S_ISVTX:
            found.append(STATE.fail(what, f"everybody may write {there} ({told})", f"chmod o-w {there}"))
        elif mode & 0o004 and what == "ledger file":
            found.append(STATE.warn(what, f"everybody may read {there} ({told})", f"chmod o-rwx {there}"))
        elif os.access(there, os.W_OK):
            found.append(STATE.ok(what, f"of {told}; this user may write it"))
        else:
            found.append(STATE.ok(what, f"of {told}; this user may not write it, so commands ask the daemon"))
    return found


def _space(path: Path, nearest: Path) -> Finding:
    free = shutil.disk_usage(nearest).free
    told = f"{_bytes(free)} free at {nearest}{_size(path)}"
    if free < NOTHING:
        return STATE.fail("space", told, "make room: a ledger that cannot be written stops every pass")
    return STATE.warn("space", told, "make room soon") if free < LITTLE else STATE.ok("space", told)


def _size(path: Path) -> str:
    with suppress(OSError):
        size = sum(
            there.stat().st_size for suffix in ("", "-wal", "-shm") if (there := Path(f"{path}{suffix}")).exists()
        )
        return f"; the ledger takes {_bytes(size)}" if size else ""
    return ""


def _bytes(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _owner(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _file_system(path: Path) -> str:
    """The type of the file system that `path` is on, where the system tells."""
    best, found = "", ""
    with suppress(OSError):
        whole = path.resolve()
        for line in Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines():
            _, mount, kind, *_ = line.split(" ")
            mount = mount.replace("\\040", " ")
            if whole.is_relative_to(mount) and len(mount) >= len(best):
                best, found = mount, kind
    return found


def _lock(patient: Patient) -> Finding:
    path = patient.settings.state.path
    held = holder(path)
    if held is None and (closed := _closed(lock_of(path))):
        return Finding(
            "state", "lock", Result.SKIP, f"this user cannot know whether it is held: {closed}", elsewhere=True
        )
    if held is None:
        return STATE.ok("lock", "free: nothing is writing the ledger")
    return STATE.ok("lock", f"held by {held[0]}, process {held[1]}; it is not disturbed by this")


def _closed(lock: Path) -> str:
    """Why a lock cannot be read that may be there; "" where it can, or there is none."""
    try:
        with lock.open("rb"):
            return ""
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{lock} may not be read ({error.strerror or error})"


async def _ledger(patient: Patient, path: Path) -> AsyncIterator[Finding]:
    if patient.trouble is not None:
        said = str(patient.trouble)
        closed = "may not be read" in said or "unable to open" in said or "Permission denied" in said
        todo = "sudo, or membership of its group, or a daemon that answers" if closed else "see docs/operating.md"
        yield Finding("state", "ledger", Result.FAIL, said, todo, elsewhere=closed)
        return
    if patient.ledger is None:
        yield STATE.skip("ledger", "there is none yet: the first pass makes it")
        return
    version = int(patient.ledger.store.execute("PRAGMA user_version").fetchone()[0])
    began = patient.clock.monotonic()
    problems = await asyncio.to_thread(_quick_check, path)  # a large one takes seconds
    seconds = patient.clock.monotonic() - began
    if problems != ["ok"]:
        yield STATE.fail(
            "integrity",
            f"the ledger is damaged: {'; '.join(problems)[:300]}",
            "start pinsync again: it sets the file aside and begins a new one; our pins are found again by their "
            "marks, and until then none is removed",
        )
        return
    upgrade = "" if version == VERSION else f"; the next writer brings it to {VERSION}, with a copy beside it"
    yield STATE.ok("integrity", f"whole, by SQLite's quick check in {seconds:.1f} s; schema {version}{upgrade}")


def _quick_check(path: Path) -> list[str]:
    """What SQLite finds wrong with the file; `["ok"]` for nothing."""
    store = Store.read(path)
    if store is None:
        return ["ok"]
    try:
        return [str(row[0]) for row in store.execute("PRAGMA quick_check(5)")]
    finally:
        store.close()


def _mark(patient: Patient, settings: Settings) -> Finding:
    mark = mirror_id(settings, None)
    if settings.mirror.id:
        return STATE.ok("mirror id", f"{mark}, as [mirror] id says")
    beside = settings.state.path.with_name(ID_FILE)
    if not present(beside):
        if patient.ledger is not None:
            return STATE.warn(
                "mirror id",
                f"{beside} is not there; the next pass makes it anew from the ledger",
                "keep it with your backups",
            )
        return STATE.skip("mirror id", "none yet: the first pass makes it")
    return STATE.ok("mirror id", f"{mark}, in {beside}")


# -- the mirror as a whole, by the ledger


async def mirror(patient: Patient) -> AsyncIterator[Finding]:
    """When a pass last went well, and what needs a person."""
    ledger, settings = patient.ledger, patient.settings
    if ledger is None:
        if patient.trouble is not None:
            yield Finding("mirror", "last good pass", Result.SKIP, "the ledger cannot be read", elsewhere=True)
        else:
            yield MIRROR.warn(
                "last good pass", "there was no pass yet", "pinsync plan, then pinsync sync or the service"
            )
        return
    yield _last_good(patient, ledger)
    now, last = patient.now, ledger.last_run()
    if last is not None and (last["progress_at"] or 0) > now + AHEAD:
        yield MIRROR.warn(
            "time", f"the last pass was {moment(last['progress_at'], now)}: the clock was set back",
            "see that the clock is right (timedatectl)",
        )  # fmt: skip
    report = status(ledger, settings, now, {"running": holder(settings.state.path) is not None})
    verdict = report["verdict"]
    if verdict in ("in-sync", "converging"):
        yield MIRROR.ok("verdict", verdict)
    else:
        yield MIRROR.warn("verdict", verdict, "`pinsync status` says what needs a person")
    for doubt in report["doubts"]:
        yield MIRROR.warn("doubt", doubt["reason"], "removals are held; bring things back, or `pinsync approve`")


def _last_good(patient: Patient, ledger: Ledger) -> Finding:
    at, every = ledger.last_good(), patient.settings.schedule.every
    if at is None:
        return MIRROR.warn("last good pass", "none so far", "`pinsync status` says what hinders it")
    told = f"{moment(at, patient.now)}; one is due every {lasting(every)}"
    if patient.now - (fresh_since(ledger, patient.now) or at) > STALE_AFTER * every:
        return MIRROR.warn(
            "last good pass", told, "does the daemon run, or the timer? What failed is in `pinsync status`"
        )
    return MIRROR.ok("last good pass", told)
