"""`pinsync doctor`: each thing that can be wrong is a line with what to do, nothing is changed, and nothing shown."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from pinsync.doctor import machine, node
from pinsync.doctor.finding import About, Finding, Result, exit_code, gathered
from pinsync.emulator.profiles import PROFILES, profile
from pinsync.emulator.records import Seed
from pinsync.errors import NodeError
from pinsync.house import reading
from pinsync.ledger.lock import StateLock
from pinsync.remote import cluster
from pinsync.service.client import DaemonClient, DaemonError
from pinsync.settings import NodeSettings, load
from pinsync.settings.places import socket_path
from pinsync.sources.kubo import NodeIdentity
from tests.unit.cli_kit import TOKEN, Home, home
from tests.unit.notify_kit import SECRET, program
from tests.unit.service_kit import Rig, cid, manifest


@pytest.fixture
def at(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setattr(machine, "_asked", nothing)
    with home(tmp_path, capsys, monkeypatch, {cid(n): f"pin {n}" for n in range(3)}) as made:
        yield made


async def nothing(*command: str) -> str:
    """A machine without systemd."""
    return ""


class Seen:
    """What doctor said: (about, check) → (result, found, todo)."""

    def __init__(self, at: Home, *args: str, code: int = 0) -> None:
        ran = at.run("doctor", "--json", *args)
        self.checks: list[dict[str, Any]] = ran.json()["checks"]
        self.counts = ran.json()["counts"]
        assert ran.code == code, self.bad()
        assert ran.json()["ok"] is (code == 0)
        assert {one["result"] for one in self.checks} <= {"ok", "warn", "fail", "skip"}

    def of(self, about: str, check: str) -> tuple[str, str]:
        """Result and words, those of the first such check."""
        found = [one for one in self.checks if (one["about"], one["check"]) == (about, check)]
        assert found, f"no {check} of {about} in {self.checks}"
        return found[0]["result"], f"{found[0]['found']} → {found[0]['todo']}"

    def bad(self) -> list[tuple[str, str, str]]:
        """What is no good: (about, check, result)."""
        return [(one["about"], one["check"], one["result"]) for one in self.checks if one["result"] in ("warn", "fail")]


# -- when all is well


def test_where_all_is_well_nothing_is_bad_and_nothing_was_changed(at: Home) -> None:
    at.run("sync")
    before, requests = [*at.service.emulator.pins()], [*at.node.calls]
    seen = Seen(at)
    assert seen.bad() == []
    assert seen.counts["fail"] == 0 < seen.counts["ok"]
    assert [*at.service.emulator.pins()] == before
    assert "pin/add" not in at.node.calls[len(requests) :]
    assert seen.of("configuration", "file")[1].startswith(f"{at.config}: given by --config")
    assert at.node.url in seen.of("node kubo", "address")[1] and "kubo.api" in seen.of("node kubo", "address")[1]
    assert at.node.peer_id in seen.of("node kubo", "identity")[1]
    assert "3 recursive pins read in" in seen.of("node kubo", "pins")[1]
    assert "PINSYNC_TOKEN_NFT" in seen.of("remote nft", "token")[1]
    assert "meta is kept" in seen.of("remote nft", "behaviour")[1]
    assert "as [state] path says" in seen.of("state", "place")[1]
    assert "whole" in seen.of("state", "integrity")[1]
    assert seen.of("mirror", "verdict")[0] == "ok"
    assert seen.of("daemon", "answers")[0] == "skip"


def test_a_count_that_may_be_that_of_a_page_is_not_told(at: Home) -> None:
    at.service.emulator.seed_pins([Seed(cid(n)) for n in range(20, 25)])
    assert re.fullmatch(r"answers in [\d.]+ s → .*", Seen(at).of("remote nft", "list")[1])
    at.run("sync")
    assert "8 pins after the last whole listing" in Seen(at).of("remote nft", "list")[1]


def test_people_see_lines_with_what_to_do_and_quiet_leaves_out_what_is_well(at: Home) -> None:
    ran = at.run("doctor")
    assert ran.code == 0
    assert "remote nft\n" in ran.out and "  ok    list: answers in" in ran.out
    assert "  warn  last good pass: there was no pass yet\n        → pinsync plan" in ran.out
    assert ran.out.splitlines()[-1].endswith("nothing fails, 1 warning.")
    quiet = at.run("doctor", "--quiet").out.splitlines()
    assert quiet[0] == "mirror" and len(quiet) == 4


def test_one_remote_alone_and_one_that_is_not_there(at: Home) -> None:
    at.remotes = ["nft", "other"]
    at.configure()
    seen = Seen(at, "--remote", "nft")
    assert "remote other" not in {one["about"] for one in seen.checks}
    assert at.run("doctor", "--remote", "nfs").code == 2


# -- tokens and rights, on every service


@pytest.mark.parametrize("name", [name for name in PROFILES if name != "kubo-hostile"])
def test_the_right_to_write_is_seen_on_every_service_and_leaves_no_trace(at: Home, name: str) -> None:
    at.service.emulator.seed_pins([Seed(cid(7))])
    at.service.emulator.become(profile(name, rate=None))
    before = [*at.service.emulator.pins()]
    seen = Seen(at)
    assert seen.of("remote nft", "list")[0] == "ok"
    assert seen.of("remote nft", "add")[0] == "ok"
    assert seen.of("remote nft", "remove")[0] == "ok"
    assert [*at.service.emulator.pins()] == before


@pytest.mark.parametrize(
    ("closed", "add", "remove"),
    [
        ("restricted", "fail", "ok"),
        ("delete-restricted", "ok", "fail"),
        ("maintenance", "warn", "warn"),
        ("full", "warn", "ok"),
        ("refused", "ok", "ok"),  # a plain 400; what the service says to it is shown
    ],
)
def test_what_a_service_refuses_is_told_apart(at: Home, closed: str, add: str, remove: str) -> None:
    at.service.emulator.become(closed=closed)
    seen = Seen(at, code=1 if "fail" in (add, remove) else 0)
    assert (seen.of("remote nft", "add")[0], seen.of("remote nft", "remove")[0]) == (add, remove)


@pytest.mark.parametrize("closed", ["lapsed", "no-pinning-rights"])
def test_an_account_that_may_nothing_fails_and_says_what_to_do(at: Home, closed: str) -> None:
    at.service.emulator.become(closed=closed)
    result, words = Seen(at, code=1).of("remote nft", "list")
    assert result == "fail" and "get a token at the service" in words


def test_a_wrong_token_fails_and_is_not_shown(at: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINSYNC_TOKEN_NFT", f"{TOKEN}-wrong")  # `run` looks for TOKEN in all that is said
    result, words = Seen(at, code=1).of("remote nft", "list")
    assert result == "fail" and "401" in words


def test_a_token_that_is_nowhere_fails_and_the_rest_is_tried(at: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PINSYNC_TOKEN_NFT")
    seen = Seen(at, code=1)
    assert seen.of("remote nft", "token")[0] == "fail"
    assert seen.of("node kubo", "pins")[0] == "ok"


def test_a_token_file_that_is_empty_is_a_wrong_configuration_and_an_open_one_a_warning(at: Home) -> None:
    at.configure()
    token = at.path / "token"
    at.config.write_text(at.config.read_text() + 'token_file = "token"\n')
    token.write_text("")
    assert Seen(at, code=2).of("remote nft", "token")[0] == "fail"
    token.write_text(TOKEN)
    token.chmod(0o644)
    assert "chmod o-rwx" in Seen(at).of("remote nft", "token file")[1]


@pytest.mark.parametrize("mode", ["read-only", "add-only"])
def test_what_is_never_done_there_is_not_tried(at: Home, mode: str) -> None:
    at.config.write_text(at.config.read_text() + f'mode = "{mode}"\n')
    at.service.emulator.become(closed="delete-restricted")
    seen = Seen(at)
    assert seen.of("remote nft", "write" if mode == "read-only" else "remove")[0] == "skip"


def test_a_service_that_is_away_is_one_line_and_the_others_are_tried(at: Home) -> None:
    at.remotes = ["nft"]
    at.configure(endpoint="http://127.0.0.1:1")
    seen = Seen(at, code=1)
    assert "no connection" in seen.of("remote nft", "list")[1]
    assert seen.of("remote nft", "list")[1].startswith("listing pins failed"), "its name stands above that already"
    assert ("node kubo", "pins", "ok") in [(one["about"], one["check"], one["result"]) for one in seen.checks]


# -- clock, rate, who else is there


@pytest.mark.parametrize(("skew", "result"), [(0.0, "ok"), (12.0, "ok"), (-300.0, "warn"), (300.0, "warn")])
def test_a_clock_that_differs_is_told(at: Home, skew: float, result: str) -> None:
    at.service.emulator.become(skew=skew)
    found, words = Seen(at).of("remote nft", "clock")
    assert found == result
    assert abs(skew) < 1 or ("ahead of" if skew > 0 else "behind") in words


def test_the_rate_in_force_is_told_with_its_reason(at: Home) -> None:
    assert "no limit: none is known of this host" in Seen(at).of("remote nft", "rate")[1]
    at.config.write_text(at.config.read_text() + 'rate = "100/1s"\n')
    assert "100/1s, as configured" in Seen(at).of("remote nft", "rate")[1]


def test_another_mirror_on_the_account_is_seen_before_and_after_the_first_pass(at: Home) -> None:
    at.service.emulator.seed_pins([Seed(cid(8), meta={"pinsync": "another-1"})])
    assert at.run("doctor", "--json").json()["counts"]["warn"] == 2
    at.run("sync")
    result, words = Seen(at).of("remote nft", "other mirrors")
    assert result == "warn" and "another-1" in words
    at.service.emulator.become(order="oldest")
    at.run("sync")
    assert Seen(at).of("remote nft", "other mirrors")[0] == "warn"


@pytest.mark.parametrize(
    ("peers", "result"), [(["mine"], "fail"), (["mine", "other"], "warn"), (["other"], "ok"), ([], "skip")]
)
def test_a_service_that_pins_on_the_mirrored_node_is_a_loop(at: Home, peers: list[str], result: str) -> None:
    at.service.emulator.seed_pins([Seed(cid(8))])
    named = {"mine": at.node.peer_id, "other": "12D3KooWEmuLatorDe1egate"}
    at.service.emulator.become(delegates=tuple(f"/ip4/10.1.2.3/tcp/4001/p2p/{named[one]}" for one in peers))
    found, words = Seen(at, code=1 if result == "fail" else 0).of("remote nft", "loop")
    assert found == result
    assert "mine" not in peers or at.node.peer_id in words


def test_a_cluster_on_this_machine_is_asked_what_it_pins_on(at: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        assert "authorization" not in request.headers
        return httpx.Response(200, json={"id": "x", "ipfs": {"id": at.node.peer_id, "addresses": []}})

    client = httpx.AsyncClient
    monkeypatch.setattr(httpx, "AsyncClient", lambda **rest: client(transport=httpx.MockTransport(answer), **rest))
    assert asyncio.run(cluster.kubo_behind("http://localhost:9097/pins")) == at.node.peer_id
    assert asyncio.run(cluster.kubo_behind("https://api.example/pins")) is None
    assert asked == ["http://localhost:9094/id"]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"ipfs": 7}', b'{"ipfs": {"id": 3}}'])
def test_what_answers_in_place_of_a_cluster_says_nothing(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    client = httpx.AsyncClient
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=body))
    monkeypatch.setattr(httpx, "AsyncClient", lambda **rest: client(transport=transport, **rest))
    assert asyncio.run(cluster.kubo_behind("http://[::1]:9097/pins")) is None


# -- the node


def test_a_node_that_is_away_says_where_it_was_looked_for_and_why(at: Home) -> None:
    at.configure(api="http://127.0.0.1:1")
    seen = Seen(at, code=1)
    assert seen.of("node kubo", "address")[0] == "ok"
    result, words = seen.of("node kubo", "reachable")
    assert result == "fail" and "127.0.0.1:1" in words and "start it" in words
    assert seen.of("remote nft", "list")[0] == "ok"


def test_another_node_than_before_and_an_emptied_one_are_warnings(at: Home) -> None:
    at.run("sync")
    at.node.peer_id = "12D3KooWAnotherNodeThanTheOneThatWasMirroredBefore"
    at.node.pins.clear()
    seen = Seen(at)
    assert "approve" in seen.of("node kubo", "identity")[1]
    assert "there were 3 before" in seen.of("node kubo", "pins")[1]


def test_a_node_that_the_configuration_does_not_want_fails(at: Home) -> None:
    at.config.write_text(at.config.read_text().replace("[kubo]", '[kubo]\npeer_id = "12D3KooWTheOneThatIsWanted"'))
    assert "12D3KooWTheOneThatIsWanted" in Seen(at, code=1).of("node kubo", "identity")[1]


@pytest.mark.parametrize(("version", "result"), [("0.42.0", "ok"), ("0.26.0", "warn"), (None, "skip")])
def test_a_node_too_old_for_names_is_a_warning(version: str | None, result: str) -> None:
    who = NodeIdentity("12D3KooW", version, ())
    assert node._names(About("node kubo"), NodeSettings(), who).result == result


def test_services_that_kubo_knows_are_a_hint_where_none_is_configured(
    at: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(at.path))
    (at.path / ".ipfs").mkdir()
    (at.path / ".ipfs/api").write_text(at.node.url)
    answered = at.node.answer
    listed = json.dumps({"RemoteServices": [{"Service": "mine", "ApiEndpoint": "https://pins.example"}, 7, {}]})
    monkeypatch.setattr(
        at.node, "answer", lambda command, query: (200, listed) if "service/ls" in command else answered(command, query)
    )
    at.config.write_text("")
    seen = Seen(at, code=2)
    assert "[[remote]]" in seen.of("configuration", "contents")[1]
    assert "mine (https://pins.example)" in seen.of("node kubo", "services of Kubo")[1]
    assert "the file" in seen.of("node kubo", "address")[1]


# -- configuration, manifest, state


def test_a_configuration_that_is_wrong_says_every_reason_and_exits_with_2(at: Home) -> None:
    at.config.write_text(at.config.read_text() + 'nonsense = 1\nrate = "fast"\n')
    seen = Seen(at, code=2)
    assert sum(one["about"] == "configuration" and one["result"] == "fail" for one in seen.checks) == 2


def test_a_manifest_that_is_wrong_exits_with_2_and_names_the_line(at: Home) -> None:
    at.manifest(manifest(1) + "[[pin]]\ncid = 'nonsense'\n")
    result, words = Seen(at, code=2).of("manifest", "contents")
    assert result == "fail" and "pins.toml:4" in words


def test_variables_over_the_file_are_named_without_their_values(at: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINSYNC_NOTIFY__WEBHOOK", f"https://h.example/{SECRET}")
    seen = Seen(at)
    assert "PINSYNC_NOTIFY__WEBHOOK" in seen.of("configuration", "environment")[1]
    assert "h.example" in seen.of("notify", "webhook")[1]
    assert SECRET not in json.dumps(seen.checks)
    assert "every user" in seen.of("configuration", "secrets")[1]
    at.config.chmod(0o600)
    assert "secrets" not in {one["check"] for one in Seen(at).checks}


def test_secrets_that_everybody_can_read_are_warnings(at: Home) -> None:
    for name, text in (("auth", "user:password"), ("hook", f"https://h.example/{SECRET}")):
        (at.path / name).write_text(text)
        (at.path / name).chmod(0o644)
    at.configure('[notify]\nwebhook_file = "hook"\n')
    at.config.write_text(at.config.read_text().replace("[kubo]", '[kubo]\nauthorization_file = "auth"'))
    seen = Seen(at)
    assert seen.of("node kubo", "authorization file")[0] == "warn"
    assert seen.of("notify", "file")[0] == "warn"
    assert "password" not in json.dumps(seen.checks)


def test_a_receiver_that_cannot_be_told_fails(at: Home) -> None:
    tell = program(at.path / "tell", "true")
    at.configure(f'[notify]\ncommand = ["{tell}"]\n')
    assert Seen(at).of("notify", "command")[0] == "ok"
    tell.unlink()
    assert Seen(at, code=1).of("notify", "command")[0] == "fail"


@pytest.mark.parametrize("damage", ["header", "pages", "another", "newer"])
def test_a_ledger_that_cannot_be_trusted_fails_and_says_what_to_do(at: Home, damage: str) -> None:
    at.run("sync")
    before = at.ledger.read_bytes()
    if damage == "header":
        at.ledger.write_bytes(b"x" * 100 + before[100:])
    elif damage == "pages":
        at.ledger.write_bytes(before[:4096] + b"\xff" * (len(before) - 4096))
    else:
        pragma = "user_version = 99" if damage == "newer" else "application_id = 5"
        with closing(sqlite3.connect(at.ledger)) as db, db:
            db.execute(f"PRAGMA {pragma}")
    damaged = at.ledger.read_bytes()
    seen = Seen(at, code=1)
    assert any(about in ("state", "mirror") and result == "fail" for about, _, result in seen.bad())
    assert not [one for one in seen.checks if "bug" in one["found"]]
    assert seen.of("remote nft", "add")[0] == "ok"
    assert at.ledger.read_bytes() == damaged


def test_little_room_and_open_modes_are_told(at: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    at.run("sync")
    free = [5 << 20]
    usage = shutil.disk_usage(at.path)._replace
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(free=free[0]))
    assert Seen(at, code=1).of("state", "space")[0] == "fail"
    free[0] = 100 << 20
    assert Seen(at).of("state", "space")[0] == "warn"
    at.ledger.chmod(0o644)
    assert Seen(at).of("state", "ledger file")[0] == "warn"
    at.ledger.parent.chmod(0o777)
    assert Seen(at, code=1).of("state", "directory")[0] == "fail"


def test_a_mirror_that_is_stale_and_a_clock_set_back_are_warnings(at: Home) -> None:
    at.run("sync")
    at.age(86400.0)
    assert Seen(at).of("mirror", "last good pass")[0] == "warn"
    at.age(-2 * 86400.0)
    assert "set back" in Seen(at).of("mirror", "time")[1]


def test_what_needs_a_person_is_a_warning(at: Home) -> None:
    at.run("sync")
    at.node.pins.clear()
    at.run("sync")
    seen = Seen(at)
    assert seen.of("mirror", "verdict") == ("warn", "held → `pinsync status` says what needs a person")
    assert seen.of("mirror", "doubt")[0] == "warn"


def test_one_who_holds_the_state_is_named_and_not_disturbed(at: Home) -> None:
    at.run("sync")
    lock = StateLock(at.ledger)
    lock.acquire("a test")
    try:
        assert f"a test, process {os.getpid()}" in Seen(at).of("state", "lock")[1]
    finally:
        lock.release()


def test_when_everything_is_broken_each_thing_is_a_line(at: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINSYNC_TOKEN_NFT", "wrong")
    at.run("sync")
    at.ledger.write_bytes(b"not a database" * 1000)
    at.manifest("nonsense\n")
    at.configure('[notify]\nwebhook_file = "nothing"\n', endpoint="http://127.0.0.1:1", api="http://127.0.0.1:1")
    seen = Seen(at, code=2)
    bad = {about for about, _, result in seen.bad() if result == "fail"}
    assert bad >= {"manifest", "node kubo", "remote nft", "state", "notify"}


# -- beside a daemon


def test_a_daemon_tells_what_this_user_may_not_see(at: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    with Rig(tmp_path, CREDENTIALS_DIRECTORY=str(credentials)) as rig:
        rig.pins.touch()
        rig.config.write_text(rig.config.read_text().replace('token_file = "token"\n', ""))
        rig.token.rename(credentials / "there.token")
        (credentials / "notify.webhook").write_text(f"https://h.example/{SECRET}")
        (credentials / "notify.webhook").chmod(0o600)
        rig.start()
        passes = rig.passes()
        seen = Seen(at)
        assert seen.of("remote there", "token")[1].startswith("from credential")
        assert seen.of("remote there", "remove")[0] == "ok"
        assert seen.of("daemon", "answers")[0] == "ok"
        assert "h.example, from credential" in seen.of("notify", "webhook")[1]
        assert "held by pinsync run" in seen.of("state", "lock")[1]
        shown = at.run("doctor").out
        assert "remote there  as the daemon sees it" in shown
        assert rig.passes() == passes
        with reading(load(rig.config, env=rig.env)) as ledger:
            assert ledger is not None and ledger.events() == []


def test_a_daemon_with_a_wrong_configuration_on_disk_is_told(at: Home, tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.pins.touch()
        rig.start()
        good = rig.config.read_text()
        rig.config.write_text("nonsense\n")
        rig.log.wait("the configuration is wrong")
        (tmp_path / "good.toml").write_text(good)
        seen = Seen(at, "--config", str(tmp_path / "good.toml"), code=1)
        checks = [one for one in seen.checks if (one["about"], one["check"]) == ("daemon", "configuration")]
        assert [one["result"] for one in checks] == ["warn", "fail"]


def test_a_daemon_that_this_user_may_not_ask_is_a_warning(at: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*args: object) -> None:
        raise DaemonError("this user may not ask the daemon") from PermissionError(13, "Permission denied")

    monkeypatch.setattr(DaemonClient, "find", closed)
    assert Seen(at).of("daemon", "answers")[0] == "warn"


@pytest.mark.parametrize("crowded", [True, False])
def test_a_program_that_listens_where_the_daemon_should_and_says_nothing_is_told_with_what_to_do(
    at: Home, monkeypatch: pytest.MonkeyPatch, crowded: bool
) -> None:
    monkeypatch.setattr("pinsync.service.client.CONNECT", 0.1)
    monkeypatch.setattr("pinsync.service.client.ALIVE", 0.1)
    path = socket_path(load(at.config, env=dict(os.environ)), os.environ)
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(socket.socket(socket.AF_UNIX)) as stranger, ExitStack() as callers:
        stranger.bind(str(path))
        stranger.listen(0 if crowded else 8)
        for _ in range(3 if crowded else 0):
            caller = callers.enter_context(closing(socket.socket(socket.AF_UNIX)))
            caller.setblocking(False)
            with suppress(BlockingIOError):
                caller.connect(str(path))
        (found,) = [one for one in Seen(at, code=1).checks if one["about"] == "daemon"]
    assert found["result"] == "fail" and str(path) in found["found"]
    assert found["todo"].startswith(f"see who listens there (ss -xlp src {path})")


def test_a_service_that_does_everything_otherwise_is_told_of_without_a_bug(at: Home) -> None:
    at.service.emulator.seed_pins([Seed(cid(7))])
    at.service.emulator.become(profile("kubo-hostile"))
    before = [*at.service.emulator.pins()]
    seen = Seen(at)
    assert not [one for one in seen.checks if "bug" in one["found"]]
    assert seen.of("remote nft", "clock")[0] == "warn"
    assert [*at.service.emulator.pins()] == before


# -- the unit


def systemd(**answers: str) -> Any:
    async def asked(*command: str) -> str:
        return answers.get(command[0].replace("-", "_"), "")

    return asked


SHOWN = (
    "LoadState=loaded\nActiveState={}\nSubState=running\nUnitFileState={}\nNRestarts={}\nResult={}\nFragmentPath=/x\n"
)


@pytest.mark.parametrize(
    ("shown", "exposure", "bad"),
    [
        (("active", "enabled", 0, "success"), "1.1 OK", []),
        (("active", "disabled", 3, "success"), "8.4 EXPOSED", ["at boot", "restarts", "hardening"]),
        (("failed", "enabled", 0, "exit-code"), "1.1 OK", ["unit"]),
        (("activating", "enabled", 0, "success"), "", ["unit"]),
    ],
)
def test_the_unit_is_looked_at(
    shown: tuple[object, ...], exposure: str, bad: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    level = f"→ Overall exposure level for pinsync.service: {exposure} 🙂" if exposure else ""
    monkeypatch.setattr(machine, "_asked", systemd(systemctl=SHOWN.format(*shown), systemd_analyze=level))
    monkeypatch.setattr("shutil.which", lambda program: program)
    found = asyncio.run(gathered(machine.SERVICE, "unit", machine.service(None)))
    assert [one.check for one in found if one.result not in (Result.OK, Result.SKIP)] == bad
    assert all(one.todo for one in found if one.result in (Result.WARN, Result.FAIL))


@pytest.mark.parametrize("shown", ["", "LoadState=not-found\n"])
def test_a_machine_without_the_unit_is_no_fault(shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_asked", systemd(systemctl=shown))
    (found,) = asyncio.run(gathered(machine.SERVICE, "unit", machine.service(None)))
    assert found.result is Result.SKIP


# -- a check that breaks


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NodeError("kubo", "it is away"), "it is away"),
        (PermissionError(13, "Permission denied", "/x"), "Permission denied: /x"),
        (sqlite3.DatabaseError("malformed"), "the ledger cannot be read: malformed"),
        (RuntimeError(f"holds {TOKEN}"), "this check has a bug: RuntimeError at test_doctor.py:"),
    ],
)
def test_a_check_that_breaks_is_a_line_and_keeps_what_it_found(error: Exception, words: str) -> None:
    async def breaks() -> Any:
        yield About("node kubo").ok("address", "there")
        raise error

    found = asyncio.run(gathered(About("node kubo"), "reachable", breaks()))
    assert [one.result for one in found] == [Result.OK, Result.FAIL]
    assert words in found[1].found and TOKEN not in str(found)


def test_the_exit_code_is_2_for_the_configuration_1_for_the_rest_and_0_for_warnings() -> None:
    ok, warn, fail = (Finding("a", "b", result, "") for result in (Result.OK, Result.WARN, Result.FAIL))
    wrong = Finding("configuration", "b", Result.FAIL, "", wrong=True)
    assert [exit_code(found) for found in ([ok, warn], [ok, fail], [fail, wrong], [])] == [0, 1, 2, 0]
