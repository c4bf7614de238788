"""A ledger file that a disk, or a person, has damaged: bits, pages, the end, the values in its rows.

A mirror with a past (pins, an update, waiting removals, a failed and a refused pin, a manifest) gets its file spoilt;
then everything that reads it is tried, and passes are made. Words, or a pass that harms no pin; nothing else.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from pinsync.cid import parse_cid
from pinsync.emulator.records import Request
from pinsync.errors import PinsyncError
from pinsync.house import reading
from pinsync.ledger.schema import APPLICATION_ID
from pinsync.model import PinStatus, Safety
from pinsync.people import held
from pinsync.settings.model import MirrorSettings
from pinsync.status import cid_status
from pinsync.steps.report import sync_json
from tests.fuzz.answers import harm_of
from tests.fuzz.kit import TEXT, Case, Target, scratch, speakable
from tests.mirror import Mirror, cid

PAGE = 4096


def mirror_with_a_past(directory: Path, profile: str) -> tuple[Mirror, set[str]]:
    """The mirror, and the ids of the pins that are not its own."""
    mirror = Mirror(directory, profile, safety=Safety(grace=86_400.0))
    mirror.settings = _named(mirror)
    mirror.pin(*range(6))
    mirror.pin("wanted, theirs")
    foreign = set(mirror.seed("theirs", "wanted, theirs"))
    mirror.manifest(f'[[pin]]\ncid = "{cid("m")}"\nname = "of the manifest"\nmeta = {{ team = "web" }}\n')
    mirror.sync()
    mirror.later(60)
    mirror.settle(2, PinStatus.FAILED, "no peers")
    mirror.emulator.faults.next("status:400", method="POST")
    mirror.pin("refused")
    mirror.unpin(5)
    mirror.pin(4, called="another name")
    mirror.sync()
    mirror.later(60)
    mirror.sync()
    return mirror, foreign


def _named(mirror: Mirror) -> Any:
    from dataclasses import replace

    return replace(mirror.settings, mirror=MirrorSettings("fuzz-000000"))


def damage(path: Path, case: Case) -> None:
    for kind, *rest in case["damage"]:
        if kind == "value":
            _value(path, *rest)
            continue
        data = bytearray(path.read_bytes())
        pages = max(1, len(data) // PAGE)
        match kind:
            case "flip":
                page, at, bit = rest
                place = page % pages * PAGE + at
                if place < len(data):
                    data[place] ^= bit
            case "swap":
                one, other = (number % pages * PAGE for number in rest)
                data[one : one + PAGE], data[other : other + PAGE] = data[other : other + PAGE], data[one : one + PAGE]
            case "copy":
                one, other = (number % pages * PAGE for number in rest)
                data[one : one + PAGE] = data[other : other + PAGE]
            case "fill":
                page, byte = rest
                at = page % pages * PAGE
                data[at : at + PAGE] = bytes([byte]) * len(data[at : at + PAGE])
            case "cut":
                del data[len(data) * rest[0] // 1000 :]
            case "head":
                at, put = rest
                data[at : at + len(put)] = put
            case "text":
                old, number, new = rest
                at = -1
                for _ in range(number + 1):
                    at = data.find(old, at + 1)
                if at >= 0:
                    data[at : at + len(old)] = new[: len(old)].ljust(len(old))
        path.write_bytes(data)


def _value(path: Path, table: int, column: int, row: int, value: Any) -> None:
    """Something else in one place of one row, or in all of them; SQLite checks no types."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        try:
            if db.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
                return
            tables = [
                name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
            ]
            name = tables[table % len(tables)]
            columns = [info[1] for info in db.execute(f"PRAGMA table_info({name})")]
            keys = [info[1] for info in db.execute(f"PRAGMA table_info({name})") if info[5]] or ["rowid"]
            order = ", ".join(keys)
            rows = db.execute(f"SELECT {order} FROM {name} ORDER BY {order}").fetchall()
            if not rows:
                return
            where = " AND ".join(f"{key} IS ?" for key in keys)
            value = value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
            db.execute(
                f"UPDATE {name} SET {columns[column % len(columns)]} = ? WHERE {where}", (value, *rows[row % len(rows)])
            )
        except (sqlite3.DatabaseError, ZeroDivisionError):
            return


