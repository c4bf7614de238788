"""Every ledger that was ever released becomes this version's, with a copy from before, whatever happens meanwhile."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from pinsync.errors import StateError
from pinsync.house import reading, writing
from pinsync.ledger.ledger import Ledger
from pinsync.ledger.recovery import nonsense
from pinsync.ledger.schema import MIGRATIONS, VERSION
from pinsync.ledger.store import Store
from tests.mirror import Mirror, cid

DUMPS = Path(__file__).parents[1] / "ledgers"
RELEASED = range(1, VERSION)
every_release = pytest.mark.parametrize("version", RELEASED)


def put(version: int, path: Path) -> Path:
    """A ledger as that version left it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript((DUMPS / f"version_{version}.sql").read_text())
    return path


def tables(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """All that a ledger holds."""
    with closing(sqlite3.connect(path)) as db:
        names = [str(name) for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: sorted(map(tuple, db.execute(f"SELECT * FROM {name}")), key=repr) for name in names}


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def copies(path: Path) -> list[str]:
    return sorted(one.name for one in path.parent.iterdir() if ".before-" in one.name)


def test_there_is_a_ledger_of_every_release_with_something_in_every_table() -> None:
    assert [path.name for path in sorted(DUMPS.glob("*.sql"))] == [f"version_{number}.sql" for number in RELEASED]
    for path in DUMPS.glob("*.sql"):
        text = path.read_text()
        for table in re.findall(r"CREATE TABLE (\w+)", text):
            assert f"INSERT INTO {table} " in text


@every_release
def test_a_released_schema_is_never_changed(tmp_path: Path, version: int) -> None:
    def shape(path: Path) -> set[tuple[str, str]]:
        with closing(sqlite3.connect(path)) as db:
            rows = db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
            return {(name, re.sub(r"\s+", " ", sql)) for name, sql in rows}

    with closing(sqlite3.connect(tmp_path / "made", isolation_level=None)) as db:
        for step in MIGRATIONS[:version]:
            for statement in step:
                db.execute(statement)
    assert shape(put(version, tmp_path / "released")) == shape(tmp_path / "made")


@every_release
def test_everything_is_there_afterwards_and_in_a_copy_from_before(tmp_path: Path, version: int) -> None:
    path = put(version, tmp_path / "pinsync.db")
    before = tables(path)
    opened = Store.open(path)
    assert nonsense(Ledger(opened)) is None
    opened.close()
    assert version_of(path) == VERSION
    after = tables(path)
    both = {name: zip(after[name], before[name], strict=True) for name in before}
    assert {name: [new[: len(old)] for new, old in rows] for name, rows in both.items()} == before  # new columns last
    copy = tmp_path / f"pinsync.db.before-v{VERSION}"
    assert (version_of(copy), tables(copy)) == (version, before)
    assert copy.stat().st_mode & 0o007 == 0
    Store.open(path).close()
    assert copies(path) == [copy.name], "only when there is something to migrate"


@every_release
def test_a_pass_goes_on_where_the_older_version_stopped(tmp_path: Path, version: int) -> None:
    put(version, tmp_path / "pinsync.db")
    mirror = Mirror(tmp_path, "nft.storage")
    with reading(mirror.settings) as ledger:
        assert ledger is None or ledger.store.readonly
    mirror.node.pins = {cid("foreign"): ""}
    report = mirror.sync()
    assert not any(trouble.where == "pass" for trouble in report.troubles)
    assert mirror.id == "web-1-3fa2c1", "the mark that the older ledger knew"
    assert mirror.status()["ledger"]["old_since"] is None


@every_release
def test_the_way_back_is_the_copy(tmp_path: Path, version: int) -> None:
    path = put(version, tmp_path / "pinsync.db")
    Store.open(path).close()
    copy = tmp_path / f"pinsync.db.before-v{VERSION}"
    path.unlink()
    copy.rename(path)
    assert version_of(path) == version
    Store.open(path).close()
    assert version_of(path) == VERSION


@every_release
def test_a_migration_that_breaks_off_leaves_the_old_ledger_and_can_be_tried_again(
    tmp_path: Path, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(version, tmp_path / "pinsync.db")
    before = tables(path)
    whole = MIGRATIONS
    for cut in range(len(whole[version])):
        broken = (*whole[version][:cut], "SELECT no_such_function()")
        monkeypatch.setattr("pinsync.ledger.store.MIGRATIONS", (*whole[:version], broken, *whole[version + 1 :]))
        with pytest.raises(StateError):
            Store.open(path)
        assert (version_of(path), tables(path)) == (version, before)
    monkeypatch.setattr("pinsync.ledger.store.MIGRATIONS", whole)
    Store.open(path).close()
    assert version_of(path) == VERSION
    assert copies(path) == [f"pinsync.db.before-v{VERSION}"], "the same content is not copied again"


@every_release
def test_killed_in_the_middle_of_a_migration_nothing_is_lost(tmp_path: Path, version: int) -> None:
    path = put(version, tmp_path / "pinsync.db")
    before = tables(path)
    code = (
        "import os, sqlite3, sys, pathlib\n"
        "from pinsync.ledger import store\n"
        "class Dies(tuple):\n"
        "    def __iter__(self):\n"
        "        yield from tuple.__iter__(self)\n"
        "        os.kill(os.getpid(), 9)\n"
        "store.MIGRATIONS = tuple(map(Dies, store.MIGRATIONS))\n"
        "store.Store.open(pathlib.Path(sys.argv[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], env={"PYTHONPATH": ":".join(sys.path)}, timeout=60)
    assert done.returncode == -9
    assert version_of(path) == version
    assert tables(path) == before
    Store.open(path).close()
    assert version_of(path) == VERSION


@every_release
def test_without_room_for_a_copy_nothing_is_migrated(tmp_path: Path, version: int) -> None:
    path = put(version, tmp_path / "pinsync.db")
    before = tables(path)
    code = (
        "import os, resource, signal, sys, pathlib\n"
        "from pinsync.errors import StateError\n"
        "from pinsync.ledger.store import Store\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "half = path.stat().st_size // 2\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (half, half))\n"
        "try:\n    Store.open(path)\nexcept StateError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], env={"PYTHONPATH": ":".join(sys.path)}, timeout=60,
        capture_output=True, text=True,
    )  # fmt: skip
    assert "no copy of it could be made" in done.stdout, done.stderr
    assert (version_of(path), tables(path)) == (version, before)
    assert copies(path) == []


@every_release
def test_an_older_copy_of_the_same_name_is_kept(tmp_path: Path, version: int) -> None:
    path = put(version, tmp_path / "pinsync.db")
    older = tmp_path / f"pinsync.db.before-v{VERSION}"
    older.write_bytes(b"from another upgrade")
    Store.open(path).close()
    assert older.read_bytes() == b"from another upgrade"
    assert copies(path) == [older.name, f"{older.name}-2"]
    assert version_of(tmp_path / f"{older.name}-2") == version


def test_writing_upgrades_and_reading_does_not(tmp_path: Path) -> None:
    path = put(1, tmp_path / "pinsync.db")
    mirror = Mirror(tmp_path)
    mirror.status()
    assert version_of(path) == 1
    with writing(mirror.settings, "test", mirror.clock):
        pass
    assert version_of(path) == VERSION
