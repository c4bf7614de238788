"""Whom to ask: the daemon, when one runs and may do what this user may not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pinsync.errors import ConfigError, LedgerDamaged, PinsyncError, StateError, StateHeld
from pinsync.paths import is_folder

from .ui import chosen

if TYPE_CHECKING:
    from pinsync.service.client import DaemonClient
    from pinsync.settings.model import Settings

    from .ui import Ui


def find(settings: Settings) -> DaemonClient | None:
    """The daemon that keeps this state, if one answers on its socket."""
    from pinsync.service.client import DaemonClient

    return DaemonClient.find(settings, os.environ)


def in_force(ui: Ui, remote: str | None) -> tuple[Settings, DaemonClient | None]:
    """The configuration, with `remote` one of its remotes. Where it cannot be used, the daemon that goes on with the
    last good one, and settings that tell no more than where it was found; that is told as a warning.

    Raises `ConfigError` where no such daemon answers, `UsageError` for a remote that there is not.
    """
    try:
        settings = ui.settings()
    except ConfigError as error:
        settings, daemon = despite(ui, error)
        first, *more = str(error).split("\n")
        some = f" (and {len(more)} more lines)" if more else ""
        ui.warn(
            f"the configuration cannot be used, so the daemon was asked, which has the last good one: {first}{some}"
        )
        return settings, daemon
    chosen(settings, remote)
    return settings, None


def despite(ui: Ui, error: ConfigError) -> tuple[Settings, DaemonClient]:
    """The daemon that began with the file that cannot be used any more, and where it was found.

    Raises `error` for none.
    """
    from pinsync.settings.stand_in import stand_in

    settings = stand_in(ui.config, os.environ)
    try:
        daemon = find(settings) if settings is not None else None
        theirs = daemon.status()["config"] if daemon is not None else None
    except PinsyncError:
        raise error from None
    if settings is None or daemon is None or theirs != (str(settings.source.path) if settings.source.path else None):
        raise error
    return settings, daemon


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
        if isinstance(error, LedgerDamaged) or is_folder(settings.state.path):
            raise error
        raise Alone(error) from error
    return client


def tell_whose_requests(ui: Ui) -> None:
    """With `--verbose`: why no requests are shown of what the daemon does for us."""
    if ui.verbose:
        ui.tell(
            "the daemon asks the remotes for this, so no requests are shown here; they are in its log where it runs "
            "with --verbose"
        )


class Alone(PinsyncError):
    """A token or the state is closed to this user, and no daemon answers that could be asked instead."""

    def __init__(self, error: PinsyncError) -> None:
        super().__init__(f"{error}\nno daemon answers that could do it instead; nothing was done")
        self.problems = getattr(error, "problems", ())
