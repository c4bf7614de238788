"""A ledger that is damaged, lost, or an old copy of itself: nothing of others goes, nothing is bought twice."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from pinsync.cid import parse_cid
from pinsync.cli.render_status import status_lines
from pinsync.errors import LedgerDamaged, PinsyncError, StateError
from pinsync.house import writing
from pinsync.ledger.remembered import beside, remembered
from pinsync.model import Safety
from pinsync.people import adopt, approve
from pinsync.planning.plan import State
from tests.mirror import Mirror, cid
from tests.unit.cli_kit import home
from tests.unit.service_kit import Rig, manifest, save, until
from tests.unit.service_kit import cid as number_cid

MANY = list(range(30))
LEDGER = "pinsync.db"


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def overwrite(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garble(path: Path) -> None:
    path.write_bytes(b"\x00garbage" * 999)


def stump(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


DAMAGE: list[Callable[[Path], None]] = [cut, overwrite, empty, garble, stump]


@pytest.fixture(params=DAMAGE)
def damage(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    found: Callable[[Path], None] = request.param
    return found


def aside(mirror: Mirror) -> list[Path]:
    return sorted(path for path in mirror.directory.glob("*.damaged-*") if path.name[-4:] not in ("-wal", "-shm"))


def kinds(mirror: Mirror) -> set[str]:
    return {event.kind for event in mirror.events()}


# -- damage ------------------------------------------------------------------------------------------------------------


def test_a_damaged_ledger_is_set_aside_as_it_is_and_ownership_comes_back(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    mirror = Mirror(tmp_path, "nft.storage", safety=Safety(grace=3600))
    mirror.seed("theirs")
    mirror.pin(*MANY)
    mirror.sync()
    mirror.unpin(0)
    mirror.sync()
    mirror.later(3000)
    damage(tmp_path / LEDGER)
    before = (tmp_path / LEDGER).read_bytes()
    mutations = mirror.emulator.mutations
    first = mirror.sync()
    (kept,) = aside(mirror)
    assert kept.read_bytes() == before
    assert (mirror.done(first), mirror.emulator.mutations) == ({"waiting": 1}, mutations)
    shown = mirror.status()["ledger"]
    assert shown["set_aside"] == str(kept)
    assert shown["since"]
    assert shown["rebuilt"] == {"there": True}
    assert "ledger-lost" in kinds(mirror)
    mirror.later(3000)
    mirror.sync()
    assert len(mirror.there()) == 31, "grace begins anew"
    mirror.later(601)
    assert mirror.done(mirror.sync()) == {"removed": 1}
    assert set(mirror.there()) == {cid("theirs"), *(cid(n) for n in MANY[1:])}
    assert len(aside(mirror)) == 1


def test_reading_a_damaged_ledger_renames_nothing_and_says_what_will_be(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin("a")
    mirror.sync()
    damage(tmp_path / LEDGER)
    before = (tmp_path / LEDGER).read_bytes()
    if damage is cut:
        overwrite(tmp_path / LEDGER)  # what is left of a file that was cut can be read for a while
        before = (tmp_path / LEDGER).read_bytes()
    for look in (mirror.status, mirror.plan):
        with pytest.raises(LedgerDamaged, match="next pass sets it aside"):
            look()
    assert (tmp_path / LEDGER).read_bytes() == before
    assert aside(mirror) == []


def test_nothing_is_removed_until_a_complete_list_has_rebuilt_what_is_ours(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.add_remote("other")
    mirror.pin(*MANY)
    mirror.sync()
    garble(tmp_path / LEDGER)
    mirror.unpin(0)
    mirror.remotes["other"].faults.next("status:500", method="GET", times=50)
    mirror.sync()
    mirror.sync()
    shown = mirror.status()["ledger"]
    assert shown["rebuilt"] == {"there": True, "other": False}
    assert cid(0) not in mirror.there()
    assert cid(0) in mirror.there("other")
    mirror.remotes["other"].faults.clear()
    mirror.sync()
    assert cid(0) in mirror.there("other"), "the first complete list only tells what is ours"
    mirror.sync()
    assert cid(0) not in mirror.there("other")


def test_where_meta_is_dropped_our_pins_are_foreign_then_and_status_says_how_to_take_them(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "rb")
    mirror.pin(*MANY)
    mirror.sync()
    garble(tmp_path / LEDGER)
    mirror.unpin(0)
    for _ in range(3):
        mirror.sync()
    assert len(mirror.there()) == 30, "none is removed, none is added twice"
    shown = mirror.status()
    assert shown["ledger"]["unmarked"] == ["there"]
    assert shown["remotes"][0]["pinned"] == 29

    async def take() -> int:
        with writing(mirror.settings, "test", mirror.clock) as state:
            client = mirror._client(mirror.settings.remotes[0], state.ledger.remote("there"))
            return len((await adopt(state.ledger, client, (mirror.id,), [], mirror.clock, "me")).pins)

    assert asyncio.run(take()) == 29
    mirror.sync()
    assert mirror.status()["ledger"]["unmarked"] == []
    assert "adopted" in kinds(mirror)


def test_a_database_of_something_else_is_refused_though_a_ledger_was_there(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin("a")
    mirror.sync()
    (tmp_path / LEDGER).unlink()
    with closing(sqlite3.connect(tmp_path / LEDGER)) as db:
        db.execute("CREATE TABLE photos (name)")
    with pytest.raises(StateError, match="something else"):
        mirror.sync()
    assert aside(mirror) == []


def test_a_file_of_another_kind_is_refused_where_no_ledger_was(tmp_path: Path) -> None:
    (tmp_path / LEDGER).write_text("my letters")
    mirror = Mirror(tmp_path)
    with pytest.raises(StateError, match="not a database"):
        mirror.sync()
    assert (tmp_path / LEDGER).read_text() == "my letters"


def test_damage_that_shows_in_the_middle_of_a_pass_has_the_same_way_back(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "nft.storage")
    mirror.pin(*MANY)
    mirror.sync()
    with (
        pytest.raises(StateError, match="is now") as caught,
        writing(mirror.settings, "test", mirror.clock) as state,
    ):
        overwrite(tmp_path / LEDGER)
        state.ledger.store.execute("PRAGMA cache_size = 0")
        asyncio.run(mirror._sync(state, None))
    assert not isinstance(caught.value, LedgerDamaged)
    assert len(aside(mirror)) == 1
    assert mirror.done(mirror.sync()) == {}
    assert mirror.status()["remotes"][0]["pinned"] == 30
    assert len(aside(mirror)) == 1


def test_rows_that_make_no_sense_in_a_sound_file_are_damage_too(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin(*MANY)
    mirror.sync()
    with closing(sqlite3.connect(tmp_path / LEDGER)) as db, db:
        db.execute("UPDATE entries SET state = 'pinnee' WHERE cid = ?", (cid(3),))
    with pytest.raises(StateError, match="makes no sense"):
        mirror.sync()
    assert len(aside(mirror)) == 1
    assert mirror.sync().exit_code() == 0
    assert len(mirror.there()) == 30


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("generation", "0.5"),
        ("mirror_ids", "7"),
        ("fingerprint of there", "[]"),
        ("began", "x"),
        ("expected at a", "{}"),
    ],
)
def test_facts_that_make_no_sense_are_damage_too(tmp_path: Path, name: str, value: str) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin(1, 2, 3)
    mirror.sync()
    with closing(sqlite3.connect(tmp_path / LEDGER)) as db, db:
        db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))
    for _ in range(2):
        with suppress(StateError):  # told where it shows, in the pass that follows at the latest
            mirror.sync()
    assert mirror.sync().exit_code() == 0
    assert len(mirror.there()) == 3


def test_a_damaged_log_is_an_older_ledger(tmp_path: Path) -> None:
    """SQLite leaves out what it cannot read of its log: the ledger is sound, and older."""
    mirror = Mirror(tmp_path)
    mirror.pin(*MANY)
    mirror.sync()
    older = tmp_path / "older"
    shutil.copy(tmp_path / LEDGER, older)
    mirror.pin("new")
    mirror.sync()
    shutil.copy(older, tmp_path / LEDGER)
    (tmp_path / f"{LEDGER}-wal").write_bytes(b"\x37\x7f\x06\x82" + b"\xaa" * 9999)
    mutations = mirror.emulator.mutations
    report = mirror.sync()
    assert report.exit_code() == 4, "no removal before a person has looked"
    assert mirror.emulator.mutations == mutations
    assert mirror.status()["ledger"]["old_since"]


# -- a lost ledger -----------------------------------------------------------------------------------------------------


def lose(mirror: Mirror) -> None:
    for name in (LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm"):
        (mirror.directory / name).unlink(missing_ok=True)


def test_a_lost_ledger_says_so_and_an_emptied_node_is_not_believed(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin(*MANY[:4])
    mirror.sync()
    lose(mirror)
    assert mirror.status()["ledger"]["lost"]
    mirror.node.pins = {}
    for _ in range(3):
        mirror.sync()
    assert len(mirror.there()) == 4
    assert mirror.status()["verdict"] == "held"
    assert mirror.status()["ledger"]["since"]


def test_a_lost_ledger_does_not_believe_another_node(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin(*MANY[:4])
    mirror.sync()
    lose(mirror)
    mirror.node.peer_id = "12D3KooWSomebodyElse"
    mirror.unpin(0)
    for _ in range(3):
        mirror.sync()
    assert len(mirror.there()) == 4


def test_a_lost_ledger_does_not_believe_an_emptied_include(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{cid(n)}\n" for n in range(3)))
    mirror.manifest(f'include = ["*.txt"]\n[[pin]]\ncid = "{cid("m")}"\n')
    mirror.sync()
    listed.write_text("")
    assert mirror.done(mirror.sync()) == {"held": 3}
    for how in (garble, lambda path: lose(mirror)):  # and as often as that
        how(tmp_path / LEDGER)
        mirror.sync()
        for _ in range(2):
            assert mirror.done(mirror.sync()) == {"held": 3}
    (doubt,) = mirror.status()["doubts"]
    assert "has lost all that it gave" in doubt["reason"]
    mirror.release()
    assert mirror.done(mirror.sync()) == {"removed": 3}


def test_what_an_earlier_version_remembered_of_sources_is_understood(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin(*MANY[:4])
    mirror.sync()
    kept = json.loads(beside(tmp_path / LEDGER).read_text())
    kept["sources"] = {name: fields[:3] for name, fields in kept["sources"].items()}
    beside(tmp_path / LEDGER).write_text(json.dumps(kept))
    lose(mirror)
    mirror.node.pins = {}
    for _ in range(3):
        mirror.sync()
    assert len(mirror.there()) == 4


def test_a_lost_ledger_holds_what_a_change_of_the_configuration_left_out_meanwhile(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, safety=Safety(grace=0, max_removal_share=100))
    mirror.manifest(f'[[pin]]\ncid = "{cid("m")}"\n')
    mirror.pin(*MANY[:4], called="tmp-1")
    mirror.pin("kept")
    mirror.sync()
    lose(mirror)
    mirror.change_node(skip_names=("tmp-*",))
    for _ in range(2):  # and as often as the ledger is lost
        assert mirror.done(mirror.sync()) == {"waiting": 4}
        assert mirror.done(mirror.sync()) == {"held": 4}
        lose(mirror)
    mirror.change_node(mirror=False)
    for _ in range(3):
        mirror.sync()
    assert len(mirror.there()) == 6


@pytest.mark.parametrize("profile", ["nft.storage", "spec", "rb"])
def test_with_the_ledger_lost_and_the_token_of_another_account_nothing_is_bought_again(
    tmp_path: Path, profile: str
) -> None:
    mirror = Mirror(tmp_path, profile)
    mirror.pin(*MANY)
    mirror.sync()
    lose(mirror)
    mirror.emulator.remove_pins([pin.requestid for pin in mirror.emulator.pins()])
    for _ in range(4):
        held = mirror.sync()
        assert (mirror.done(held), held.exit_code()) == ({"held": 30}, 4)
    assert "another account" in mirror.actions[0].reason
    assert mirror.there() == {}
    mirror.release()
    assert mirror.done(mirror.sync()) == {"added": 30}
    assert mirror.sync().exit_code() == 0


def test_what_was_never_ours_stays_so_though_it_carries_our_mark(tmp_path: Path) -> None:
    """A POST of ours met somebody's record and wrote our mark into it; only the ledger knew that it was not ours."""
    mirror = Mirror(tmp_path, "nft.storage")
    mirror.pin(*MANY)
    mirror.sync()
    mirror.pin("a")

    def first(request: Any) -> None:
        if request.method == "POST" and cid("a") not in mirror.there():
            mirror.seed("a", name="theirs", created=int((mirror.clock.now() - 86400) * 1e9))

    mirror.emulator.before_request = first
    mirror.sync()
    mirror.emulator.before_request = None
    mirror.sync()
    (theirs,) = [pin for pin in mirror.emulator.pins() if pin.cid == cid("a")]
    assert theirs.meta == {"pinsync": mirror.id}
    lose(mirror)
    mirror.unpin("a")
    for _ in range(3):
        mirror.sync()
    assert cid("a") in mirror.there()


