"""What can go wrong, drawn as one tree.

    PinsyncError
    ├── UsageError          exit 2: the command line asks for something that cannot be
    ├── Paused              exit 4: a person paused what was asked for
    ├── Doubted             exit 4: an approval of single pins cannot release them
    ├── ConfigError         exit 2: config.toml, the environment or a credential; carries every problem at once
    ├── ManifestError       exit 2: the manifest; likewise
    ├── StateError          exit 1: the ledger cannot be read or written
    │   ├── LedgerDamaged   exit 1: its file holds no ledger, or not a whole one
    │   └── StateHeld       exit 6: another pinsync holds it
    ├── NodeError           exit 1: the Kubo node is away, refuses or answers nonsense
    └── RemoteError         exit 1: see `pinsync.remote.errors`

Every message is for the reader: what failed, where, what it means for their pins, what to do.
No message holds a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class PinsyncError(Exception):
    """The base of all that pinsync itself raises. `exit_code` is the one that `interface` promises for it."""

    exit_code = 1


class UsageError(PinsyncError):
    """The command line asks for something that is ambiguous or does not exist."""

    exit_code = 2


class Paused(PinsyncError):
    """A person paused the remotes that a pass was asked for; nothing was done."""

    exit_code = 4


class Doubted(PinsyncError):
    """Several doubts hold what was to be approved pin by pin; nothing was released."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a file that a person edits.

    `line` counts from 1; None where a line makes no sense (the environment, a whole file).
    """

    file: str
    line: int | None
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


class _Problems(PinsyncError):
    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class ConfigError(_Problems):
    """The configuration cannot be used; `problems` holds every reason, in file order."""


class ManifestError(_Problems):
    """The manifest cannot be used; `problems` holds every reason, in file order."""


class StateError(PinsyncError):
    """The ledger cannot be opened, read or written."""


class LedgerDamaged(StateError):
    """The ledger's file is not a database any more, is malformed, or holds what makes no sense.

    `cause` says what was found. `certain`: it need not be looked for again.
    """

    def __init__(self, message: str, cause: str, *, certain: bool = True) -> None:
        super().__init__(message)
        self.cause = cause
        self.certain = certain


class StateHeld(StateError):
    """Another pinsync holds the state directory's lock."""

    exit_code = 6


class NodeError(PinsyncError):
    """A Kubo node could not be read; `node` is its name in the configuration."""

    def __init__(self, node: str, message: str) -> None:
        super().__init__(message)
        self.node = node
