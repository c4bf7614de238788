"""Who sees what, and where the node and the manifest may be."""

from __future__ import annotations

import json

import pytest

from tests.systemd.scene import HOME_UNITS, RUN, SERVICE, STATE, Scene
from tests.unit.service_kit import cid

pytestmark = [pytest.mark.systemd, pytest.mark.usefixtures("started")]


def test_everybody_sees_what_is_theirs_to_see(scene: Scene) -> None:
    with scene.step("pinsync status as root"):
        assert scene.ask("status").code == 0
    with scene.step("as bob, a member of the group pinsync"):
        assert scene.ask("status", user="bob").code == 0
        assert "pinned" in scene.ask("status", cid(1), user="bob", most=6).out
        assert scene.ask("sync", user="bob", most=4).code == 0
    with scene.step("as alice, who is no member"):
        seen = scene.ask("status", user="alice")
        assert seen.code == 0
        assert "In sync" in seen.out and "every user may see" in seen.out
        of_one = scene.ask("status", cid(1), user="alice")
        assert of_one.code == 1 and "usermod -aG pinsync" in of_one.err
        assert scene.ask("sync", user="alice").code == 1
    with scene.step("what lies where"):
        listed = scene.transcript.show(scene.run("ls", "-ld", RUN, f"{RUN}/pinsync.sock", f"{RUN}/summary.json", STATE))
        modes = [line.split()[0] + " " + " ".join(line.split()[2:4]) for line in listed.out.splitlines()]
        assert modes == [
            "drwxr-xr-x pinsync pinsync", "srw-rw---- pinsync pinsync", "-rw-r--r-- pinsync pinsync",
            "drwxr-x--- pinsync pinsync",
        ]  # fmt: skip
        scene.transcript.show(scene.run("ls", "-l", STATE))
        summary = json.dumps(scene.summary())
        assert not [one for one in (*scene.there(), *scene.node_pins, scene.token, STATE, "12D3") if one in summary]


@pytest.mark.parametrize("closed", [[], ["/etc/pinsync"], ["/etc/pinsync/pins.toml", "/etc/pinsync/nested"]])
def test_whatever_somebody_may_not_is_said_in_words(scene: Scene, closed: list[str]) -> None:
    with scene.step(f"every command by alice; closed to her: {', '.join([STATE, *closed])}"):
        scene.run("mkdir", "-p", "/etc/pinsync/nested")
        modes = {path: scene.run("stat", "-c", "%a", path).out for path in closed}
        for path in closed:
            scene.run("chgrp", "pinsync", path)  # open to the service
            scene.run("chmod", "o-rwx", path)
        for command in (
            "status", "status --json", f"status {cid(1)}", "plan", "plan -v", "ls", "check", "history",
            f"history {cid(1)}", "doctor", "service show", "service uninstall --dry-run", "service install --dry-run",
            "service install --user --dry-run", "sync", "approve --all", "adopt --all", "retry --failed", "pause",
            "resume", f"disown {cid(1)}", f"manifest add {cid(1)}", "notify", "notify --test",
        ):  # fmt: skip
            ran = scene.ask(*command.split(), user="alice", most=5)
            assert "bug" not in ran.text and "Traceback" not in ran.text, ran.text
            assert ran.code in (0, 1, 2), ran.text
            assert "is not there" not in ran.text, "what is closed may well be there"
        for path, mode in modes.items():
            scene.run("chmod", mode, path)
            scene.run("chgrp", "root", path)
        scene.run("rmdir", "/etc/pinsync/nested")


def test_members_read_the_ledger_of_a_daemon_that_is_gone(scene: Scene) -> None:
    with scene.step("status while the service is stopped, and after kill -9 without a restart"):
        scene.run("systemctl", "stop", "pinsync")
        assert scene.ask("status", user="bob", most=3).code == 0
        gone = scene.ask("status", user="alice")
        assert gone.code == 1 and "no daemon answers" in gone.err
        scene.drop_in("dead", "[Service]\nRestart=no\n")
        scene.run("systemctl", "start", "pinsync")
        scene.settled()
        scene.run("kill", "-9", str(scene.pid))
        scene.until(lambda: scene.shown("ActiveState") == "failed", "the end")
        assert scene.ask("status", user="bob", most=3).code == 0
        scene.drop_in("dead", None)
        scene.run("systemctl", "start", "pinsync")
        scene.settled()


