"""The control socket: how it is made, who may use it, what it answers; and the client at its other end."""

from __future__ import annotations

import errno
import getpass
import json
import logging
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from pinsync.errors import PinsyncError, StateError, StateHeld, UsageError
from pinsync.service.client import DaemonClient, DaemonError
from pinsync.service.listen import Door, open_socket, peer_of
from pinsync.settings.model import ConfigFile
from pinsync.settings.places import socket_group
from tests.unit.service_kit import HandClock, Rig, cid, manifest, mode_of, save, until


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as made:
        made.pins.write_text(manifest(1, 2))
        yield made


def ask(rig: Rig, method: str, path: str, **rest: Any) -> httpx.Response:
    """A request as another program would make it."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(rig.client.path)), base_url="http://anything") as http:
        return http.request(method, path, **rest)


def abandoned(path: Path) -> None:
    """A socket as a killed daemon leaves it."""
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.bind(str(path))


@contextmanager
def listening(path: Path, group: str = "") -> Iterator[None]:
    """The socket as a daemon has it."""
    with Door(path, logging.getLogger("pinsync.test"), group) as door:
        assert door.take(strict=True) is not None
        yield


# -- the socket ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize(("group", "mode"), [("", 0o600), ("pinsync", 0o660)])
def test_the_owner_and_for_the_system_its_group_alone_may_connect_whatever_the_umask(
    tmp_path: Path, umask: int, group: str, mode: int
) -> None:
    before = os.umask(umask)
    try:
        with listening(tmp_path / "made/s.sock", group):
            assert mode_of(tmp_path / "made/s.sock") == mode
        current = os.umask(umask)
    finally:
        os.umask(before)
    assert current == umask
    assert not (tmp_path / "made/s.sock").exists()


def test_a_socket_left_by_a_killed_daemon_is_replaced(rig: Rig) -> None:
    (rig.directory / "state").mkdir()
    abandoned(rig.directory / "state/pinsync.sock")
    rig.start()
    assert rig.client.status()["daemon"]["running"]
    assert mode_of(rig.directory / "state/pinsync.sock") == 0o600


@pytest.mark.parametrize("what", ["file", "directory", "link"])
def test_what_is_no_socket_is_left_alone(tmp_path: Path, what: str) -> None:
    path = tmp_path / "s.sock"
    abandoned(tmp_path / "elsewhere")
    if what == "file":
        path.write_text("precious")
    elif what == "directory":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match=r"s\.sock is in the way"):
        open_socket(path)
    assert path.lstat()
    assert what != "file" or path.read_text() == "precious"


def test_the_socket_of_a_daemon_that_lives_is_not_taken(rig: Rig) -> None:
    rig.start()
    path = rig.client.path
    with pytest.raises(StateHeld, match="answers at"):
        open_socket(path)
    with pytest.raises(StateHeld), Door(path, logging.getLogger("pinsync.test")) as door:
        door.take(strict=True)
    assert rig.client.status()["daemon"]["running"]


def test_the_socket_of_another_is_not_removed_at_the_end(tmp_path: Path) -> None:
    with listening(tmp_path / "s.sock"):
        (tmp_path / "s.sock").unlink()
        abandoned(tmp_path / "keep-the-inode")
        (tmp_path / "keep-the-inode").rename(tmp_path / "s.sock")
    assert (tmp_path / "s.sock").exists()


def test_a_place_that_cannot_be_had_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="cannot be made"):
        open_socket(tmp_path / "file/s.sock")


@pytest.mark.parametrize(
    "what", ["a file", "a program that says nothing", "a program that speaks otherwise", "no room"]
)
def test_a_daemon_without_its_socket_mirrors_and_takes_it_when_it_can(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = HandClock()
    path = tmp_path / "state/pinsync.sock"
    path.parent.mkdir()
    with Rig(tmp_path, clock=clock) as rig, ExitStack() as others:
        rig.pins.write_text(manifest(1))
        if what == "a file":
            path.write_text("precious")
        elif what == "no room":
            monkeypatch.setattr("socket.socket.bind", no_room)
        else:
            others.enter_context(foreign(path, b"SSH-2.0-x\r\n" if "otherwise" in what else b""))
        rig.start()
        assert rig.there() == {cid(1)}
        assert rig.log.count("Mirroring goes on") == 1
        clock.advance(31)
        save(rig.pins, manifest(1, 2))
        until(lambda: rig.there() == {cid(1), cid(2)})
        assert rig.log.count("Mirroring goes on") == 1  # said once
        assert what != "a file" or path.read_text() == "precious"
        others.close()
        monkeypatch.undo()
        if what == "a file":
            path.unlink()

        def taken() -> bool:
            clock.advance(31)
            return rig.log.count("the control socket is") == 1

        until(taken, "the socket")
        assert rig.client.status()["daemon"]["running"]
        rig.stop()
        assert not path.exists()


def test_a_daemon_that_never_had_its_socket_ends_quickly(rig: Rig) -> None:
    (rig.directory / "state").mkdir()
    (rig.directory / "state/pinsync.sock").write_text("precious")
    rig.start()
    assert rig.stop() < 1.5
    assert (rig.directory / "state/pinsync.sock").read_text() == "precious"


def no_room(sock: socket.socket, address: str) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def foreign(path: Path, says: bytes) -> Iterator[None]:
    """Another program that listens at `path`."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()

        def serve() -> None:
            kept = []
            with suppress(OSError):  # closed
                while True:
                    kept.append(sock.accept()[0])
                    kept[-1].sendall(says)
            for one in kept:
                one.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        sock.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_the_systems_socket_is_the_groups_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[object, ...]] = []
    monkeypatch.setattr("pinsync.service.listen.grp.getgrnam", lambda name: SimpleNamespace(gr_gid=77))
    monkeypatch.setattr("pinsync.service.listen.os.chown", lambda *to: given.append(to))
    with listening(tmp_path / "s.sock"):
        assert given == []
    with listening(tmp_path / "s.sock", "pinsync"):
        assert given == [(tmp_path / "s.sock", -1, 77)]

    def refused(*_: object) -> None:
        raise PermissionError(1, "not a member")

    def absent(_: object) -> None:
        raise KeyError("no such group")

    for name, fails in (("os.chown", refused), ("grp.getgrnam", absent)):
        monkeypatch.setattr(f"pinsync.service.listen.{name}", fails)
        with listening(tmp_path / "s.sock", "pinsync"):
            assert mode_of(tmp_path / "s.sock") == 0o660


