"""A configuration that cannot be used any more locks nobody out of the daemon that goes on with the last good one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pinsync.cli.main import main
from pinsync.service.client import DaemonClient
from pinsync.settings.stand_in import stand_in
from tests.unit.cli_kit import Ran
from tests.unit.service_kit import Rig, cid, manifest, save, until

Run = Callable[..., Ran]


def daemon(rig: Rig) -> DaemonClient:
    return DaemonClient(rig.directory / "state/pinsync.sock")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A daemon that mirrors, whose configuration somebody has broken since."""
    with Rig(tmp_path) as made:
        made.pins.write_text(manifest(1))
        made.start()
        save(made.config, made.config.read_text().replace("[schedule]", "[schedule\nevery = = 5"))
        yield made


@pytest.fixture
def run(rig: Rig, capsys: pytest.CaptureFixture[str]) -> Run:
    def ran(*args: str) -> Ran:
        capsys.readouterr()
        code = main(["--config", str(rig.config), *args])
        return Ran(code, *capsys.readouterr())

    return ran


def test_status_shows_what_the_daemon_says_and_what_is_wrong(run: Run) -> None:
    seen = run("status")
    assert seen.code == 2
    assert seen.out.startswith("In sync")
    assert "the daemon goes on with the last good one" in seen.out
    assert "config.toml" in seen.err
    found = run("status", "--json")
    assert found.code == 2
    assert found.json()["verdict"] == "in-sync"
    assert "not valid TOML" in found.json()["daemon"]["config_error"]
    assert "not valid TOML" in found.json()["errors"][0]["message"]
    assert run("status", cid(1)).code == 2


def test_it_can_be_paused_and_resumed(run: Run, rig: Rig) -> None:
    paused = run("pause", "--for", "2h", "--reason", "mending config.toml")
    assert paused.code == 0
    assert "the daemon was asked, which has the last good one" in paused.err
    assert daemon(rig).status()["verdict"] == "held"
    assert run("resume").code == 0
    until(lambda: daemon(rig).status()["verdict"] == "in-sync")


def test_history_retry_and_sync_ask_it_too(run: Run) -> None:
    assert json.loads(run("history", "--json").out)["passes"]
    assert run("retry", "--failed").code == 0
    synced = run("sync")
    assert synced.code == 2, "it did what it could, by the last good configuration"
    assert "everything is as it should be" in synced.out


def test_without_a_daemon_the_error_is_all_there_is(run: Run, rig: Rig) -> None:
    rig.stop()
    for command in ("status", "pause", "history"):
        ran = run(command)
        assert (ran.code, ran.out) == (2, "")
        assert "not valid TOML" in ran.err


def test_a_daemon_of_another_configuration_is_not_taken_for_ours(
    rig: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(rig.config.read_text())
    assert main(["--config", str(other), "pause"]) == 2
    assert daemon(rig).status()["paused"] == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[state]\npath = "here/a.db"\n[broken', "here/a.db"),
        ("[kubo\n[state]\n# a comment\n  path='b.db' # why\n[[remote]]\npath = 'no'\n", "b.db"),
        ('unknown = 1\n[ state ]\npath = "/srv/c.db"', "/srv/c.db"),
        ('[kubo]\npath = "no.db"\n', "home/pinsync/pinsync.db"),
        ("\0", "home/pinsync/pinsync.db"),
    ],
)
def test_the_place_of_the_state_is_read_from_what_is_no_toml(tmp_path: Path, text: str, place: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text(text)
    found = stand_in(config, {"XDG_STATE_HOME": str(tmp_path / "home")})
    assert found is not None
    assert found.state.path == tmp_path / place
