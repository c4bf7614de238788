"""What another remote is to hold instead: it leaves this one when it has arrived there (invariant 2)."""

from __future__ import annotations

from dataclasses import replace

from pinsync.ledger.ledger import Ledger
from pinsync.planning.plan import Action, Decision, Kind, PinState, State

from .observe import Sources

CODE = "elsewhere"


class Elsewhere:
    """The manifest's entries that name other remotes than `remote`, and whether one of these has them pinned.

    Known from the ledger: what the last pass saw there.
    """

    def __init__(self, sources: Sources, ledger: Ledger | None, remote: str) -> None:
        self._ledger = ledger
        self._wanted = {
            pin.key: pin.remotes for pin in sources.manifest.pins if pin.remotes and remote not in pin.remotes
        }

    def look(self, decision: Decision) -> Decision:
        """The same decision, in which a removal waits for those who are to hold the CID from now on."""
        remotes = self._wanted.get(decision.key)
        if not remotes or not decision.actions or any(self._holds(remote, decision.key) for remote in remotes):
            return decision
        return replace(decision, actions=tuple(_waiting(action, remotes) for action in decision.actions))

    def _holds(self, remote: str, key: bytes) -> bool:
        entry = self._ledger.entry(remote, key) if self._ledger else None
        return entry is not None and entry.state is PinState.PINNED and bool(entry.was_there) and not entry.missing


def _waiting(action: Action, remotes: tuple[str, ...]) -> Action:
    if action.kind is not Kind.REMOVE:
        return action
    reason = f"it is wanted at {' and '.join(remotes)} instead, and not pinned there yet"
    return replace(action, state=State.WAITING, code=CODE, reason=reason, until=None)
