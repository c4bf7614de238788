"""One line of what the doctor found; and the promise that whatever breaks on the way is such a line too."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from pinsync.errors import ConfigError, ManifestError, PinsyncError
from pinsync.words import bare


class Result(StrEnum):
    """How a check came out. WARN hinders nothing today; SKIP could not be tried, or does not apply here."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """`about` is the part of the mirror, `check` a short name for what was tried, `todo` what to do next.

    `found` is shown below `about`, so a message that begins with that name loses it.

    `wrong`: what fails is configuration or manifest, which is exit code 2. `elsewhere`: this user may not see it, and
    the daemon can.
    """

    about: str
    check: str
    result: Result
    found: str
    todo: str = ""
    wrong: bool = False
    elsewhere: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "found", bare(self.about, self.found))

    def as_json(self) -> dict[str, Any]:
        """One entry of `checks` in `doctor --json`."""
        return {
            "about": self.about, "check": self.check, "result": self.result.value, "found": self.found,
            "todo": self.todo or None,
        }  # fmt: skip

    @classmethod
    def of_json(cls, told: dict[str, Any]) -> Finding:
        """As the daemon sends it."""
        return cls(
            str(told["about"]), str(told["check"]), Result(told["result"]), str(told["found"]), told["todo"] or ""
        )


@dataclass(frozen=True, slots=True)
class About:
    """Makes the findings about one part."""

    part: str

    def ok(self, check: str, found: str) -> Finding:
        return Finding(self.part, check, Result.OK, found)

    def warn(self, check: str, found: str, todo: str = "") -> Finding:
        return Finding(self.part, check, Result.WARN, found, todo)

    def fail(self, check: str, found: str, todo: str = "") -> Finding:
        return Finding(self.part, check, Result.FAIL, found, todo)

    def skip(self, check: str, found: str) -> Finding:
        return Finding(self.part, check, Result.SKIP, found)

    def broke(self, check: str, error: Exception) -> Finding:
        """What went wrong, as a line: no traceback, and of what nobody foresaw no message, which may hold anything."""
        if isinstance(error, (ConfigError, ManifestError)):
            elsewhere = bool(getattr(error, "elsewhere", False))
            said = _some([str(problem) for problem in error.problems])
            todo = "the daemon may have it, and none has answered" if elsewhere else ""
            return Finding(self.part, check, Result.FAIL, said, todo, wrong=not elsewhere, elsewhere=elsewhere)
        if isinstance(error, PinsyncError):
            return self.fail(check, str(error))
        if isinstance(error, sqlite3.DatabaseError):
            return self.fail(
                check, f"the ledger cannot be read: {error}", "see docs/operating.md, *The ledger is damaged or lost*"
            )
        if isinstance(error, OSError):
            return self.fail(
                check, f"{error.strerror or type(error).__name__}{f': {error.filename}' if error.filename else ''}"
            )
        return self.fail(check, f"this check has a bug: {type(error).__name__}{_place(error)}", "please report it")


async def gathered(about: About, check: str, findings: AsyncIterator[Finding]) -> list[Finding]:
    """All of them; where the check itself breaks, what there was until then and a line that says so."""
    found: list[Finding] = []
    try:
        async for one in findings:
            found.append(one)
    except Exception as error:  # a person is owed a line for everything that goes wrong
        found.append(about.broke(check, error))
    return found


def exit_code(findings: Sequence[Finding]) -> int:
    """2 when configuration or manifest are wrong, else 1 when something fails. Warnings change nothing."""
    failed = [one for one in findings if one.result is Result.FAIL]
    return 2 if any(one.wrong for one in failed) else 1 if failed else 0


def moment(at: float | None, now: float) -> str:
    """A time for people: `2026-11-23 04:42 (3 min ago)`, in local time."""
    if at is None:
        return "never"
    distance = f"in {lasting(at - now)}" if at > now + 1 else f"{lasting(now - at)} ago"
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M} ({distance})"


def lasting(seconds: float) -> str:
    """A duration for people: `12 s`, `15 min`, `3 h`, `6 d`."""
    if seconds < 120:
        return f"{max(seconds, 0):.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172800 else f"{seconds / 86400:.0f} d"


def _some(problems: Sequence[str], most: int = 5) -> str:
    more = f"; and {len(problems) - most} more" if len(problems) > most else ""
    return "; ".join(problems[:most]) + more


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
