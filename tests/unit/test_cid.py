"""CIDs: the same content is equal whatever its spelling, and what is no CID says why."""

from __future__ import annotations

import hashlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libipld import encode_multibase

from pinsync.cid import CidError, key_of, parse_cid, spellings, text_of

V0 = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG"
V1 = "bafybeie5nqv6kd3qnfjupgvz34woh3oksc3iau6abmyajn7qvtf47mvof4"
RAW = "bafkreibh4744n667fpsxcog4637zo5t4bxrirflkylec64ax2uw6mbvsai"


def test_the_versions_and_bases_of_one_cid_are_the_same_content() -> None:
    key = key_of(V1)
    assert key_of(V0) == key
    for base in "bfzkumBF":
        assert key_of(str(encode_multibase(base, key))) == key
    assert key_of(RAW) != key
    assert text_of(key) == V1
    assert spellings(key, V0) == (V0, V1)
    assert spellings(key_of(RAW)) == (RAW,)


@given(st.sampled_from([b"\x01\x55", b"\x01\x70", b"\x01\x71", b"\x01\xa9\x02"]), st.binary(max_size=40))
def test_every_sha256_cid_is_its_own_key(head: bytes, content: bytes) -> None:
    key = head + b"\x12\x20" + hashlib.sha256(content).digest()
    assert key_of(text_of(key)) == key
    assert parse_cid("/ipfs/" + text_of(key)).key == key


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (V0[:-1], "46 characters, this has 45"),
        (V0[:-1] + "0", "'0' does not occur in base58"),
        ("z" + V0, "leave out the first character"),
        (V1.upper(), f"write it as {V1!r}"),
        ("b" + V1[1:].upper(), f"write it as {V1!r}"),
        (RAW[:-1] + "x", "not a CID"),
        (RAW[:-1] + "j", "not a CID"),
        (RAW + "a", "not a CID"),
        (RAW[:-5], "not a CID"),
        (f"{V1}/page.html", "names a path"),
        (f" {V1}", "spaces"),
        ("", "empty"),
        ("bafy", "too short"),
        ("x" * 5000, "too long"),
        ("docs v3 of the site", "not a CID"),
        ("\udcff" * 20, "not a CID"),
    ],
)
def test_what_is_no_cid_says_why(text: str, says: str) -> None:
    with pytest.raises(CidError, match=r"CID|capitals") as caught:
        parse_cid(text)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 400


@given(st.text(max_size=80))
def test_no_text_gives_anything_but_a_cid_or_its_error(text: str) -> None:
    with suppress(CidError):
        assert parse_cid(text).key[:1] == b"\x01"
