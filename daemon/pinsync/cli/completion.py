"""`completion`: scripts for bash, zsh and fish, made from the commands themselves.

A script knows commands and options, so nothing is started while one types; only the names of remotes are asked for.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import typer

from pinsync.errors import UsageError

from .app import app
from .ui import Ui

REMOTES = "remotes"
"""The word that stands for a shell in the scripts' own question for the names of remotes."""

_CHOICES: Mapping[str, tuple[str, ...]] = {"--log-format": ("text", "json")}
_ARGUMENTS: Mapping[str, tuple[str, ...]] = {"completion": ("bash", "zsh", "fish")}


@dataclass(frozen=True, slots=True)
class _Option:
    names: tuple[str, ...]
    help: str
    value: str  # "" for a flag; "remote", "file", "choice" or "text"
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Command:
    """A command by its whole name (`manifest add`), the top by ""."""

    name: str
    help: str
    options: tuple[_Option, ...]
    below: tuple[str, ...]  # the words that lead further


def completion(ui: Ui, shell: str) -> int:
    """`pinsync completion`."""
    if shell == REMOTES:
        sys.stdout.write("".join(f"{name}\n" for name in remote_names(ui, os.environ)))
        return 0
    if shell not in SHELLS:
        raise UsageError(f"no script for {shell!r}; there is one for {', '.join(SHELLS)}")
    text = script(shell)
    if ui.json:
        ui.emit({"shell": shell, "script": text})
    else:
        sys.stdout.write(text)
    return 0


def script(shell: str) -> str:
    """The script for one of `SHELLS`."""
    root: Any = typer.main.get_command(app)
    return "\n".join(SHELLS[shell](list(_walk(root, "")))) + "\n"


def remote_names(ui: Ui, env: Mapping[str, str]) -> list[str]:
    """The names in the configuration, however little sense the rest of it makes; without what takes long to import."""
    import json

    import tomli

    from pinsync.settings.places import find_config

    found: Any = None
    try:
        if given := env.get("PINSYNC_REMOTE"):
            found = json.loads(given)
        elif path := find_config(ui.config, env).path:
            found = tomli.loads(path.read_text(encoding="utf-8")).get("remote")
    except (OSError, ValueError, RecursionError):
        return []
    tables = found if isinstance(found, list) else []
    names = [one.get("name") for one in tables if isinstance(one, dict)]
    return [name for name in names if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9._-]+", name)]


def _walk(command: Any, name: str) -> Iterator[_Command]:
    below = getattr(command, "commands", {})
    said = (command.get_short_help_str(200) if name else "").rstrip(".")
    options = tuple(_option(one) for one in command.params if one.opts[0].startswith("-"))
    options += (_Option(("--help",), "Show what there is", ""),)
    yield _Command(name, said, options, (*below, *_ARGUMENTS.get(name, ())))
    for word, inner in below.items():
        yield from _walk(inner, f"{name} {word}".strip())


def _option(parameter: Any) -> _Option:
    names, said = tuple(parameter.opts), (parameter.help or "").rstrip(".")
    if parameter.is_flag:
        return _Option(names, said, "")
    if "--remote" in names:
        return _Option(names, said, "remote")
    if parameter.metavar == "FILE":
        return _Option(names, said, "file")
    choices = _profiles() if "--profile" in names else _CHOICES.get(names[0], ())
    return _Option(names, said, "choice" if choices else "text", choices)


def _profiles() -> tuple[str, ...]:
    from pinsync.emulator.profiles import PROFILES

    return tuple(PROFILES)


def _values(commands: list[_Command]) -> dict[str, list[_Option]]:
    """The options that take a value, by what it is."""
    found: dict[str, dict[tuple[str, ...], _Option]] = {"remote": {}, "file": {}, "choice": {}, "text": {}}
    for command in commands:
        for option in command.options:
            if option.value:
                found[option.value][option.names] = option
    return {kind: list(options.values()) for kind, options in found.items()}


def _pattern(options: list[_Option]) -> str:
    return "|".join(dict.fromkeys(name for option in options for name in option.names))


def _find_command(commands: list[_Command]) -> Iterator[str]:
    """The part that bash and zsh share: which command the words before the cursor name."""
    takes = [option for options in _values(commands).values() for option in options]
    yield "        case $word in"
    yield f"            {_pattern(takes)}) ((i++)) ;;"
    yield "            -*) ;;"
    yield '            *) case "$command/$word" in'
    for command in commands:
        *group, word = command.name.split(" ")
        if command.name:
            yield f'                "{" ".join(group)}/{word}") command="{command.name}" ;;'
    yield "            esac ;;"
    yield "        esac"


