"""What tests give to an emulator and read from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pinsync.model import PinStatus


@dataclass(slots=True)
class Request:
    """A request that arrived. `status` None: no answer went out (yet, or the connection was cut). `at`: epoch seconds.

    `query` is as it came, still quoted; headers and bodies are not kept, so no token is.
    """

    method: str
    path: str
    query: str
    mutating: bool
    at: float
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Seed:
    """A pin to be put there without a request. `created` in ns; None: by its place in the row of seeds.

    With a status of `queued` or `pinning` it stays so until `Emulator.set_status`.
    """

    cid: str
    name: str | None = None
    meta: Mapping[str, str] | None = None
    status: PinStatus = PinStatus.PINNED
    created: int | None = None
    details: str | None = None


@dataclass(frozen=True, slots=True)
class PinRecord:
    """A pin as the service has it now, whatever its lists say. `created` in ns."""

    requestid: str
    cid: str
    name: str | None
    meta: Mapping[str, str] | None
    origins: tuple[str, ...]
    status: PinStatus
    created: int
    details: str | None