def test_the_group_is_for_the_systems_daemon_and_not_for_a_users_own(rig: Rig) -> None:
    settings = rig.load()
    assert socket_group(settings) == ""
    assert socket_group(replace(settings, source=ConfigFile(Path("/etc/pinsync/config.toml"), ""))) == "pinsync"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize(
    ("group", "said"),
    [
        ("", "it is for its owner alone. Ask as root: sudo -u root pinsync …"),
        ("daemon", "it is for its owner and the group daemon. Become a member of that (usermod -aG daemon USER, "),
    ],
)
def test_another_user_is_refused_with_words_and_the_daemon_lives(rig: Rig, group: str, said: str) -> None:
    rig.start()
    with tempfile.TemporaryDirectory() as open_to_all:  # pytest's own directories are closed to others
        Path(open_to_all).chmod(0o755)
        path = Path(open_to_all) / "pinsync.sock"
        with listening(path, group):
            code = (
                "import os, sys; sys.path[:0] = eval(sys.argv[2]); from pathlib import Path\n"
                "from pinsync.service.client import DaemonClient, DaemonError; from types import SimpleNamespace\n"
                "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
                "ledger = SimpleNamespace(path=Path(sys.argv[1]) / 'l.db')\n"
                "try: DaemonClient.find(SimpleNamespace(state=ledger), {'RUNTIME_DIRECTORY': sys.argv[1]})\n"
                "except DaemonError as error: print(error)"
            )
            args = [sys.executable, "-c", code, open_to_all, repr(sys.path)]
            ran = subprocess.run(args, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith(f"this user may not ask the daemon at {path}: {said}")
    assert rig.client.status()["daemon"]["running"]


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="this system does not tell who is at the other end")
def test_the_peer_is_known_by_name() -> None:
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert peer_of(one) == getpass.getuser()
    assert peer_of(None) is None


