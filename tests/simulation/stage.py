"""The stage of a history: who is there, and how an action's numbers name them."""

from __future__ import annotations

import hashlib
from typing import Any

from pinsync.cid import text_of

from .mirror import SimMirror
from .oracle import Oracle
from .records import OTHERS
from .service import SimRemote
from .truth import NodeTruth

NAMES = ("", "docs", "docs v2", "tmp-1", "photos")


def _digest(number: int) -> bytes:
    return hashlib.sha256(b"content %d" % number).digest()


def _base58(data: bytes) -> str:
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[digit] + text
    return text


def _spellings(number: int) -> tuple[str, ...]:
    if number % 3:
        return (text_of(b"\x01\x55\x12\x20" + _digest(number)),)
    return (text_of(b"\x01\x70\x12\x20" + _digest(number)), _base58(b"\x12\x20" + _digest(number)))


CIDS = tuple(_spellings(number) for number in range(40))
"""Spellings of some content; every third has a version 0."""


class Stage:
    """What every kind of action needs."""

    spec: dict[str, Any]
    oracle: Oracle
    remotes: dict[str, SimRemote]
    mirrors: list[SimMirror]

    def _mirror(self, number: int) -> SimMirror:
        return self.mirrors[number % len(self.mirrors)]

    def _node(self, mirror: int, number: int) -> tuple[SimMirror, NodeTruth]:
        found = self._mirror(mirror)
        return found, found.wishes.nodes[number % len(found.wishes.nodes)]

    def _remote(self, number: int) -> SimRemote:
        names = list(self.remotes)
        return self.remotes[names[number % len(names)]]

    def _cid(self, number: int) -> str:
        spellings = CIDS[number % self.spec["contents"]]
        found: str = spellings[number // 100 % len(spellings)]
        return found

    def _row(self, remote: SimRemote, number: int, *, foreign: bool = False) -> Any:
        rows = [row for row in remote.emulator.store if not foreign or remote.account.origins[row.seq].owner == OTHERS]
        return rows[number % len(rows)] if rows else None
