"""Tokens that are missing or change, a socket that cannot be had, and what the journal shows of all that."""

from __future__ import annotations

import json
import time

import pytest

from tests.systemd.scene import RUN, STATE, UNIT, Scene

pytestmark = [pytest.mark.systemd, pytest.mark.usefixtures("started")]
TOKEN_FILE = "/etc/pinsync/nftstorage.token"

LISTEN = """
import socket, sys, time
sock = socket.socket(socket.AF_UNIX)
sock.bind(sys.argv[1])
sock.listen()
time.sleep(600)
"""


def no_storm(scene: Scene) -> None:
    """It has failed, and is not tried again."""
    scene.until(lambda: scene.shown("ActiveState") == "failed", "a failed service")
    before = scene.shown("NRestarts")
    time.sleep(1.5)  # five times the pause between restarts here
    assert (scene.shown("ActiveState"), scene.shown("NRestarts")) == ("failed", before)
    scene.tell(f"state {scene.shown('ActiveState')}, exit status {scene.shown('ExecMainStatus')}, not tried again")


def test_a_token_that_is_missing_or_empty(scene: Scene) -> None:
    for what in ("missing", "empty"):
        told = len(scene.journal())
        with scene.step(f"the token's file is {what}"):
            scene.run("rm", TOKEN_FILE) if what == "missing" else scene.put(TOKEN_FILE, "\n", 0o600)
            said = scene.run("systemctl", "restart", "pinsync", check=False)
            assert said.code != 0
            priority, line = scene.wait_logged("nftstorage.token is empty", told)
            assert priority == 3
            scene.tell(f"<{priority}> {line}")
            no_storm(scene)
    told = len(scene.journal())
    with scene.step("a second credential without a stand-in, whose file is missing"):
        scene.put(TOKEN_FILE, f"{scene.token}\n", 0o600)
        scene.drop_in("second", "[Service]\nLoadCredential=other.token:/etc/pinsync/other.token\n")
        assert scene.run("systemctl", "restart", "pinsync", check=False).code != 0
        no_storm(scene)
        scene.drop_in("second", None)
    with scene.step("the token is there: systemctl restart"):
        scene.run("systemctl", "restart", "pinsync")
        scene.settled()


def test_a_token_is_rotated_with_load_credential(scene: Scene) -> None:
    pid, told = scene.pid, len(scene.journal())
    with scene.step("another token at the service; the credential is a copy from the start, so by restart"):
        scene.token = "second-token-that-nobody-may-see"
        scene.secrets.append(scene.token)
        scene.pinning_service()
        scene.put(TOKEN_FILE, f"{scene.token}\n", 0o600)
        scene.run("systemctl", "reload", "pinsync")
        scene.settled("failing")
        scene.tell("after systemctl reload: " + scene.wait_logged("nftstorage: .*401", told)[1])
        assert scene.pid == pid
        scene.run("systemctl", "restart", "pinsync")
        scene.settled()
        scene.tell("after systemctl restart: in sync")


def test_a_token_is_rotated_with_a_token_file(scene: Scene) -> None:
    path = "/etc/pinsync/service.token"
    with scene.step("token_file, a file that the group pinsync may read"):
        scene.put(path, f"{scene.token}\n", 0o640, "root:pinsync")
        scene.configure(token_file="service.token")
        scene.run("systemctl", "reload", "pinsync")
        scene.settled()
    pid, told = scene.pid, len(scene.journal())
    with scene.step("rotated: the file is written anew, nothing is restarted"):
        scene.token = "third-token-that-nobody-may-see"
        scene.secrets.append(scene.token)
        scene.pinning_service()
        scene.run("systemctl", "reload", "pinsync")
        scene.settled("failing")
        scene.put(path, f"{scene.token}\n", 0o640, "root:pinsync")
        scene.run("systemctl", "reload", "pinsync")
        scene.settled()
        assert scene.pid == pid
    with scene.step("modes: a file that everybody may read is warned of, one that the daemon may not read is refused"):
        scene.run("chmod", "0644", path)
        scene.run("systemctl", "reload", "pinsync")
        priority, line = scene.wait_logged("every user of this machine can read", told)
        scene.tell(f"<{priority}> {line}")
        assert priority == 4
        scene.run("chmod", "0600", path)
        scene.run("systemctl", "reload", "pinsync")
        priority, line = scene.wait_logged("may not be read by this user", told)
        scene.tell(f"<{priority}> {line}")
        assert priority == 3 and scene.pid == pid
    scene.put("/etc/pinsync/nftstorage.token", f"{scene.token}\n", 0o600)
    scene.configure()
    scene.run("rm", path)
    scene.run("systemctl", "restart", "pinsync")
    scene.settled()


