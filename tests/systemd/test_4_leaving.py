"""Another version over a running one, the way back, and what is left when pinsync is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.systemd import older
from tests.systemd.scene import DROPINS, STATE, Scene

pytestmark = [pytest.mark.systemd, pytest.mark.usefixtures("started")]
PIP = ("/opt/pinsync/bin/pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps")

# The ledger as the first version had it, with all that is in it now.
TO_VERSION_1 = """
import re, sqlite3, sys
from pinsync.ledger.schema import APPLICATION_ID, VERSION_1
new, old = sqlite3.connect(sys.argv[1] + ".v1"), sqlite3.connect(sys.argv[1])
new.execute(f"PRAGMA application_id = {APPLICATION_ID}")
new.execute("PRAGMA user_version = 1")
for statement in VERSION_1:
    new.execute(statement)
    if table := re.match(r"CREATE TABLE (\\w+)", statement):
        names = [row[1] for row in new.execute(f"PRAGMA table_info({table[1]})")]
        rows = old.execute(f"SELECT {', '.join(names)} FROM {table[1]}")
        new.executemany(f"INSERT INTO {table[1]} VALUES ({', '.join('?' * len(names))})", rows)
new.commit()
"""


def version(scene: Scene) -> str:
    """Of the schema that the ledger has."""
    script = (
        f"import sqlite3; print(sqlite3.connect('{STATE}/pinsync.db').execute('PRAGMA user_version').fetchone()[0])"
    )
    return scene.run("/usr/bin/python3", "-c", script).out


def integrity(scene: Scene, name: str) -> str:
    """What SQLite says of a file of the state."""
    script = f"import sqlite3; print(sqlite3.connect('{STATE}/{name}').execute('PRAGMA integrity_check').fetchone()[0])"
    return scene.run("/usr/bin/python3", "-c", script).out


def test_upgrade_with_a_migration_and_the_way_back(scene: Scene, tmp_path: Path) -> None:
    run, show = scene.run, scene.transcript.show
    now, before = version(scene), sorted(scene.there())
    then = older.real(scene.cache)
    old = then or older.stand_in(scene.wheel, tmp_path)
    scene.put(f"/root/{old.name}", old.read_bytes())
    with scene.step("a version from before schema 2, with its ledger (what is in ours now, as that one had it)"):
        run("systemctl", "stop", "pinsync")
        run("/opt/pinsync/bin/python", "-c", TO_VERSION_1, f"{STATE}/pinsync.db")
        run("sh", "-c", f"cd {STATE} && rm -f pinsync.db-wal pinsync.db-shm && mv pinsync.db.v1 pinsync.db && "
            "chown pinsync:pinsync pinsync.db && chmod 0640 pinsync.db")  # fmt: skip
        if then:
            told = len(scene.journal())
            show(run(*PIP, f"/root/{old.name}"))
            show(run("pinsync", "--version"))
            run("systemctl", "start", "pinsync")
            scene.tell(scene.wait_logged(r"pass \(start\): in sync", told)[1])
        else:
            scene.tell("this checkout has not the history that has such a version: it does not run before the upgrade")
        assert version(scene) == "1"
    with scene.step("the new version is installed over the running one, then systemctl restart"):
        pid = scene.pid
        show(run(*PIP, f"/new/{scene.wheel.name}"))
        assert scene.pid == pid
        run("systemctl", "restart", "pinsync")
        scene.settled()
        show(run("pinsync", "--version"))
        show(run("sh", "-c", f"ls -l {STATE}/*.before-v*"))
        scene.tell(f"the ledger has schema {version(scene)}; the copy: {integrity(scene, f'pinsync.db.before-v{now}')}")
        assert version(scene) == now
        assert sorted(scene.there()) == before
    with scene.step("the way back: the older version refuses the newer ledger, and takes the copy"):
        told = len(scene.journal())
        run("systemctl", "stop", "pinsync")
        run(*PIP, f"/root/{old.name}")
        assert run("systemctl", "start", "pinsync", check=False).code != 0
        priority, line = scene.wait_logged("was written by a newer pinsync", told)
        scene.tell(f"<{priority}> {line}")
        run("systemctl", "stop", "pinsync")
        run("sh", "-c", f"cd {STATE} && rm -f pinsync.db-wal pinsync.db-shm && "
            f"cp -p pinsync.db.before-v{now} pinsync.db")  # fmt: skip
        if then:
            run("systemctl", "start", "pinsync")
            scene.tell(scene.wait_logged(r"pass \(start\): in sync", told)[1])
        assert version(scene) == "1"
        assert sorted(scene.there()) == before
    with scene.step("and forward again: everything there, nothing twice"):
        run(*PIP, f"/new/{scene.wheel.name}")
        run("rm", f"/root/{old.name}")
        run("systemctl", "restart", "pinsync")
        scene.settled("held")  # what the version in between noted is not in this ledger, and it says so
        scene.ask("approve", "--all")
        assert scene.ask("sync").code == 0  # approving only records; the next pass by schedule is an hour away
        scene.settled()
        assert version(scene) == now
        assert sorted(scene.there()) == before


def test_uninstalling_leaves_nothing_but_the_state(scene: Scene) -> None:
    run = scene.run
    with scene.step("uninstall: nothing is left but the state"):
        run("systemctl", "disable", "--now", "pinsync")
        run("rm", "-rf", "/etc/systemd/system/pinsync.service", DROPINS, "/usr/lib/sysusers.d/pinsync.conf")
        run("rm", "-rf", "/etc/pinsync", "/opt/pinsync", "/usr/local/bin/pinsync")
        run("systemctl", "daemon-reload")
        run("userdel", "pinsync")
        run("groupdel", "pinsync")  # bob is in it
        names = run("find", "/", "-xdev", "-iname", "*pinsync*", "-not", "-path", "/home/*").out.split()
        names += run("find", "/run", "/tmp", "/dev/shm", "-iname", "*pinsync*").out.split()
        scene.tell(*names)
        assert [name for name in names if name != STATE and not name.startswith(f"{STATE}/")] == []
        assert STATE in names
        assert "pinsync" not in run("cat", "/etc/passwd", "/etc/group").out
        assert run("systemctl", "status", "pinsync", check=False).code == 4  # no such unit
        scene.transcript.show(run("ls", "-l", STATE))
        assert len(scene.there()) > 5