def check(case: Case) -> None:
    with scratch() as directory:
        mirror, foreign = mirror_with_a_past(directory, case["profile"])
        path = mirror.settings.state.path
        before = {text for text, statuses in mirror.there().items() if set(statuses) != {"failed"}}
        damage(path, case)
        harm: list[str] = []

        def watch(request: Request) -> None:
            if request.method == "DELETE":
                harm.extend(harm_of(mirror, request.path.removeprefix("/pins/"), foreign))

        mirror.emulator.before_request = watch
        wanted = {*mirror.node.pins, cid("m")}
        for _ in range(3):
            for look in (_status, _plan, _sync):
                try:
                    look(mirror)
                except PinsyncError as error:
                    speakable(error)
            assert harm == [], harm
            mirror.later(3600)
        live = [pin.cid for pin in mirror.emulator.pins() if pin.status.live]
        assert before & wanted <= set(live), "a wanted pin is gone"
        assert cid("theirs") in live
        twice = [text for text in set(live) if live.count(text) > 1 and text in wanted]
        assert not twice, f"added twice: {twice}"


def _status(mirror: Mirror) -> None:
    shown: list[Any] = [mirror.status()]
    with reading(mirror.settings) as ledger:
        if ledger is not None:
            shown += [cid_status(ledger, mirror.settings, parse_cid(cid(n)), None) for n in (1, 2, 5, "refused")]
            shown.append(len(held(ledger, None).pins))
    json.dumps(shown)


def _plan(mirror: Mirror) -> None:
    mirror.plan()


def _sync(mirror: Mirror) -> None:
    report = mirror.sync()
    for trouble in report.troubles:
        speakable(trouble.message)
    json.dumps(sync_json(report))


PLACES = st.integers(0, PAGE - 1)
PAGES = st.integers(0, 60)
WORDS = [
    b"pinned",
    b"queued",
    b"mirror",
    b"created",
    b"{",
    b"[",
    b'"',
    b"null",
    b"true",
    b"fuzz-000000",
    b"http",
    b"bafk",
    b"CREATE",
    b"INTEGER",
    b"PRIMARY KEY",
    b"remove",
    b"done",
    b"open",
    b"1",
    b"9",
]
VALUES = st.one_of(
    st.sampled_from(
        [
            0,
            1,
            -1,
            2**62,
            0.5,
            1e300,
            float("inf"),
            "",
            "{}",
            "[]",
            "null",
            "[1]",
            '{"a": 1}',
            '"x"',
            "true",
            "x",
            b"",
            b"\x01",
            "there",
            "pinned",
            "failed",
            "mirror",
            "-",
            "1e999",
            "[" * 2000,
            '{"digest": 1}',
            "[[[]]]",
            None,
        ]
    ),
    TEXT,
    st.binary(max_size=40),
    st.integers(0, 9).map(cid),
)
DAMAGE = st.one_of(
    st.tuples(st.just("value"), st.integers(0, 20), st.integers(0, 25), st.integers(0, 10), VALUES),
    st.tuples(st.just("value"), st.integers(0, 20), st.integers(0, 25), st.integers(0, 10), VALUES),
    st.tuples(st.just("value"), st.integers(0, 20), st.integers(0, 25), st.integers(0, 10), VALUES),
    st.tuples(st.just("flip"), PAGES, PLACES, st.sampled_from([1, 2, 4, 8, 16, 32, 64, 128, 255])),
    st.tuples(st.just("flip"), PAGES, st.integers(0, 120), st.integers(1, 255)),
    st.tuples(st.just("swap"), PAGES, PAGES),
    st.tuples(st.just("copy"), PAGES, PAGES),
    st.tuples(st.just("fill"), PAGES, st.sampled_from([0, 255, 32])),
    st.tuples(st.just("cut"), st.integers(0, 1000)),
    st.tuples(st.just("head"), st.integers(0, 100), st.binary(min_size=1, max_size=4)),
    st.tuples(
        st.just("text"),
        st.sampled_from(WORDS),
        st.integers(0, 40),
        st.one_of(st.binary(max_size=8), st.sampled_from(WORDS)),
    ),
).map(list)
LEDGER = Target(
    "ledger",
    st.fixed_dictionaries(
        {
            "profile": st.sampled_from(["spec", "nft.storage"]),
            "damage": st.lists(DAMAGE, min_size=1, max_size=3),
        }
    ),
    check,
)
