"""The mirror on a real Kubo node, by the commands that people type: to the emulator and to a real pinning service."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pinsync.cid import key_of, text_of
from pinsync.emulator.records import Seed
from pinsync.emulator.server import EmulatorServer
from tests.mirror import cid
from tests.real.kubo import KuboNode
from tests.real.mock_service import MockService

pytestmark = pytest.mark.real

TOKEN = "s3cret-t0ken-nobody-may-see"
ROOT = Path(__file__).resolve().parents[2]


class Operator:
    """Somebody with a configuration in a directory, who types commands."""

    def __init__(self, home: Path, node: KuboNode, remotes: dict[str, tuple[str, str]], **safety: str) -> None:
        self.home = home
        self.config = home / "config.toml"
        settings = "".join(f"{key} = {value}\n" for key, value in safety.items())
        text = f'[kubo]\napi = "{node.api_url}"\nretry_for = "0s"\n[safety]\n{settings}'
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT / "daemon"), "PYTHONUNBUFFERED": "1",
        }  # fmt: skip
        for name, (url, token) in remotes.items():
            text += f'[[remote]]\nname = "{name}"\nendpoint = "{url}"\nrate = ""\nretry_for = "1s"\n'
            self.env[f"PINSYNC_TOKEN_{name.upper()}"] = token
        self.config.write_text(text)

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "pinsync", "--config", str(self.config), *words]
        return subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __call__(self, *words: str, exits: int) -> dict[str, Any]:
        with self.start(*words, "--json") as process:
            out, err = process.communicate(timeout=100)
        assert process.returncode == exits, f"{words}: exit {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in err
        assert TOKEN not in out + err
        answer: dict[str, Any] = json.loads(out)
        assert answer["format"] == 1
        return answer

    def edit(self, old: str, new: str) -> None:
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new))


def did(answer: dict[str, Any], remote: int = 0) -> dict[str, int]:
    line = answer["remotes"][remote]
    kinds = ("added", "updated", "removed", "retried", "refused", "waiting", "held")
    return {kind: line[kind] for kind in kinds if line[kind]}


def held_by(server: EmulatorServer) -> list[str]:
    return sorted(pin.cid for pin in server.emulator.pins())


def test_a_thousand_pins_to_two_services_and_everything_that_follows(
    tmp_path: Path, kubo_node: KuboNode, mock_service: MockService
) -> None:
    cids = kubo_node.add_pins(1000)
    foreign = cid("somebody else's")
    mock_service.post(cid=foreign, name="theirs")
    with EmulatorServer("nft.storage", token=TOKEN) as server:
        server.emulator.become(settle=0.0, list_lag=0.0)
        server.emulator.seed_pins([Seed(foreign, name="theirs")])
        remotes = {"nft": (server.url, TOKEN), "mock": (mock_service.url, mock_service.token)}
        pinsync = Operator(tmp_path, kubo_node, remotes, grace='"1h"')

        plan = pinsync("plan", exits=3)
        assert [len(remote["actions"]) for remote in plan["remotes"]] == [1000, 1000]
        assert server.emulator.mutations == 0

        first = pinsync("sync", exits=3)  # the mock leaves pins queued
        assert [did(first, n) for n in (0, 1)] == [{"added": 1000}, {"added": 1000}]
        assert held_by(server) == sorted([*cids, foreign])
        assert sorted(pin["pin"]["cid"] for pin in mock_service.pins()) == sorted([*cids, foreign])

        sent = server.emulator.mutations, sum(method != "GET" for method, *_ in mock_service.requests())
        second = pinsync("sync", exits=3)
        assert [did(second, n) for n in (0, 1)] == [{}, {}]
        assert (server.emulator.mutations, sum(method != "GET" for method, *_ in mock_service.requests())) == sent

        status = pinsync("status", exits=3)
        nft, mock = status["remotes"]
        assert (nft["wanted"], nft["pinned"], nft["foreign"]) == (1000, 1000, 1)
        assert (mock["wanted"], mock["queued"], mock["foreign"]) == (1000, 1000, 1)
        listed = pinsync("ls", "--remote", "nft", exits=0)
        assert (len(listed["pins"]), listed["complete"]) == (1001, True)
        assert [pin["cid"] for pin in listed["pins"] if not pin["ours"]] == [foreign]

        kubo_node.unpin(cids[0])
        assert did(pinsync("sync", exits=3)) == {"waiting": 1}
        assert cids[0] in held_by(server)
        pinsync.edit('"1h"', '"0s"')
        gone = pinsync("sync", exits=3)
        assert [did(gone, n) for n in (0, 1)] == [{"removed": 1}, {"removed": 1}]
        assert held_by(server) == sorted([*cids[1:], foreign])
        assert sorted(pin["pin"]["cid"] for pin in mock_service.pins()) == sorted([*cids[1:], foreign])

        kubo_node.stop()
        away = pinsync("sync", exits=1)
        assert [did(away, n) for n in (0, 1)] == [{}, {}]
        assert away["errors"][0]["where"].startswith("node")
        assert len(held_by(server)) == 1000
        assert pinsync("status", exits=1)["verdict"] == "failing"


def test_kill_9_in_the_middle_of_a_first_mirror_leaves_no_duplicate(tmp_path: Path, kubo_node: KuboNode) -> None:
    cids = kubo_node.add_pins(300)
    with EmulatorServer("spec", token=TOKEN) as server:  # every POST makes a new pin: a duplicate would show
        server.emulator.become(settle=0.0, latency=0.01)
        pinsync = Operator(tmp_path, kubo_node, {"spec": (server.url, TOKEN)})
        for enough in (40, 120, 200):
            process = pinsync.start("sync")
            wait_until(lambda enough=enough: server.emulator.mutations >= enough)  # type: ignore[misc]
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=20)
        pinsync("sync", exits=0)
        assert held_by(server) == sorted(cids)
        assert did(pinsync("sync", exits=0)) == {}


def test_sigterm_in_the_middle_ends_it_and_the_next_pass_goes_on(tmp_path: Path, kubo_node: KuboNode) -> None:
    cids = kubo_node.add_pins(300)
    with EmulatorServer("nft.storage", token=TOKEN) as server:
        server.emulator.become(settle=0.0, list_lag=0.0, latency=0.05)
        pinsync = Operator(tmp_path, kubo_node, {"nft": (server.url, TOKEN)})
        process = pinsync.start("sync")
        wait_until(lambda: server.emulator.mutations >= 50)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert time.monotonic() - begun < 5
        assert server.emulator.mutations < 300
        server.emulator.become(latency=0.0)
        pinsync("sync", exits=0)
        assert held_by(server) == sorted(cids)


def test_a_node_that_is_stopped_in_the_middle_of_its_list_removes_nothing(tmp_path: Path, kubo_node: KuboNode) -> None:
    kubo_node.add_pins(3000)
    with EmulatorServer("nft.storage", token=TOKEN) as server:
        server.emulator.become(settle=0.0, list_lag=0.0)
        pinsync = Operator(tmp_path, kubo_node, {"nft": (server.url, TOKEN)}, grace='"0s"', max_removals="100000",
                           max_removal_share="100")  # fmt: skip
        pinsync("sync", exits=0)
        everything = held_by(server)
        seen = len(server.emulator.requests)
        process = pinsync.start("sync", "--json")
        wait_until(lambda: len(server.emulator.requests) > seen)  # the remote is being listed, so the node is too
        kubo_node.kill()
        out, _ = process.communicate(timeout=60)
        assert held_by(server) == everything
        assert did(json.loads(out)) == {}
        kubo_node.start()
        pinsync.edit(pinsync.config.read_text().split('"')[1], kubo_node.api_url)
        pinsync("sync", exits=0)
        assert held_by(server) == everything


def test_versions_of_one_cid_are_one_pin(tmp_path: Path, kubo_node: KuboNode) -> None:
    old = kubo_node.rpc("add", files={"file": ("f", b"some content" * 20)}, **{"cid-version": "0"}).json()["Hash"]
    assert old.startswith("Qm")
    with EmulatorServer("nft.storage", token=TOKEN) as server:
        server.emulator.become(settle=0.0, list_lag=0.0)
        pinsync = Operator(tmp_path, kubo_node, {"nft": (server.url, TOKEN)}, grace='"0s"')
        pinsync("sync", exits=0)
        assert held_by(server) == [old], "requests carry the source's spelling"
        (tmp_path / "pins.toml").write_text(f'[[pin]]\ncid = "{text_of(key_of(old))}"\nname = "by manifest"\n')
        pinsync("sync", exits=0)
        (pin,) = server.emulator.pins()
        assert (pin.cid, pin.name) == (old, "by manifest")


def wait_until(ready: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.005)
