"""Man pages, made from the commands and from docs/: `python -m tools.manpages DIRECTORY`.

Names, synopses and options are those that `--help` shows; descriptions, exit codes and the file formats are those of
`docs/cli.md`, `docs/configuration.md` and `docs/manifest.md`, which tests keep true.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "daemon"))  # the build hook comes here without an installed pinsync

from .roff import bold, from_markdown, quoted, text  # noqa: E402

FORMATS = {
    "config": ("configuration.md", "the configuration of pinsync, config.toml"),
    "manifest": ("manifest.md", "the pins that pinsync mirrors, pins.toml"),
}
COMMON = ("--config", "--json", "--quiet", "--verbose")


def pages() -> Iterator[tuple[str, str]]:
    """(file name, content) of every page."""
    import typer

    from pinsync.cli import main  # noqa: F401 - imports every module that registers commands
    from pinsync.cli.app import app

    root: Any = typer.main.get_command(app)
    commands = dict(_commands(root))
    told = _sections((ROOT / "docs/cli.md").read_text(encoding="utf-8"))
    yield "pinsync.1", "\n".join(_overview(root, commands, told)) + "\n"
    for name, command in commands.items():
        file = f"pinsync-{name.replace(' ', '-')}.1"
        yield file, "\n".join(_page(name, command, told.get(f"### `pinsync {name}`", ""), commands)) + "\n"
    for name, (document, short) in FORMATS.items():
        content = (ROOT / "docs" / document).read_text(encoding="utf-8")
        yield f"pinsync-{name}.5", "\n".join(_format(name, short, content)) + "\n"


def _commands(group: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    for word, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{name}{word} ")
        else:
            yield f"{name}{word}", command


def _sections(document: str) -> dict[str, str]:
    """Heading, with its marks → what stands below it, up to the next heading of any level."""
    found: dict[str, list[str]] = {"": []}
    here, fenced = "", False
    for line in document.splitlines():
        fenced ^= line.startswith("```")
        if line.startswith("#") and not fenced:
            here = line
            found[here] = []
        else:
            found[here].append(line)
    return {heading: "\n".join(lines) for heading, lines in found.items()}


def _head(name: str, section: int, short: str) -> Iterator[str]:
    from pinsync import __version__

    at = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    date = time.strftime("%Y-%m-%d", time.gmtime(at))
    yield '.\\" Made by tools/manpages.py from the commands and from docs/; change those.'
    yield f'.TH {name.upper()} {section} {date} "pinsync {__version__}" "pinsync manual"'
    yield ".SH NAME"
    yield f"{text(name)} \\- {text(short[0].lower() + short[1:])}"


def _overview(root: Any, commands: dict[str, Any], told: dict[str, str]) -> Iterator[str]:
    yield from _head("pinsync", 1, "mirrors a Kubo node's pins and a pin manifest onto remote pinning services")
    yield ".SH SYNOPSIS"
    yield f"{bold('pinsync')} [\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]"
    yield ".SH DESCRIPTION"
    yield from from_markdown(f"{root.help}\n\n{root.epilog}\n\n{told['# Command line']}")
    yield ".SH COMMANDS"
    for name, command in commands.items():
        yield ".TP"
        yield f".BR pinsync\\-{name.replace(' ', '-').replace('-', chr(92) + '-')} (1)"
        yield text(_short(command))
    yield from _options("OPTIONS", root)
    yield ".SH EXIT STATUS"
    yield from from_markdown(told["## Exit codes"])
    yield ".SH ENVIRONMENT"
    for name, what in _ENVIRONMENT.items():
        yield from (".TP", bold(name), text(what))
    yield ".SH FILES"
    for name, what in _FILES.items():
        yield from (".TP", f"\\fI{quoted(name)}\\fR", text(what))
    yield from _see_also("pinsync-status(1)", "pinsync-config(5)", "pinsync-manifest(5)", "ipfs(1)")


def _page(name: str, command: Any, told: str, commands: dict[str, Any]) -> Iterator[str]:
    whole = f"pinsync {name}"
    yield from _head(whole.replace(" ", "-"), 1, _short(command))
    yield ".SH SYNOPSIS"
    yield f"{bold(whole)} {_synopsis(command)}".rstrip()
    yield ".SH DESCRIPTION"
    yield from from_markdown(f"{command.help}\n\n{_without_tables(told)}")
    yield from _options("OPTIONS", command, own=True)
    yield from _options("COMMON OPTIONS", command, own=False)
    yield ".SH EXIT STATUS"
    yield "The exit codes are those of"
    yield ".BR pinsync (1)."
    group = [other for other in commands if other != name and other.split(" ")[0] == name.split(" ", maxsplit=1)[0]]
    yield from _see_also("pinsync(1)", *(f"pinsync-{other.replace(' ', '-')}(1)" for other in group))


def _format(name: str, short: str, document: str) -> Iterator[str]:
    yield from _head(f"pinsync-{name}", 5, short)
    lines = document.splitlines()
    first = next((place for place, line in enumerate(lines) if line.startswith("## ")), len(lines))
    yield ".SH DESCRIPTION"
    yield from from_markdown("\n".join(lines[1:first]))
    yield from from_markdown("\n".join(lines[first:]))
    yield from _see_also("pinsync(1)")


def _short(command: Any) -> str:
    said: str = command.get_short_help_str(200)
    return said.rstrip(".")


def _synopsis(command: Any) -> str:
    parts = []
    for parameter in command.params:
        if parameter.opts[0].startswith("-"):
            if parameter.opts[0] not in COMMON:
                parts.append(f"[{bold(parameter.opts[0])}{_value(parameter)}]")
        else:
            word = f"\\fI{parameter.metavar or parameter.name.upper()}\\fR"
            word += " .\\|.\\|." if parameter.nargs != 1 else ""
            parts.append(word if parameter.required else f"[{word}]")
    return " ".join([*parts, "[\\fICOMMON OPTIONS\\fR]"])


def _value(parameter: Any) -> str:
    return "" if parameter.is_flag else f" \\fI{quoted(parameter.metavar or 'TEXT')}\\fR"


def _options(title: str, command: Any, own: bool | None = None) -> Iterator[str]:
    """The options of a command; `own` True: without those that all have, False: these alone."""
    shown = [
        one
        for one in command.params
        if one.opts[0].startswith("-") and (own is None or own == (one.opts[0] not in COMMON))
    ]
    if not shown and own:
        return
    yield f".SH {title}"
    for one in shown:
        yield ".TP"
        yield ", ".join(bold(name) + _value(one) for name in one.opts)
        default = f" Default: {one.default}." if one.default not in (None, False, "") else ""
        env = f" Also by ${one.envvar}." if one.envvar else ""
        yield text(f"{one.help or ''}{default}{env}")
    if own is not True:
        yield from (".TP", bold("--help"), "What there is.")


def _without_tables(told: str) -> str:
    return "\n".join(line for line in told.splitlines() if not line.startswith("|"))


def _see_also(*names: str) -> Iterator[str]:
    yield ".SH SEE ALSO"
    for place, name in enumerate(names):
        page, section = name.rstrip(")").split("(")
        comma = "," if place < len(names) - 1 else ""
        yield f".BR {quoted(page)} ({section}){comma}"


_ENVIRONMENT = {
    "PINSYNC_CONFIG": "The configuration to use where --config is not given.",
    "PINSYNC_TOKEN_NAME": "The token of the remote NAME: capitals, and _ for anything but letters and digits.",
    "PINSYNC_TABLE__KEY": "Any key of the configuration, such as PINSYNC_SAFETY__GRACE.",
    "PINSYNC_LOG_FORMAT": "The form of the daemon's log: text or json.",
    "PINSYNC_DEBUG": "Print a traceback after a bug.",
    "NO_COLOR": "No colour, whatever its value.",
}
_FILES = {
    "~/.config/pinsync/config.toml": "The user's configuration.",
    "/etc/pinsync/config.toml": "The system's configuration, where the user has none.",
    "/var/lib/pinsync": "The ledger and the mirror's id, for the system's configuration.",
    "/run/pinsync/pinsync.sock": "The daemon's control socket, for the system's configuration.",
}


def write(directory: Path) -> list[Path]:
    """Write every page below `directory`, in `man1` and `man5`; returns the files."""
    made = []
    for name, content in pages():
        path = directory / f"man{name[-1]}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        made.append(path)
    return made


if __name__ == "__main__":
    for path in write(Path(sys.argv[1])):
        sys.stdout.write(f"{path}\n")
