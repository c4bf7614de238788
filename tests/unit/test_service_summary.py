"""The summary that everybody may read: what is in it, what is not, and who shows it."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pinsync.errors import StateError
from pinsync.house import reading
from pinsync.service.client import DaemonClient, DaemonError
from pinsync.service.summary import Summary, public, read
from pinsync.settings.places import summary_path
from pinsync.status import status
from tests.unit.cli_kit import Home, home
from tests.unit.service_kit import TOKEN, FakeNode, HandClock, Lines, Rig, cid, manifest, mode_of, save, until


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    (tmp_path / "run").mkdir()
    with Rig(tmp_path, clock=HandClock(), RUNTIME_DIRECTORY=str(tmp_path / "run")) as made:
        made.pins.write_text(manifest(1, 2))
        yield made


def summary_of(rig: Rig) -> dict[str, Any] | None:
    assert isinstance(rig.clock, HandClock)
    rig.clock.advance(61)
    path = rig.directory / "run/summary.json"
    found: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    return found


def pinned(rig: Rig, count: int) -> bool:
    found = summary_of(rig)
    return found is not None and found["verdict"] == "in-sync" and found["remotes"][0]["pinned"] == count


def test_a_daemon_of_the_system_keeps_it_while_it_runs(rig: Rig) -> None:
    before = os.umask(0o077)
    try:
        with FakeNode() as node:
            node.pins = {cid(7): "a name that nobody may see"}
            rig.configure(kubo=f'api = "{node.url}"')
            rig.start()
            until(lambda: pinned(rig, 3), "the summary of the first pass")
            save(rig.pins, manifest(1, 2, 3))
            until(lambda: pinned(rig, 4), "the summary of the second")
    finally:
        os.umask(before)
    path = rig.directory / "run/summary.json"
    assert mode_of(path) == 0o644
    text = path.read_text()
    secrets = (*map(cid, (1, 2, 3, 7)), "a name", TOKEN, node.PEER, node.url, rig.server.url, str(rig.directory))
    assert [one for one in secrets if one in text] == []
    rig.stop()
    assert not path.exists()


def test_other_daemons_keep_none(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.pins.write_text(manifest(1))
        rig.start()
        assert summary_path(rig.load(), rig.env) is None
        assert not list(tmp_path.rglob("summary.json"))


def test_it_has_the_keys_of_a_status_and_nothing_to_read_in_them(rig: Rig) -> None:
    rig.start()
    rig.emulator.become(closed="maintenance")
    save(rig.pins, manifest(1))
    until(lambda: rig.passes() == 2)
    with reading(rig.load()) as ledger:
        whole = status(ledger, rig.load(), rig.clock.now(), rig.client.status()["daemon"])
    told = public(whole, now=rig.clock.now(), every=900.0)
    assert set(told) == {*whole, "summary_at", "every"}
    for shown, report in ((told["remotes"][0], whole["remotes"][0]), (told["sources"], whole["sources"]),
                          (told["sources"]["manifest"], whole["sources"]["manifest"]),
                          (told["daemon"], whole["daemon"])):  # fmt: skip
        assert set(shown) == set(report)
    assert whole["remotes"][0]["error"] and told["remotes"][0]["error"] is None
    assert told["remotes"][0]["ok"] is False and told["verdict"] == "failing"


def test_a_full_or_closed_directory_is_told_once_and_lived_through(rig: Rig) -> None:
    rig.start()
    until(lambda: pinned(rig, 2))
    run = rig.directory / "run"
    (run / ".summary.json.new").mkdir()  # in the way, as a full disk would be
    save(rig.pins, manifest(1, 2, 3))
    until(lambda: summary_of(rig) and rig.log.count("the summary for other users cannot be written"))
    save(rig.pins, manifest(1, 2, 3, 4))
    until(lambda: len(rig.there()) == 4)
    (run / ".summary.json.new").rmdir()
    until(lambda: pinned(rig, 4))
    assert rig.log.count("cannot be written") == rig.log.count("is written again") == 1


def write(path: Path, **changes: Any) -> None:
    report: dict[str, Any] = {
        "format": 1, "every": 900.0, "verdict": "in-sync", "daemon": {"running": True, "pid": os.getpid()},
        "sources": {"nodes": [], "manifest": {"ok": None}}, "remotes": [],
        "last_pass": {"finished_at": "2026-11-23T05:50:09.000Z"}, "last_good_pass_at": "2026-11-23T05:50:09.000Z",
        "next_pass_at": "2026-11-23T06:05:09.000Z",
    }  # fmt: skip
    Summary(path, logging.getLogger("pinsync.test")).write({**report, **changes})


AT = 1_795_413_009.0  # 2026-11-23T05:50:09Z


def test_a_reader_judges_it_by_the_time_that_it_is(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write(path)
    fresh, old = read(path, AT + 60), read(path, AT + 2701)
    assert fresh is not None and old is not None
    assert (fresh["verdict"], old["verdict"]) == ("in-sync", "stale")
    assert fresh["daemon"]["running"]


def test_a_daemon_that_was_killed_is_known_to_be_gone(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    path = tmp_path / "summary.json"
    write(path, daemon={"running": True, "pid": process.pid})
    found = read(path, AT)
    assert found is not None
    assert found["daemon"] == {"running": False} and found["next_pass_at"] is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2}', '{"format": 1}', "\xff"])
def test_what_is_no_summary_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "summary.json").write_bytes(text.encode("latin-1"))
    assert read(tmp_path / "summary.json", AT) is None
    assert read(tmp_path / "nowhere/summary.json", AT) is None


def test_a_write_replaces_it_in_one_go_and_says_nothing(tmp_path: Path) -> None:
    log, lines = logging.Logger("test"), Lines()
    log.addHandler(lines)
    summary = Summary(tmp_path / "summary.json", log)
    summary.write({"n": 1})
    first = (tmp_path / "summary.json").stat().st_ino
    (tmp_path / ".summary.json.new").write_text("left by a kill")
    summary.write({"n": 2})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"n": 2}
    assert (tmp_path / "summary.json").stat().st_ino != first
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]
    assert lines.lines == []


# -- the command of a user who may read neither ledger nor socket ----------------------------------------------------


@pytest.fixture
def outsider(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home whose mirror is in sync, and a user to whom all but the summary is closed."""
    run = tmp_path / "run"
    run.mkdir()
    with home(tmp_path, capsys, monkeypatch, {cid(n): f"pin {n}" for n in range(3)}) as at:
        assert at.run("sync").code == 0
        report = at.run("status", "--json").json()
        now = float(os.stat(at.ledger).st_mtime)
        report["daemon"] = {"running": True, "pid": os.getpid(), "version": "1", "since": None}
        Summary(run / "summary.json", logging.getLogger("t")).write(public(report, now=now, every=900.0))
        monkeypatch.setenv("RUNTIME_DIRECTORY", str(run))

        def closed(*_: object) -> None:
            raise StateError("the ledger may not be read by this user")

        def shut(*_: object) -> None:
            raise DaemonError("this user may not ask the daemon: usermod -aG pinsync USER")

        monkeypatch.setattr("pinsync.house.Store.read", closed)
        monkeypatch.setattr(DaemonClient, "find", shut)
        yield at


