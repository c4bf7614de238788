"""The commands against an emulated service and a stand-in for a node: what they do, print, and exit with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pinsync.emulator.records import Seed
from pinsync.ledger.lock import StateLock
from pinsync.model import PinStatus
from tests.unit.cli_kit import TOKEN, Home, home
from tests.unit.emulator_kit import cid

PINS = {cid(n): f"pin {n}" for n in range(4)}
Fixture = Iterator[Home]


@pytest.fixture
def at(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Fixture:
    """A service that pins at once."""
    with home(tmp_path, capsys, monkeypatch, PINS) as made:
        yield made


@pytest.fixture
def slow(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Fixture:
    """NFT.Storage, on which every pin stays queued."""
    with home(tmp_path, capsys, monkeypatch, PINS, service="nft.storage", settle=float("inf")) as made:
        yield made


def shape(value: Any) -> Any:
    """A JSON value as its keys and types."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


# -- exit codes, in the promised order


def test_a_mirror_in_sync_exits_0_everywhere(at: Home) -> None:
    assert at.run("plan").code == 3
    assert at.run("sync").code == 0
    assert at.run("sync").code == 0
    assert at.run("plan").code == 0
    assert at.run("status").code == 0
    assert at.run("ls").code == 0
    assert at.run("check").code == 0
    assert {pin.cid for pin in at.service.emulator.pins()} == set(PINS)


def test_pins_on_their_way_and_grace_exit_3(slow: Home) -> None:
    assert slow.run("sync").code == 3
    assert slow.run("status").code == 3
    slow.node.pins.pop(cid(0))
    assert slow.run("plan").code == 3


def test_what_is_held_exits_4(at: Home) -> None:
    at.run("sync")
    at.node.pins.clear()
    assert at.run("sync").code == 4
    assert at.run("plan").code == 4
    assert at.run("status").code == 4


def test_status_alone_exits_5_before_the_first_pass_and_when_none_was_good_for_long(at: Home) -> None:
    never = at.run("status", "--json")
    assert (never.code, never.json()["verdict"]) == (5, "never-ran")
    assert not at.ledger.exists(), "looking made no ledger"
    at.run("sync")
    at.age(2 * 900)
    assert at.run("status").code == 0
    at.age(2 * 900)
    stale = at.run("status", "--json")
    assert (stale.code, stale.json()["verdict"]) == (5, "stale")
    assert at.run("plan").code == 0


@pytest.mark.parametrize("command", ["sync", "plan", "status"])
def test_a_node_or_a_remote_that_fails_exits_1(at: Home, command: str) -> None:
    at.run("sync")
    at.node.broken = 500
    at.run("sync")
    ran = at.run(command)
    assert ran.code == 1
    assert "kubo" in ran.out + ran.err
    at.node.broken = None
    at.configure(endpoint="http://127.0.0.1:9")
    at.run("sync")
    ran = at.run(command)
    assert ran.code == 1
    assert "nft" in ran.out + ran.err


@pytest.mark.parametrize("command", ["sync", "plan", "status", "ls", "check", "approve", "adopt"])
def test_a_wrong_configuration_exits_2_with_every_problem(at: Home, command: str) -> None:
    at.configure("[schedule]\nevery = 3\n[safty]\n")
    ran = at.run(command, "--json")
    assert ran.code == 2
    found = json.loads(ran.out)
    assert [error["where"] for error in found["errors"]] == [f"{at.config}:7", f"{at.config}:8"]
    assert f"{at.config}:7" in ran.err


def test_a_wrong_manifest_exits_2_and_the_rest_is_mirrored_all_the_same(at: Home) -> None:
    at.manifest(f'[[pin]]\ncid = "{cid(20)}"\n')
    at.run("sync")
    at.manifest('[[pin]]\ncid = "nonsense"\n')
    at.node.pins[cid(9)] = "new"
    ran = at.run("sync", "--json")
    assert ran.code == 2
    assert [error["where"] for error in ran.json()["errors"]] == ["manifest"]
    assert {cid(9), cid(20)} <= {pin.cid for pin in at.service.emulator.pins()}
    status = at.run("status", "--json")
    assert status.code == 2
    assert status.json()["sources"]["manifest"]["ok"] is False
    assert at.run("plan").code == 2
    assert at.run("check").code == 2


