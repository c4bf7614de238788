"""Undoes `Content-Encoding` within bounds.

httpx unpacks whatever a server names, as often as it names it, each piece at one go: 64 KiB of thrice packed zeros come
out as more memory than any machine has, before anybody could count them.
"""

from __future__ import annotations

import zlib

import httpx

ASKED_FOR = "gzip, deflate"
"""For `Accept-Encoding`."""

_PLAIN = ("", "identity")
_PACKED = ("gzip", "x-gzip", "deflate")
_GZIP_OR_ZLIB = 47  # zlib tells the two apart by itself
_BARE = -15  # what some servers mean by deflate


class Unpacker:
    """Feeds on a body in pieces of any size. `coding` is the value of the header.

    Raises `httpx.DecodingError` for a coding that was not asked for, or twice, and for damage.
    """

    def __init__(self, coding: str) -> None:
        coding = coding.strip().lower()
        if coding not in (*_PLAIN, *_PACKED):
            raise httpx.DecodingError("packed in a way that was not asked for")
        self._inflate = None if coding in _PLAIN else zlib.decompressobj(_GZIP_OR_ZLIB)
        self._head: bytes | None = b"" if coding == "deflate" else None  # until it is known which of the two it is
        self._begun = False

    def feed(self, data: bytes, room: int) -> bytes:
        """What `data` adds to the body, cut at `room` bytes and one: more is too much for the caller."""
        if self._inflate is None:
            return data[: room + 1]
        self._begun = self._begun or bool(data)
        if self._inflate.eof:
            return b""  # and not kept, as zlib would
        if self._head is not None:
            self._head += data
        try:
            out = self._inflate.decompress(data, room + 1)
            if self._head is not None and len(self._head) > 1:
                self._head = None
        except zlib.error:
            if self._head is None:
                raise httpx.DecodingError("packed wrongly") from None
            head, self._head, self._inflate = self._head, None, zlib.decompressobj(_BARE)
            return self.feed(head, room)
        return out

    def end(self) -> None:
        """The body is over. Raises `httpx.DecodingError` where more had to come."""
        if self._inflate is not None and self._begun and not self._inflate.eof:
            raise httpx.DecodingError("packed, and cut")
