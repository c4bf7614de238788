"""Pins that survive a restart, files that are somebody else's, and the work that a page of many pins takes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from pinsync.emulator.behaviour import SECOND, Behaviour
from pinsync.emulator.engine import Emulator
from pinsync.emulator.profiles import profile
from pinsync.emulator.records import PinRecord, Seed
from pinsync.emulator.store import EmulatorError, Store
from pinsync.model import PinStatus
from tests.unit.emulator_kit import ALL, HandClock, cid


@contextmanager
def running(db: Path, behaviour: Behaviour | str = "spec", at: float = 1_790_000_000.0) -> Iterator[Emulator]:
    with closing(Store(db)) as store:
        yield Emulator(behaviour, clock=HandClock(at), store=store)


def post(emulator: Emulator, number: int, **fields: object) -> str:
    answer = emulator.handle("POST", None, body=json.dumps({"cid": cid(number), **fields}).encode())
    assert answer.status in (200, 202)
    return str(json.loads(answer.body)["requestid"])


def statuses(emulator: Emulator) -> dict[str, PinStatus]:
    return {pin.cid: pin.status for pin in emulator.pins()}


def test_pins_survive_a_restart(tmp_path: Path) -> None:
    db = tmp_path / "pins.db"
    with running(db) as emulator:
        post(emulator, 1, name="n", meta={"k": "v"}, origins=["/dns4/a/tcp/1/p2p/Q"])
        renamed = post(emulator, 2)
        emulator.handle("DELETE", post(emulator, 3))
        emulator.seed_pins([Seed(cid(4), status=PinStatus.FAILED, created=5 * SECOND, details="why")])
        emulator.handle("POST", renamed, body=json.dumps({"cid": cid(5), "name": "later"}).encode())
        before: list[PinRecord] = emulator.pins()
    with running(db) as emulator:
        assert emulator.pins() == before
        assert [pin.cid for pin in before] == [cid(4), cid(1), cid(5)]
        page = json.loads(emulator.handle("GET", None, b"status=" + ALL.encode()).body)
        assert [row["pin"]["cid"] for row in page["results"]] == [cid(5), cid(1), cid(4)]


def test_pins_survive_a_kill(tmp_path: Path) -> None:
    """What was answered is in the file at once: another connection sees it."""
    db = tmp_path / "pins.db"
    with running(db) as emulator:
        post(emulator, 1)
        with closing(sqlite3.connect(db)) as other:
            assert other.execute("SELECT cid FROM pins").fetchall() == [(cid(1),)]


def test_settling_goes_on_after_a_restart(tmp_path: Path) -> None:
    db = tmp_path / "pins.db"
    slow = profile("spec", settle=100.0)
    with running(db, slow) as emulator:
        post(emulator, 1)
        assert statuses(emulator) == {cid(1): PinStatus.QUEUED}
    with running(db, slow, at=1_790_000_060.0) as emulator:
        assert statuses(emulator) == {cid(1): PinStatus.PINNING}
        post(emulator, 2)
    with running(db, slow, at=1_790_000_150.0) as emulator:
        assert statuses(emulator) == {cid(1): PinStatus.PINNED, cid(2): PinStatus.PINNING}
        assert json.loads(emulator.handle("GET", None).body)["count"] == 1


def test_no_id_is_given_twice_after_a_restart(tmp_path: Path) -> None:
    for kind in ("uuid", "sequence", "opaque"):
        db = tmp_path / f"{kind}.db"
        behaviour = profile("spec", requestid=kind)
        ids = []
        for number in range(3):
            with running(db, behaviour) as emulator:
                ids.append(post(emulator, number))
                emulator.handle("DELETE", ids[-1])
        assert len(set(ids)) == 3, kind


def test_a_deleted_record_is_revived_after_a_restart(tmp_path: Path) -> None:
    db = tmp_path / "pins.db"
    with running(db, "nft.storage") as emulator:
        post(emulator, 1)
        [first] = emulator.pins()
        emulator.handle("DELETE", cid(1))
    with running(db, "nft.storage", at=1_790_005_000.0) as emulator:
        assert emulator.pins() == []
        post(emulator, 1)
        assert emulator.pins()[0].created == first.created


def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.db"
    with closing(sqlite3.connect(theirs)) as db:
        db.execute("CREATE TABLE precious (x)")
        db.commit()
    text = tmp_path / "notes.txt"
    text.write_text("not a database " * 100)
    for path in (theirs, text, tmp_path, tmp_path / "no" / "such" / "directory.db"):
        before = path.read_bytes() if path.is_file() else None
        with pytest.raises(EmulatorError, match=path.name):
            Store(path)
        assert (path.read_bytes() if path.is_file() else None) == before


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    db = tmp_path / "pins.db"
    Store(db).close()
    with closing(sqlite3.connect(db)) as other:
        other.execute("PRAGMA user_version = 99")
        other.commit()
    with pytest.raises(EmulatorError, match="another version"):
        Store(db)


def test_an_id_cannot_be_there_twice() -> None:
    emulator = Emulator("nft.storage")
    emulator.seed_pins([cid(1)])
    with pytest.raises(ValueError, match="already"):
        emulator.seed_pins([cid(1)])


class Watched(list[Any]):
    """A list that remembers how much of it was taken."""

    taken = 0

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        Watched.taken += len(found) if isinstance(index, slice) else 1
        return found


@pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
def test_the_work_for_a_page_does_not_grow_with_the_pins(order: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: of 20 000 pins, a page of 1000 takes 1000 from the index and writes those out."""
    emulator = Emulator(profile("spec", order=order), clock=HandClock())
    emulator.seed_pins([cid(n) for n in range(20_000)])
    index = emulator.store._index
    monkeypatch.setitem(index, PinStatus.PINNED, Watched(index[PinStatus.PINNED]))
    Watched.taken = 0
    answer = json.loads(emulator.handle("GET", None, b"limit=1000&status=" + ALL.encode()).body)
    assert (answer["count"], len(answer["results"])) == (20_000, 1000)
    assert 1000 <= Watched.taken <= 1100
    assert sum(row.text is not None for row in emulator.store) == 1000