# -- finding it ------------------------------------------------------------------------------------------------------


def test_nobody_is_found_where_nobody_listens(rig: Rig) -> None:
    settings = rig.load()
    assert DaemonClient.find(settings, rig.env) is None
    (rig.directory / "state").mkdir()
    abandoned(rig.directory / "state/pinsync.sock")
    assert DaemonClient.find(settings, rig.env) is None
    (rig.directory / "state/pinsync.sock").unlink()
    (rig.directory / "state/pinsync.sock").write_text("")
    assert DaemonClient.find(settings, rig.env) is None


def test_a_socket_of_a_stranger_in_a_directory_open_to_all_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o1777)
    with Rig(tmp_path) as rig, listening(tmp_path / "pinsync.sock"):
        settings = rig.load()
        env = {"RUNTIME_DIRECTORY": str(tmp_path)}
        assert DaemonClient.find(settings, env) is not None  # our own
        monkeypatch.setattr("os.getuid", lambda: os.stat(tmp_path).st_uid + 1)
        if os.stat(tmp_path).st_uid == 0:  # root is trusted by everybody: let the socket be somebody else's
            os.chown(tmp_path / "pinsync.sock", 12345, -1)
        with pytest.raises(DaemonError, match="was not asked"):
            DaemonClient.find(settings, env)
        tmp_path.chmod(0o755)
        assert DaemonClient.find(settings, env) is not None


def test_a_daemon_that_ended_is_said_to_be_gone(rig: Rig) -> None:
    rig.start()
    client = rig.client
    rig.stop()
    with pytest.raises(DaemonError, match="no daemon answers"):
        client.status()


def test_importing_the_client_is_cheap() -> None:
    heavy = ("starlette", "uvicorn", "apscheduler", "watchdog", "httpx", "pydantic", "sqlite3", "rich")
    code = f"import sys, pinsync.service.client; print([m for m in {heavy!r} if m in sys.modules])"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env)
    assert found.stdout.strip() == "[]"


# -- asking ----------------------------------------------------------------------------------------------------------


def test_the_status_tells_of_the_daemon(rig: Rig) -> None:
    rig.start()
    report = rig.client.status()
    assert report["verdict"] == "in-sync"
    assert report["daemon"]["pid"] == os.getpid()
    assert report["daemon"]["config_error"] is None and report["daemon"]["pass"] is None
    assert [remote["name"] for remote in report["remotes"]] == ["there"]
    of_one = rig.client.status(None, cid(1))
    assert of_one["wanted"] and of_one["remotes"][0]["status"] == "pinned"
    assert rig.client.status("there", cid(3))["wanted"] is False


def test_the_status_tells_of_a_wrong_configuration(rig: Rig) -> None:
    rig.start()
    path = rig.client.path
    save(rig.config, "nonsense = 1\n")
    client = DaemonClient(path)
    until(lambda: "nonsense" in (client.status()["daemon"]["config_error"] or ""))


