"""`main`: the one place where errors become words and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from pinsync.errors import PinsyncError

from . import app_care, app_people, app_service  # noqa: F401 - the commands that they register
from .app import app
from .ui import Ui, said

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
BROKEN_PIPE = 141  # 128 + SIGPIPE

_ClickException: Any = typer.BadParameter.__mro__[2]  # newer versions of Typer bring a copy of Click


def main(args: Sequence[str] | None = None) -> int:
    """Run one command with `args`, by default those of the process; returns its exit code and raises nothing."""
    argv = list(sys.argv[1:] if args is None else args)
    # httpx imports a command line of its own, with Rich and Click: 40 ms that nobody here needs. To it, None means that
    # they are not installed.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    wants_json = "--json" in (argv[: argv.index("--")] if "--" in argv else argv)
    ui = Ui(json=wants_json)
    try:
        code = _call(argv, ui)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        code = BROKEN_PIPE
        _close(sys.stdout)
    return code


def _call(argv: list[str], ui: Ui) -> int:
    try:
        job = app(argv or ["--help"], prog_name="pinsync", standalone_mode=False)
        if not argv:
            return 2
        return int(job() if callable(job) else job or 0)
    except _ClickException as error:
        return _usage(error, ui)
    except typer.Abort:
        return INTERRUPTED
    except SystemExit:  # what Typer makes of a broken pipe while it prints help
        raise BrokenPipeError from None
    except PinsyncError as error:
        _report(ui, said(error), str(error))
        return error.exit_code
    except BrokenPipeError:
        raise
    except Exception as error:  # the last resort: a person is owed words, not a traceback
        if os.environ.get("PINSYNC_DEBUG"):
            import traceback

            traceback.print_exc()
        _report(ui, [{"where": "pinsync", "message": _bug(error)}], _bug(error))
        return 1


def _usage(error: Any, ui: Ui) -> int:
    """What the parser has to say, in one line and the way to more."""
    ctx = getattr(error, "ctx", None)
    path = ctx.command_path if ctx else "pinsync"
    message = error.format_message().rstrip(".")
    _report(ui, [{"where": "command line", "message": message}], f"{message}; `{path} --help` shows what there is")
    return 2


def _report(ui: Ui, errors: list[dict[str, str]], text: str) -> None:
    ui.complain(text)
    if ui.json:
        ui.emit({"errors": errors})


def _bug(error: Exception) -> str:
    """Type and place, without the message: an exception that nobody foresaw may hold anything, a token too."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
    return (
        f"this is a bug in pinsync: {type(error).__name__}{place}. What was under way may be half done; the next pass "
        "goes on from there. With PINSYNC_DEBUG=1 a traceback is printed, which belongs into a report of it"
    )


def _close(out: Any) -> None:
    """Let the interpreter's last flush of a broken pipe go nowhere."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