# -- an old copy -------------------------------------------------------------------------------------------------------


def copy_of(mirror: Mirror) -> Path:
    """A backup by SQLite's own means."""
    target = mirror.directory / "backup.copy"
    with closing(sqlite3.connect(mirror.directory / LEDGER)) as db, closing(sqlite3.connect(target)) as copy:
        db.backup(copy)
    return target


def put_back(mirror: Mirror, copy: Path) -> None:
    lose(mirror)
    shutil.copy(copy, mirror.directory / LEDGER)


@pytest.mark.parametrize("profile", ["nft.storage", "spec", "mock", "rb"])
def test_last_weeks_ledger_adds_nothing_twice_and_removes_nothing_by_itself(tmp_path: Path, profile: str) -> None:
    mirror = Mirror(tmp_path, profile, safety=Safety(grace=3600))
    mirror.pin(*MANY)
    mirror.sync()
    mirror.unpin(0)
    mirror.sync()  # its grace begins, and ends at once by the old ledger
    copy = copy_of(mirror)
    mirror.pin("new", "newer")
    mirror.sync()
    mirror.later(7 * 86400)
    put_back(mirror, copy)
    assert mirror.status()["ledger"]["behind"]
    assert {action.state for action in mirror.plan()[1]} <= {State.HELD}, "the plan knows what the pass will find"
    mutations = mirror.emulator.mutations
    report = mirror.sync()
    assert not mirror.status()["ledger"]["behind"]
    assert mirror.emulator.mutations == mutations
    assert (mirror.done(report), report.exit_code()) == ({"held": 1}, 4)
    assert "older copy" in mirror.status()["doubts"][0]["reason"]
    assert mirror.status()["ledger"]["old_to"]
    assert "ledger-old" in kinds(mirror)
    mirror.later(7 * 86400)
    mirror.sync()
    assert len(mirror.there()) == 32
    mirror.release()
    mirror.sync()
    assert set(mirror.there()) == {cid(n) for n in [*MANY[1:], "new", "newer"]}
    assert mirror.sync().exit_code() == 0
    assert mirror.status()["ledger"]["old_since"] is None


