"""The machine with pinsync in it, booted once for all tests of this directory, which go in order."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.real import parts
from tests.systemd import machine
from tests.systemd.scene import DROPINS, HOME_UNITS, QUICK, Scene, Transcript

TRANSCRIPT = machine.PROJECT / "build/systemd-transcript.txt"
BARE_TRANSCRIPT = TRANSCRIPT.with_name("systemd-transcript-setup.txt")
_CACHE = parts.cache_dir()  # before HOME is hidden


@pytest.fixture(scope="session")
def scene(kubo_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A machine in which the steps of docs/install.md were taken by hand, and the service can be started."""
    with _booted(tmp_path_factory.mktemp("machine"), kubo_binary, Transcript(TRANSCRIPT)) as made:
        install(made)
        yield made


@pytest.fixture(scope="module")
def bare(kubo_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Another machine, in which there is the program and nothing else of pinsync."""
    with _booted(tmp_path_factory.mktemp("bare"), kubo_binary, Transcript(BARE_TRANSCRIPT)) as made:
        yield made


@contextmanager
def _booted(directory: Path, kubo: Path, transcript: Transcript) -> Iterator[Scene]:
    """A machine with what people have before: a node, an account at a service; and the program, from the wheel."""
    try:
        machine.check_host()
        layers, wheels = (machine.environment(_CACHE), machine.rootfs(_CACHE)), machine.wheels(_CACHE)
    except parts.MissingError as error:
        pytest.fail(str(error), pytrace=False)
    wheel = _wheel(directory)
    binds = (f"--bind-ro={wheels}:/wheels", f"--bind-ro={wheel.parent}:/new", f"--bind-ro={kubo}:/usr/local/bin/ipfs")
    state = directory / "state"
    state.mkdir()
    with transcript.step("boot a Debian 12 whose process 1 is systemd"):
        booting = machine.Machine(layers, state, *binds)
        booting.__enter__()
    try:
        made = Scene(booting, transcript, _CACHE, wheel)
        transcript.show(booting.run("systemctl", "--version"), most=1)
        transcript.show(booting.run("systemctl", "is-system-running"))
        _before(made)
        yield made
    finally:
        with transcript.step("shut down"):
            booting.__exit__(None, None, None)


@pytest.fixture(scope="module")
def started(scene: Scene) -> None:
    """For tests that may be run without those of the start."""
    if scene.shown("ActiveState") != "active":
        scene.run("systemctl", "daemon-reload")
        scene.run("systemctl", "enable", "--now", "pinsync")
        scene.settled()


def _wheel(directory: Path) -> Path:
    """The wheel that people would install."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, f"--wheel-dir={directory / 'wheel'}", machine.PROJECT], check=True, env=dict(os.environ))
    (wheel,) = (directory / "wheel").glob("pinsync-*.whl")
    return wheel


def _before(scene: Scene) -> None:
    run, show = scene.run, scene.transcript.show
    with scene.step("what was there before: users, a Kubo that belongs to `ipfs`"):
        scene.people()
        scene.kubo()
        scene.tell(f"{len(scene.node_pins)} recursive pins on the node")
    with scene.step("install from the wheel into /opt/pinsync, an environment with the dependencies"):
        pip = ("/opt/pinsync/bin/pip", "install", "--quiet", "--disable-pip-version-check", "--no-index")
        show(run(*pip, "--find-links=/wheels", f"/new/{scene.wheel.name}"))
        run("ln", "-s", "/opt/pinsync/bin/pinsync", "/usr/local/bin/pinsync")
        show(run("pinsync", "--version"))
    with scene.step("an account at a pinning service (the emulator, as NFT.Storage)"):
        scene.pinning_service()


def install(scene: Scene) -> None:
    """The steps of docs/install.md by hand."""
    run, put, show = scene.run, scene.put, scene.transcript.show
    with scene.step("the unit, the user, the configuration, the token"):
        package = run("/opt/pinsync/bin/python", "-c", "from pinsync.service.units import units; print(units())").out
        run("install", "-D", "-m", "0644", f"{package}/pinsync.sysusers", "/usr/lib/sysusers.d/pinsync.conf")
        show(run("systemd-sysusers"))
        run("install", "-m", "0644", f"{package}/pinsync.service", "/etc/systemd/system/pinsync.service")
        scene.configure()
        scene.manifest(1, 2)
        put("/etc/pinsync/nftstorage.token", f"{scene.token}\n", 0o600)
        put(f"{DROPINS}/quick.conf", QUICK)
        run("usermod", "-aG", "pinsync", "bob")
        run("mkdir", "-p", "/home/alice/.local/bin", HOME_UNITS, user="alice")
        run("ln", "-s", "/opt/pinsync/bin/pinsync", "/home/alice/.local/bin/pinsync", user="alice")
        run("cp", f"{package}/user/pinsync.service", f"{HOME_UNITS}/pinsync.service", user="alice")
        show(run("pinsync", "check"))


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for path in (TRANSCRIPT, BARE_TRANSCRIPT):
        if path.exists():
            terminalreporter.section("what was done in the booted systemd")
            terminalreporter.write_line(path.read_text())
