"""A doubt that waits for a person is told wherever one looks, though there is nothing to remove yet."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pinsync.service.news import matters
from pinsync.service.summary import public, read
from pinsync.status import exit_code
from tests.mirror import Mirror
from tests.unit.cli_kit import Home, home
from tests.unit.service_kit import FakeNode, Rig, cid

OTHER = "12D3KooWAnotherNodeWithTheSamePins"


@pytest.fixture
def doubted(tmp_path: Path) -> Mirror:
    """In sync, and then another node with the same pins answers."""
    mirror = Mirror(tmp_path)
    mirror.pin("a", "b")
    mirror.sync()
    assert mirror.sync().exit_code() == 0
    mirror.node.peer_id = OTHER
    return mirror


@pytest.fixture
def at(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    with home(tmp_path, capsys, monkeypatch, {cid(1): "", cid(2): ""}) as made:
        yield made


def test_it_is_held_until_a_person_releases_it(doubted: Mirror) -> None:
    assert doubted.plan()[0].exit_code() == 4
    report = doubted.sync()
    assert (doubted.done(report), report.exit_code()) == ({}, 4)
    assert doubted.sync().exit_code() == 4, "and in a pass that finds nothing changed"
    assert (doubted.status()["verdict"], exit_code(doubted.status())) == ("held", 4)
    doubted.release()
    assert doubted.sync().exit_code() == 0
    assert doubted.status()["verdict"] == "in-sync"


def test_it_is_over_when_the_node_is_back(doubted: Mirror) -> None:
    doubted.sync()
    doubted.node.peer_id = "12D3KooWMadeNode"
    assert doubted.sync().exit_code() == 0
    assert doubted.status()["verdict"] == "in-sync"


def test_it_is_news(doubted: Mirror) -> None:
    assert list(matters(doubted.status())) == []
    doubted.sync()
    [one] = matters(doubted.status())
    assert (one.part, one.what) == ("mirror", "held")
    assert OTHER in one.why
    assert "pinsync approve" in one.meaning


def test_commands_name_it_and_exit_4(at: Home) -> None:
    at.run("sync")
    assert at.run("status").code == 0
    at.node.peer_id = OTHER
    planned = at.run("plan")
    assert planned.code == 4
    assert planned.out.startswith("1 doubt waits for your word.")
    assert OTHER in planned.out
    synced = at.run("sync")
    assert synced.code == 4
    assert "nothing is removed while 1 doubt waits for your word" in synced.out
    assert OTHER in synced.out
    assert OTHER in at.run("plan", "--json").json()["doubts"][0]["reason"]
    seen = at.run("status")
    assert seen.code == 4
    assert seen.out.startswith("Held: nothing is removed while 1 doubt waits for your word")
    assert at.run("approve", "--all").code == 0
    assert at.run("sync").code == 0
    assert at.run("status").code == 0


def test_the_daemons_log_names_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeNode() as node, Rig(tmp_path) as rig:
        node.pins = {cid(1): ""}
        rig.pins.write_text("")
        rig.configure(kubo=f'api = "{node.url}"')
        rig.start()
        monkeypatch.setattr(FakeNode, "PEER", OTHER)
        assert rig.client.sync()[1] == 4
        assert rig.client.sync()[1] == 4
        assert rig.log.count("WARNING: held for a person: node 'kubo'") == 1
        assert rig.client.status()["verdict"] == "held"


def test_every_user_sees_that_it_is_held_and_not_what(doubted: Mirror, tmp_path: Path) -> None:
    doubted.sync()
    report = {**doubted.status(), "daemon": {"running": True, "pid": os.getpid(), "pass": None}}
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(public(report, now=doubted.clock.now(), every=900.0)))
    found = read(path, doubted.clock.now())
    assert found is not None
    assert found["verdict"] == "held"
    assert OTHER not in path.read_text()
