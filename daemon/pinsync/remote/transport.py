"""The edges of HTTP: the address, whom to trust, the Authorization header, and what a lost connection means."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from pinsync.remote.classify import Call, doing, tidy
from pinsync.remote.errors import RemoteError, Unreachable


class Authorization(httpx.Auth):
    """Sets the header on each request, so that it never stands in the client's own headers."""

    def __init__(self, auth: str, token: str) -> None:
        basic = auth == "basic"
        self._header = SecretStr(f"Basic {base64.b64encode(token.encode()).decode()}" if basic else f"Bearer {token}")

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = self._header.get_secret_value()
        yield request


def lost(remote: str, base: str, call: Call, error: Exception, secrets: tuple[str, ...]) -> Unreachable:
    """What it means that no whole answer came: whether the request went out, whether trying again makes sense."""
    text = str(error)
    why = next((told for kind, told in _WHY if isinstance(error, kind)), "the connection broke")
    hint = "It is tried again later."
    transient = not isinstance(error, (httpx.LocalProtocolError, httpx.InvalidURL, httpx.UnsupportedProtocol))
    if "certificate verify failed" in text.lower().replace("_", " "):
        why, transient = "its certificate cannot be verified", False
        hint = f"Check `endpoint`, or name your own authority in `ca_file` of {remote!r}."
    elif isinstance(error, httpx.ConnectError):
        why = f"no connection to {base} ({tidy(text, secrets) or 'refused'})"
    return Unreachable(
        remote,
        f"{remote}: {doing(call)} failed, {why}. {hint}",
        maybe_applied=call in ("add", "replace", "delete") and not isinstance(error, _NOT_SENT),
        transient=transient,
    )


_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
    httpx.InvalidURL,
)
_WHY: tuple[tuple[type[Exception], str], ...] = (
    (httpx.ConnectTimeout, "it did not accept a connection in time"),
    (httpx.PoolTimeout, "no connection became free in time"),
    (httpx.TimeoutException, "it did not answer in time"),
    (TimeoutError, "it did not finish its answer in time"),
    (httpx.ProxyError, "the proxy refused"),
    (httpx.LocalProtocolError, "the request cannot be sent as it is"),
    (httpx.RemoteProtocolError, "its answer broke off or was no HTTP"),
    (httpx.DecodingError, "its answer is packed wrongly"),
)


def base_url(name: str, endpoint: str) -> str:
    """The part of the address before `/pins`. Raises `RemoteError` for what is no address."""
    bare = endpoint.strip().rstrip("/").removesuffix("/pins").rstrip("/")
    try:
        parts = urlsplit(bare)
        valid = parts.scheme in ("http", "https") and parts.hostname and not parts.query and not parts.username
        httpx.URL(bare)
        if valid and parts.port != 0:
            return bare
    except (ValueError, httpx.InvalidURL):
        pass
    raise RemoteError(
        name,
        f"{name}: `endpoint` is no address of a pinning service; write it as https://host/path, without user or query.",
    )


def trust(name: str, ca_file: Path) -> ssl.SSLContext:
    """The usual authorities and those of `ca_file`. Raises `RemoteError` when the file cannot be used."""
    context = httpx.create_ssl_context()
    try:
        context.load_verify_locations(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise RemoteError(name, f"{name}: `ca_file` {ca_file} cannot be used: {error.strerror or error}.") from None
    return context