def test_a_stale_socket_is_replaced(scene: Scene) -> None:
    with scene.step("a socket that kill -9 left behind"):
        scene.drop_in("stale", "[Service]\nRuntimeDirectoryPreserve=yes\n")
        scene.run("systemctl", "restart", "pinsync")
        pid = scene.pid
        scene.run("kill", "-9", str(pid))
        scene.run("test", "-S", f"{RUN}/pinsync.sock")
        scene.reborn(pid)
        assert scene.ask("sync", user="bob", most=2).code == 0
        scene.run("systemctl", "stop", "pinsync")
        scene.drop_in("stale", None)
        scene.run("rm", "-rf", RUN)
        scene.run("systemctl", "start", "pinsync")
        scene.settled()


def test_it_lives_without_its_socket(scene: Scene) -> None:
    for what in ("another program listens on the socket's path", "the runtime directory is full"):
        scene.run("systemctl", "stop", "pinsync")
        told = len(scene.journal())
        scene.run("mkdir", "-p", RUN)
        with scene.step(what):
            if what.startswith("another"):
                scene.run("systemd-run", "--unit=foreign", "/usr/bin/python3", "-c", LISTEN, f"{RUN}/pinsync.sock")
                scene.until(lambda: scene.run("test", "-S", f"{RUN}/pinsync.sock", check=False).code == 0, "it")
            else:
                scene.run("mount", "-t", "tmpfs", "-o", "nr_inodes=1,mode=0755", "full", RUN)
            scene.run("systemctl", "start", "pinsync")
            priority, line = scene.wait_logged("Mirroring goes on", told)
            scene.tell(f"<{priority}> {line}")
            assert priority == 3
            scene.manifest(1, 2, 3)
            scene.mirrored(1, 2, 3)
            scene.manifest(1, 2)
            scene.mirrored(1, 2)
            assert scene.ask("status", most=2).code == 0
            scene.run("systemctl", "stop", "pinsync")
        if what.startswith("another"):
            scene.run("systemctl", "stop", "foreign")
        else:
            scene.run("umount", RUN)
        scene.run("rm", "-rf", RUN)
    scene.run("systemctl", "start", "pinsync")
    scene.settled()


def test_the_journal_has_levels_and_no_token(scene: Scene) -> None:
    with scene.step("the journal: how often each level (3 error, 4 warning, 6 info), and no token anywhere"):
        entries = scene.journal()
        levels = {level: sum(one == level for one, _ in entries) for level in (3, 4, 6)}
        scene.tell(f"{len(entries)} entries: {levels}")
        assert all(levels.values())
        assert not [text for _, text in entries if text.startswith("<")]
        said = [json.loads(line) for line in scene.run("journalctl", "--no-pager", "--output=json").out.splitlines()]
        everything = json.dumps([one for one in said if one.get("_SYSTEMD_UNIT") != "emulator.service"])
        shown = scene.run("systemctl", "show", UNIT).out + scene.run("ps", "auxe").out
        scene.run("grep", "-raqF", "bafkrei", STATE)  # what is looked for in this way below can be found
        for secret in scene.secrets:
            assert secret not in everything
            assert scene.run("grep", "-raqF", "-D", "skip", secret, STATE, RUN, check=False).code == 1
            assert secret not in "\n".join(line for line in shown.splitlines() if "EMULATOR_TOKEN" not in line)
