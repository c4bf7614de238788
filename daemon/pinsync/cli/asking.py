"""Whom to ask: the daemon, when one runs and may do what this user may not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pinsync.errors import LedgerDamaged, PinsyncError, StateError, StateHeld

if TYPE_CHECKING:
    from pinsync.service.client import DaemonClient
    from pinsync.settings.model import Settings


def find(settings: Settings) -> DaemonClient | None:
    """The daemon that keeps this state, if one answers on its socket."""
    from pinsync.service.client import DaemonClient

    return DaemonClient.find(settings, os.environ)


def instead(settings: Settings, error: PinsyncError) -> DaemonClient:
    """The daemon, to be asked because `error` keeps us from doing it here.

    Raises `error` where the daemon could do no better (a token that makes no sense, a state that is in use), and else,
    when no daemon answers, an error with exit code 1 that says both: but `error` itself where the file is none that
    anybody could read.
    """
    if isinstance(error, StateHeld) or not (isinstance(error, StateError) or getattr(error, "elsewhere", False)):
        raise error
    client = find(settings)
    if client is None:
        if isinstance(error, LedgerDamaged) or settings.state.path.is_dir():
            raise error
        raise Alone(error) from error
    return client


class Alone(PinsyncError):
    """A token or the state is closed to this user, and no daemon answers that could be asked instead."""

    def __init__(self, error: PinsyncError) -> None:
        super().__init__(f"{error}\nno daemon answers that could do it instead; nothing was done")
        self.problems = getattr(error, "problems", ())
