"""The ledger: one writer, any readers, a version from the first day, and clear words when the file is no good."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pinsync.errors import StateError, StateHeld
from pinsync.house import reading, writing
from pinsync.ledger.copies import backup
from pinsync.ledger.ledger import Ledger
from pinsync.ledger.lock import StateLock, holder
from pinsync.ledger.records import Settled
from pinsync.ledger.schema import VERSION
from pinsync.ledger.store import Store
from pinsync.model import Safety, Traits
from pinsync.planning.plan import Action, Approval, Decision, Entry, How, Kind, Owned, PinState, State, Step
from pinsync.settings.model import (
    ConfigFile,
    ManifestSettings,
    MirrorSettings,
    Schedule,
    Settings,
    StateSettings,
)

from .planning import NOW, cid, entry, key, own


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "pinsync.db"


@pytest.fixture
def ledger(path: Path) -> Ledger:
    return Ledger(Store.open(path))


def removal(of: str = "a", **changes: object) -> Action:
    return replace(
        Action(Kind.REMOVE, Step.DELETE, key(of), cid(of), requestid=f"r-{of}"),
        **changes,  # type: ignore[arg-type]
    )


# -- the file ----------------------------------------------------------------------------------------------------------


def test_a_fresh_ledger_has_this_version_and_is_not_for_everybody(path: Path) -> None:
    store = Store.open(path)
    assert store.execute("PRAGMA user_version").fetchone()[0] == VERSION
    assert store.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert store.execute("PRAGMA synchronous").fetchone()[0] == 2
    store.close()
    assert path.stat().st_mode & 0o007 == 0
    Store.open(path).close()


def test_reading_makes_no_file(path: Path) -> None:
    assert Store.read(path) is None
    assert not path.exists()


def test_a_reader_sees_what_was_committed_while_a_writer_writes(path: Path) -> None:
    writer = Ledger(Store.open(path))
    store = Store.read(path)
    assert store is not None
    reader = Ledger(store)
    writer.set_fact("a", "1")
    with writer.store.transaction():
        writer.set_fact("a", "2")
        assert reader.fact("a") == "1"
    assert reader.fact("a") == "2"
    with pytest.raises(StateError):
        reader.set_fact("a", "3")


def test_an_interrupted_transaction_leaves_nothing(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError), ledger.store.transaction():
        ledger.set_fact("a", "1")
        raise RuntimeError
    assert ledger.fact("a") is None


@pytest.mark.parametrize("opening", [Store.open, Store.read])
def test_a_newer_ledger_a_foreign_database_and_damage_are_left_alone(path: Path, opening: object) -> None:
    assert callable(opening)
    Store.open(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    with pytest.raises(StateError, match="newer pinsync"):
        opening(path)
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE photos (name)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StateError, match="something else"):
        opening(path)
    assert path.read_bytes() == before
    path.write_bytes(b"\x00garbage" * 999)
    with pytest.raises(StateError, match="damaged") as caught:
        opening(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"\x00garbage" * 999


def test_a_state_directory_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="state directory"):
        StateLock(tmp_path / "file" / "pinsync.db").acquire("test")


def test_what_root_makes_belongs_to_the_owner_of_the_directory(path: Path) -> None:
    """So that the service may open it after `sudo pinsync sync`; only root can do that, and only root has to."""
    path.parent.mkdir()
    theirs = (12345, 12346) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(path.parent, *theirs)
    settings = Settings(
        ConfigFile(None, ""),
        MirrorSettings(),
        (),
        ManifestSettings(None),
        StateSettings(path),
        Schedule(),
        Safety(),
        (),
    )
    with writing(settings, "test") as state:
        backup(state.ledger.store.db.conn, path, "copy")
        made = {one.name: (one.stat().st_uid, one.stat().st_gid) for one in path.parent.iterdir()}
    assert {"pinsync.db", "pinsync.db-wal", "pinsync.db.lock", "pinsync.db.copy", "mirror-id"} <= set(made)
    assert set(made.values()) == {theirs}


# -- the lock ----------------------------------------------------------------------------------------------------------


def test_a_second_writer_is_refused_and_told_who_holds_it(path: Path) -> None:
    first = StateLock(path)
    first.acquire("run")
    with pytest.raises(StateHeld, match="run, process") as caught:
        StateLock(path).acquire("sync")
    assert caught.value.exit_code == 6
    assert holder(path) is not None
    first.release()
    assert holder(path) is None
    with StateLock(path) as second:
        second.acquire("sync")


def test_the_lock_goes_with_its_process(path: Path) -> None:
    code = (
        "import sys, pathlib, os; from pinsync.ledger.lock import StateLock; "
        "StateLock(pathlib.Path(sys.argv[1])).acquire('run'); os.kill(os.getpid(), 9)"
    )
    daemon = Path(__file__).resolve().parents[2] / "daemon"
    subprocess.run([sys.executable, "-c", code, str(path)], env={"PYTHONPATH": str(daemon)}, check=False)
    assert path.with_name("pinsync.db.lock").read_text().startswith("run, process")
    assert holder(path) is None
    StateLock(path).acquire("sync")


# -- what it remembers -------------------------------------------------------------------------------------------------


def test_entries_and_owners_come_back_as_they_were_sorted_by_key(ledger: Ledger) -> None:
    entries = [
        Entry(
            key(of), cid(of), of != "c", PinState.FAILED, 1.5, "node:kubo manifest", 2.5, "kubo: mirror", "r", 7,
            "ours", 1, 2, 3.5, "why", 4.5, 5, "f00", of == "a",
        )
        for of in "abc"
    ]  # fmt: skip
    decisions = [Decision(one.key, None, one, found=(own("a", "r9", How.MARK),)) for one in entries]
    with ledger.store.transaction():
        assert ledger.record_decisions("there", decisions, NOW) == 3
    ledger.own("there", own("d", "alone", How.ADOPTED), NOW)
    known = list(ledger.known("there"))
    assert [one.key for one in known] == sorted(one.key for one in known)
    assert {one.key: one.entry for one in known} == {**{one.key: one for one in entries}, key("d"): None}
    assert {one.requestid for book in known for one in book.owned} == {"r9", "alone"}
    assert list(ledger.known("elsewhere")) == []
    ledger.gone("there", key("a"), "r9", NOW)
    assert ledger.owned_of("there", key("a"))[0].gone_at == NOW


def test_only_what_changed_is_written(ledger: Ledger) -> None:
    same = entry()
    ledger.put_entry("there", same)
    before = ledger.store.db.conn.total_changes
    ledger.record_decisions("there", [Decision(same.key, same, same)], NOW)
    assert ledger.store.db.conn.total_changes == before


def test_the_journal_keeps_what_was_meant_until_it_is_settled(ledger: Ledger) -> None:
    run = ledger.start_run("test", NOW)
    first, second = ledger.intend(run, "there", [removal("a"), removal("b", approved=True)], NOW)
    assert {intent.id for intent in ledger.open_intents("there")} == {first, second}
    ledger.settle([Settled(first, "done", "deleted")], NOW)
    assert [intent.id for intent in ledger.open_intents("there")] == [second]
    ledger.settle([Settled(second, "done", "deleted")], NOW)
    assert ledger.removed_since("there", NOW - 1) == 1, "what a person approved does not count"
    assert ledger.removed_since("there", NOW) == 0
    ledger.settle([Settled(second, "unclear", "cut")], NOW)
    assert [intent.id for intent in ledger.open_intents("there")] == [second]


def test_history_is_pruned_but_never_what_is_open_or_owned(ledger: Ledger) -> None:
    run = ledger.start_run("test", 1.0)
    done, still = ledger.intend(run, "there", [removal("a"), removal("b")], 1.0)
    ledger.settle([Settled(done, "done", None)], 1.0)
    ledger.own("there", own("a"), 1.0)
    ledger.put_entry("there", entry())
    newest = ledger.start_run("test", 2.0)
    ledger.prune(NOW)
    assert [intent.id for intent in ledger.open_intents("there")] == [still]
    assert len(ledger.owned_of("there", key("a"))) == 1
    assert ledger.entry("there", key("a")) is not None
    last = ledger.last_run()
    assert last is not None
    assert last["id"] == newest


def test_approvals_are_bound_and_void_when_it_is_wanted_again(ledger: Ledger) -> None:
    held = removal("a", state=State.HELD, code="limit", reason="too many")
    with ledger.store.transaction():
        ledger.record_pending("there", [held, removal("b")])
    (pending,) = ledger.pending("there")
    assert (pending.cid, pending.code, pending.requestid) == (cid("a"), "limit", "r-a")
    ledger.put_approval(pending, False, NOW, "me")
    given = ledger.approvals("there")
    assert given == {(Kind.REMOVE, key("a"), "r-a"): Approval(Kind.REMOVE, "r-a", key("a"), "limit")}
    before, after = entry(wanted=False), entry(wanted=True)
    ledger.record_decisions("there", [Decision(key("a"), before, after)], NOW)
    assert ledger.approvals("there") == {}


def test_a_remotes_record_comes_back_and_unknown_traits_of_another_version_are_let_go(ledger: Ledger) -> None:
    record = replace(
        ledger.remote("there"),
        endpoint="https://x",
        traits=Traits(id_is_cid=True, skew=1.5),
        ok=True,
        recent=(1.0, 2.0),
    )
    ledger.put_remote(record, NOW)
    assert ledger.remote("there") == record
    ledger.store.execute('UPDATE remotes SET traits = \'{"id_is_cid": false, "from_the_future": 1}\'')
    assert ledger.remote("there").traits == Traits(id_is_cid=False)


def test_counts_by_state_sum_to_what_is_wanted(ledger: Ledger) -> None:
    for number, state in enumerate([*PinState, PinState.PINNED]):
        ledger.put_entry("there", entry(str(number), state=state))
    ledger.put_entry("there", entry("unwanted", wanted=False))
    counts = ledger.state_counts("there")
    assert sum(counts.values()) == 7
    assert counts[PinState.PINNED] == 2


def test_owned_compares_as_a_value() -> None:
    assert own() == Owned("r1", key("a"), cid("a"), How.CREATED)


def test_damage_that_only_fetching_finds_is_told_as_such(tmp_path: Path) -> None:
    settings = Settings(
        ConfigFile(None, ""), MirrorSettings(), (), ManifestSettings(None), StateSettings(tmp_path / "pinsync.db"),
        Schedule(), Safety(), (),
    )  # fmt: skip
    with writing(settings, "test") as state, state.ledger.store.transaction():
        for number in range(3000):
            state.ledger.put_entry("there", entry(str(number)))
    with writing(settings, "test") as state:
        state.ledger.store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file = bytearray((tmp_path / "pinsync.db").read_bytes())
    file[8 * 4096 :] = b"\xff" * (len(file) - 8 * 4096)
    (tmp_path / "pinsync.db").write_bytes(file)
    with pytest.raises(StateError, match="damaged"), reading(settings) as ledger:
        assert ledger is not None
        list(ledger.known("there"))
