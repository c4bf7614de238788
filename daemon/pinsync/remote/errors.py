"""Everything that a pinning service can do wrong, drawn as one tree.

    RemoteError                 the base; also a request that cannot be made at all
    ├── Unreachable             refused, reset, timed out, cut off, 5xx that retries did not cure
    ├── RateLimited             429 for longer than a call waits; `retry_at` says until when
    ├── OutOfService            the remote refuses everything, or every write; `kind` says why
    ├── PinRefused              it will not take this one request: 400, 413, 422, 451 …
    ├── NotFound                404 for a requestid
    ├── NotBegun                a change that was not sent, because nothing new was to be begun any more
    ├── BadAnswer               success in the status line, nonsense in the body; or no pinning service at all
    └── Redirected              3xx: never followed with a token in hand

`maybe_applied` is on all of them: whether a request that changes something may have had its effect all the same. Only
`Unreachable` and `BadAnswer` ever set it. `pinsync.remote.classify` is the one place that chooses among them.
"""

from __future__ import annotations

from typing import Literal

from pinsync.errors import PinsyncError

OutKind = Literal["auth", "forbidden", "funds", "maintenance", "closed", "rights"]


class RemoteError(PinsyncError):
    """A request to a pinning service failed.

    `remote` is its name in the configuration, `status` the HTTP status where there was one, `reason` and `details`
    the server's own words, shortened and without secrets. The message is for people.
    """

    maybe_applied = False

    def __init__(
        self,
        remote: str,
        message: str,
        *,
        status: int | None = None,
        reason: str | None = None,
        details: str | None = None,
    ) -> None:
        super().__init__(message)
        self.remote = remote
        self.status = status
        self.reason = reason
        self.details = details


def unnamed(remote: str, said: str) -> str:
    """What a `RemoteError` says, for a place where the remote's name stands already."""
    return said.removeprefix(f"{remote}: ")


class _MaybeApplied(RemoteError):
    def __init__(
        self,
        remote: str,
        message: str,
        *,
        status: int | None = None,
        reason: str | None = None,
        details: str | None = None,
        maybe_applied: bool = False,
    ) -> None:
        super().__init__(remote, message, status=status, reason=reason, details=details)
        self.maybe_applied = maybe_applied


class Unreachable(_MaybeApplied):
    """No answer, half an answer, or only server errors, for as long as retrying was allowed.

    After `maybe_applied` the caller looks the pin up before it asks again. `transient` False: trying again soon makes
    no sense (a certificate that cannot be verified).
    """

    def __init__(
        self,
        remote: str,
        message: str,
        *,
        status: int | None = None,
        reason: str | None = None,
        details: str | None = None,
        maybe_applied: bool = False,
        transient: bool = True,
    ) -> None:
        super().__init__(remote, message, status=status, reason=reason, details=details, maybe_applied=maybe_applied)
        self.transient = transient


class RateLimited(RemoteError):
    """The remote asks for a longer pause than a call waits. `retry_at` is in epoch seconds of our clock."""

    def __init__(
        self,
        remote: str,
        message: str,
        *,
        retry_at: float,
        status: int | None = 429,
        reason: str | None = None,
        details: str | None = None,
    ) -> None:
        super().__init__(remote, message, status=status, reason=reason, details=details)
        self.retry_at = retry_at


class OutOfService(RemoteError):
    """The remote refuses everything, or every write, and will until a person or the service changes something.

    `kind`: "auth" (the token is wrong or missing), "forbidden" (403: the account may not), "funds" (the account is full
    or unpaid), "maintenance" (the service has switched it off for now), "closed" (it takes no new pins), "rights"
    (the token is good but may not pin).
    """

    def __init__(
        self,
        remote: str,
        message: str,
        *,
        kind: OutKind,
        status: int | None = None,
        reason: str | None = None,
        details: str | None = None,
    ) -> None:
        super().__init__(remote, message, status=status, reason=reason, details=details)
        self.kind: OutKind = kind


class PinRefused(RemoteError):
    """The remote will not take this one request; others may pass.

    `origins`, `meta`, `name`: it says that this field is the reason, so the same without it may be taken.
    """

    def __init__(
        self,
        remote: str,
        message: str,
        *,
        origins: bool = False,
        meta: bool = False,
        name: bool = False,
        status: int | None = None,
        reason: str | None = None,
        details: str | None = None,
    ) -> None:
        super().__init__(remote, message, status=status, reason=reason, details=details)
        self.origins = origins
        self.meta = meta
        self.name = name


class NotBegun(RemoteError):
    """A change waited for its turn when somebody wanted nothing new to be begun; it was never sent."""


class NotFound(RemoteError):
    """The remote has no pin request of this id."""


class BadAnswer(_MaybeApplied):
    """The answer is not what the Pinning Service API promises: a web page, nothing, half of it, other JSON."""


class Redirected(RemoteError):
    """The remote points elsewhere; `location` is scheme, host and path of it, without query or credentials."""

    def __init__(self, remote: str, message: str, *, location: str, status: int | None = None) -> None:
        super().__init__(remote, message, status=status)
        self.location = location