def test_an_outsider_sees_the_counts_and_is_told_that_it_is_all(outsider: Home) -> None:
    ran = outsider.run("status")
    assert ran.code == 0, ran.out
    assert "In sync" in ran.out and "every user may see" in ran.out
    report = outsider.run("status", "--json").json()
    assert report["verdict"] == "in-sync" and report["summary_at"]
    assert report["remotes"][0]["pinned"] == report["remotes"][0]["wanted"] == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to any group")
@pytest.mark.parametrize(
    ("socket", "directory", "group"),
    [
        ((0o660, "daemon"), (0o700, "root"), "daemon"),
        ((0o600, "root"), (0o750, "mail"), "mail"),  # the group was not there when the socket was made
        ((0o660, "root"), (0o750, "root"), None),
    ],
)
def test_an_outsider_is_told_the_group_that_there_is(
    outsider: Home, socket: tuple[int, str], directory: tuple[int, str], group: str | None
) -> None:
    at = Path(os.environ["RUNTIME_DIRECTORY"], "pinsync.sock")
    at.touch()
    for path, (mode, owner) in ((at, socket), (outsider.ledger.parent, directory)):
        shutil.chown(path, group=owner)
        path.chmod(mode)
    assert outsider.run("status", "--json").json()["group"] == group
    said = outsider.run("status").out
    assert (f"(usermod -aG {group} USER)" in said) if group else ("is for root." in said and "usermod" not in said)


def test_an_outsider_is_told_who_may_ask_about_a_pin(outsider: Home) -> None:
    ran = outsider.run("status", cid(1))
    assert ran.code == 1
    assert "usermod -aG pinsync" in ran.err and cid(1) not in ran.out


def test_an_outsider_without_a_summary_is_told_what_is_closed(outsider: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(os.environ["RUNTIME_DIRECTORY"], "summary.json").unlink()
    ran = outsider.run("status")
    assert ran.code == 1 and "this user may not ask the daemon" in ran.err
