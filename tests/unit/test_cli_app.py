"""The command line before any work is done: help, options, and how errors are told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pinsync import __version__
from pinsync.cli import passes
from pinsync.cli.main import main
from tests.unit.cli_kit import Ran

COMMANDS = ["run", "sync", "plan", "status", "approve", "adopt", "manifest", "ls", "check", "emulator", "demo"]
HEAVY = ("httpx", "pydantic", "starlette", "uvicorn", "rich", "sqlite_utils", "asyncio", "apscheduler", "watchdog")


def call(capsys: pytest.CaptureFixture[str], *args: str) -> Ran:
    code = main(list(args))
    out, err = capsys.readouterr()
    return Ran(code, out, err)


def imported_by(*args: str) -> set[str]:
    """What a fresh process has imported after a command."""
    script = (
        "import sys\nfrom pinsync.cli.main import main\n"
        f"main({list(args)!r})\nprint(*(name for name, module in sys.modules.items() if module), file=sys.stderr)"
    )
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stderr.splitlines()[-1].split()}


def test_help_lists_every_command_and_imports_nothing_of_weight() -> None:
    assert not imported_by("--help").intersection(HEAVY)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_help_and_has_its_own(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"\n  {command} " in call(capsys, "--help").out
    ran = call(capsys, command, "--help")
    assert ran.code == 0
    assert ran.out.startswith(f"Usage: pinsync {command}")


def test_help_in_a_pipe_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    assert "\x1b" not in call(capsys, "--help").out


def test_without_a_command_the_help_is_shown_and_it_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    ran = call(capsys)
    assert ran.code == 2
    assert "Commands:" in ran.out


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "--version") == Ran(0, f"pinsync {__version__}\n", "")


@pytest.mark.parametrize(
    "args",
    [["plna"], ["plan", "--remot", "x"], ["plan", "extra"], ["manifest"], ["manifest", "add"],
     ["emulator", "--port", "x"], ["--config"], ["approve", "--now=x"]],
)  # fmt: skip
def test_a_usage_error_is_one_short_line_and_exit_2(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    ran = call(capsys, *args)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert "--help" in ran.err


def test_a_usage_error_with_json_is_an_object_too(capsys: pytest.CaptureFixture[str]) -> None:
    ran = call(capsys, "plan", "--json", "--nonsense")
    assert ran.code == 2
    [error] = ran.json()["errors"]
    assert error["where"] == "command line"
    assert "--nonsense" in error["message"]


def test_an_option_after_a_double_dash_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    ran = call(capsys, "plan", "--", "--json")
    assert (ran.code, ran.out) == (2, "")


def test_no_configuration_at_all_is_told_with_the_places(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    ran = call(capsys, "plan")
    assert ran.code == 2
    assert str(tmp_path / ".config/pinsync/config.toml") in ran.err


@pytest.mark.parametrize("place", ["before", "after", "short"])
def test_the_configuration_may_be_named_before_or_after_the_command(
    place: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("nonsense = 1\n")
    args = {"before": ["--config", str(file), "check"], "after": ["check", "--config", str(file)],
            "short": ["check", "-c", str(file)]}[place]  # fmt: skip
    ran = call(capsys, *args)
    assert ran.code == 2
    assert f"{file}:1" in ran.err


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def plan(ui: object, remote: object) -> int:
        raise KeyError("a value that might be a token")

    monkeypatch.setattr(passes, "plan", plan)


@pytest.mark.usefixtures("broken")
def test_a_bug_is_told_without_a_traceback_or_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    ran = call(capsys, "plan")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.count("\n") == 1
    assert "this is a bug in pinsync: KeyError at test_cli_app.py:" in ran.err
    assert "PINSYNC_DEBUG=1" in ran.err
    assert "token" not in ran.err


@pytest.mark.usefixtures("broken")
def test_a_bug_with_json_is_an_object_too(capsys: pytest.CaptureFixture[str]) -> None:
    [error] = json.loads(call(capsys, "--json", "plan").out)["errors"]
    assert "bug in pinsync" in error["message"]


@pytest.mark.usefixtures("broken")
def test_a_traceback_can_be_had(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINSYNC_DEBUG", "1")
    ran = call(capsys, "plan")
    assert ran.code == 1
    assert "Traceback" in ran.err


def test_an_interrupt_is_quiet(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def plan(ui: object, remote: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(passes, "plan", plan)
    assert call(capsys, "plan") == Ran(130, "", "")


def test_a_closed_pipe_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "pinsync", "--help"], stdout=out, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == 141
