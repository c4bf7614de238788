"""The body of POST: a `Pin` object, read and checked the way a behaviour does it."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from pinsync.cid import CidError, shorten
from pinsync.emulator.behaviour import Behaviour
from pinsync.emulator.listing import decoded
from pinsync.emulator.wire import Refusal

_IP = re.compile(r"/ip[46]/([^/]+)/")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A pin that is asked for, as the service will keep it. None: left out, or not kept."""

    cid: str
    name: str | None
    meta: dict[str, str] | None
    origins: tuple[str, ...]


def parse_pin(raw: bytes, behaviour: Behaviour) -> Wanted:
    """The body of a POST. Raises `Refusal`."""
    b = behaviour
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Refusal("bad-body", "the body is not JSON") from error
    if not isinstance(body, dict):
        raise Refusal("bad-body", "the body is not a JSON object")
    return Wanted(_cid(body.get("cid"), b), _name(body.get("name"), b), _meta(body.get("meta"), b), _origins(body, b))


def _cid(value: Any, b: Behaviour) -> str:
    if value is None or value == "":
        raise Refusal("no-cid", "cid: is missing")
    if not isinstance(value, str):
        raise Refusal("bad-pin", "cid: is not text")
    try:
        cid = decoded(value, b)
    except CidError as error:
        raise Refusal("bad-pin", f"cid: {error}") from error
    if any(fnmatchcase(cid, glob) for glob in b.refuses):
        raise Refusal("refused-cid", f"cid: {shorten(cid)} is not taken by this service")
    return cid


def _name(value: Any, b: Behaviour) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise Refusal("bad-pin", "name: is not text")
    if b.max_name is None:
        return value
    units: str | bytes = value.encode() if b.name_in_bytes else value
    if len(units) <= b.max_name:
        return value
    if b.long_name == "refuse":
        raise Refusal("bad-pin", f"name: is longer than {b.max_name} {'bytes' if b.name_in_bytes else 'characters'}")
    cut = units[: b.max_name]
    return cut.decode(errors="ignore") if isinstance(cut, bytes) else cut


def _meta(value: Any, b: Behaviour) -> dict[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise Refusal("bad-pin", "meta: is not an object")
    if not b.meta_allowed:
        raise Refusal("bad-pin", "meta: is not supported by this service")
    kept = {key: text for key, text in value.items() if isinstance(text, str)}
    if len(kept) < len(value) and b.meta_values == "refuse":
        raise Refusal("bad-pin", "meta: has a value that is no text")
    return kept if b.meta_kept else None


def _origins(body: dict[str, Any], b: Behaviour) -> tuple[str, ...]:
    value = body.get("origins")
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        if b.origins == "any":
            return ()
        raise Refusal("bad-pin", "origins: is not a list of texts")
    if b.origins != "any" and value:
        if b.origins == "refused":
            raise Refusal("bad-origins", "origins: are not taken by this service")
        if len(value) > 20:
            raise Refusal("bad-origins", f"origins: {len(value)} are more than 20")
        if b.origins == "public" and (wrong := next((each for each in value if not _public(each)), None)):
            raise Refusal("bad-origins", f"origins: {shorten(wrong)} is not public or does not end in /p2p/…")
    return tuple(value)


def _public(origin: str) -> bool:
    if "/p2p/" not in origin:
        return False
    found = _IP.match(origin)
    if found is None:
        return True
    try:
        # 203.0.113.0/24 and its like are for documentation: good enough to try things on.
        address = ipaddress.ip_address(found[1])
    except ValueError:
        return False
    return not (address.is_loopback or address.is_link_local or _is_lan(address))


def _is_lan(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    nets = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
    return any(address.version == net.version and address in net for net in map(ipaddress.ip_network, nets))
