"""Commands, webhooks and heartbeats: told as promised, within their time, and no secret shown whatever happens."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from pinsync.clock import SystemClock
from pinsync.service.news import message
from pinsync.service.receivers import Answered, Receiver, configured, tell, whereto
from pinsync.settings import load
from pinsync.settings.credentials import CredentialError, load_hook
from pinsync.settings.model import NotifySettings
from tests.unit.notify_kit import SECRET, Hook, program
from tests.unit.service_kit import until

MESSAGE = message(None, verdict="held", host="h", mirror="m", now=5.0) | {"text": "two\nlines, and $(touch never)"}


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as made:
        yield made


def told(receiver: Receiver, notify: NotifySettings, **env: str) -> Answered:
    found = asyncio.run(tell(receiver, notify, MESSAGE, env, SystemClock()))
    assert SECRET.rpartition("/")[2] not in str(found)
    return found


def by_url(url: str, **more: Any) -> NotifySettings:
    return NotifySettings(webhook=SecretStr(url), heartbeat=SecretStr(url), **more)


# -- URLs


def test_a_webhook_gets_the_message_as_json(hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answered = told("webhook", by_url(hook.url))
    assert (answered.ok, answered.where, answered.said) == (True, "127.0.0.1", "HTTP 200")
    assert hook.messages() == [MESSAGE]
    assert SECRET not in caplog.text  # httpx would log the whole URL


def test_a_heartbeat_is_a_get(hook: Hook) -> None:
    assert told("heartbeat", by_url(hook.url)).ok
    assert hook.got == [("GET", f"/{SECRET}", b"")]


@pytest.mark.parametrize(
    ("status", "again"), [(404, False), (401, False), (302, False), (500, True), (503, True), (429, True)]
)
def test_what_is_refused_is_not_tried_again_and_what_fails_is(hook: Hook, status: int, again: bool) -> None:
    hook.status = status
    answered = told("webhook", by_url(hook.url))
    assert (answered.ok, answered.again) == (False, again)
    assert f"HTTP {status}" in answered.said
    assert len(hook.got) == 1


def test_one_that_does_not_answer_is_not_waited_for(hook: Hook) -> None:
    hook.answers.clear()
    answered = told("webhook", by_url(hook.url, timeout=0.2))
    assert (answered.ok, answered.again, answered.said) == (False, True, "no answer within 0.2 s")


def test_one_that_is_not_there_is_told_without_its_url() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        answered = told("webhook", by_url(f"http://127.0.0.1:{taken.getsockname()[1]}/{SECRET}"))
    assert not answered.ok and answered.again
    assert answered.said.startswith("no connection")


# -- where URLs come from


def test_a_url_is_the_first_of_file_credential_and_key(tmp_path: Path) -> None:
    env = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    notify = by_url("https://key.example/x")
    assert whereto(notify, "webhook", env) == "key.example, from webhook in the configuration"
    (tmp_path / "notify.webhook").write_text("https://credential.example/x\n")
    assert whereto(notify, "webhook", env).startswith("credential.example, from credential ")
    (tmp_path / "file").write_text("https://file.example/x\n")
    assert whereto(replace(notify, webhook_file=tmp_path / "file"), "webhook", env).startswith("file.example, from ")
    assert whereto(notify, "heartbeat", env) == "key.example, from heartbeat in the configuration"


@pytest.mark.parametrize("content", ["", f"ftp://{SECRET}", f"https://a.example/{SECRET}\nmore", f"see {SECRET}"])
def test_a_file_that_holds_no_url_is_an_error_without_its_content(tmp_path: Path, content: str) -> None:
    (tmp_path / "hook").write_text(content)
    notify = NotifySettings(webhook_file=tmp_path / "hook")
    with pytest.raises(CredentialError) as caught:
        load_hook(notify, "webhook", {})
    assert "a-secret" not in str(caught.value)
    answered = told("webhook", notify)
    assert not answered.ok and not answered.again and "webhook_file" in answered.said
    assert configured(notify, {}) == ["webhook"]  # it is wanted, and whoever tries it hears why not


def test_nobody_is_told_where_nothing_is_set() -> None:
    assert configured(NotifySettings(), {}) == []


def test_settings_never_show_a_url(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(f'[notify]\nwebhook = "https://h.example/{SECRET}"\n[[remote]]\nname = "a"\n')
    settings = load(tmp_path / "c.toml", env={"HOME": "/x", "PINSYNC_NOTIFY__HEARTBEAT": f"https://b.example/{SECRET}"})
    assert "a-secret" not in repr(settings)
    assert configured(settings.notify, {}) == ["webhook", "heartbeat"]


# -- the command


def command(path: Path, *arguments: str, timeout: float = 10.0) -> NotifySettings:
    return NotifySettings(command=(str(path), *arguments), timeout=timeout)


def test_a_command_reads_json_and_a_few_variables_and_no_shell_reads_anything(tmp_path: Path) -> None:
    tell_it = program(tmp_path / "tell", 'cat > "$1"; env > "$2"; echo done')
    odd = tmp_path / "$(touch never); *.json"
    env = {
        "PATH": os.environ["PATH"], "PINSYNC_TOKEN_THERE": SECRET, "CREDENTIALS_DIRECTORY": "/secret",
        "AWS_SECRET_ACCESS_KEY": SECRET, "LC_ALL": "C", "NOTIFY_SOCKET": "/run/x",
    }  # fmt: skip
    answered = told("command", command(tell_it, str(odd), str(tmp_path / "env")), **env)
    assert (answered.ok, answered.where, answered.said) == (True, str(tell_it), "exit code 0: done")
    assert json.loads(odd.read_text()) == MESSAGE
    seen = (tmp_path / "env").read_text()
    assert "PINSYNC_EVENT=test\n" in seen and "PINSYNC_VERDICT=held\n" in seen and "LC_ALL=C\n" in seen
    assert "PINSYNC_SUBJECT=pinsync on h: a trial\n" in seen and "PINSYNC_TEXT=two\nlines" in seen
    assert "SECRET" not in seen and SECRET not in seen and "CREDENTIALS" not in seen and "NOTIFY_SOCKET" not in seen
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["tell", "env", odd.name])


def test_a_command_may_call_pinsync_with_what_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('[[remote]]\nname = "a"\n')
    names = ("PINSYNC_EVENT", "PINSYNC_VERDICT", "PINSYNC_SUBJECT", "PINSYNC_TEXT")
    load(tmp_path / "c.toml", env={"HOME": "/x", **dict.fromkeys(names, "something")})


def test_one_that_fails_says_how(tmp_path: Path) -> None:
    answered = told("command", command(program(tmp_path / "tell", "echo no such channel >&2; exit 3")))
    assert (answered.ok, answered.said) == (False, "exit code 3: no such channel")


def test_one_that_cannot_be_run_says_why_and_is_not_tried_again(tmp_path: Path) -> None:
    answered = told("command", command(tmp_path / "nothing"))
    assert (answered.ok, answered.again) == (False, False)
    assert answered.said == "it cannot be run: No such file or directory"


def test_one_that_does_not_end_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    tell_it = program(tmp_path / "tell", f"sleep 600 & echo $! > {tmp_path}/child; wait")
    answered = told("command", command(tell_it, timeout=0.5))
    assert answered.said == "it did not end within 0.5 s and was killed"
    assert until(lambda: not _alive(int((tmp_path / "child").read_text())))


def test_one_that_leaves_something_running_is_not_waited_for(tmp_path: Path) -> None:
    answered = told("command", command(program(tmp_path / "tell", "sleep 600 & echo started"), timeout=60))
    assert answered.ok and "started" in answered.said


def test_one_that_reads_nothing_and_talks_without_end_is_fine(tmp_path: Path) -> None:
    notify = command(program(tmp_path / "tell", "head -c 3000000 /dev/zero | tr '\\0' x"))
    big = {**MESSAGE, "text": "x" * 5, "changes": ["y" * 500_000]}
    answered = asyncio.run(tell("command", notify, big, {}, SystemClock()))
    assert answered.ok and len(answered.said) < 300


def _alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIG_DFL)
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path("/proc").exists() else True
    return False