def test_a_record_that_is_somebody_elses_by_now_is_not_removed_on_the_word_of_an_old_ledger(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "nft.storage")
    mirror.pin(*MANY)
    mirror.sync()
    copy = copy_of(mirror)
    mirror.unpin(0)
    mirror.sync()
    assert cid(0) not in mirror.there()
    mirror.seed(0, name="theirs")
    put_back(mirror, copy)
    mirror.sync()
    mirror.release()
    for _ in range(3):
        mirror.sync()
    assert mirror.names()[cid(0)] == "theirs"
    mirror.pin(0, called="ours")
    mirror.sync()
    assert mirror.names()[cid(0)] == "theirs", "and it is not written over"


@pytest.mark.parametrize("approved", [False, True])
def test_an_old_ledgers_graces_begin_anew_and_its_approvals_are_void(tmp_path: Path, approved: bool) -> None:
    mirror = Mirror(tmp_path, safety=Safety(grace=3600))
    mirror.pin(*MANY)
    mirror.sync()
    mirror.unpin(0)
    mirror.sync()
    if approved:
        with writing(mirror.settings, "test", mirror.clock) as state:
            approve(state.ledger, None, [parse_cid(cid(0))], now_too=True, at=mirror.clock.now(), by="me")
    copy = copy_of(mirror)
    mirror.pin(0)
    mirror.sync()
    mirror.later(86400)
    mirror.unpin(0)
    mirror.sync()
    put_back(mirror, copy)
    mirror.sync()
    mirror.release()
    assert mirror.done(mirror.sync()) == {"waiting": 1}
    mirror.later(3000)
    mirror.sync()
    assert cid(0) in mirror.there()
    mirror.later(700)
    assert mirror.done(mirror.sync()) == {"removed": 1}


