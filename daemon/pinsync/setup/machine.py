"""Looks at the machine that pinsync is installed on, and changes it."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pinsync.errors import PinsyncError
from pinsync.paths import is_folder
from pinsync.settings.places import GROUP

from .layout import UNIT, Layout
from .planning import Found, UnitState
from .steps import File, MakeDirectory, RemoveDirectory, RemoveFile, Run, SetMode, Step, WriteFile

_LIMIT = 1 << 20
_PROPERTIES = (
    "LoadState,ActiveState,SubState,UnitFileState,FragmentPath,DropInPaths,NeedDaemonReload,Result,MainPID,NRestarts"
)


class SetupError(PinsyncError):
    """The service could not be installed, shown or removed here. The message says what is so now, and what to do."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a command of the system; 127 where there is no such program."""

    code: int
    out: str
    err: str


Runner = Callable[[Sequence[str]], Ran]


def run(argv: Sequence[str]) -> Ran:
    """Run a command to its end, which is systemd's own to limit: a start may migrate a ledger first."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        return Ran(127, "", f"{argv[0]}: {error.strerror}")
    return Ran(done.returncode, done.stdout, done.stderr)


@dataclass(slots=True)
class Outcome:
    """What was carried out, in order. `undone`: it was, and was taken back; `left`: not begun."""

    done: list[Step] = field(default_factory=list)
    undone: list[Step] = field(default_factory=list)
    failed: Step | None = None
    error: str = ""
    left: list[Step] = field(default_factory=list)


# -- looking


def look(layout: Layout, more: Iterable[Path], runner: Runner, *, outdated: bool = False) -> Found:
    """The machine as it is; of files, those of the layout and `more`. Raises `SetupError`."""
    paths = [layout.unit, layout.credentials, layout.config, *layout.sysusers, *layout.packaged, *more]
    folders = {parent for path in paths for parent in path.parents}
    return Found(
        files={path: file for path in paths if (file := read(path)) is not None},
        directories=frozenset(path for path in folders if is_folder(path)),
        unit=unit_state(layout, runner),
        user_exists=layout.user or runner(("getent", "passwd", GROUP)).code == 0,
        outdated=outdated,
    )


def read(path: Path) -> File | None:
    """A file; None where there is none. Raises `SetupError` for what is no file, or may not be read."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise SetupError(f"{path} is no regular file{_masked(path)}; nothing was changed")
        if status.st_size > _LIMIT:
            raise SetupError(f"{path} has {status.st_size} bytes, which is no file of pinsync's; nothing was changed")
        return File(path.read_bytes(), stat.S_IMODE(status.st_mode))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise SetupError(f"{path} is closed to this user; as root (sudo) it is seen; nothing was changed") from None
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}; nothing was changed") from None


def _masked(path: Path) -> str:
    return ": it is masked (systemctl unmask pinsync)" if path.name == UNIT and path.is_symlink() else ""


def unit_state(layout: Layout, runner: Runner) -> UnitState:
    """What the service manager says of the unit. Raises `SetupError` where it does not answer."""
    ran = runner((*layout.systemctl, "show", UNIT, f"--property={_PROPERTIES}"))
    if ran.code != 0:
        hint = (
            "log in as that user instead of by su or sudo, or set XDG_RUNTIME_DIR=/run/user/UID after "
            "`loginctl enable-linger USER`"
            if layout.user
            else "is systemd the init of this machine?"
        )
        raise SetupError(f"the service manager does not answer ({_last(ran)}); {hint}")
    told = dict(line.split("=", 1) for line in ran.out.splitlines() if "=" in line)
    return UnitState(
        load=told.get("LoadState", ""),
        active=told.get("ActiveState", ""),
        sub=told.get("SubState", ""),
        file_state=told.get("UnitFileState", ""),
        fragment=told.get("FragmentPath", ""),
        drop_ins=tuple(told.get("DropInPaths", "").split()),
        need_reload=told.get("NeedDaemonReload") == "yes",
        result=told.get("Result", ""),
        pid=int(told.get("MainPID") or 0),
        restarts=int(told.get("NRestarts") or 0),
    )


def systemd_version(runner: Runner) -> int | None:
    """The number of systemd's release; None where it does not tell."""
    words = runner(("systemctl", "--version")).out.split()
    return int(words[1]) if len(words) > 1 and words[1].isdecimal() else None


def _last(ran: Ran) -> str:
    lines = (ran.err or ran.out).strip().splitlines()
    return lines[-1] if lines else f"exit status {ran.code}"


# -- doing


def carry_out(steps: Sequence[Step], runner: Runner, on_done: Callable[[Step], None] = lambda step: None) -> Outcome:
    """Take the steps in order, up to the first that cannot be taken.

    Where that is a file's, the files written before are taken back, so that the machine is as it was. A command that
    fails leaves what was done: taking the same steps again goes on from there.
    """
    outcome = Outcome()
    for place, step in enumerate(steps):
        try:
            if isinstance(step, Run):
                ran = runner(step.argv)
                if ran.code != 0:
                    raise SetupError(_last(ran))
            else:
                _change(step)
        except (OSError, SetupError, KeyboardInterrupt) as error:
            outcome.failed, outcome.left = step, list(steps[place + 1 :])
            outcome.error = _said(error)
            if not any(isinstance(one, Run) for one in (*outcome.done, step)):
                _take_back(outcome)
            return outcome
        outcome.done.append(step)
        on_done(step)
    return outcome


def _said(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _change(step: Step) -> None:
    match step:
        case MakeDirectory(path, mode):
            path.mkdir()
            path.chmod(mode)
        case WriteFile(path, content, mode):
            _write(path, content, mode)
        case SetMode(path, mode):
            path.chmod(mode)
        case RemoveFile(path):
            path.unlink(missing_ok=True)
        case RemoveDirectory(path):
            with suppress(OSError):  # something of somebody's is in it
                path.rmdir()
        case Run():
            raise AssertionError


def _write(path: Path, content: bytes, mode: int) -> None:
    """Put the file in its place at once, on the disk, never with more rights than `mode`."""
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(number, mode)
            os.fsync(number)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _take_back(outcome: Outcome) -> None:
    while outcome.done:
        step = outcome.done[-1]
        try:
            match step:
                case MakeDirectory(path):
                    path.rmdir()
                case WriteFile(path, before=None):
                    path.unlink()
                case WriteFile(path, before=File(content, mode)) | RemoveFile(path, before=File(content, mode)):
                    _write(path, content, mode)
                case SetMode(path, before=mode):
                    path.chmod(mode)
                case _:
                    return
        except OSError:
            return
        outcome.undone.insert(0, outcome.done.pop())
