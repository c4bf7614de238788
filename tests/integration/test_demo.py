"""`pinsync demo`: it ends by itself, what it claims is so, and nothing of it or of the visitor's is left or changed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pinsync.emulator.kubo import KuboStandIn
from tests.unit.cli_process import environment, on_terminal, piped
from tests.unit.emulator_kit import cid


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "ipfs").mkdir()
    (tmp_path / "ipfs" / "api").write_text("/ip4/127.0.0.1/tcp/9")  # a node that was killed
    return environment(tmp_path, TMPDIR=str(tmp_path / "tmp"), IPFS_PATH=str(tmp_path / "ipfs"))


@pytest.fixture
def visitors(tmp_path: Path, env: dict[str, str]) -> Iterator[KuboStandIn]:
    """The visitor's node, with more pins than the demo takes."""
    with KuboStandIn({cid(n): f"mine {n}" for n in range(60)}) as node:
        (tmp_path / "ipfs" / "api").write_text(node.url)
        yield node


def test_it_tells_its_story_and_ends_well(env: dict[str, str], tmp_path: Path) -> None:
    begun = time.monotonic()
    ran = piped(env, "demo")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert time.monotonic() - begun < 20
    scenes = ["What is there", "stand-in", "[[pin]]", "$ pinsync sync", "Done: 74 added", "An edit", "$ pinsync plan",
              "1 to add, 1 to update, 1 removal waits for grace.", "Done: 1 added and 1 updated", "held back",
              "$ pinsync status", "1 removal waits out the grace", "config.example.toml", "pinsync run"]  # fmt: skip
    places = [ran.stdout.find(scene) for scene in scenes]
    assert -1 not in places, scenes[places.index(-1)]
    assert places == sorted(places)
    assert "\x1b" not in ran.stdout
    assert list((tmp_path / "tmp").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ipfs", "tmp"]


def test_what_it_claims_is_what_happened(env: dict[str, str]) -> None:
    found = json.loads(piped(env, "demo", "--json").stdout)
    assert found["format"] == 1
    assert found["first"]["remotes"][0]["added"] == 74
    actions = found["plan"]["remotes"][0]["actions"]
    assert [(one["kind"], one["state"]) for one in actions] == [("add", "do"), ("update", "do"), ("remove", "waiting")]
    [second] = found["second"]["remotes"]
    assert (second["added"], second["updated"], second["removed"], second["waiting"]) == (1, 1, 0, 1)
    [remote] = found["status"]["remotes"]
    assert (remote["wanted"], remote["pinned"], remote["waiting_removal"]) == (74, 74, 1)


def test_the_visitors_node_is_only_read_and_its_first_fifty_pins_are_taken(
    env: dict[str, str], visitors: KuboStandIn
) -> None:
    before = dict(visitors.pins)
    ran = piped(env, "demo", "--json")
    assert ran.returncode == 0
    assert "the first 50 of its pins" in ran.stderr
    assert "Nothing on it is changed" in ran.stderr
    assert visitors.url in ran.stderr
    assert json.loads(ran.stdout)["first"]["remotes"][0]["added"] == 50 + 62
    assert set(visitors.calls) <= {"id", "version", "pin/ls"}
    assert visitors.pins == before


def test_on_a_terminal_it_shows_progress_and_stays_below_twenty_seconds(env: dict[str, str], tmp_path: Path) -> None:
    begun = time.monotonic()
    code, shown = on_terminal(env, "demo")
    assert code == 0
    assert time.monotonic() - begun < 20
    assert "mirroring to nftstorage" in shown
    assert list((tmp_path / "tmp").iterdir()) == []