def test_where_meta_is_dropped_status_says_what_an_old_ledger_does_not_know(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "rb")
    mirror.pin("a")
    mirror.sync()
    copy = copy_of(mirror)
    mirror.pin(*MANY)
    mirror.sync()
    put_back(mirror, copy)
    mirror.sync()
    found = mirror.status()
    assert (found["remotes"][0]["foreign"], found["ledger"]["unmarked"]) == (30, ["there"])
    shown = "\n".join("".join(text for text, _ in one) for one in lines_of(found))
    assert "it is an older copy, and there keeps no marks" in shown
    assert "pinsync adopt" in shown


def lines_of(found: dict[str, Any]) -> Any:
    return status_lines(found, width=None, now=0.0, verbose=False)


def test_an_old_ledger_does_not_buy_again_what_it_does_not_know_of(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "nft.storage")
    mirror.pin("a")
    mirror.sync()
    copy = copy_of(mirror)
    mirror.pin(*MANY)
    mirror.sync()
    put_back(mirror, copy)
    mirror.emulator.remove_pins([pin.requestid for pin in mirror.emulator.pins()])
    for _ in range(3):
        mirror.sync()
    assert mirror.there() == {}


def test_a_whole_state_that_was_put_back_is_known_by_the_pins_that_it_did_not_make(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "nft.storage")
    mirror.pin(*MANY)
    mirror.sync()
    copy, kept = copy_of(mirror), beside(tmp_path / LEDGER).read_bytes()
    mirror.later(86400)
    mirror.pin("new")
    mirror.sync()
    put_back(mirror, copy)
    beside(tmp_path / LEDGER).write_bytes(kept)
    mutations = mirror.emulator.mutations
    mirror.sync()
    assert mirror.emulator.mutations == mutations
    (doubt,) = mirror.status()["doubts"]
    assert "this mirror did not make it" in doubt["reason"]
    mirror.unpin(0)
    assert mirror.done(mirror.sync()) == {"held": 1}


