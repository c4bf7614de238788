"""Where the daemon's log goes: standard error, in the form that its reader expects."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

from pinsync.clock import rfc3339

_LEVELS = ((logging.ERROR, "<3>"), (logging.WARNING, "<4>"), (logging.INFO, "<6>"), (logging.NOTSET, "<7>"))


FORMATS = ("text", "json")


def configure(
    env: Mapping[str, str], *, verbose: bool = False, stream: TextIO | None = None, form: str = "text"
) -> logging.Logger:
    """Set up and return the logger `pinsync`, which logs to `stream`, by default standard error.

    Under systemd (`$JOURNAL_STREAM` names this very stream) lines begin with a level that the journal takes off (`<3>`
    for an error), else with the time and the level. `form` "json": an object a line, with `at`, `level`, `message` and,
    after a bug, `traceback`. `verbose` adds each request, without secrets. Calling it again replaces what it set up
    before.
    """
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    plain = _Json() if form == "json" else None
    handler.setFormatter(_Journal(plain) if in_journal(env, stream) else plain or _Plain())
    log = logging.getLogger("pinsync")
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.DEBUG if verbose else logging.INFO)
    return log


@contextmanager
def shown_requests(wanted: bool, stream: TextIO | None = None) -> Iterator[logging.Logger]:
    """The logger of requests, meanwhile with each as a line on `stream` (standard error) where that is wanted."""
    log = logging.getLogger("pinsync.requests")
    if not wanted:
        yield log
        return
    before = log.handlers[:], log.level, log.propagate
    handler = logging.StreamHandler(stream or sys.stderr)
    log.handlers[:] = [handler]
    log.setLevel(logging.DEBUG)
    log.propagate = False
    try:
        yield log
    finally:
        log.handlers[:], log.propagate = before[0], before[2]
        log.setLevel(before[1])


class _Plain(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("{asctime} {levelname:7} {message}", "%Y-%m-%d %H:%M:%S", "{")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        told = {
            "at": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)


class _Journal(logging.Formatter):
    """Lines of another form with the level before each."""

    def __init__(self, form: logging.Formatter | None = None) -> None:
        super().__init__()
        self._form = form or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        prefix = next(text for level, text in _LEVELS if record.levelno >= level)
        return "\n".join(prefix + line for line in self._form.format(record).splitlines() or [""])


def in_journal(env: Mapping[str, str], stream: TextIO | None = None) -> bool:
    """Whether `stream`, by default standard error, is what systemd connected to the journal.

    See systemd.exec(5), `$JOURNAL_STREAM`.
    """
    try:
        of = os.fstat((stream or sys.stderr).fileno())
    except (OSError, ValueError):
        return False
    return env.get("JOURNAL_STREAM") == f"{of.st_dev}:{of.st_ino}"
