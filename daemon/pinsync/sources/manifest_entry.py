"""What one entry of the manifest may say, whether it comes as a TOML table or as a line of a text list. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

from libipld import decode_multibase

from pinsync.cid import CidError, key_of, parse_cid, shorten
from pinsync.model import MARK, Ignore, ManifestPin

MAX_NAME = 255  # characters: Pinning Service API, Pin.name
MAX_META = 1000  # keys: PinMeta.maxProperties
MAX_ORIGINS = 20  # Origins.maxItems
PIN_KEYS = ("cid", "name", "meta", "origins", "remotes")
IGNORE_KEYS = ("cid", "name")
TOP_KEYS = ("include", "pin", "ignore")

Complain = Callable[[str, str], None]
_SHARED = 1000  # different values that are kept for sharing
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_NOT_SPACE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_COMMENT = re.compile(r"\s#.*")
_PIN_KEYS, _IGNORE_KEYS = frozenset(PIN_KEYS), frozenset(IGNORE_KEYS)


class Listed(NamedTuple):
    """A line of a text list."""

    cid: str
    name: str | None


class EntryReader:
    """Turns raw entries into `ManifestPin` and `Ignore`.

    Each method takes `complain(key, message)` and calls it for everything that is wrong. After a complaint the
    result, None where there is no usable CID, serves only to find the same content elsewhere.
    `remotes` are the names that the configuration knows. Equal values share one object: a hundred thousand entries with
    the same `meta` hold it once.
    """

    def __init__(self, remotes: Collection[str]) -> None:
        self._remotes = frozenset(remotes)
        self._texts: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._metas: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}

    def pin(self, table: Mapping[str, object], where: str, complain: Complain) -> ManifestPin | None:
        """A `[[pin]]` table."""
        fault = _Faults(complain)
        if not table.keys() <= _PIN_KEYS:
            for key in sorted(table.keys() - _PIN_KEYS):
                hint = "; it belongs above the first [[pin]] of the file" if key == "include" else None
                fault(key, unknown_key(key, "[[pin]]", PIN_KEYS, hint))
        cid = _cid(table, fault, "a [[pin]] needs")
        name = _name(table.get("name"), fault)
        meta = self._meta(table.get("meta"), fault)
        origins = self._origins(table.get("origins"), fault)
        remotes = self._routes(table.get("remotes"), fault)
        if cid is None:
            return None
        return ManifestPin(cid[1], cid[0], name, meta, origins, remotes, where)

    def ignore(self, table: Mapping[str, object], where: str, complain: Complain) -> Ignore | None:
        """An `[[ignore]]` table: a CID, or a glob on the names of the nodes' pins."""
        fault = _Faults(complain)
        for key in sorted(table.keys() - _IGNORE_KEYS):
            fault(key, unknown_key(key, "[[ignore]]", IGNORE_KEYS))
        given = table.keys() & _IGNORE_KEYS
        if not given and fault.count:
            return None  # a misspelt key has been told
        if len(given) != 1:
            what = "both cid and name; write two, one for each" if given else "neither cid nor name; give one"
            fault("", f"an [[ignore]] with {what}")
            return None
        if "cid" in given:
            cid = _cid(table, fault, "")
            return Ignore(cid[1], None, where) if cid and not fault.count else None
        glob = table["name"]
        if not isinstance(glob, str):
            fault("name", f"name must be text in quotes, not {kind(glob)}")
        elif not glob:
            fault("name", 'name is empty and would match nothing; write the name or a glob such as "scratch-*"')
        elif _CONTROL.search(glob):
            fault("name", f"name {shorten(repr(glob))} holds a control character; no pin is called that")
        return None if fault.count else Ignore(None, str(glob), where)

    def listed(self, line: str, where: str, complain: Complain) -> ManifestPin | None:
        """A line of a text list that is neither blank nor a comment."""
        table = split_line(line)
        return self.pin({"cid": table.cid} if table.name is None else table._asdict(), where, complain)

    def _meta(self, value: object, fault: _Faults) -> Mapping[str, str] | None:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            fault("meta", f'meta must be a table of texts, such as {{ team = "web" }}, not {kind(value)}')
            return None
        good = True
        for key, text in value.items():
            wrong = None
            if key == MARK:
                wrong = f"meta key {MARK!r} is pinsync's own mark on its pins; use another key"
            elif not isinstance(text, str):
                wrong = f"meta {shorten(key)!r} must be text in quotes, not {kind(text)}"
            elif _CONTROL.search(key) or _CONTROL_NOT_SPACE.search(text):
                wrong = f"meta {shorten(key)!r} holds a control character; take it out"
            if wrong:
                good = False
                fault("meta", wrong)
        if len(value) > MAX_META:
            fault("meta", f"meta has {len(value)} keys; a pinning service takes at most {MAX_META}")
            return None
        if not good:
            return None
        items = tuple(value.items())
        if (known := self._metas.get(items)) is not None:
            return known
        meta = MappingProxyType(dict(items))
        if len(self._metas) < _SHARED:
            self._metas[items] = meta
        return meta

    def _origins(self, value: object, fault: _Faults) -> tuple[str, ...] | None:
        texts = self._list(value, "origins", "multiaddrs", fault)
        if texts is None:
            return None
        if len(texts) > MAX_ORIGINS:
            fault("origins", f"{len(texts)} origins; a pinning service takes at most {MAX_ORIGINS}")
            return None
        wrong = [why for why in map(origin_fault, texts) if why]
        for why in wrong:
            fault("origins", why)
        return None if wrong else texts

    def _routes(self, value: object, fault: _Faults) -> tuple[str, ...] | None:
        texts = self._list(value, "remotes", "remotes' names", fault)
        if texts is None:
            return None
        if not texts:
            fault("remotes", "remotes is empty, so this pin would go nowhere; name one, or leave remotes out for all")
            return None
        unknown = [name for name in texts if name not in self._remotes]
        for name in unknown:
            hint = suggest(name, self._remotes, "it has")
            fault("remotes", f"the configuration has no remote {shorten(name)!r}{hint}")
        return None if unknown else texts

    def _list(self, value: object, key: str, what: str, fault: _Faults) -> tuple[str, ...] | None:
        if value is None:
            return None
        if not isinstance(value, list):
            fault(key, f"{key} must be a list of {what} in [ ], not {kind(value)}")
            return None
        odd = next((item for item in value if not isinstance(item, str)), None)
        if odd is not None:
            fault(key, f"{key} must hold texts in quotes only, not {kind(odd)}")
            return None
        texts = tuple(dict.fromkeys(value))
        return self._texts.setdefault(texts, texts) if len(self._texts) < _SHARED else texts


