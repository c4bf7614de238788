"""`pinsync service` on a machine that has the program, a node and an account, and nothing else."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from tools.deb import build

from tests.real import parts
from tests.systemd import machine
from tests.systemd.machine import Ran
from tests.systemd.scene import HOME_UNITS, SERVICE, STATE, UNIT, Scene

pytestmark = pytest.mark.systemd
BY_OPTIONS = ("--remote", "nftstorage", "--endpoint", SERVICE)
ETC = "/etc/pinsync"
_CACHE = parts.cache_dir()  # before HOME is hidden

# Types answers on a terminal of its own: (what to wait for, what to type). Prints all that stood there.
TYPE = """
import os, pty, sys, json
waits = json.loads(sys.argv[1])
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
seen = b""
while True:
    try:
        data = os.read(terminal, 4096)
    except OSError:
        break
    if not data:
        break
    seen += data
    sys.stdout.buffer.write(data)
    if waits and waits[0][0].encode() in seen:
        seen = b""
        os.write(terminal, waits.pop(0)[1].encode() + b"\\n")
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def typed(scene: Scene, answers: list[tuple[str, str]], *words: str) -> Ran:
    """A command on a terminal, with somebody who types."""
    ran = scene.run("/usr/bin/python3", "-c", TYPE, json.dumps(answers), *words, check=False)
    shown = Ran(f"{shlex.join(words)}      (on a terminal)", ran.code, ran.out.replace("\r", ""), ran.err)
    return scene.transcript.show(shown, most=60)


def installed(scene: Scene) -> list[str]:
    """Every file of pinsync's but the program, the state and what systemd keeps of a service that runs."""
    ran = scene.run("find", "/etc", "/usr/lib/sysusers.d", "/usr/lib/systemd", "/run/pinsync", "-path", "*pinsync*",
                    "-not", "-type", "d", check=False)  # fmt: skip
    return sorted(ran.out.splitlines())


