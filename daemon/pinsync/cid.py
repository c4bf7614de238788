"""Content identifiers: read, checked and brought to one normal form.

Two CIDs name the same content when codec and multihash are equal, whatever their version and multibase
(`Qm…` and its `bafy…`). The normal form, here called *key*, is the binary CIDv1: it sorts, joins and compares.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from libipld import decode_cid, decode_multibase, encode_multibase

_MAX_TEXT = 4096  # characters; a CID with an identity hash can be long
_USUAL = (b"\x01\x70\x12\x20", b"\x01\x55\x12\x20")  # dag-pb and raw, each with a sha2-256
_USUAL_LENGTH = 59
_V0 = re.compile(r"Qm[1-9A-HJ-NP-Za-km-z]{44}")
_LOWER_BASES = "bkfvtc"  # multibase prefixes whose alphabet has no capitals


class CidError(ValueError):
    """This text is not a CID; the message says why and, where it can, how it should be written."""


class Cid(NamedTuple):
    """A CID as its source spells it (`text`) and in normal form (`key`)."""

    text: str
    key: bytes

    def __str__(self) -> str:
        return self.text


def key_of(text: str) -> bytes:
    """The normal form of a CID in any spelling that a server may use.

    Lenient about spelling (upper-case base32 is read), strict about content (the multihash must be whole).
    Raises `CidError`.
    """
    if text[:1] == "b" and len(text) == _USUAL_LENGTH:  # a million times a pass: the bytes are the key already
        try:
            data: bytes = decode_multibase(text)[1]
        except (ValueError, TypeError):
            data = b""
        if data[:4] in _USUAL and len(data) == 36:
            return data
    if not 8 <= len(text) <= _MAX_TEXT:
        raise CidError(f"{shorten(text)!r} is not a CID: {'too short' if len(text) < 8 else 'too long'}")
    try:
        parts = decode_cid(text)
        version: int = parts["version"]
        digest: bytes = parts["hash"]["digest"]
        if version == 0:
            if text[0] != "Q":
                raise CidError(
                    f"{shorten(text)!r} is not a CID: version 0 has no multibase prefix; leave out the first character"
                )
            return b"\x01\x70\x12\x20" + digest
        code: int = parts["hash"]["code"]
        return b"\x01" + _varint(parts["codec"]) + _varint(code) + _varint(len(digest)) + digest
    except CidError:
        raise
    except (ValueError, TypeError, KeyError, OverflowError, UnicodeError) as error:
        raise CidError(f"{shorten(text)!r} is not a CID: {_why(text)}") from error


def parse_cid(text: str) -> Cid:
    """A CID as a person or a node writes it: `bafy…`, `Qm…`, any multibase, with `/ipfs/` before it or not.

    Stricter than `key_of`: capitals where the base has none are refused with the spelling that works, since
    pinning services compare CIDs as text. Raises `CidError`.
    """
    if not isinstance(text, str):
        raise CidError(f"{text!r} is not a CID: it must be text in quotes")
    bare = text.removeprefix("ipfs://").removeprefix("/ipfs/")
    if bare != bare.strip() or not bare:
        raise CidError(f"{shorten(text)!r} is not a CID: {'empty' if not bare.strip() else 'it has spaces around it'}")
    if "/" in bare:
        raise CidError(f"{shorten(text)!r} names a path inside a CID; pin the CID of what it points at")
    key = key_of(bare)
    if bare[0].lower() in _LOWER_BASES and bare != bare.lower():
        raise CidError(
            f"{shorten(bare)!r} is written in capitals, and pinning services compare CIDs as text; "
            f"write it as {bare.lower()!r}"
        )
    return Cid(bare, key)


def text_of(key: bytes) -> str:
    """The base32 CIDv1 of a key: how people see content whose own spelling is not at hand."""
    return str(encode_multibase("b", key))


def spellings(key: bytes, *texts: str | None) -> tuple[str, ...]:
    """Every text under which a service that compares CIDs as text may hold this content.

    The given texts first, then the CIDv1 in base32, then, for dag-pb with sha2-256, the version 0.
    """
    found = dict.fromkeys(text for text in texts if text)
    found.setdefault(text_of(key))
    if key.startswith(b"\x01\x70\x12\x20"):
        found.setdefault(str(encode_multibase("z", key[2:]))[1:])
    return tuple(found)


def shorten(text: str, width: int = 80) -> str:
    """`text` cut to `width` characters, for messages."""
    return text if len(text) <= width else text[: width - 1] + "…"


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _why(text: str) -> str:
    if text.startswith("Qm"):
        if len(text) != 46:
            return f"a version 0 has 46 characters, this has {len(text)}"
        if not _V0.fullmatch(text):
            wrong = next(c for c in text if not re.match(r"[1-9A-HJ-NP-Za-km-z]", c))
            return f"{wrong!r} does not occur in base58"
        return "its hash is damaged"
    try:
        data = decode_multibase(text)[1]
    except (ValueError, TypeError):
        return "a character is wrong or missing"
    return "it is cut short or has a wrong character" if data[:1] == b"\x01" else "it does not start as a CID does"
