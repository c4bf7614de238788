"""Where a Kubo node's RPC listens, and which of the node's own addresses the world can reach. No network."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

import httpx

from pinsync.cid import shorten
from pinsync.errors import NodeError

DEFAULT_URL = "http://127.0.0.1:5001"
MAX_ORIGINS = 20  # Pinning Service API, schema `Origins`
_FORMS = (
    'write kubo.api as "auto", as a URL (http://127.0.0.1:5001), '
    "as a multiaddr (/ip4/127.0.0.1/tcp/5001) or as a socket (unix:///run/ipfs/api.sock)"
)
_HOSTS = ("ip4", "ip6", "dns", "dns4", "dns6")
_MAX_FILE = 4096
_LOCAL_DOMAINS = ("localhost", "local", "internal", "lan", "home.arpa", "test", "invalid", "example")
_Wrong = Callable[[str], NodeError]
_LABELLED_BY_IP = ".libp2p.direct"  # AutoTLS: the first label is the IP address, dashes for dots or colons


@dataclass(frozen=True, slots=True)
class ApiAddress:
    """Where the RPC is: below `url`, which has no `/` at its end, and over the socket `uds` where one is set.

    `where` says, for messages, where the address comes from; `file` is the node's `api` file, when it came from one:
    such a file outlives a daemon that was killed.
    """

    url: str
    uds: Path | None
    where: str
    file: Path | None = None

    def __str__(self) -> str:
        return str(self.uds) if self.uds else self.url


def resolve_api(api: str, env: Mapping[str, str], *, name: str = "kubo") -> ApiAddress:
    """The address that `kubo.api` means.

    `"auto"` reads `$IPFS_PATH/api`, then `~/.ipfs/api`, then settles for 127.0.0.1:5001; else a URL (its path is kept
    as a prefix), a multiaddr, `/unix/…`, `unix:///…` or the absolute path of a socket. `name` is the node's, for the
    error. Raises `NodeError` that says what is wrong and what to write.
    """
    if api != "auto":
        return _parse(api, f'kubo.api = "{_bare(api)}"', None, name)
    for directory in _repositories(env):
        file = directory / "api"
        try:
            with file.open("rb") as opened:
                text = opened.read(_MAX_FILE).decode("utf-8", "replace").strip()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise NodeError(
                name,
                f"{file}, which would say where Kubo listens, cannot be read ({error.strerror}); "
                'let pinsync read it, or set kubo.api = "/ip4/127.0.0.1/tcp/5001" (or where your node listens)',
            ) from error
        if not text:
            raise NodeError(
                name, f"{file} is empty: the Kubo daemon is just starting or was killed; restart it, or set kubo.api"
            )
        return _parse(text, f"the file {file}", file, name)
    return ApiAddress(DEFAULT_URL, None, "the default, since neither $IPFS_PATH/api nor ~/.ipfs/api exists")


def choose_origins(addresses: Sequence[str], peer_id: str) -> tuple[str, ...]:
    """The addresses, of those that `id` reports, under which a pinning service can reach the node: at most 20.

    Public ones alone; direct ones first, then those over a relay; each once, each ending in `/p2p/<peer_id>`.
    """
    direct: dict[str, None] = {}
    relayed: dict[str, None] = {}
    for address in addresses:
        parts = address.split("/")
        if len(parts) < 3 or parts[0] or not _reachable(parts[1], parts[2]):
            continue
        parts = ["p2p" if part == "ipfs" else part for part in parts]  # the name of `p2p` until 2019
        owner = parts[-1] if parts[-2] == "p2p" else None
        if owner not in (None, peer_id):
            continue
        whole = "/".join(parts) if owner else f"{'/'.join(parts).rstrip('/')}/p2p/{peer_id}"
        (relayed if "p2p-circuit" in parts else direct).setdefault(whole)
    return (*direct, *relayed)[:MAX_ORIGINS]


def _repositories(env: Mapping[str, str]) -> list[Path]:
    home = env.get("HOME") or str(Path.home())
    given = env.get("IPFS_PATH", "")
    if given == "~" or given.startswith("~/"):
        given = home + given[1:]  # as Kubo does
    return [Path(given)] * bool(given) + [Path(home) / ".ipfs"]


def _parse(text: str, where: str, file: Path | None, name: str) -> ApiAddress:
    def wrong(what: str) -> NodeError:
        return NodeError(name, f"{where}: {what}; {_FORMS}")

    if not text or text != text.strip() or not text.isprintable():
        raise wrong("empty, or with spaces or control characters in it")
    if text.startswith("unix:"):
        return _socket(text.removeprefix("unix:"), where, file, wrong)
    if text.startswith("/unix/"):
        path = text.removeprefix("/unix")
        return _socket(unquote(path) if "%2f" in path.lower() else path, where, file, wrong)
    if text.startswith("/"):
        protocol = text.split("/")[1]
        if protocol in _HOSTS:
            return ApiAddress(_url_of_multiaddr(text, wrong), None, where, file)
        if protocol in ("dnsaddr", "tcp", "udp", "p2p", "http", "https", "tls"):
            raise wrong(f"a multiaddr of an RPC starts with /ip4, /ip6, /dns or /unix, not /{protocol}")
        return _socket(text, where, file, wrong)
    return ApiAddress(_url(text, wrong), None, where, file)


def _socket(path: str, where: str, file: Path | None, wrong: _Wrong) -> ApiAddress:
    path = "/" + path.lstrip("/") if path.startswith("/") else path
    if not path.startswith("/") or path == "/":
        raise wrong("the path of a socket must be absolute")
    return ApiAddress("http://localhost", Path(path), where, file)


def _url_of_multiaddr(text: str, wrong: _Wrong) -> str:
    parts = text.strip("/").split("/")
    if len(parts) < 4 or parts[2] != "tcp":
        raise wrong("a multiaddr of an RPC is /ip4/ADDRESS/tcp/PORT")
    kind, host, port, rest = parts[0], parts[1], parts[3], parts[4:]
    if rest not in ([], ["http"], ["https"], ["tls"], ["tls", "http"]):
        raise wrong(f"after the port only /http or /https makes sense, not /{'/'.join(rest)}")
    if kind.startswith("ip"):
        try:
            ip = ipaddress.IPv4Address(host) if kind == "ip4" else ipaddress.IPv6Address(host)
        except ValueError:
            raise wrong(f"{shorten(host)!r} is no IPv{kind[-1]} address") from None
        if ip.is_unspecified:  # a listener on every interface; one of them is loopback
            host = "127.0.0.1" if kind == "ip4" else "::1"
        host = f"[{host}]" if kind == "ip6" else host
    scheme = "https" if rest and rest != ["http"] else "http"
    return _url(f"{scheme}://{host}:{port}", wrong)


def _url(text: str, wrong: _Wrong) -> str:
    parts = _split(text)
    if parts is None:
        raise wrong("the host or the port is malformed")
    if parts.scheme not in ("http", "https") or "://" not in text:
        raise wrong("not an address of an RPC (a URL starts with http:// or https://)")
    if "@" in parts.netloc:
        raise wrong("a password does not belong in a URL, which logs show; put it into kubo.authorization_file")
    if any(c.isspace() for c in parts.netloc):
        raise wrong("a host has no spaces")
    if not parts.hostname or parts.query or parts.fragment:
        raise wrong("no host" if not parts.hostname else "an RPC's URL has no ? and no #")
    try:
        httpx.URL(text)
    except httpx.InvalidURL as error:
        raise wrong(str(error)) from None
    path = parts.path.rstrip("/").removesuffix("/api/v0").rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _split(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text)
        return None if parts.port == 0 else parts
    except ValueError:
        return None


def _bare(text: str) -> str:
    """`text` for a message, without what might be a password in it."""
    scheme, mark, rest = text.partition("://")
    if "@" in rest:
        rest = "…@" + rest.rpartition("@")[2]
    return shorten("".join(c if c.isprintable() else "�" for c in scheme + mark + rest))


def _reachable(protocol: str, host: str) -> bool:
    if protocol in ("ip4", "ip6"):
        return _public(host)
    if protocol not in ("dns", "dns4", "dns6", "dnsaddr"):
        return False
    name = host.lower().rstrip(".")
    if name.endswith(_LABELLED_BY_IP):
        label = name.split(".")[0]
        return _public(label.replace("-", ".")) or _public(label.replace("-", ":"))
    return "." in name and not any(name == local or name.endswith("." + local) for local in _LOCAL_DOMAINS)


def _public(text: str) -> bool:
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is not None:
            return _public(str(inner))
        if ip.is_site_local:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)
