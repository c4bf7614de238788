"""Commands as people start them: on a terminal, beside a daemon, and ended in the middle."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pinsync.emulator.kubo import KuboStandIn
from pinsync.emulator.profiles import profile
from pinsync.emulator.server import EmulatorServer
from tests.unit.cli_kit import TOKEN
from tests.unit.cli_process import environment, on_terminal, piped, start
from tests.unit.emulator_kit import cid


class World:
    """A node, a service, a configuration."""

    def __init__(self, path: Path, service: EmulatorServer, node: KuboStandIn) -> None:
        self.config, self.service, self.node = path / "config.toml", service, node
        self.state = path / "state"
        self.bare = environment(path)
        self.env = environment(path, PINSYNC_TOKEN_NFT=TOKEN)
        self.config.write_text(
            f'[kubo]\napi = "{node.url}"\n[state]\npath = "state/pinsync.db"\n'
            f'[[remote]]\nname = "nft"\nendpoint = "{service.url}"\n'
        )

    def args(self, *args: str) -> list[str]:
        return ["-c", str(self.config), *args]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with (
        EmulatorServer(profile("spec"), token=TOKEN) as service,
        KuboStandIn({cid(n): f"p{n}" for n in range(6)}) as node,
    ):
        yield World(tmp_path, service, node)


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


# -- a terminal


def test_a_terminal_gets_colour_and_a_pipe_none(world: World) -> None:
    assert piped(world.env, *world.args("sync")).returncode == 0
    code, shown = on_terminal(world.env, *world.args("status"))
    assert code == 0
    assert "\x1b[1;32mIn sync" in shown
    code, shown = on_terminal(world.env | {"NO_COLOR": "1"}, *world.args("status"))
    assert code == 0
    assert "In sync" in shown
    assert "\x1b" not in shown
    assert "\x1b" not in piped(world.env, *world.args("status")).stdout


def test_on_a_narrow_terminal_cids_are_cut_in_the_middle_and_in_a_pipe_never(world: World) -> None:
    _, shown = on_terminal(world.env | {"NO_COLOR": "1"}, *world.args("plan"), columns=72)
    assert cid(0) not in shown
    assert f"…{cid(0)[-7:]}  p0" in shown
    assert all(len(line) <= 72 for line in shown.splitlines())
    assert cid(0) in piped(world.env, *world.args("plan")).stdout


def test_what_is_held_is_shown_and_asked_about(world: World) -> None:
    piped(world.env, *world.args("sync"))
    world.node.pins.clear()
    assert piped(world.env, *world.args("sync")).returncode == 4
    code, shown = on_terminal(world.env, *world.args("approve"), answer="n")
    assert code == 4
    assert "6 changes and 1 doubt held" in shown
    assert "nothing was released" in shown
    assert piped(world.env, *world.args("plan")).returncode == 4
    code, shown = on_terminal(world.env, *world.args("approve"), answer="y")
    assert code == 0
    assert "Released: 6 changes and 1 doubt." in shown
    assert piped(world.env, *world.args("plan")).returncode == 3


def test_a_long_first_mirror_shows_progress_on_a_terminal_and_none_in_a_pipe(world: World) -> None:
    world.service.emulator.become(latency=0.5)
    _, shown = on_terminal(world.env, *world.args("sync"))
    assert "mirroring to nft" in shown
    world.node.pins[cid(9)] = "new"
    assert piped(world.env, *world.args("sync")).stderr == ""


# -- ended in the middle


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sync_that_is_ended_finishes_what_is_in_flight_and_the_next_goes_on(
    world: World, number: signal.Signals
) -> None:
    world.node.pins = {cid(n): f"p{n}" for n in range(60)}
    world.service.emulator.become(latency=0.3)
    process = start(world.env, *world.args("sync", "--json"))
    wait_for(lambda: world.service.emulator.mutations > 4, "the first requests")
    begun = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert time.monotonic() - begun < 5
    assert process.returncode == 128 + number
    assert "the next pass goes on from there" in err
    assert 0 < json.loads(out)["remotes"][0]["added"] == len(world.service.emulator.pins()) < 60
    world.service.emulator.become(latency=0.0)
    assert piped(world.env, *world.args("sync")).returncode == 0
    assert sorted(pin.cid for pin in world.service.emulator.pins()) == sorted(world.node.pins), "none twice"


def test_a_sync_whose_service_hangs_ends_all_the_same(world: World) -> None:
    world.service.emulator.become(latency=3600.0)
    process = start(world.env, *world.args("sync", "--json"))
    wait_for(lambda: world.service.emulator.requests, "the first request")
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=10)
    assert time.monotonic() - begun < 5
    assert process.returncode == 143
    assert "next pass goes on" in json.loads(out)["errors"][0]["message"]
    assert "Traceback" not in err


def test_watching_in_a_pipe_prints_a_line_for_each_change_until_interrupted(world: World) -> None:
    piped(world.env, *world.args("sync"))
    process = start(world.env, *world.args("status", "--watch"))
    assert process.stdout is not None
    first = process.stdout.readline()
    assert "in-sync  nft: 6 wanted, 6 pinned" in first
    world.node.pins[cid(9)] = "new"
    piped(world.env, *world.args("sync"))
    while "in-sync  nft: 7 wanted, 7 pinned" not in (line := process.stdout.readline()):
        assert line, "it ended"  # on a slow machine it looks in the middle of the pass, too
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == 130


def test_watching_on_a_terminal_redraws_in_place_until_interrupted(world: World) -> None:
    piped(world.env, *world.args("sync"))
    for more in ({}, {"NO_COLOR": "1"}):
        env = {**world.env, **more}
        code, shown = on_terminal(env, *world.args("status", "--watch"), enough="^C ends this", twice=True)
        assert code == 130
        assert "In sync" in shown
        assert "Traceback" not in shown
        assert shown.count("\x1b[?1049h") == shown.count("\x1b[?1049l") == 1, "the screen is given back"
        between = shown.split("^C ends this")[1]
        assert "\x1b[2J" not in between and "\x1b[H" in between, "drawn over, never cleared: no flicker"
        coloured = re.search(r"\x1b\[[0-9;]*3[1-7]m", shown)
        assert bool(coloured) is not bool(more)


def test_the_emulator_says_how_to_use_it_and_ends_on_a_signal(tmp_path: Path) -> None:
    process = start(environment(tmp_path), "emulator", "--port", "0", "--latency", "1ms", "--json")
    assert process.stdout is not None
    found = json.loads(process.stdout.readline())
    assert found["format"] == 1
    assert (found["profile"], found["token"]) == ("nft.storage", "try-me")
    config = tmp_path / "config.toml"
    config.write_text(f'[kubo]\nmirror = false\n[[remote]]\nname = "emulator"\nendpoint = "{found["url"]}/pins"\n')
    assert piped(environment(tmp_path, PINSYNC_TOKEN_EMULATOR="try-me"), "-c", str(config), "ls").returncode == 0
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == 0


@pytest.mark.parametrize("args", [["--profile", "nonsense"], ["--latency", "soon"], ["--rate", "often"]])
def test_an_emulator_that_cannot_be_is_a_usage_error(tmp_path: Path, args: list[str]) -> None:
    ran = piped(environment(tmp_path), "emulator", "--port", "0", *args)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("error: ")


# -- beside a daemon


@pytest.fixture
def daemon(world: World) -> Iterator[subprocess.Popen[str]]:
    """A daemon that has made its first pass; it has the token, and commands here do not."""
    process = start(world.env, *world.args("run"))
    try:
        wait_for(lambda: len(world.service.emulator.pins()) == 6 or process.poll() is not None, "the first pass")
        wait_for(lambda: (world.state / "pinsync.sock").exists(), "the control socket")
        yield process
    finally:
        process.terminate()
        _, log = process.communicate(timeout=10)
        assert TOKEN not in log


@pytest.mark.usefixtures("daemon")
def test_commands_without_the_token_ask_the_daemon(world: World) -> None:
    world.node.pins[cid(9)] = "new"
    plan = piped(world.bare, *world.args("plan", "--json"))
    assert plan.returncode == 3
    assert [one["cid"] for one in json.loads(plan.stdout)["remotes"][0]["actions"]] == [cid(9)]
    assert "1 to add." in piped(world.bare, *world.args("plan")).stdout
    sync = piped(world.bare, *world.args("sync", "--json"))
    assert sync.returncode == 0
    assert json.loads(sync.stdout)["remotes"][0]["added"] == 1
    found = json.loads(piped(world.bare, *world.args("ls", "--json")).stdout)
    assert (found["complete"], len(found["pins"])) == (True, 7)
    assert all(pin["ours"] for pin in found["pins"])
    world.service.emulator.seed_pins([cid(50)])
    adopted = piped(world.bare, *world.args("adopt", cid(50), "--json"))
    assert adopted.returncode == 0
    assert [pin["cid"] for pin in json.loads(adopted.stdout)["adopted"]] == [cid(50)]


@pytest.mark.usefixtures("daemon")
def test_what_is_held_is_released_through_the_daemon(world: World) -> None:
    world.node.pins.clear()
    assert piped(world.bare, *world.args("sync")).returncode == 4
    ran = piped(world.bare, *world.args("approve", "--all", "--json"))
    assert ran.returncode == 0
    assert len(json.loads(ran.stdout)["released"]) == 6
    assert piped(world.bare, *world.args("plan")).returncode == 3


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize("command", ["plan", "ls"])
def test_verbose_says_whose_requests_are_not_shown(world: World, command: str) -> None:
    assert "the daemon asks the remotes for this" in piped(world.bare, *world.args(command, "--verbose")).stderr
    assert "the daemon asks" not in piped(world.bare, *world.args(command)).stderr
    own = piped(world.env, *world.args(command, "--verbose")).stderr
    assert "nft: GET /pins" in own and "the daemon asks" not in own


def test_status_tells_of_the_daemon_and_a_second_one_is_refused(world: World, daemon: subprocess.Popen[str]) -> None:
    def status() -> dict[str, object]:
        found: dict[str, object] = json.loads(piped(world.bare, *world.args("status", "--json")).stdout)
        return found

    wait_for(lambda: status()["verdict"] == "in-sync", "the first pass's end")
    found = status()
    told = found["daemon"]
    assert isinstance(told, dict)
    assert (told["running"], told["pid"]) == (True, daemon.pid)
    assert found["next_pass_at"] is not None
    assert f"process {daemon.pid}, next pass in 14 min" in piped(world.bare, *world.args("status")).stdout
    second = piped(world.env, *world.args("run"))
    assert second.returncode == 6
    assert str(daemon.pid) in second.stderr


def test_a_configuration_that_the_daemon_cannot_begin_with_exits_2(world: World) -> None:
    world.config.write_text("nonsense = 1\n")
    ran = piped(world.env, *world.args("run"))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "config.toml:1" in ran.stderr


@pytest.fixture
def slow(world: World, daemon: subprocess.Popen[str]) -> World:
    """A daemon in sync, for whom there is much to do now at a service that takes its time."""
    assert daemon.poll() is None
    wait_for(lambda: (world.state / "pinsync.db").exists(), "the ledger")
    world.node.pins.update({cid(n): f"p{n}" for n in range(100, 160)})
    world.service.emulator.become(latency=0.5)
    return world


def test_sync_shows_the_daemons_progress_live_and_interrupted_it_leaves_the_pass_alone(slow: World) -> None:
    code, shown = on_terminal(slow.bare, *slow.args("sync"), enough="mirroring to nft")
    assert code == 130
    assert "not waited for: the daemon goes on with its pass; `pinsync status` shows it" in shown
    assert len(slow.service.emulator.pins()) < 66, "it should have been interrupted in the middle"
    slow.service.emulator.become(latency=0.0)
    wait_for(lambda: len(slow.service.emulator.pins()) == 66, "the rest of the pass")


def test_sync_in_a_pipe_is_interrupted_likewise(slow: World) -> None:
    process = start(slow.bare, *slow.args("sync", "--json"))
    wait_for(lambda: len(slow.service.emulator.pins()) > 8, "the pass")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=10) == (
        "", "not waited for: the daemon goes on with its pass; `pinsync status` shows it\n",
    )  # fmt: skip
    assert process.returncode == 130
    slow.service.emulator.become(latency=0.0)
    wait_for(lambda: len(slow.service.emulator.pins()) == 66, "the rest of the pass")


@pytest.mark.usefixtures("daemon")
def test_events_can_be_followed_with_curl(world: World) -> None:
    curl = shutil.which("curl")
    assert curl is not None, "this test needs curl"
    socket = str(world.state / "pinsync.sock")
    with subprocess.Popen(
        [curl, "-sSN", "--unix-socket", socket, "http://pinsync/v1/events"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "hello"
        world.node.pins[cid(9)] = "new"
        assert piped(world.bare, *world.args("sync")).returncode == 0
        told: dict[str, Any] = {}
        while told.get("event") != "pass-ended" or told["trigger"] != "sync":
            told = json.loads(process.stdout.readline())
            if told["event"] == "action":
                assert (told["cid"], told["kind"], told["state"]) == (cid(9), "add", "done")
        assert told["result"]["remotes"][0]["added"] == 1
        process.terminate()


def test_watching_with_json_prints_an_object_for_each_change(world: World) -> None:
    piped(world.env, *world.args("sync"))
    process = start(world.env, *world.args("status", "--watch", "--json"))
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["remotes"][0]["pinned"] == 6
    piped(world.env, *world.args("pause", "--reason", "new disk"))
    found = json.loads(process.stdout.readline())
    assert (found["verdict"], [one["reason"] for one in found["paused"]]) == ("held", ["new disk"])
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == 130


def test_watching_goes_on_when_there_is_nothing_to_read_for_a_while(world: World) -> None:
    piped(world.env, *world.args("sync"))
    process = start(world.env, *world.args("status", "--watch"))
    assert process.stdout is not None
    assert "in-sync" in process.stdout.readline()
    ledger = world.state / "pinsync.db"
    content = ledger.read_bytes()
    ledger.write_bytes(b"nonsense" * 999)
    assert "damaged" in process.stdout.readline()
    ledger.write_bytes(content)
    assert "in-sync" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 130


def test_a_log_of_objects(world: World) -> None:
    process = start({**world.env, "PINSYNC_LOG_FORMAT": "json"}, *world.args("run", "-v"))
    assert process.stderr is not None
    log = ""
    while "pass (start):" not in log and (line := process.stderr.readline()):
        log += line
    process.terminate()
    log += process.communicate(timeout=10)[1]
    assert process.returncode == 0
    lines = [json.loads(line) for line in log.splitlines()]
    assert all({"at", "level", "logger", "message"} <= set(line) for line in lines)
    assert any(line["level"] == "debug" and line["message"].startswith("nft: POST /pins: 202 in ") for line in lines)
    assert any(line["level"] == "info" and line["message"].startswith("pass (start):") for line in lines)
    assert TOKEN not in log


@pytest.mark.usefixtures("daemon")
def test_people_steer_the_daemon(world: World) -> None:
    assert piped(world.bare, *world.args("pause", "--for", "2h", "--reason", "new disk")).returncode == 0
    world.node.pins[cid(9)] = "new"
    refused = piped(world.bare, *world.args("sync"))
    assert refused.returncode == 4
    assert "new disk" in refused.stderr
    status = piped(world.bare, *world.args("status"))
    assert status.returncode == 4
    assert "paused" in status.stdout
    resumed = piped(world.bare, *world.args("resume"))
    assert "The daemon makes a pass now." in resumed.stdout
    wait_for(lambda: len(world.service.emulator.pins()) == 7, "the pass after the pause")
    disowned = piped(world.bare, *world.args("disown", cid(0), "--json"))
    assert [one["cid"] for one in json.loads(disowned.stdout)["disowned"]] == [cid(0)]
    retried = json.loads(piped(world.bare, *world.args("retry", "--failed", "--json")).stdout)
    assert (retried["retried"], retried["pass_asked"]) == ([], False)
    shown = piped(world.bare, *world.args("history"))
    assert shown.returncode == 0
    assert [word in shown.stdout for word in ("paused", "resumed", "disowned")] == [True] * 3
