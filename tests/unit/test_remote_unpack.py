"""Packed answers: read as they are meant, in pieces of any size, and never beyond what there is room for."""

from __future__ import annotations

import gzip
import zlib

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinsync.remote.unpack import Unpacker


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def unpacked(coding: str, body: bytes, size: int = 1 << 16, room: int = 1 << 20) -> bytes:
    unpacker = Unpacker(coding)
    out = b"".join(unpacker.feed(body[at : at + size], room) for at in range(0, len(body), size))
    unpacker.end()
    return out


@given(st.binary(max_size=300), st.integers(1, 50), st.sampled_from(["gzip", "x-gzip", "deflate", "bare", " GZIP "]))
def test_what_was_packed_comes_out(data: bytes, size: int, how: str) -> None:
    packed = zlib.compress(data) if how == "deflate" else bare(data) if how == "bare" else gzip.compress(data)
    assert unpacked("deflate" if how == "bare" else how, packed, size) == data


@pytest.mark.parametrize("coding", ["", "identity"])
def test_what_is_not_packed_stays(coding: str) -> None:
    assert unpacked(coding, b"as it is") == b"as it is"


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "gzip,deflate", "compress", "x"])
def test_what_was_not_asked_for_is_refused(coding: str) -> None:
    with pytest.raises(httpx.DecodingError):
        Unpacker(coding)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_damage_and_a_cut_are_told(coding: str) -> None:
    body = (gzip.compress if coding == "gzip" else zlib.compress)(b"some words" * 20)
    with pytest.raises(httpx.DecodingError):
        unpacked(coding, b"no such thing")
    with pytest.raises(httpx.DecodingError):
        unpacked(coding, body[:-5])
    assert unpacked(coding, b"") == b""  # as HEAD and 204 have it


def test_no_more_comes_out_than_there_is_room_for() -> None:
    bomb = gzip.compress(bytes(50 << 20))
    assert len(bomb) < 1 << 16
    assert len(Unpacker("gzip").feed(bomb, 1000)) == 1001
    assert len(Unpacker("").feed(bytes(5000), 1000)) == 1001


def test_what_follows_the_end_is_not_kept() -> None:
    unpacker = Unpacker("gzip")
    assert unpacker.feed(gzip.compress(b"whole"), 100) == b"whole"
    assert unpacker.feed(b"more", 100) == b""
    unpacker.end()
