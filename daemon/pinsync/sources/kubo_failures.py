"""What can go wrong with a Kubo node, in words, and whether another try may do better. No network."""

from __future__ import annotations

import base64
import json
from contextlib import suppress

import httpx
from pydantic import SecretStr

from pinsync.clock import Clock
from pinsync.errors import NodeError
from pinsync.secrecy import spellings
from pinsync.sources.kubo_api import ApiAddress
from pinsync.sources.kubo_pins import printable, quote

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 2.0  # seconds between tries


class FailureError(NodeError):
    """`passing`: worth another try. `said`: Kubo's own error message, where it gave one."""

    def __init__(self, node: str, message: str, *, passing: bool = False, said: str | None = None) -> None:
        super().__init__(node, message)
        self.passing = passing
        self.said = said


class Failures:
    """Makes the errors of one node; each names the node, its address and what to do.

    `hide` holds secrets that no message may repeat, though the node repeats them; `timeout` is in seconds.
    """

    def __init__(self, name: str, address: ApiAddress, *, timeout: float, hide: tuple[str, ...] = ()) -> None:
        self.at = f"Kubo node {name!r} at {address}"
        self.hide = hide
        self._name = name
        self._address = address
        self._timeout = timeout

    def error(self, message: str, *, passing: bool = False, said: str | None = None) -> FailureError:
        """A failure of this node, in words of our own."""
        return FailureError(self._name, f"{self.at}: {message}", passing=passing, said=said)

    def foreign(self, command: str, body: bytes) -> FailureError:
        """An answer that is not Kubo's."""
        return self.error(
            f"the answer to {command} is not Kubo's: {quote(body, self.hide)}; "
            f"does kubo.api ({self._address.where}) name Kubo's RPC, usually port 5001?"
        )

    def unreachable(self, error: httpx.HTTPError, after: str = "") -> FailureError:
        """No connection, no answer, or only a part of one; `after` says how far it had come."""
        after = f" {after}" if after else ""
        detail = printable(str(error), hide=self.hide) or type(error).__name__
        file = self._address.file
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            what = f"no connection ({detail}); is the daemon running? "
            if file is not None:
                what += (
                    f"The address is from {file}, which a daemon that was killed leaves behind. "
                    "Start `ipfs daemon`, or set kubo.api if the node is elsewhere"
                )
            else:
                what += f"Start `ipfs daemon`, or correct kubo.api (the address is from: {self._address.where})"
        elif isinstance(error, httpx.TimeoutException):
            what = f"not a byte for {self._timeout:g} s{after} (kubo.timeout); the node is overloaded or hangs"
        else:
            what = f"the connection was cut in the middle of the answer{after} ({detail})"
        return self.error(
            f"{what}. Until it answers, no pin is removed", passing=isinstance(error, httpx.TransportError)
        )

    def refusal(self, command: str, answer: httpx.Response, body: bytes, *, passing: bool = False) -> FailureError:
        """What an answer other than 200 means. `passing`: an error of Kubo's own is worth another try here."""
        status = answer.status_code
        said = self._said(status, body)
        words = f": {said}" if said else ""
        if status in (401, 403):
            have = "the authorization that was sent is not accepted" if self.hide else "it asks for an authorization"
            paths = ", ".join(f"/api/v0/{path}" for path in dict.fromkeys(("id", "pin/ls", command)))
            return self.error(
                f"{have} for /api/v0/{command} (HTTP {status}). Put one of the node's API.Authorizations, whose "
                f"AllowedPaths include {paths}, into kubo.authorization_file"
            )
        if status in (404, 405, 501):
            return self.error(
                f"HTTP {status} for /api/v0/{command}: this is no Kubo RPC, perhaps a gateway. The RPC usually listens "
                f"on port 5001; correct kubo.api (the address is from: {self._address.where}). Until then none of the "
                "node's pins is added or removed"
            )
        if 300 <= status < 400:
            target = printable(answer.headers.get("location", ""), 200, self.hide)
            return self.error(
                f"it redirects to {target!r}, which is not followed; write the final address into kubo.api"
            )
        if status == 429 or status >= 500:
            foreign = status != 500 or said is None
            return self.error(f"HTTP {status} for {command}{words}", passing=foreign or passing, said=said)
        return self.error(f"HTTP {status} for {command}{words}", said=said)

    def _said(self, status: int, body: bytes) -> str | None:
        """Kubo's own message: of its error object, or the plain text that it answers a malformed question with."""
        try:
            message = json.loads(body)["Message"]
        except (ValueError, RecursionError, TypeError, KeyError):
            message = body.decode("utf-8", "replace") if status == 400 else None
        return printable(message, hide=self.hide) if isinstance(message, str) else None


class Tries:
    """Growing pauses, until `retry_for` seconds after the first failure."""

    def __init__(self, clock: Clock, retry_for: float) -> None:
        self._clock = clock
        self._retry_for = retry_for
        self._until: float | None = None
        self._pause = _FIRST_PAUSE

    def next_pause(self) -> float | None:
        """Seconds to wait before the next try; None when there is to be none."""
        now = self._clock.monotonic()
        if self._until is None:
            self._until = now + self._retry_for
        pause, self._pause = self._pause, min(self._pause * 2, _LONGEST_PAUSE)
        return pause if now + pause <= self._until else None


def authorization_header(secret: SecretStr) -> tuple[str, tuple[str, ...]]:
    """The `Authorization` header of a secret, and every text in it that no message may repeat.

    The secret is written as the header has it (`Bearer …`, `Basic …`), as Kubo's `AuthSecret` has it (`bearer:…`,
    `basic:user:password`), or is a bare token. Raises `ValueError`, without the secret, when it makes no header.
    """
    text = secret.get_secret_value().strip()
    kind, _, value = text.partition(":")
    scheme, space, credentials = text.partition(" ")
    if not space:
        scheme, credentials = "Bearer", text
        if kind == "bearer" and value:
            credentials = value
        elif kind == "basic" and value:
            scheme = "Basic"
            credentials = base64.b64encode(value.encode()).decode() if ":" in value else value
    if text.lower() in ("bearer", "basic"):
        credentials = ""
    if not credentials or not text.isprintable() or not f"{scheme}{credentials}".isascii():
        raise ValueError('it is empty or no HTTP header can carry it; write one line, "Bearer …" or "Basic …"')
    pair = value if kind == "basic" else text if ":" in text and not space else ""
    if scheme == "Basic":
        with suppress(ValueError):
            pair = base64.b64decode(credentials, validate=True).decode()
    forms = {form for secret in (text, credentials, value) for form in spellings(secret)}
    hide = sorted(forms | set(spellings(pair, pair=True)), key=len, reverse=True)
    return f"{scheme} {credentials}", tuple(hide)
