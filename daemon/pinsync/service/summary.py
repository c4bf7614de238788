"""The summary that every user of the machine may read: counts and times, and nothing that names a pin.

The daemon of the system keeps it as `summary.json` beside its control socket; `pinsync status` shows it to those who
may open neither the ledger nor the socket.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from pinsync.clock import Clock, rfc3339
from pinsync.errors import StateError

FORMAT = 1
MODE = 0o644
MOST = 1 << 20  # bytes that are read
OFTEN = 60.0  # seconds between two summaries while a pass is under way

# What may be shown of each part of a `status` report. All else is left empty: a new key is closed until it stands here.
_REPORT = ("format", "verdict", "last_pass", "last_good_pass_at", "next_pass_at")
_DAEMON = ("running", "pid", "version", "since")
_PASS = ("trigger", "remote", "since")
_NODE = ("name", "ok", "pins", "read_at")
_MANIFEST = ("ok", "pins")
_PAUSE = ("remote", "since", "until")
_REMOTE = (
    "name", "mode", "ok", "complete", "wanted", "pinned", "queued", "pinning", "failed", "refused", "missing",
    "foreign", "waiting_removal", "waiting", "held", "present", "listed_at", "closed_since", "next_probe_at",
    "no_deletes_since",
)  # fmt: skip

Report = Mapping[str, Any]


def public(report: Report, *, now: float, every: float) -> dict[str, Any]:
    """What everybody may know of a `status` report: the same keys, with messages, addresses, ids and paths left out.

    `every`: seconds between passes, for readers who ask themselves whether it is stale.
    """
    sources, daemon = report["sources"], report["daemon"]
    under_way = daemon.get("pass")
    return {
        **_only(report, _REPORT),
        "summary_at": rfc3339(now),
        "every": every,
        "daemon": {**_only(daemon, _DAEMON), "pass": _only(under_way, _PASS) if under_way else None},
        "sources": {
            "nodes": [_only(node, _NODE) for node in sources["nodes"]],
            "manifest": _only(sources["manifest"], _MANIFEST),
        },
        "remotes": [_only(remote, _REMOTE) for remote in report["remotes"]],
        # both make the verdict; why and by whom is in words that may name anything
        "paused": [{**_only(one, _PAUSE)} for one in report["paused"]],
        "doubts": [{"code": None, "reason": "a source, a remote or the state is in doubt"} for _ in report["doubts"]],
    }


def _only(of: Report, keys: Collection[str]) -> dict[str, Any]:
    return {key: value if key in keys else _empty(value) for key, value in of.items()}


def _empty(value: object) -> object:
    return type(value)() if isinstance(value, list | dict) else None


def read(path: Path, now: float) -> dict[str, Any] | None:
    """The summary at `path` as `status --json` has it, judged by what time it is now; None where there is none.

    A daemon that was killed leaves its summary behind: its process is looked for.
    """
    from pinsync.status import verdict

    try:
        with path.open("rb") as file:
            report: dict[str, Any] = json.loads(file.read(MOST))
        if report["format"] != FORMAT:
            return None
        if not _lives(report["daemon"]["pid"]):
            report["daemon"] = {"running": False}
            report["next_pass_at"] = None
        good = report["last_good_pass_at"]
        last_good = datetime.fromisoformat(good).timestamp() if good else None
        report["verdict"] = verdict(report, last_good, report["every"], now)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return report


def _lives(pid: object) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it lives, and is somebody else's
        return True
    return True


class Summary:
    """The daemon's end: written when something changed, removed at the end. `path` None: there is none to keep."""

    def __init__(self, path: Path | None, log: logging.Logger) -> None:
        self.path, self._log = path, log
        self._trouble = ""

    async def keep(self, turned: asyncio.Event, report: Callable[[], Report], clock: Clock) -> None:
        """Write what `report` answers whenever `turned` is set, and every minute while it tells of a pass under way.

        A ledger that cannot be read leaves the summary as it is; a bug is logged once, and ends nothing.
        """
        bug = ""
        while True:
            turned.clear()
            again = True
            try:
                found = report()
                again = not self.write(found) or found["daemon"]["pass"] is not None
            except StateError:
                pass  # the pass says so
            except Exception as error:
                if bug != repr(error):
                    bug = repr(error)
                    self._log.error("the summary for other users failed; this is a bug in pinsync", exc_info=error)
            waits: list[asyncio.Task[Any]] = [asyncio.create_task(turned.wait())]
            if again:
                waits.append(asyncio.create_task(clock.sleep(OFTEN)))
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in waits:
                    task.cancel()

    def write(self, report: Report) -> bool:
        """Replace the file in one go; whether that was possible. Why not is logged once, and is no reason to stop."""
        if self.path is None:
            return False
        temporary = self.path.with_name(f".{self.path.name}.new")
        try:
            with suppress(FileNotFoundError):
                temporary.unlink()
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                json.dump(report, file)
                file.flush()
                os.fchmod(fd, MODE)  # whatever the umask
            temporary.replace(self.path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            if self._trouble != str(error):
                self._trouble = str(error)
                self._log.warning(
                    "the summary for other users cannot be written to %s: %s. Nothing else depends on it",
                    self.path,
                    error.strerror or error,
                )
            return False
        if self._trouble:
            self._trouble = ""
            self._log.info("the summary in %s is written again", self.path)
        return True

    def remove(self) -> None:
        """There is nothing to sum up any more."""
        if self.path is not None:
            with suppress(OSError):
                self.path.unlink()
