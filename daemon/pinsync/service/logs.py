"""Where the daemon's log goes: standard error, in the form that its reader expects."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import TextIO

_LEVELS = ((logging.ERROR, "<3>"), (logging.WARNING, "<4>"), (logging.INFO, "<6>"), (logging.NOTSET, "<7>"))


def configure(env: Mapping[str, str], *, verbose: bool = False, stream: TextIO | None = None) -> logging.Logger:
    """Set up and return the logger `pinsync`, which logs to `stream`, by default standard error.

    Under systemd (`$JOURNAL_STREAM` names this very stream) lines begin with a level that the journal takes off (`<3>`
    for an error), else with the time and the level. `verbose` adds each request, without secrets. Calling it again
    replaces what it set up before.
    """
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Journal() if _is_journal(env, stream) else _Plain())
    log = logging.getLogger("pinsync")
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.DEBUG if verbose else logging.INFO)
    return log


class _Plain(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("{asctime} {levelname:7} {message}", "%Y-%m-%d %H:%M:%S", "{")


class _Journal(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        prefix = next(text for level, text in _LEVELS if record.levelno >= level)
        return "\n".join(prefix + line for line in super().format(record).splitlines() or [""])


def _is_journal(env: Mapping[str, str], stream: TextIO) -> bool:
    """Whether `stream` is the one that systemd connected to the journal (systemd.exec(5), `$JOURNAL_STREAM`)."""
    try:
        of = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return env.get("JOURNAL_STREAM") == f"{of.st_dev}:{of.st_ino}"