def _bash(commands: list[_Command]) -> Iterator[str]:
    values = _values(commands)
    yield '# pinsync in bash: eval "$(pinsync completion bash)"'
    yield "_pinsync() {"
    yield '    local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" command="" words="" word i'
    yield "    for ((i = 1; i < COMP_CWORD; i++)); do"
    yield '        word="${COMP_WORDS[i]}"'
    yield from _find_command(commands)
    yield "    done"
    yield "    case $prev in"
    yield f'        {_pattern(values["remote"])}) words="$(pinsync completion {REMOTES} 2>/dev/null)" ;;'
    yield f'        {_pattern(values["file"])}) COMPREPLY=($(compgen -f -- "$cur")); return ;;'
    for option in values["choice"]:
        yield f'        {_pattern([option])}) words="{" ".join(option.choices)}" ;;'
    yield f"        {_pattern(values['text'])}) return ;;"
    yield "        *) case $command in"
    for command in commands:
        words = [*command.below, *(name for option in command.options for name in option.names)]
        yield f'            "{command.name}") words="{" ".join(words)}" ;;'
    yield "        esac ;;"
    yield "    esac"
    yield '    COMPREPLY=($(compgen -W "$words" -- "$cur"))'
    yield "}"
    yield "complete -F _pinsync pinsync"


def _zsh(commands: list[_Command]) -> Iterator[str]:
    values = _values(commands)
    helps = {command.name: command.help for command in commands}
    yield "#compdef pinsync"
    yield '# pinsync in zsh: eval "$(pinsync completion zsh)", or as a file _pinsync in a directory of $fpath'
    yield "_pinsync() {"
    yield "    emulate -L zsh"
    yield '    local cur="$words[CURRENT]" prev="$words[CURRENT-1]" command="" word'
    yield "    local -i i"
    yield "    local -a further options"
    yield "    for ((i = 2; i < CURRENT; i++)); do"
    yield '        word="$words[i]"'
    yield from _find_command(commands)
    yield "    done"
    yield "    case $prev in"
    yield f'        {_pattern(values["remote"])}) further=(${{(f)"$(pinsync completion {REMOTES} 2>/dev/null)"}})'
    yield "            compadd -a further; return ;;"
    yield f"        {_pattern(values['file'])}) _files; return ;;"
    for option in values["choice"]:
        yield f"        {_pattern([option])}) compadd -- {' '.join(option.choices)}; return ;;"
    yield f"        {_pattern(values['text'])}) return ;;"
    yield "    esac"
    yield "    case $command in"
    for command in commands:
        yield f'        "{command.name}")'
        told = [_zsh_item(word, helps.get(f"{command.name} {word}".strip(), "")) for word in command.below]
        yield f"            further=({' '.join(told)})"
        told = [_zsh_item(name, option.help) for option in command.options for name in option.names]
        yield f"            options=({' '.join(told)}) ;;"
    yield "    esac"
    yield "    if [[ $cur == -* ]]; then _describe -o option options"
    yield "    else _describe command further; fi"
    yield "}"
    yield 'if [[ "$funcstack[1]" == _pinsync ]]; then _pinsync "$@"; else compdef _pinsync pinsync; fi'


def _zsh_item(word: str, said: str) -> str:
    escaped = said.replace(":", "\\:")
    return _quoted(f"{word}:{escaped}" if said else word)


def _fish(commands: list[_Command]) -> Iterator[str]:
    yield "# pinsync in fish: pinsync completion fish > ~/.config/fish/completions/pinsync.fish"
    yield "complete -c pinsync -f"
    helps = {command.name: command.help for command in commands}
    for command in commands:
        words = command.name.split(" ") if command.name else []
        seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in words)
        for word in command.below:
            others = " ".join(command.below)
            here = f"{seen}; and not __fish_seen_subcommand_from {others}" if seen else "__fish_use_subcommand"
            said = helps.get(f"{command.name} {word}".strip(), "")
            yield f"complete -c pinsync -n {_quoted(here)} -a {word}" + (f" -d {_quoted(said)}" if said else "")
        for option in command.options:
            yield f"complete -c pinsync -n {_quoted(seen or '__fish_use_subcommand')} {_fish_option(option)}"


def _fish_option(option: _Option) -> str:
    named = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
    takes = {
        "": "",
        "text": " -x",
        "file": " -r -F",
        "remote": f" -x -a '(pinsync completion {REMOTES} 2>/dev/null)'",
        "choice": f" -x -a {_quoted(' '.join(option.choices))}",
    }[option.value]
    return f"{named}{takes} -d {_quoted(option.help)}"


def _quoted(text: str) -> str:
    """In single quotes, which no help needs inside."""
    return "'" + text.replace("'", "’") + "'"


SHELLS: Mapping[str, Callable[[list[_Command]], Iterator[str]]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
