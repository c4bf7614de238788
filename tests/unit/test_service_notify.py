"""The daemon tells people: a real one, with a real receiver; and the commands that try it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pinsync.house import reading
from tests.unit.cli_kit import Home, home
from tests.unit.notify_kit import SECRET, Hook, program
from tests.unit.service_kit import TOKEN, FakeNode, HandClock, Rig, cid, until

EVERY = 900.0


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as made:
        yield made


def tables(hook: Hook, **more: str) -> str:
    lines = [
        f'webhook = "{hook.url}"',
        f'heartbeat = "{hook.url}"',
        *(f"{key} = {value}" for key, value in more.items()),
    ]
    return "[notify]\n" + "\n".join(lines) + "\n"


def test_a_daemon_tells_of_a_node_that_is_away_and_that_it_is_back_and_repeats_nothing(
    tmp_path: Path, hook: Hook
) -> None:
    clock = HandClock()
    with FakeNode() as node, Rig(tmp_path, clock=clock, extra=tables(hook)) as rig:
        node.pins[cid(1)] = "one"
        rig.pins.touch()
        rig.configure(kubo=f'api = "{node.url}"')
        rig.start()
        until(lambda: hook.beats() == 1)
        node.leave()

        def heard() -> list[str]:
            clock.advance(60)
            return hook.events()

        until(heard)
        before = rig.passes()
        rig.stop()
        rig.start()  # nothing has changed
        until(lambda: rig.passes() > before)
        rig.stop()
        assert hook.events() == ["failing"]
        node.arrive()
        rig.start()
        hook.wait("failing", "recovered")
        until(lambda: hook.beats() == 2)
        rig.stop()
        told = json.dumps(hook.messages())
        assert "node kubo is failing since" in told
        assert TOKEN not in told + "".join(rig.log.lines) and SECRET not in "".join(rig.log.lines)
        with reading(rig.load_state()) as ledger:
            assert ledger is not None
            events = [(event.kind, event.details) for event in reversed(ledger.events())]
        assert [kind for kind, _ in events] == ["verdict", "notified", "verdict", "notified"]
        assert SECRET not in str(events)


def test_a_receiver_that_hangs_delays_neither_a_pass_nor_the_end(tmp_path: Path, hook: Hook) -> None:
    hook.answers.clear()
    with Rig(tmp_path, extra=tables(hook)) as rig:
        rig.pins.touch()
        rig.start()
        until(lambda: hook.beats() == 1)
        rig.client.sync()
        assert rig.passes() == 2
        rig.stop()
        assert rig.exit_code == 0


def test_a_changed_receiver_is_in_force_without_a_restart(tmp_path: Path, hook: Hook) -> None:
    with Rig(tmp_path) as rig:
        rig.pins.touch()
        rig.start()
        assert hook.beats() == 0
        rig.configure(extra=tables(hook))
        until(lambda: hook.beats() == 1)


# -- the commands


@pytest.fixture
def at(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    with home(tmp_path, capsys, monkeypatch, {cid(n): f"pin {n}" for n in range(3)}) as made:
        yield made


def test_a_trial_tells_every_receiver_and_says_what_each_answered(at: Home, hook: Hook, tmp_path: Path) -> None:
    tell = program(tmp_path / "tell", f"cat > {tmp_path}/told; echo thanks")
    at.configure(tables(hook, command=f'["{tell}"]'))
    ran = at.run("notify", "--test")
    assert ran.code == 0
    assert [line.split()[:3] for line in ran.out.splitlines()] == [
        ["command", "ok", str(tell)], ["webhook", "ok", "127.0.0.1"], ["heartbeat", "ok", "127.0.0.1"],
    ]  # fmt: skip
    assert "exit code 0: thanks" in ran.out and SECRET not in ran.out + ran.err
    assert hook.events() == ["test"] and hook.beats() == 1
    assert json.loads((tmp_path / "told").read_text())["event"] == "test"


def test_a_trial_that_fails_exits_with_1(at: Home, hook: Hook) -> None:
    hook.status = 404
    at.configure(tables(hook))
    ran = at.run("notify", "--test", "--json")
    assert ran.code == 1
    assert [(one["receiver"], one["ok"]) for one in ran.json()["receivers"]] == [
        ("webhook", False),
        ("heartbeat", False),
    ]
    assert "HTTP 404" in ran.json()["receivers"][0]["answer"]


def test_without_a_trial_it_says_who_is_told(at: Home, hook: Hook, tmp_path: Path) -> None:
    at.configure(f'[notify]\nwebhook = "{hook.url}"\nheartbeat_file = "{tmp_path}/nothing"\n')
    ran = at.run("notify")
    assert "127.0.0.1, from webhook in the configuration" in ran.out
    assert "is not there" in ran.out and hook.got == []


def test_check_says_that_a_url_cannot_be_had_or_can_be_read_by_all(at: Home, hook: Hook) -> None:
    file = at.path / "hook"
    at.configure('[notify]\nwebhook_file = "hook"\n')
    ran = at.run("check")
    assert ran.code == 2 and "notify.webhook: webhook_file" in ran.err
    file.write_text(hook.url)
    file.chmod(0o644)
    ran = at.run("check")
    assert ran.code == 0 and "chmod o-rwx" in ran.err
    assert SECRET not in ran.out + ran.err


def test_with_nobody_to_tell_a_trial_is_a_mistake(at: Home) -> None:
    assert at.run("notify").code == 0
    ran = at.run("notify", "--test")
    assert ran.code == 2 and "[notify]" in ran.err


def test_a_daemon_makes_the_trial_with_what_it_alone_may_read(
    at: Home, hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "notify.webhook").write_text(hook.url)
    with Rig(tmp_path, CREDENTIALS_DIRECTORY=str(credentials)) as rig:
        rig.start()
        ran = at.run("notify", "--test", "--json")
        assert ran.code == 0 and "told by the daemon" in ran.err
    assert hook.events() == ["test"]


def test_a_pass_without_a_daemon_tells_too_and_does_not_wait_for_long(
    at: Home, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    at.configure(tables(hook, failing_after="0"), api="http://127.0.0.1:1")
    ran = at.run("sync")
    assert ran.code == 1
    assert hook.events() == ["failing"] and hook.beats() == 0
    assert at.run("sync").code == 1
    assert hook.events() == ["failing"]
    at.configure(tables(hook, failing_after="0"))
    assert at.run("sync").code == 0
    assert hook.events() == ["failing", "recovered"] and hook.beats() == 1
    monkeypatch.setattr("pinsync.cli.notify.PATIENCE", 0.3)
    hook.status = 500
    at.configure(tables(hook, failing_after="0"), api="http://127.0.0.1:1")
    assert at.run("sync").code == 1
    assert hook.events()[2:] and set(hook.events()[2:]) == {"failing"}
