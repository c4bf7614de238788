"""Secrets are known again in every spelling, and nothing else is taken for one."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinsync.secrecy import LONG, hidden, hidden_bytes, spellings

SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


@given(SECRETS)
def test_no_spelling_shows_it(secret: str) -> None:
    known = spellings(secret)
    plain = json.dumps(secret)[1:-1]
    packed = base64.b64encode(secret.encode()).decode()
    for text in (secret, quote(secret, safe=""), packed, plain, json.dumps(plain)[1:-1]):
        assert hidden(text, known) == "[secret]"
    assert list(known) == sorted(known, key=len, reverse=True)


def test_a_password_is_a_secret_without_its_user() -> None:
    known = spellings("somebody:of password", pair=True)
    assert (
        hidden("somebody:of password, of password, of%20password, somebody", known)
        == "[secret], [secret], [secret], somebody"
    )
    assert hidden("of password", spellings("somebody:of password")) == "of password"


def test_nothing_has_no_spelling() -> None:
    assert spellings("") == ()
    assert hidden("as it is", ()) == "as it is"


@pytest.mark.parametrize("short", ["name", "pins", "pinned", "0123456789abcde"])
def test_a_short_secret_leaves_an_answer_as_it_is(short: str) -> None:
    body = b'{"pin": {"name": "pinned, 0123456789abcde"}, "pins": []}'
    assert len(short) < LONG
    assert hidden_bytes(body, (short,)) == body


def test_a_long_secret_is_taken_out_of_an_answer() -> None:
    token = "eyJhbGciOi/JIUzI1NiJ9"
    body = json.dumps({"info": f"token {token}"}).replace("/", "\\/").encode()
    assert hidden_bytes(body, spellings(token)) == b'{"info": "token [secret]"}'
