"""Completion: what the scripts offer, asked of the shells themselves, and how quick their one question is."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from pinsync.cli.completion import SHELLS, remote_names, script
from pinsync.cli.main import main
from pinsync.cli.ui import Ui
from pinsync.emulator.profiles import PROFILES
from tests.unit.test_cli_app import imported_by
from tests.unit.test_docs import COMMANDS, TOP, options

# Each harness defines `pinsync` to answer the script's own question, and prints what is offered for its arguments, one
# a line: the words before the cursor, the last of which is being typed.
BASH = """
pinsync() { [ "$*" = "completion remotes" ] && printf 'nftstorage\\npinata\\n'; }
source "$0"
COMP_WORDS=(pinsync "$@"); COMP_CWORD=$#; _pinsync; printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """
pinsync() { [[ "$*" == "completion remotes" ]] && print -l nftstorage pinata }
compdef() { : }
offer() { local one; for one in "$@"; do one=${one%%:*}; [[ $one == $words[CURRENT]* ]] && print -r -- $one; done }
_describe() { offer "${(@P)@[-1]}" }
compadd() { if [[ $1 == -a ]]; then offer "${(@P)2}"; else shift; offer "$@"; fi }
source $0
words=(pinsync "$@"); CURRENT=$#words; _pinsync
"""
FISH = """
function pinsync; test "$argv" = "completion remotes"; and printf 'nftstorage\\npinata\\n'; end
source $argv[1]; complete -C "pinsync $argv[2..]" | string split -f 1 \\t
"""
CASES: list[tuple[Sequence[str], set[str]]] = [
    (["s"], {"sync", "status", "service"}),
    (["service", ""], {"install", "uninstall", "show"}),
    (["sync", "--re"], {"--remote"}),
    (["sync", "--remote", ""], {"nftstorage", "pinata"}),
    (["sync", "--remote", "p"], {"pinata"}),
    (["-v", "--config", "x", "manifest", ""], {"add", "rm"}),
    (["manifest", "add", "--n"], {"--name"}),
    (["emulator", "--profile", "n"], {"nft.storage"}),
    (["run", "--log-format", "j"], {"json"}),
    (["completion", ""], {"bash", "zsh", "fish"}),
    (["history", "--lim"], {"--limit"}),
    (["pause", "--for", ""], set()),
]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("completion")
    made = {}
    for shell in SHELLS:
        made[shell] = directory / f"pinsync.{shell}"
        made[shell].write_text(script(shell))
    return made


def offered(shell: str, file: Path, words: Sequence[str]) -> set[str]:
    command = {
        "bash": ["bash", "--norc", "-c", BASH, str(file), *words],
        "zsh": ["zsh", "-f", "-c", ZSH, str(file), *words],
        "fish": ["fish", "--no-config", "-c", FISH, str(file), *words],
    }[shell]
    env = {"PATH": os.environ["PATH"], "HOME": str(file.parent), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=file.parent, check=False)
    assert done.stderr == ""
    return {line for line in done.stdout.splitlines() if line}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("words", "expected"), CASES, ids=[" ".join(words) for words, _ in CASES])
def test_a_shell_offers_what_fits(
    scripts: dict[str, Path], shell: str, words: Sequence[str], expected: set[str]
) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    found = offered(shell, scripts[shell], words)
    here = {path.name for path in scripts.values()}  # fish offers files for what it cannot complete
    assert {word for word in found if not word.startswith("-") or words[-1].startswith("-")} - here == expected


def test_a_file_is_offered_for_what_takes_one(scripts: dict[str, Path]) -> None:
    assert "pinsync.zsh" in offered("bash", scripts["bash"], ["run", "--config", "pinsync.z"])


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_and_option_is_in_the_script(scripts: dict[str, Path], shell: str) -> None:
    text = scripts[shell].read_text()
    for name, command in {"": TOP, **COMMANDS}.items():
        assert all(word in text for word in name.split(" "))
        for option in options(command):
            shown = option if shell != "fish" else f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
            assert shown in text, (name, option)
    assert all(profile in text for profile in PROFILES)


def test_the_names_of_remotes_are_those_of_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        'nonsense = 1\n[[remote]]\nname = "a-1"\n[[remote]]\nname = "$(rm -rf x)"\n[[remote]]\nendpoint = 3\n'
    )
    assert main(["--config", str(config), "completion", "remotes"]) == 0
    assert capsys.readouterr().out == "a-1\n"
    assert remote_names(Ui(), {"PINSYNC_REMOTE": '[{"name": "b"}]'}) == ["b"]
    config.write_text("not TOML")
    for env in ({"HOME": str(tmp_path), "PINSYNC_CONFIG": str(config)}, {"HOME": "/x"}, {"PINSYNC_REMOTE": "{"}):
        assert remote_names(Ui(), env) == []


def test_asking_for_the_names_imports_nothing_of_weight() -> None:
    assert not imported_by("completion", "remotes").intersection(("httpx", "asyncio", "rich", "sqlite_utils"))


def test_another_shell_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 2
    assert "bash, zsh, fish" in capsys.readouterr().err