def told(scene: Scene, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(scene.run("pinsync", "service", *words, "--json", check=False).out)
    return found


def test_a_dry_run_shows_it_and_does_nothing(bare: Scene) -> None:
    with bare.step("pinsync service install --dry-run"):
        assert bare.ask("service", "install", *BY_OPTIONS, "--dry-run", most=40).code == 0
        assert installed(bare) == []
        assert bare.run("id", "pinsync", check=False).code == 1
    with bare.step("pinsync service show, while there is none"):
        assert bare.ask("service", "show").code == 1


def test_it_is_not_for_everybody(bare: Scene) -> None:
    with bare.step("as alice, who is not root"):
        refused = bare.ask("service", "install", *BY_OPTIONS, user="alice")
        assert refused.code == 2 and "needs root" in refused.err
    with bare.step("a program in somebody's home"):
        bare.run("cp", "-r", "/opt/pinsync", "/home/alice/pinsync")
        bare.run("sed", "-i", "1s|.*|#!/home/alice/pinsync/bin/python|", "/home/alice/pinsync/bin/pinsync")
        refused = bare.transcript.show(
            bare.run("/home/alice/pinsync/bin/pinsync", "service", "install", *BY_OPTIONS, check=False)
        )
        assert refused.code == 1 and "below /home" in refused.err
        bare.run("rm", "-r", "/home/alice/pinsync")
        assert installed(bare) == []


def test_one_command_on_a_terminal_and_pins_arrive(bare: Scene) -> None:
    answers = [("[1] ", "4"), ("a URL: ", SERVICE), ("name here [", "nftstorage"), ("token? [Y/n] ", ""),
               ("(not shown): ", bare.token), ("Do this? [y/N] ", "y")]  # fmt: skip
    with bare.step("pinsync service install, with somebody at a terminal"):
        ran = typed(bare, answers, "pinsync", "service", "install")
        assert ran.code == 0
        assert bare.token not in ran.text
        assert f"will lie in {ETC}/nftstorage.token, which root" in ran.out
        assert "In sync" in ran.out
    with bare.step("what is there now"):
        bare.arrive(bare.node_pins)
        listed = bare.transcript.show(bare.run("ls", "-l", ETC, f"/etc/systemd/system/{UNIT}"))
        modes = {line.split()[-1]: " ".join(line.split()[:1] + line.split()[2:4]) for line in listed.out.splitlines()
                 if line.startswith("-")}  # fmt: skip
        assert modes == {
            "config.toml": "-rw-r--r-- root root", "nftstorage.token": "-rw------- root root",
            f"/etc/systemd/system/{UNIT}": "-rw-r--r-- root root",
        }  # fmt: skip
        assert bare.shown("UnitFileState") == "enabled"
        assert bare.ask("service", "show").code == 0
        verified = bare.run("systemd-analyze", "verify", "--recursive-errors=no", f"/etc/systemd/system/{UNIT}")
        assert verified.text == ""


def test_a_second_one_changes_nothing(bare: Scene) -> None:
    pid, before = bare.pid, bare.run("ls", "-l", "--time-style=full-iso", "-R", ETC, "/etc/systemd/system").out
    with bare.step("pinsync service install, again"):
        ran = bare.ask("service", "install")
        assert ran.code == 0 and "Nothing had to be changed" in ran.out
        assert told(bare, "install")["changed"] is False
        assert bare.pid == pid
        assert bare.run("ls", "-l", "--time-style=full-iso", "-R", ETC, "/etc/systemd/system").out == before


def test_a_unit_of_an_older_version_is_replaced(bare: Scene) -> None:
    with bare.step("a unit of another version, a token that others may read; pinsync service install --yes"):
        bare.run("sed", "-i", "s/^WatchdogSec=.*/WatchdogSec=7min/", f"/etc/systemd/system/{UNIT}")
        bare.run("systemctl", "daemon-reload")
        bare.run("chmod", "0644", f"{ETC}/nftstorage.token")
        pid = bare.pid
        assert bare.ask("service", "install").code == 2
        assert bare.pid == pid
        assert bare.ask("service", "install", "--yes", most=30).code == 0
        assert bare.shown("WatchdogUSec") == "3min" and bare.pid != pid
        assert bare.run("stat", "--format=%a", f"{ETC}/nftstorage.token").out == "600"


def test_a_second_remote_gets_its_token_by_a_drop_in(bare: Scene) -> None:
    with bare.step("a second remote in config.toml, its token from standard input"):
        config = bare.run("cat", f"{ETC}/config.toml").out
        bare.put(f"{ETC}/config.toml", f'{config}\n[[remote]]\nname = "second"\nendpoint = "{SERVICE}"\n')
        ran = bare.run(
            "pinsync", "service", "install", "--remote=second", "--token-file=-", text=bare.token, check=False
        )
        bare.transcript.show(ran, most=30)
        assert ran.code == 0
        assert bare.run("stat", "--format=%a %U", f"{ETC}/second.token").out == "600 root"
        bare.transcript.show(bare.run("cat", f"/etc/systemd/system/{UNIT}.d/credentials.conf"))
        assert "second" in bare.ask("status").out


def test_a_token_that_is_not_accepted_is_told_and_another_one_mends_it(bare: Scene) -> None:
    with bare.step("a wrong token for the second remote, then the right one"):
        put = ("pinsync", "service", "install", "--remote=second", "--token-file=-")
        wrong = bare.run(*put, text="a-wrong-one", check=False)
        bare.transcript.show(wrong, most=30)
        assert wrong.code == 1 and "a-wrong-one" not in wrong.text
        assert bare.run(*put, text=bare.token, check=False).code == 0


def test_a_start_that_fails_is_told(bare: Scene) -> None:
    with bare.step("the ledger cannot be written: the start fails, and the next install goes on from there"):
        bare.run("pinsync", "service", "uninstall", "--yes")
        bare.run("mv", STATE, f"{STATE}.kept")
        bare.put(STATE, "a file in the way")
        failed = bare.ask("service", "install", most=40)
        assert failed.code == 1
        assert "systemctl start" in failed.err and "done: write" in failed.err and "uninstall" in failed.err
        bare.run("rm", STATE)
        bare.run("mv", f"{STATE}.kept", STATE)
        assert bare.ask("service", "install", most=40).code == 0
        assert bare.shown("ActiveState") == "active"


def test_uninstall_leaves_nothing_but_the_state(bare: Scene) -> None:
    before = sorted(bare.there())
    with bare.step("pinsync service uninstall"):
        ran = bare.ask("service", "uninstall", most=30)
        assert ran.code == 0
        assert {path for path in installed(bare) if not path.startswith(ETC)} == set()
        assert bare.shown("LoadState") == "not-found"
        assert STATE in ran.out and "--purge" in ran.out
    with bare.step("pinsync service uninstall --purge"):
        assert bare.ask("service", "uninstall", "--purge", most=30).code == 0
        assert installed(bare) == []
        assert bare.run("test", "-e", ETC, check=False).code == 1
        bare.run("test", "-e", f"{STATE}/pinsync.db")
        assert sorted(bare.there()) == before


def test_alices_own(bare: Scene) -> None:
    uid = bare.run("id", "-u", "alice").out

    def as_alice(*words: str, text: str | None = None) -> Ran:
        ran = bare.run("pinsync", "service", *words, user="alice", text=text, check=False,
                       env={"XDG_RUNTIME_DIR": f"/run/user/{uid}"})  # fmt: skip
        return bare.transcript.show(ran, who="alice", most=50)

    with bare.step("without a service manager of hers in reach"):
        bare.put("/home/alice/token", bare.token, 0o600, "alice:alice")
        ran = bare.ask("service", "install", "--user", *BY_OPTIONS, "--token-file=/home/alice/token", user="alice")
        assert ran.code == 1 and "XDG_RUNTIME_DIR" in ran.err
        bare.run("rm", "/home/alice/token")
    with bare.step("pinsync service install --user"):
        ran = as_alice("install", "--user", *BY_OPTIONS, "--token-file=-", text=bare.token)
        assert ran.code == 0 and "In sync" in ran.out
        listed = bare.transcript.show(bare.run("ls", "-la", "/home/alice/.config/pinsync"))
        assert "drwx------ 2 alice alice" in listed.out and listed.out.count("-rw------- 1 alice alice") == 2
        assert as_alice("show", "--user").code == 0
        verified = bare.manager("systemd-analyze", "--user", "verify", f"{HOME_UNITS}/{UNIT}")
        assert verified.text == ""
    with bare.step("again, then uninstall"):
        assert "Nothing had to be changed" in as_alice("install", "--user").out
        assert as_alice("uninstall", "--user", "--purge").code == 0
        left = bare.run("find", "/home/alice", "-path", "*pinsync*", "-not", "-type", "d").out.splitlines()
        assert left and all(path.startswith("/home/alice/.local/state/pinsync/") for path in left)
    everything = bare.run("journalctl", "--no-pager", "--output=json").out
    said = [line for line in everything.splitlines() if "emulator.service" not in line]
    assert bare.token not in "\n".join(said)


def test_the_debian_package(bare: Scene, tmp_path: Path) -> None:
    package = build(bare.wheel, tmp_path, ("--no-index", f"--find-links={machine.wheels(_CACHE)}"))
    with bare.step("dpkg -i pinsync.deb, instead of the environment in /opt"):
        bare.run("rm", "/usr/local/bin/pinsync")
        bare.run("userdel", "pinsync")
        bare.put("/root/pinsync.deb", package.read_bytes())
        bare.transcript.show(bare.run("dpkg", "-i", "/root/pinsync.deb"))
        bare.transcript.show(bare.run("pinsync", "--version"))
        assert bare.run("id", "-un", "pinsync").out == "pinsync"
    with bare.step("pinsync service install, which finds the package's unit"):
        ran = bare.run("pinsync", "service", "install", *BY_OPTIONS, "--token-file=-", text=bare.token, check=False)
        bare.transcript.show(ran, most=40)
        assert ran.code == 0
        assert bare.shown("FragmentPath").endswith("lib/systemd/system/pinsync.service")
        assert not [path for path in installed(bare) if path.startswith("/etc/systemd/system/pinsync")]
        bare.arrive(bare.node_pins)
        assert bare.ask("service", "show").code == 0
        assert "Nothing had to be changed" in bare.ask("service", "install", most=2).out
    with bare.step("dpkg -i over the running one: it is started again"):
        pid = bare.pid
        bare.run("dpkg", "-i", "/root/pinsync.deb")
        assert bare.shown("ActiveState") == "active" and bare.pid != pid
    with bare.step("dpkg --remove, then --purge"):
        bare.transcript.show(bare.run("dpkg", "--remove", "pinsync"))
        assert bare.shown("ActiveState") == "inactive"
        assert bare.run("test", "-e", "/usr/lib/pinsync", check=False).code == 1
        bare.run("test", "-e", f"{ETC}/nftstorage.token")
        bare.transcript.show(bare.run("dpkg", "--purge", "pinsync"))
        assert installed(bare) == []
        bare.run("test", "-e", f"{STATE}/pinsync.db")