def test_a_pass_that_root_makes_leaves_the_state_to_the_service(scene: Scene) -> None:
    with scene.step("no state yet, and root makes a pass before the service is started"):
        before = sorted(scene.there())
        scene.run("systemctl", "stop", "pinsync")
        scene.run("sh", "-c", f"mkdir /root/aside && mv {STATE}/* /root/aside")
        scene.run("pinsync", "sync", check=False, env={"PINSYNC_TOKEN_NFTSTORAGE": scene.token})
        scene.transcript.show(scene.run("ls", "-l", STATE))
        scene.run("systemctl", "start", "pinsync")
        scene.settled()
        assert sorted(scene.there()) == before
        scene.run("systemctl", "stop", "pinsync")
        scene.run("sh", "-c", f"rm {STATE}/* && mv /root/aside/* {STATE} && rmdir /root/aside")
        scene.run("systemctl", "start", "pinsync")
        scene.settled()


def test_the_summary_has_the_verdict_of_the_moment(scene: Scene) -> None:
    with scene.step("the node is stopped: alice sees that something is wrong, by the exit code too"):
        scene.run("systemctl", "stop", "ipfs")
        scene.run("systemctl", "reload", "pinsync")
        scene.settled("failing")
        assert scene.ask("status", user="alice", most=6).code == 1
        scene.run("systemctl", "start", "ipfs")
        scene.settled()


def test_a_node_on_a_unix_socket(scene: Scene) -> None:
    with scene.step("Kubo's API on a Unix socket of its user, by examples/kubo-unix-socket.conf"):
        scene.transcript.show(scene.run("ls", "-l", "/run/ipfs"))
        scene.drop_in("kubo", (scene.project / "systemd/examples/kubo-unix-socket.conf").read_text())
        scene.configure(kubo="/unix/run/ipfs/api.sock")
        scene.run("systemctl", "restart", "pinsync")
        scene.node_pins.append(scene.pin("by the socket"))
        scene.run("systemctl", "reload", "pinsync")
        scene.mirrored(1, 2)
        scene.settled()
        scene.ask("status", most=6)
    with scene.step("and back to TCP"):
        scene.drop_in("kubo", None)
        scene.configure()
        scene.run("systemctl", "restart", "pinsync")
        scene.settled()


def test_a_manifest_in_somebody_s_home(scene: Scene) -> None:
    with scene.step("alice's own directory with the manifest, by examples/home.conf"):
        scene.manifest(1, 2, 4, path="/home/alice/pins/pins.toml")
        scene.run("chmod", "0700", "/home/alice")
        scene.drop_in("home", (scene.project / "systemd/examples/home.conf").read_text())
        scene.configure(manifest="/home/alice/pins/pins.toml")
        scene.run("systemctl", "restart", "pinsync")
        scene.mirrored(1, 2, 4)
        scene.manifest(1, 2, path="/home/alice/pins/pins.toml")  # noticed there too
        scene.mirrored(1, 2)
        scene.configure()
        scene.drop_in("home", None)
        scene.run("systemctl", "restart", "pinsync")
        scene.settled()


def test_the_unit_of_a_user(scene: Scene) -> None:
    put, own = scene.put, "alice:alice"
    with scene.step("alice's own service, by the user's unit"):
        emulator = "/opt/pinsync/bin/pinsync emulator --port 5056 --settle 0s --token hers"
        put(f"{HOME_UNITS}/emulator.service", f"[Service]\nExecStart={emulator}\n", owner=own)
        config = f'[[remote]]\nname = "hers"\nendpoint = "{SERVICE.replace("5055", "5056")}"\ntoken_file = "token"\n'
        put("/home/alice/.config/pinsync/config.toml", config, owner=own)
        put("/home/alice/.config/pinsync/token", "hers\n", 0o600, own)
        scene.manager("systemctl", "--user", "daemon-reload")
        scene.manager("systemctl", "--user", "start", "emulator")
        scene.transcript.show(scene.manager("systemctl", "--user", "enable", "--now", "pinsync"), who="alice")

        def in_sync() -> bool:
            return scene.run("pinsync", "status", user="alice", check=False).code == 0

        scene.until(in_sync, "alice's mirror")
        assert "hers" in scene.ask("status", user="alice").out
        scene.manager("systemctl", "--user", "stop", "pinsync", "emulator")
        scene.run("rm", "-rf", "/home/alice/.config/pinsync", "/home/alice/.local/state")
