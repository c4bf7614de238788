"""The edges of HTTP: the address, whom to trust, the Authorization header, and what a lost connection means."""

from __future__ import annotations

import base64
import ssl
import sys
from collections.abc import Callable, Generator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from pinsync.remote.classify import Call, doing, tidy
from pinsync.remote.errors import RemoteError, Unreachable

# httpcore looks for sniffio four times a request, and Python searches its whole path anew for what it did not find:
# a sixth of a first mirror's time. None means, at once, that it is not installed.
if find_spec("sniffio") is None:
    sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]


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


def opened(name: str, make: Callable[[], httpx.AsyncClient]) -> httpx.AsyncClient:
    """A client, or in words why there is none: a proxy of the environment. Its address, which may hold a password, is
    not shown. Raises `RemoteError`."""
    try:
        return make()
    except ImportError:
        why = "a SOCKS proxy needs the package socksio (pip install httpx[socks])"
    except (ValueError, httpx.InvalidURL):
        why = "it is no address of one"
    raise RemoteError(
        name,
        f"{name}: the proxy that the environment names (HTTPS_PROXY, HTTP_PROXY or ALL_PROXY) cannot be used: {why}. "
        "Correct the variable, or unset it.",
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


def trust(name: str, base: str, ca_file: Path | None) -> ssl.SSLContext | bool:
    """What to verify certificates with: the usual authorities and those of `ca_file`; False where TLS is not spoken.

    Reading the usual authorities takes 20 ms, which plain HTTP has no use for; a proxy of its own has its own. Raises
    `RemoteError` when the file cannot be used.
    """
    if ca_file is None and base.startswith("http:"):
        return False
    try:
        context = httpx.create_ssl_context()
    except OSError as error:
        raise RemoteError(
            name,
            f"{name}: the authorities that $SSL_CERT_FILE or $SSL_CERT_DIR names cannot be used: "
            f"{error.strerror or error}. Correct the variable, or unset it.",
        ) from None
    if ca_file is None:
        return context
    try:
        context.load_verify_locations(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise RemoteError(name, f"{name}: `ca_file` {ca_file} cannot be used: {error.strerror or error}.") from None
    return context
