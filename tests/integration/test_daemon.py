"""The daemon as a process of its own, with real signals; some with a real Kubo node."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pinsync.emulator.profiles import profile
from pinsync.service.client import DaemonClient
from tests.real.child import Child
from tests.real.kubo import KuboNode
from tests.unit.service_kit import Rig, cid, manifest, mode_of, save, until

_RUN = """
import asyncio, os, sys
from pathlib import Path
from pinsync.errors import PinsyncError
from pinsync.service.daemon import run_daemon
from pinsync.service.logs import configure
from pinsync.settings import load

env = dict(os.environ)
try:
    code = asyncio.run(run_daemon(lambda: load(Path(sys.argv[1]), env=env), env, log=configure(env, verbose=True)))
except PinsyncError as error:
    print(error, file=sys.stderr)
    code = error.exit_code
sys.exit(code)
"""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as made:
        made.pins.write_text(manifest(1, 2))
        yield made


class Process:
    """A daemon over a rig's configuration. It dies with the test."""

    def __init__(self, rig: Rig, **env: str) -> None:
        self.rig = rig
        self.log = rig.directory / "daemon.log"
        whole = {**rig.env, "PATH": os.defpath, "PYTHONPATH": os.pathsep.join(sys.path), **env}
        self.child = Child([sys.executable, "-W", "error", "-c", _RUN, rig.config], log=self.log, env=whole)

    def wait(self) -> Process:
        """Until it answers on its socket and has made a pass."""
        self.child.wait_until(lambda: DaemonClient.find(self.rig.load(), self.rig.env))
        self.child.wait_until(lambda: True if self.rig.passes() else None)
        return self

    def send(self, number: signal.Signals) -> None:
        os.kill(self.child.pid, number)

    def ended(self) -> tuple[int | None, float]:
        """Its exit code, and how long it took from now."""
        begun = time.monotonic()
        until(lambda: not self.child.running, "the daemon to end")
        seconds = time.monotonic() - begun
        self.child.kill()  # closes what leads to it
        return self.child._process.returncode, seconds

    def said(self, part: str) -> bool:
        return part in self.log.read_text()


@pytest.fixture
def process(rig: Rig) -> Iterator[Process]:
    made = Process(rig)
    yield made
    made.child.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_exit_code_0(process: Process, number: signal.Signals) -> None:
    process.wait()
    assert process.rig.there() == {cid(1), cid(2)}
    process.send(number)
    code, seconds = process.ended()
    assert code == 0 and seconds < 2
    assert not (process.rig.directory / "state/pinsync.sock").exists()
    assert not process.said("Traceback") and not process.said("Warning")


def test_a_hang_up_reloads(process: Process) -> None:
    process.wait()
    process.send(signal.SIGHUP)
    until(lambda: process.rig.triggers() == ["start", "reload"])


def test_a_second_one_exits_with_6_and_says_who_holds_the_state(process: Process) -> None:
    process.wait()
    second = Process(process.rig)
    assert second.ended()[0] == 6
    assert second.said(f"pinsync run, process {process.child.pid}")
    assert process.child.running


def test_a_wrong_configuration_exits_with_2(rig: Rig) -> None:
    save(rig.config, "[[remote]]\n")
    process = Process(rig)
    assert process.ended()[0] == 2
    assert process.said("config.toml:1") and not process.said("Traceback")


def test_a_token_is_never_said(process: Process) -> None:
    process.wait()
    process.rig.token.write_text("another-token")
    process.rig.emulator.become(closed="maintenance")
    save(process.rig.pins, manifest(1, 2, 3))
    until(lambda: process.said("manifest): failing"))
    assert process.said("GET /pins")
    for secret in ("a-token-that-nobody-may-see", "another-token"):
        assert not process.said(secret)


def test_a_term_in_a_slow_first_mirror_ends_it_soon_and_nothing_is_doubled(tmp_path: Path) -> None:
    with Rig(tmp_path, behaviour=profile("spec", latency=0.3)) as rig:
        rig.pins.write_text(manifest(*range(1, 101)))
        process = Process(rig)
        until(lambda: len(rig.there()) >= 8)
        process.send(signal.SIGTERM)
        code, seconds = process.ended()
        assert code == 0 and seconds < 5
        assert 8 <= len(rig.there()) < 100
        finished(rig, 100)


def test_a_kill_in_a_slow_first_mirror_doubles_nothing(tmp_path: Path) -> None:
    with Rig(tmp_path, behaviour=profile("spec", latency=0.1)) as rig:
        rig.pins.write_text(manifest(*range(1, 101)))
        process = Process(rig)
        until(lambda: len(rig.there()) >= 20)
        process.send(signal.SIGKILL)
        process.ended()
        assert 20 <= len(rig.there()) < 100
        assert (rig.directory / "state/pinsync.sock").exists()  # left behind, and replaced now
        finished(rig, 100)
        assert mode_of(rig.directory / "state") & 0o007 == 0


def finished(rig: Rig, count: int) -> None:
    """A daemon that starts now brings everything there, once."""
    rig.emulator.become(latency=0.0)
    process = Process(rig).wait()
    until(lambda: len(rig.there()) == count)
    assert len(rig.emulator.pins()) == count
    process.send(signal.SIGTERM)
    assert process.ended()[0] == 0


def test_the_service_manager_is_told_of_start_reload_life_and_end(rig: Rig) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(rig.directory / "notify"))
        manager.settimeout(10)
        process = Process(rig, NOTIFY_SOCKET=str(rig.directory / "notify"), WATCHDOG_USEC="400000")
        heard: list[str] = []

        def hear(what: str) -> None:
            while not any(what in message for message in heard):
                heard.append(manager.recv(4096).decode())

        hear("READY=1")
        assert DaemonClient.find(rig.load(), rig.env) is not None
        hear("STATUS=pass (start): in sync")
        process.wait()
        hear("WATCHDOG=1")
        heard.clear()
        process.send(signal.SIGHUP)
        hear("RELOADING=1\nMONOTONIC_USEC=")
        hear("READY=1")
        process.send(signal.SIGTERM)
        hear("STOPPING=1")
        assert process.ended()[0] == 0


@pytest.mark.real
def test_a_real_node_is_mirrored_away_and_back(rig: Rig, kubo_node: KuboNode) -> None:
    cids = set(kubo_node.add_pins(50))
    rig.pins.write_text("")
    rig.every = "1s"
    rig.configure(kubo=f'api = "{kubo_node.api_url}"')
    process = Process(rig).wait()
    assert rig.there() == cids
    kubo_node.stop()
    until(lambda: process.said("ERROR   node kubo"))
    assert rig.there() == cids
    kubo_node.start()
    new = kubo_node.add_bytes(b"made while nobody looked")
    until(lambda: process.said("node kubo: well again"))
    until(lambda: rig.there() == {*cids, new})
    kubo_node.unpin(new)
    until(lambda: rig.there() == cids)  # grace is 0 s in this rig
    process.send(signal.SIGTERM)
    assert process.ended()[0] == 0
