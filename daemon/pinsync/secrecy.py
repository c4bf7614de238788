"""Secrets in every spelling in which a server might repeat them, and texts freed of them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote

LONG = 16
"""Characters from which a secret is long enough to be taken out of whatever a server sends: no word of a protocol and
no name that somebody gave is as long and the same by chance."""


def spellings(secret: str, *, pair: bool = False) -> tuple[str, ...]:
    """Every spelling of a secret, the longest first, so that no part of one is left over.

    As it is, quoted for a URL, in base64, and each of them inside JSON, or inside JSON that is text in JSON. `pair`: it
    is `user:password`, so the password alone is a secret too.
    """
    if not secret:
        return ()
    parts = {secret}
    if pair and ":" in secret:
        parts.add(secret.partition(":")[2])
    forms = {form for part in parts for form in (part, quote(part, safe=""), quote(part))}
    forms |= {base64.b64encode(secret.encode()).decode(), base64.urlsafe_b64encode(secret.encode()).decode()}
    forms |= {form.replace("/", "\\/") for form in forms}  # as PHP has it
    for _ in range(2):
        forms |= {json.dumps(form)[1:-1] for form in forms}
    return tuple(sorted(filter(None, forms), key=len, reverse=True))


def hidden(text: str, secrets: Iterable[str]) -> str:
    """`text` with `[secret]` in the place of each of `secrets`, which `spellings` has put in order."""
    any_of = "|".join(map(re.escape, secrets))  # in one go: a short one might be a part of the word "[secret]"
    return re.sub(any_of, "[secret]", text) if any_of else text


def hidden_bytes(data: bytes, secrets: Iterable[str]) -> bytes:
    """The same for an answer before it is read, and for long secrets alone: a short one could be a word of it."""
    for secret in secrets:
        if len(secret) >= LONG:
            data = data.replace(secret.encode(), b"[secret]")
    return data