class _Faults:
    """Passes complaints on and counts them."""

    __slots__ = ("_complain", "count")

    def __init__(self, complain: Complain) -> None:
        self._complain = complain
        self.count = 0

    def __call__(self, key: str, message: str) -> None:
        self.count += 1
        self._complain(key, message)


def split_line(line: str) -> Listed:
    """`CID`, then a name if wanted, then a `# comment` if wanted.

    A `#` starts a comment at the start or after a space, so a name may hold `v#3` but not ` #3`: that needs a
    `[[pin]]`.
    """
    cid, *name = _COMMENT.sub("", line).split(None, 1)
    return Listed(cid, name[0].strip() if name else None)


def origin_fault(text: str) -> str | None:
    """Why this is no origin that a pinning service takes, or None: a multiaddr that ends in `/p2p/<peer id>`.

    Protocols unknown here are let through, new ones come up; what is known is checked.
    """
    shown = shorten(text)
    parts = text.split("/")
    if parts[0] or len(parts) < 3 or not all(parts[1:]) or _CONTROL.search(text) or " " in text:
        return f'origin {shown!r} is no multiaddr; write it as "/ip4/203.0.113.7/tcp/4001/p2p/12D3KooW…"'
    if parts[-2] != "p2p" or not _is_peer(parts[-1]):
        return f"origin {shown!r} does not end in /p2p/ and a peer id, so no service can dial it; `ipfs id` shows yours"
    if parts[1] not in _FIRST:
        return f"origin {shown!r} starts with an unknown protocol{suggest(parts[1], _FIRST, 'known are')}"
    for protocol, value in pairwise(parts):
        try:
            if protocol == "ip4":
                ipaddress.IPv4Address(value)
            elif protocol == "ip6":
                ipaddress.IPv6Address(value)
            elif protocol in ("tcp", "udp") and not (re.fullmatch(r"[0-9]{1,5}", value) and int(value) < 65536):
                return f"origin {shown!r} has no port number after /{protocol}/"
        except ValueError:
            return f"origin {shown!r} has no address after /{protocol}/"
    return None


_FIRST = ("dns", "dns4", "dns6", "dnsaddr", "ip4", "ip6", "ip6zone", "onion3", "garlic32", "garlic64", "p2p")


def _is_peer(text: str) -> bool:
    try:
        if text[0] in "Q1":
            raw = decode_multibase("z" + text)[1]
            return len(raw) > 4 and len(raw) == raw[1] + 2
        return key_of(text)[1] == 0x72  # codec libp2p-key
    except ValueError:
        return False


def _cid(table: Mapping[str, object], fault: _Faults, needs: str) -> tuple[str, bytes] | None:
    value = table.get("cid")
    if not isinstance(value, str):
        fault("cid", f"{needs} a cid" if value is None else f"cid must be text in quotes, not {kind(value)}")
        return None
    try:
        return parse_cid(value)
    except CidError as error:
        fault("cid", str(error))
        return None


def _name(value: object, fault: _Faults) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        fault("name", f"name must be text in quotes, not {kind(value)}")
        return None
    if len(value) > MAX_NAME:
        fault("name", f"name has {len(value)} characters; a pinning service takes at most {MAX_NAME}")
    elif found := _CONTROL.search(value):
        fault("name", f"name {shorten(value)!r} holds the control character {found[0]!r}; take it out")
    return value


def unknown_key(key: str, place: str, known: Iterable[str], hint: str | None = None) -> str:
    """The message for a key that does not exist, with the closest that does."""
    return f"unknown key {shorten(key)!r} in {place}{hint or suggest(key, known, 'known are')}"


def suggest(word: str, known: Iterable[str], otherwise: str) -> str:
    """`; did you mean 'x'?`, or, when nothing is close, `; <otherwise> a, b`."""
    names = sorted(known)
    close = get_close_matches(word[:100].lower(), names, 1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; {otherwise} {', '.join(names[:20]) or 'none'}"


def kind(value: object) -> str:
    """What a TOML value is, in words."""
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case Mapping():
            return "a table"
        case _:
            return "a date or time"
