"""The service from its start on: pins follow, it reloads, it comes back from everything, it stops."""

from __future__ import annotations

import time

import pytest

from tests.systemd.scene import DROPINS, HOME_UNITS, UNIT, Scene

pytestmark = pytest.mark.systemd

EXAMPLES = ("kubo-unix-socket", "home", "second-remote")

# How a test makes the daemon hang: Python imports this module by itself, and a signal then holds up the loop for good.
HANG = """
import signal, time
signal.signal(signal.SIGUSR1, lambda number, frame: time.sleep(3600))
"""
WATCHED = "[Service]\nWatchdogSec=2s\nTimeoutAbortSec=1s\nEnvironment=PYTHONPATH=/opt/hang\n"


def test_the_units_are_clean_and_hardened(scene: Scene) -> None:
    show = scene.transcript.show
    with scene.step("systemd-analyze verify and security"):
        show(scene.run("systemd-analyze", "verify", "--recursive-errors=no", f"/etc/systemd/system/{UNIT}"))
        for name in EXAMPLES:
            example = (scene.project / f"systemd/examples/{name}.conf").read_text()
            scene.put(f"{DROPINS}/example.conf", example)
            said = scene.run("systemd-analyze", "verify", "--recursive-errors=no", f"/etc/systemd/system/{UNIT}")
            assert said.text == "", name
        scene.drop_in("example", None)
        security = ("systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=11")
        said = scene.run(*security, f"/etc/systemd/system/{UNIT}")
        scene.tell(f"root$ {said.command}", said.out.splitlines()[-1])
    with scene.step("the user's unit"):
        said = scene.manager("systemd-analyze", "--user", "verify", f"{HOME_UNITS}/pinsync.service")
        assert show(said, who="alice").text == ""


def test_it_starts_and_pins_arrive(scene: Scene) -> None:
    with scene.step("systemctl enable --now pinsync: pins arrive"):
        scene.run("systemctl", "daemon-reload")
        scene.transcript.show(scene.run("systemctl", "enable", "--now", "pinsync"))
        scene.mirrored(1, 2)
        scene.settled()
        scene.tell(f"{len(scene.there())} pins at the service: the node's and the manifest's")
        scene.transcript.show(scene.run("systemctl", "status", "--no-pager", "--lines=0", "pinsync"), most=6)


def test_an_edited_manifest_is_followed(scene: Scene) -> None:
    pid = scene.pid
    with scene.step("the manifest is edited: one entry more, one less"):
        scene.manifest(1, 3)
        scene.mirrored(1, 3)
    assert scene.pid == pid


def test_a_reload_reads_everything_again(scene: Scene) -> None:
    pid, told = scene.pid, len(scene.journal())
    with scene.step("a new pin on the node, then systemctl reload pinsync"):
        scene.node_pins.append(scene.pin("one more"))
        scene.transcript.show(scene.run("systemctl", "reload", "pinsync"))
        scene.mirrored(1, 3)
        scene.tell(scene.wait_logged(r"pass \(reload", told)[1])
    assert scene.pid == pid


def test_it_comes_back_after_kill_9_and_converges(scene: Scene) -> None:
    pid, told = scene.pid, len(scene.journal())
    with scene.step("kill -9, and an edit while it is away"):
        scene.run("kill", "-9", str(pid))
        scene.manifest(1, 2)
        scene.reborn(pid)
        scene.mirrored(1, 2)
        scene.settled()
        scene.tell(scene.wait_logged("status=9/KILL", told)[1])
        scene.tell(f"restarts so far: {scene.shown('NRestarts')}; in the unit as installed the pause is 10 s")


@pytest.mark.parametrize(
    ("what", "signal"), [("the process is stopped by SIGSTOP", "STOP"), ("its loop hangs for good", "USR1")]
)
def test_the_watchdog_starts_it_again_when_it_hangs(scene: Scene, what: str, signal: str) -> None:
    assert scene.shown("WatchdogUSec") == "3min"
    scene.put("/opt/hang/sitecustomize.py", HANG)
    scene.drop_in("watched", WATCHED)
    scene.run("systemctl", "restart", "pinsync")
    pid, told = scene.pid, len(scene.journal())
    with scene.step(f"{what} (WatchdogSec=2s for the test)"):
        time.sleep(3)  # well beyond the limit: a daemon that lives is left alone
        assert scene.pid == pid
        scene.run("kill", f"-{signal}", str(pid))
        scene.reborn(pid)
        scene.tell(scene.wait_logged("Watchdog timeout", told)[1])
        if signal == "USR1":
            scene.tell(scene.wait_logged("sitecustomize", told)[1] + "      (where it hung)")
        scene.mirrored(1, 2)
    scene.drop_in("watched", None)
    scene.run("systemctl", "restart", "pinsync")
    scene.settled()


def test_it_stops_quickly_though_the_service_hangs(scene: Scene) -> None:
    with scene.step("systemctl stop in the middle of a pass, while the pinning service does not answer"):
        emulator = scene.shown("MainPID", "emulator")
        scene.run("kill", "-STOP", emulator)
        scene.manifest(1, 2, 3)
        scene.until(lambda: (scene.summary() or {"daemon": {"pass": None}})["daemon"]["pass"], "a pass")
        begun = time.monotonic()
        scene.run("systemctl", "stop", "pinsync")
        took = time.monotonic() - begun
        scene.run("kill", "-CONT", emulator)
        scene.tell(f"stopped in {took:.2f} s, {scene.shown('Result')}")
        assert scene.shown("Result") == "success"
        assert took < 5
        assert scene.run("test", "-e", "/run/pinsync", check=False).code == 1
    with scene.step("systemctl start: what was under way is finished, nothing twice"):
        scene.run("systemctl", "start", "pinsync")
        scene.mirrored(1, 2, 3)
        scene.manifest(1, 2)
        scene.mirrored(1, 2)