def test_nothing_is_asked_of_a_daemon_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would do it whenever it goes on, long after the person gave up."""
    monkeypatch.setattr("pinsync.service.client.ALIVE", 0.2)
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as hung:
        hung.bind(str(path))
        hung.listen(8)
        for ask in (lambda: DaemonClient(path).pause(None, 60.0, None, ""), lambda: DaemonClient(path).sync()):
            with pytest.raises(DaemonError, match="hangs, or is stopped"):
                ask()


def test_a_sync_is_a_pass_with_progress_and_a_result(rig: Rig) -> None:
    rig.start()
    rig.emulator.remove_pins([rig.emulator.pins()[0].requestid])
    told: list[dict[str, Any]] = []
    for missing_still in (1, 0):  # missing counts after the second complete list without it
        report, code = rig.client.sync(on_progress=told.append)
        assert len(rig.there()) == 2 - missing_still
    assert report["remotes"][0]["added"] == 1 and code == 0
    assert {line["step"] for line in told} >= {"read", "apply"}
    assert all(set(line) == {"step", "what", "count", "of"} for line in told)
    assert rig.triggers() == ["start", "sync", "sync"]


def test_a_verbose_sync_is_told_of_each_request_and_another_is_not(rig: Rig) -> None:
    rig.start()
    save(rig.pins, manifest(1, 2, 3))
    told: list[str] = []
    while rig.client.sync(on_request=told.append)[0]["remotes"][0]["waiting"]:
        pass
    assert any(re.fullmatch(r"there: GET /pins: 200 in \d+ ms", line) for line in told)
    lines = [json.loads(line) for line in ask(rig, "POST", "/v1/sync").text.splitlines()]
    assert not any("request" in line for line in lines)


def test_a_sync_during_a_pass_waits_for_the_next_whole_one(rig: Rig) -> None:
    rig.start()
    slow = rig.emulator.faults.next("slow:0.6", method="GET")
    save(rig.pins, manifest(1, 2, 3))
    until(lambda: slow.hits, "a pass under way")
    told: list[dict[str, Any]] = []
    report, code = rig.client.sync(on_progress=told.append)
    assert told[0]["step"] == "wait"
    assert rig.triggers() == ["start", "manifest", "sync"]
    assert (report["remotes"][0]["added"], code) == (0, 0)  # the pass before it had added it


def test_two_who_ask_at_once_get_one_pass(rig: Rig) -> None:
    rig.start()
    slow = rig.emulator.faults.next("slow:0.6", method="GET")
    rig.call(lambda daemon: daemon.reload())
    until(lambda: slow.hits)
    codes: list[int] = []
    threads = [threading.Thread(target=lambda: codes.append(rig.client.sync()[1])) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0, 0]
    assert rig.triggers() == ["start", "reload", "sync"]


def test_a_client_that_goes_away_does_not_stop_the_pass(rig: Rig) -> None:
    rig.start()
    slow = rig.emulator.faults.next("slow:0.5", method="GET")
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.connect(str(rig.client.path))
        sock.sendall(b"POST /v1/sync HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        until(lambda: slow.hits, "the pass to be under way")
    until(lambda: rig.triggers() == ["start", "sync"])
    assert rig.client.status()["last_pass"]["good"]


def test_a_dry_run_and_a_plan_change_nothing_and_run_beside_a_pass(rig: Rig) -> None:
    rig.start()
    rig.emulator.become(closed="maintenance")
    save(rig.pins, manifest(1, 2, 3))
    until(lambda: rig.passes() == 2)
    slow = rig.emulator.faults.next("slow:1.5", method="GET")
    rig.call(lambda daemon: daemon.reload())
    until(lambda: slow.hits, "a pass under way")
    mutations = rig.emulator.mutations
    plan, code = rig.client.plan("there")
    assert [action["cid"] for action in plan["remotes"][0]["actions"]] == [cid(3)] and code in (1, 3, 4)
    dry, _ = rig.client.sync(None, True)
    assert dry["remotes"][0]["added"] == 0
    assert rig.client.status()["daemon"]["pass"]["trigger"] == "reload", "they should not have waited for the pass"
    assert rig.emulator.mutations == mutations
    assert rig.passes() == 2


def test_what_is_held_can_be_looked_at_and_approved(rig: Rig) -> None:
    rig.extra = 'removals = "approve"'
    rig.configure()
    rig.start()
    save(rig.pins, manifest(1))
    until(lambda: rig.passes() == 2)
    held = rig.client.held()
    assert [(one["cid"], one["kind"], one["state"]) for one in held["held"]] == [(cid(2), "remove", "held")]
    released = rig.client.approve("there", [cid(2)], by="somebody else")
    assert [one["cid"] for one in released["released"]] == [cid(2)]
    assert rig.there() == {cid(1), cid(2)}  # the next pass acts
    rig.client.sync()
    assert rig.there() == {cid(1)}
    assert rig.log.count(f"{getpass.getuser()} approved 1 held") == 1


def test_pins_can_be_adopted(rig: Rig) -> None:
    rig.emulator.seed_pins([cid(1), cid(9)])
    rig.start()
    assert [one["cid"] for one in rig.client.adopt("there", [])["adopted"]] == [cid(1)]
    assert [one["cid"] for one in rig.client.adopt("there", [cid(9)])["adopted"]] == [cid(9)]
    assert rig.client.adopt("there", [])["adopted"] == []


def test_errors_come_with_the_exit_code_that_they_mean(rig: Rig) -> None:
    rig.start()
    with pytest.raises(UsageError, match="no remote is called 'nowhere'") as wrong:
        rig.client.sync("nowhere")
    assert wrong.value.exit_code == 2
    with pytest.raises(UsageError, match="nothing is held"):
        rig.client.approve(None, [cid(1)])
    with pytest.raises(UsageError, match="is not a CID"):
        rig.client.status(None, "nonsense")
    with pytest.raises(PinsyncError, match="has no pin of") as absent:
        rig.client.adopt("there", [cid(5)])
    assert absent.value.exit_code == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "/v1/approve", b"{}", 400, "cids"),
        ("POST", "/v1/approve", b'{"cids": "all"}', 400, "cids"),
        ("POST", "/v1/approve", b'{"cids": [], "remotes": "there"}', 400, "unknown: remotes"),
        ("POST", "/v1/approve", b'{"cids": [], "now": 1}', 400, "now"),
        ("POST", "/v1/adopt", b'{"cids": []}', 400, "remote"),
        ("POST", "/v1/sync", b"[]", 400, "object"),
        ("POST", "/v1/sync", b"{", 400, "not JSON"),
        ("POST", "/v1/sync", b"[" * 100_000, 400, "not JSON"),
        ("POST", "/v1/sync", b'{"remote": 7}', 400, "text"),
        ("POST", "/v1/sync", b" " * (17 << 20), 400, "16 MiB"),
        ("GET", "/v1/status?remot=there", b"", 400, "unknown: remot"),
        ("GET", "/v1/sync", b"", 405, "does not know GET /v1/sync"),
        ("GET", "/v2/status", b"", 404, "does not know"),
    ],
)
def test_requests_that_make_no_sense_are_refused(
    rig: Rig, method: str, path: str, body: bytes, status: int, said: str
) -> None:
    rig.start()
    answer = ask(rig, method, path, content=body)
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]
    assert set(answer.json()) == {"error"}
    held = rig.client.held()
    assert (held["held"], held["doubts"]) == ([], [])


def test_a_body_that_would_be_too_long_is_refused_before_it_comes(rig: Rig) -> None:
    rig.start()
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.settimeout(10)  # far less than the server's patience with a body
        sock.connect(str(rig.client.path))
        sock.sendall(b"POST /v1/approve HTTP/1.1\r\nHost: pinsync\r\nContent-Length: 50000000\r\n\r\n")
        said = b"".join(iter(lambda: sock.recv(1 << 16), b""))
    assert said.startswith(b"HTTP/1.1 400 ") and b"more than 16 MiB" in said


def test_lines_of_a_sync_can_be_read_by_any_program(rig: Rig) -> None:
    rig.start()
    lines = [json.loads(line) for line in ask(rig, "POST", "/v1/sync").text.splitlines()]
    assert lines[-1]["exit_code"] == 0 and lines[-1]["result"]["format"] == 1
    assert all(set(line) == {"progress"} for line in lines[:-1]) and len(lines) > 1


def test_who_waits_hears_of_the_end(rig: Rig) -> None:
    rig.start()
    client = rig.client
    heard: dict[str, str] = {}

    def wait(name: str, call: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            with pytest.raises(PinsyncError) as error:
                call()
            heard[name] = str(error.value)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    hanging = rig.emulator.faults.next("hang", method="GET", times=3)
    threads = [wait("under way", client.sync)]
    until(lambda: hanging.hits == 1, "the pass to hang")
    threads.append(wait("next", lambda: client.sync("there")))
    until(lambda: rig.daemon and rig.daemon._runner and rig.daemon._runner.wishes)
    threads += [wait("plan", client.plan), wait("dry", lambda: client.sync(None, True))]
    until(lambda: hanging.hits == 3)
    assert rig.stop() < 4.5
    for thread in threads:
        thread.join()
    assert "in the middle of this pass" in heard["under way"]
    assert "not begun" in heard["next"]
    assert "nothing was done" in heard["plan"] and "nothing was done" in heard["dry"]