def test_fewer_wanted_pins_where_meta_is_dropped_do_not_hold_adding_for_ever(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "rb")
    mirror.pin(*MANY)
    mirror.sync()
    lose(mirror)
    mirror.unpin(*MANY[:15])
    mirror.pin("new")
    assert mirror.done(mirror.sync()) == {"held": 1}
    mirror.release()
    assert mirror.done(mirror.sync()) == {"added": 1}
    mirror.pin("newer")
    assert mirror.done(mirror.sync()) == {"added": 1}


def test_a_ledger_without_its_tables_is_damaged(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin(*MANY)
    mirror.sync()
    with closing(sqlite3.connect(tmp_path / LEDGER)) as db, db:
        db.execute("DROP TABLE owned")
    mirror.sync()
    assert len(aside(mirror)) == 1
    assert mirror.sync().exit_code() == 0


def test_what_a_person_said_shows_that_a_ledger_is_old(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin(*MANY)
    mirror.sync()
    mirror.unpin(*MANY[:10])
    mirror.sync()
    copy = copy_of(mirror)
    mirror.release()
    put_back(mirror, copy)
    mirror.sync()
    assert mirror.status()["ledger"]["old_since"]


def test_a_ledger_of_before_the_upgrade_that_is_put_back_is_an_old_one(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin("a")
    mirror.sync()
    with closing(sqlite3.connect(tmp_path / LEDGER)) as db, db:
        db.execute("DELETE FROM facts WHERE name IN ('ledger_id', 'generation', 'began')")
    mirror.sync()
    assert mirror.status()["ledger"]["old_since"]


def test_what_is_remembered_that_makes_no_sense_is_as_nothing(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin("a")
    mirror.sync()
    assert remembered(tmp_path / LEDGER) is not None
    for text in ("", "[]", "{", '{"ledger": 1}', "\x00", "[" * 100_000):
        beside(tmp_path / LEDGER).write_text(text)
        assert remembered(tmp_path / LEDGER) is None
        assert mirror.sync().exit_code() == 0
        assert mirror.status()["ledger"]["old_since"] is None


def test_no_pass_fails_for_what_cannot_be_remembered(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.pin("a")
    beside(tmp_path / LEDGER).mkdir()
    assert mirror.sync().exit_code() == 0


# -- a daemon, and the commands ----------------------------------------------------------------------------------------


def confuse(path: Path) -> None:
    """Bits flip in a text: the file stays a sound database."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE entries SET state = 'pinnee'")


def test_a_daemon_whose_ledger_is_damaged_begins_a_new_one_and_goes_on(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.pins.write_text(manifest(*MANY))
        rig.start()
        ledger = tmp_path / "state/pinsync.db"
        confuse(ledger)
        with pytest.raises(PinsyncError, match="was damaged"):
            rig.client.sync()
        rig.log.wait("a new one was begun")
        assert len(list(ledger.parent.glob("*.damaged-*Z"))) == 1
        rig.client.sync()
        assert rig.client.status(None, None)["verdict"] == "in-sync"
        assert rig.client.status(None, None)["ledger"]["rebuilt"] == {"there": True}
        assert rig.there() == {number_cid(number) for number in MANY}
        save(rig.pins, manifest(*MANY[1:]))
        until(lambda: len(rig.there()) == 29, "a removal by the new ledger")
        assert len(list(ledger.parent.glob("*.damaged-*Z"))) == 1, "it does not go on doing so"


def test_a_daemon_that_starts_over_a_damaged_ledger_says_so_in_the_log(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.pins.write_text(manifest(1, 2))
        rig.start()
        rig.stop()
        garble(tmp_path / "state/pinsync.db")
        rig.start()
        assert rig.log.count("ERROR: the ledger") == 1
        assert rig.there() == {number_cid(1), number_cid(2)}


def test_the_commands_say_what_is_the_matter_and_what_was_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with home(tmp_path, capsys, monkeypatch, {number_cid(n): "" for n in range(3)}) as at:
        at.run("sync")
        garble(at.ledger)
        for command in ("status", "plan"):
            ran = at.run(command)
            assert ran.code == 1
            assert "next pass sets it aside" in ran.err
            assert "no daemon answers" not in ran.err
        ran = at.run("sync")
        assert ran.code == 0
        assert "was damaged" in ran.err
        shown = at.run("status", "--json").json()
        assert shown["ledger"]["set_aside"].startswith(str(at.ledger))
        assert shown["verdict"] == "in-sync"
        empty(at.ledger)
        for name in ("-wal", "-shm"):
            at.ledger.with_name(at.ledger.name + name).unlink(missing_ok=True)
        assert "the file is empty" in at.run("status").err
        at.ledger.unlink()
        ran = at.run("status")
        assert ran.code == 5
        assert "it is gone" in ran.out
        at.ledger.mkdir()
        for command in ("status", "plan", "sync"):
            ran = at.run(command)
            assert ran.code == 1
            assert "is a directory; nothing was done. Move it away" in ran.err
            assert "no daemon answers" not in ran.err


def delete(ledger: Path, copy: Path) -> None:
    for path in ledger.parent.glob("pinsync.db*"):
        path.unlink()


def delete_the_file_alone(ledger: Path, copy: Path) -> None:
    ledger.unlink()


def copied(tmp_path: Path) -> tuple[Path, Path]:
    """The ledger of a daemon that runs, and a backup of it made just now."""
    ledger, copy = tmp_path / "state/pinsync.db", tmp_path / "copy"
    with closing(sqlite3.connect(ledger)) as db, closing(sqlite3.connect(copy)) as target:
        db.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")
    return ledger, copy


def move_into_place(ledger: Path, copy: Path) -> None:
    copy.replace(ledger)


def write_over(ledger: Path, copy: Path) -> None:
    shutil.copyfile(copy, ledger)


@pytest.mark.parametrize("done", [delete, delete_the_file_alone, move_into_place, write_over])
def test_a_daemon_notices_that_its_ledger_was_deleted_or_replaced(
    tmp_path: Path, done: Callable[[Path, Path], None]
) -> None:
    with Rig(tmp_path) as rig:
        rig.pins.write_text(manifest(*MANY))
        rig.start()
        ledger, copy = copied(tmp_path)
        rig.client.sync()
        done(ledger, copy)
        save(rig.pins, manifest(*MANY[2:]))
        rig.client.sync()
        rig.client.sync()
        replaced = done in (move_into_place, write_over)
        word = "held" if replaced else "in-sync"
        until(lambda: rig.client.status(None, None)["verdict"] == word, f"{word}, with no pass under way")
        shown = rig.client.status(None, None)["ledger"]
        assert (bool(shown["old_since"]), bool(shown["since"])) == (replaced, not replaced)
        assert len(rig.there()) == (30 if replaced else 28)
        assert rig.log.count("while it was in use") == 1
        assert list(ledger.parent.glob("*.damaged-*")) == []
        rig.stop()
        with closing(sqlite3.connect(ledger)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            if not replaced:
                (first,) = db.execute("SELECT report FROM runs ORDER BY id LIMIT 1").fetchone()
                assert json.loads(first)["remotes"][0]["removed"] == 0, "nothing goes in the pass that finds it so"


def test_what_is_written_over_the_ledger_stays_as_it_is_when_the_daemon_ends(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.pins.write_text(manifest(*MANY))
        rig.start()
        ledger, copy = copied(tmp_path)
        rig.client.sync()
        write_over(ledger, copy)
        rig.stop()
        assert ledger.read_bytes() == copy.read_bytes()


def test_a_daemon_goes_on_in_silence_while_its_ledger_is_in_its_place(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.pins.write_text(manifest(*MANY))
        rig.start()
        for last in (29, 28):
            save(rig.pins, manifest(*MANY[:last]))
            rig.client.sync()
            rig.client.approve(None, [], now=False, by="me", shown=None)
        assert rig.log.count("while it was in use") == 0