def test_a_state_that_is_held_exits_6_before_anything_else(at: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    at.run("sync")
    with StateLock(at.ledger) as lock:
        lock.acquire("pinsync run")
        monkeypatch.delenv("PINSYNC_TOKEN_NFT")
        ran = at.run("sync", "--json")
        assert ran.code == 6
        assert "pinsync run, process" in ran.json()["errors"][0]["message"]
        assert at.run("approve", cid(0)).code == 6
        assert at.run("status").code == 0, "reading is free"


def test_a_usage_error_of_the_work_exits_2_with_the_names_that_there_are(at: Home) -> None:
    ran = at.run("plan", "--remote", "ntf", "--json")
    assert ran.code == 2
    assert ran.json()["errors"] == [
        {"where": "command line", "message": "no remote is called 'ntf'; did you mean nft?"}
    ]


# -- without a token


@pytest.mark.parametrize("command", [["plan"], ["sync"], ["ls"], ["adopt", "--all"]])
def test_without_a_token_and_a_daemon_nothing_is_done_and_the_places_are_named(
    at: Home, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PINSYNC_TOKEN_NFT")
    ran = at.run(*command)
    assert ran.code == 1
    for place in ("token_file", "credential nft.token", "PINSYNC_TOKEN_NFT", "no daemon answers"):
        assert place in ran.err
    assert not at.ledger.exists()
    assert at.run("check").code == 2


def test_a_token_that_makes_no_sense_is_a_wrong_configuration(at: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINSYNC_TOKEN_NFT", f'"{TOKEN}"')
    assert at.run("sync").code == 2


def test_a_token_that_is_refused_is_never_shown(at: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINSYNC_TOKEN_NFT", wrong := "another-t0ken")
    for args in (["sync", "--verbose"], ["status", "--json"], ["ls"]):
        ran = at.run(*args)
        assert ran.code == 1
        assert wrong not in ran.out + ran.err


# -- shapes


REMOTE_STATUS = {"name": "str", "ok": "bool", "error": "NoneType", "complete": "bool"} | dict.fromkeys(
    ("wanted", "pinned", "queued", "pinning", "failed", "refused", "missing", "foreign", "waiting_removal", "held"),
    "int",
)


def test_the_shape_of_plan(at: Home) -> None:
    found = at.run("plan", "--json").json()
    assert found.keys() == {"format", "remotes", "paused", "doubts", "errors"}
    [remote] = found["remotes"]
    assert shape({key: remote[key] for key in ("name", "complete", "reason")}) == {
        "name": "str", "complete": "bool", "reason": "NoneType",
    }  # fmt: skip
    assert {one["cid"]: one["name"] for one in remote["actions"]} == PINS
    assert {one["kind"] for one in remote["actions"]} == {"add"}
    assert {one["state"] for one in remote["actions"]} == {"do"}
    assert remote["actions"][0].keys() >= {"kind", "cid", "name", "state", "reason", "until"}
    assert at.run("sync", "--dry-run", "--json").json() == found
    assert at.service.emulator.mutations == 0


def test_the_shape_of_sync(at: Home) -> None:
    [remote] = at.run("sync", "--json").json()["remotes"]
    assert shape(remote) == {"name": "str", "complete": "bool", "seconds": "float"} | dict.fromkeys(
        ("added", "updated", "removed", "retried", "refused", "waiting", "held", "requests"), "int"
    )
    assert remote["added"] == 4


def test_the_shape_of_status(slow: Home) -> None:
    slow.run("sync")
    found = slow.run("status", "--json").json()
    assert found["daemon"]["running"] is False
    assert shape(found["sources"]["nodes"][0]).items() >= {
        "name": "str", "ok": "bool", "pins": "int", "peer_id": "str", "read_at": "str", "error": "NoneType",
    }.items()  # fmt: skip
    assert found["sources"]["manifest"].keys() >= {"ok", "path", "pins", "error"}
    [remote] = found["remotes"]
    assert shape(remote).items() >= REMOTE_STATUS.items()
    parts = ("pinned", "queued", "pinning", "failed", "refused", "missing")
    assert remote["wanted"] == sum(remote[part] for part in parts) == 4
    assert found.keys() >= {"format", "verdict", "last_pass", "next_pass_at"}


def test_the_shape_of_ls(at: Home) -> None:
    at.service.emulator.seed_pins([Seed(cid(50), name="somebody's")])
    at.run("sync")
    found = at.run("ls", "--json").json()
    assert (found["remote"], found["complete"], found["reason"]) == ("nft", True, None)
    pins = {pin["cid"]: pin for pin in found["pins"]}
    assert shape(pins[cid(0)]) == dict.fromkeys(("requestid", "cid", "name", "status", "created"), "str") | {
        "ours": "bool"
    }
    assert {each: pin["ours"] for each, pin in pins.items()} == dict.fromkeys(PINS, True) | {cid(50): False}
    at.ledger.unlink()
    without = at.run("ls", "--json").json()
    assert {pin["cid"] for pin in without["pins"] if pin["ours"]} == set(PINS), "by mark alone"


def test_status_of_one_pin_tells_its_life(slow: Home) -> None:
    slow.run("sync")
    ran = slow.run("status", cid(0), "--json")
    assert ran.code == 3
    [remote] = ran.json()["remotes"]
    assert (remote["wanted_by"], remote["status"], remote["ours"]) == (["node:kubo"], "queued", True)
    assert remote.keys() >= {"requestid", "status", "created", "ours", "attempts", "last_error", "next_try"}
    text = slow.run("status", cid(0)).out
    assert "wanted at nft" in text
    assert "queued, ours" in text
    assert "History" in text
    assert slow.run("status", "nonsense").code == 2
    assert slow.run("status", cid(77)).code == 0


def test_several_remotes_make_ls_and_adopt_ambiguous(at: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINSYNC_TOKEN_SECOND", TOKEN)
    at.remotes.append("second")
    at.configure()
    for command in (["ls"], ["adopt", "--all"]):
        ran = at.run(*command)
        assert ran.code == 2
        assert "--remote nft|second" in ran.err
    assert at.run("ls", "--remote", "second").code == 0


# -- lists that are not all


def test_an_incomplete_list_is_printed_with_a_word_and_exit_1(at: Home) -> None:
    at.service.emulator.seed_pins([cid(n) for n in range(60)], step=0)
    at.service.emulator.become(
        max_limit=10, over_limit="clamp", count="page", created_unique=False, cid_filter="ignored"
    )
    ran = at.run("ls", "--json")
    found = ran.json()
    assert (ran.code, found["complete"]) == (1, False)
    assert found["reason"]
    assert "this is not all" in ran.err
    assert len(found["pins"]) >= 10


# -- approve and adopt


@pytest.fixture
def held(at: Home) -> Home:
    """Four removals held, since the node reads empty."""
    at.run("sync")
    at.node.pins.clear()
    assert at.run("sync").code == 4
    return at


def test_approving_everything_releases_what_is_held(held: Home) -> None:
    ran = held.run("approve", "--all", "--json")
    found = ran.json()
    assert ran.code == 0
    assert {one["cid"] for one in found["released"]} == set(PINS)
    assert len(found["doubts"]) == 1
    again = held.run("approve", "--all")
    assert again.code == 0
    held.configure('[safety]\ngrace = "0s"\n')
    assert held.run("sync").code == 0
    assert held.service.emulator.pins() == []


def test_with_nothing_held_there_is_nothing_to_approve(at: Home) -> None:
    for _ in range(2):
        ran = at.run("approve", "--all")
        assert ran.code == 0
        assert "nothing is held" in ran.err
        at.run("sync")
    assert at.run("approve", "--all", "--json").json() == {"format": 1, "released": [], "doubts": []}
    ran = at.run("approve", cid(0))
    assert ran.code == 2
    assert "nothing is held for" in ran.err


@pytest.mark.parametrize("args", [[], ["--now"], ["--all", cid(0)], ["nonsense"]])
def test_in_a_pipe_it_must_be_said_what_to_approve(held: Home, args: list[str]) -> None:
    ran = held.run("approve", *args)
    assert ran.code == 2
    assert held.run("status").code == 4, "nothing was released"


def test_adopting_takes_wanted_pins_and_others_by_name_alone(at: Home) -> None:
    at.service.emulator.seed_pins([cid(0), cid(50)])
    at.run("sync")
    found = at.run("adopt", "--all", "--json").json()
    assert [pin["cid"] for pin in found["adopted"]] == [cid(0)]
    assert [pin["cid"] for pin in at.run("adopt", cid(50), "--json").json()["adopted"]] == [cid(50)]
    ours = {pin["cid"] for pin in at.run("ls", "--json").json()["pins"] if pin["ours"]}
    assert ours == {*PINS, cid(50)}
    assert at.run("adopt").code == 2
    assert at.run("adopt", cid(77)).code == 1


# -- manifest and check


def test_the_manifest_is_edited_and_mirrored(at: Home) -> None:
    ran = at.run("manifest", "add", cid(20), "--name", "docs v3", "--meta", "team=web", "--remote", "nft", "--json")
    found = ran.json()
    assert (ran.code, found["created"], found["path"]) == (0, True, str(at.path / "pins.toml"))
    assert found["added"] == [{"cid": cid(20), "name": "docs v3", "meta": {"team": "web"}, "remotes": ["nft"]}]
    assert at.run("manifest", "add", cid(20), "--name", "docs v3", "--meta", "team=web", "--remote", "nft").code == 0
    assert at.run("manifest", "add", cid(20), "--name", "other").code == 2
    at.run("sync")
    [pin] = [pin for pin in at.service.emulator.pins() if pin.cid == cid(20)]
    assert (pin.name, (pin.meta or {})["team"]) == ("docs v3", "web")
    assert [one["cid"] for one in at.run("manifest", "rm", cid(20), "--json").json()["removed"]] == [cid(20)]
    assert at.run("manifest", "rm", cid(20)).code == 2


@pytest.mark.parametrize(
    "args",
    [["nonsense"], [cid(1), "--meta", "team"], [cid(1), "--meta", "=x"], [cid(1), "--meta", "a=1", "--meta", "a=2"],
     [cid(1), "--remote", "ntf"], [cid(1), "--name", "x" * 256]],
)  # fmt: skip
def test_a_wrong_entry_changes_nothing(at: Home, args: list[str]) -> None:
    assert at.run("manifest", "add", *args).code == 2
    assert not (at.path / "pins.toml").exists()


def test_check_needs_no_network_and_says_what_it_found(at: Home) -> None:
    at.manifest(f'[[pin]]\ncid = "{cid(20)}"\n[[ignore]]\nname = "scratch-*"\n')
    at.configure(endpoint="http://127.0.0.1:9", api="http://127.0.0.1:9")
    ran = at.run("check", "--json")
    found = ran.json()
    assert (ran.code, found["ok"], found["errors"]) == (0, True, [])
    assert found["config"] == {"path": str(at.config), "why": "given by --config"}
    assert found["manifest"] == {"path": str(at.path / "pins.toml"), "ok": True, "pins": 1, "ignores": 1, "files": 1}
    assert found["remotes"][0]["token"] == "PINSYNC_TOKEN_NFT"
    text = at.run("check").out
    assert "in order" in text
    assert "given by --config" in text


def test_check_warns_of_a_token_that_others_can_read(at: Home) -> None:
    file = at.path / "token"
    file.write_text(TOKEN)
    file.chmod(0o644)
    at.config.write_text(at.config.read_text() + 'token_file = "token"\n')
    ran = at.run("check", "--json")
    assert ran.code == 0
    assert any("chmod o-rwx" in warning for warning in ran.json()["warnings"])
    file.chmod(0o600)
    assert at.run("check", "--json").json()["warnings"] == []


def test_check_tells_every_problem_of_manifest_and_tokens_at_once(at: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PINSYNC_TOKEN_NFT")
    at.manifest('[[pin]]\ncid = "nonsense"\n[[pin]]\n')
    ran = at.run("check", "--json")
    assert ran.code == 2
    wheres = [error["where"] for error in ran.json()["errors"]]
    assert wheres == ["remote nft", f"{at.path / 'pins.toml'}:2", f"{at.path / 'pins.toml'}:3"]


# -- quiet and verbose, and failures of pins


def test_quiet_leaves_the_verdict_alone(at: Home) -> None:
    assert at.run("plan", "--quiet").out == "4 to add.\n"
    ran = at.run("--quiet", "sync")
    assert (ran.out, ran.err) == ("", "")
    assert at.run("status", "-q").out == "In sync: every wanted pin is pinned at nft.\n"


def test_a_pin_that_fails_is_told_with_the_services_words(at: Home) -> None:
    at.service.emulator.become(fails=(cid(0),), fail_details="no providers found")
    assert at.run("sync").code == 1
    at.run("sync")
    ran = at.run("status")
    assert ran.code == 1
    assert "1 pin at nft" in ran.out
    assert "no providers found" in ran.out
    assert at.run("status", cid(0)).code == 1


def test_nothing_that_a_server_says_reaches_the_terminal_raw(at: Home) -> None:
    at.service.emulator.seed_pins([Seed(cid(50), name="evil\x1b[2Jname\nsecond line", status=PinStatus.PINNED)])
    ran = at.run("ls")
    assert "\x1b" not in ran.out
    assert "evil�[2Jname�second line" in ran.out
    assert at.run("ls", "--json").json()["pins"][0]["name"] == "evil\x1b[2Jname\nsecond line"


# -- looking back and steering


def test_history_tells_of_passes_and_of_one_pin(at: Home) -> None:
    assert at.run("history").out == "nothing has happened yet\n"
    at.run("sync")
    ran = at.run("history")
    assert (ran.code, ran.err) == (0, "")
    assert "added" in ran.out
    assert len(at.run("history", "--json", "--limit", "1").json()["passes"]) == 1
    assert at.run("history", "--json", "--since", "1h").json()["passes"][0]["remotes"][0]["added"] == len(PINS)
    life = at.run("history", cid(0))
    assert life.code == 0
    assert "POST /pins → 202" in life.out
    assert at.run("history", cid(77)).code == 0
    for wrong in (["nonsense"], ["--since", "soon"], ["--limit", "0"], ["--remote", "nowhere"]):
        assert at.run("history", *wrong).code == 2


def test_what_failed_is_tried_again_at_a_word(at: Home) -> None:
    at.run("sync")
    for pin in at.service.emulator.pins()[:1]:
        at.service.emulator.set_status(pin.requestid, PinStatus.FAILED, "no provider")
    at.run("sync")
    ran = at.run("retry", "--failed")
    assert ran.code == 0
    assert "1 pin is due again" in ran.out and "pinsync sync" in ran.out
    assert at.run("sync", "--json").json()["remotes"][0]["retried"] == 1
    at.run("sync")
    assert "nothing to try again" in at.run("retry", "--failed").out
    for wrong in ([], [cid(1), "--failed"], [cid(1)], ["nonsense"]):
        assert at.run("retry", *wrong).code == 2


def test_a_pause_is_obeyed_told_and_ended(at: Home) -> None:
    at.run("sync")
    ran = at.run("pause", "--for", "2h", "--reason", "new  disk")
    assert ran.code == 0
    assert "Everything is paused until" in ran.out and "new disk" in ran.out
    before = len(at.service.emulator.requests)
    refused = at.run("sync")
    assert (refused.code, refused.out) == (4, "")
    assert "new disk" in refused.err and "pinsync resume" in refused.err
    assert len(at.service.emulator.requests) == before
    status = at.run("status")
    assert status.code == 4
    assert status.out.startswith("Held: everything is paused until")
    assert "pinsync resume" in status.out
    plan = at.run("plan")
    assert plan.code == 4 and "paused" in plan.err
    assert plan.out == "Nothing to do, and nft is paused.\n"
    assert at.run("resume", "--remote", "nft").code == 2
    assert "goes on" in at.run("resume").out
    assert at.run("sync").code == 0
    assert at.run("resume").out == "nothing is paused\n"
    for wrong in (["--for", "1h", "--until", "14:00"], ["--for", "long"], ["--until", "2020-01-01"],
                  ["--remote", "nowhere"], ["--reason", "x" * 501]):  # fmt: skip
        assert at.run("pause", *wrong).code == 2
    assert at.run("status").code == 0


def test_one_remote_can_be_paused_and_the_others_are_served(at: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINSYNC_TOKEN_SECOND", TOKEN)
    at.remotes = ["nft", "second"]
    at.configure()
    assert at.run("pause", "--remote", "second").code == 0
    ran = at.run("sync", "--json")
    assert ran.code == 4
    assert ran.json()["paused"] == ["second"]
    assert [one["name"] for one in ran.json()["remotes"]] == ["nft"]
    assert "left out" in ran.err
    assert at.run("sync", "--remote", "nft").code == 0
    assert at.run("sync", "--remote", "second").code == 4
    assert at.run("resume", "--remote", "second").code == 0


def test_a_pin_is_given_away_and_taken_back(at: Home) -> None:
    at.run("sync")
    ran = at.run("disown", cid(0))
    assert ran.code == 0
    assert "1 pin is not ours any more" in ran.out and "mark" in ran.out
    assert at.run("disown", cid(0)).code == 2
    assert at.run("disown").code == 2
    at.run("sync")
    assert at.run("status", "--json").json()["remotes"][0]["foreign"] == 1
    assert at.run("adopt", cid(0), "--json").json()["adopted"][0]["cid"] == cid(0)
    kinds = [one["kind"] for one in at.run("history", cid(0), "--json").json()["history"]]
    assert kinds[-2:] == ["disowned", "adopted"]


@pytest.mark.parametrize("command", ["sync", "plan", "ls"])
def test_verbose_shows_each_request_without_what_is_secret(at: Home, command: str) -> None:
    ran = at.run(command, "--verbose")
    assert re.search(r"^nft: GET /pins: 200 in \d+ ms$", ran.err, re.MULTILINE)
    if command != "ls":
        assert re.search(r"^node kubo: POST /api/v0/pin/ls: 200 in \d+ ms$", ran.err, re.MULTILINE)
    assert "nft: GET" not in at.run(command).err


def test_a_form_of_the_log_that_there_is_not_is_a_usage_error(at: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    option = at.run("run", "--log-format", "xml")
    monkeypatch.setenv("PINSYNC_LOG_FORMAT", "xml")
    for ran in (option, at.run("run")):
        assert (ran.code, ran.out) == (2, "")
        assert "text or json" in ran.err
