"""`run` and `emulator`: what stays in the foreground."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from pinsync.errors import PinsyncError, UsageError

from .text import Line, line
from .ui import Ui

_TIME = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}


def run(ui: Ui, form: str) -> int:
    """`pinsync run`, until SIGTERM or ^C. What it has to say is its log, on standard error, in one of two forms."""
    import asyncio
    import faulthandler
    import logging
    import os

    from pinsync.service.logs import FORMATS, configure, in_journal

    if form not in FORMATS:
        raise UsageError(f"--log-format (or PINSYNC_LOG_FORMAT) must be {' or '.join(FORMATS)}, not {form!r}")
    from pinsync.service.daemon import run_daemon
    from pinsync.settings.load import load

    if in_journal(os.environ):
        faulthandler.enable()  # when the watchdog ends a process that hangs, the journal tells where it hung
    log = configure(os.environ, verbose=ui.verbose, form=form)
    if ui.quiet:
        log.setLevel(logging.WARNING)
    try:
        return asyncio.run(run_daemon(lambda: load(ui.config), os.environ, log=log))
    except PinsyncError as error:
        if not in_journal(os.environ):
            raise
        log.error("%s", error)  # in the journal's form, so that it stands there as the error that it is
        return error.exit_code


def emulator(
    ui: Ui, profile: str, host: str, port: int, token: str, latency: str | None, rate: str | None, settle: str | None,
    db: Path | None,
) -> int:  # fmt: skip
    """`pinsync emulator`, until ^C or SIGTERM; exit code 0."""
    from pinsync.emulator.server import serve

    def ready(url: str) -> None:
        if ui.json:
            ui.emit({"url": url, "profile": profile, "token": token or None})
        else:
            ui.show(_snippet(url, profile, token))
        sys.stdout.flush()

    serve(
        profile, host=host, port=port, token=token or None, latency=seconds("--latency", latency), rate=rate,
        settle=seconds("--settle", settle), db=db, ready=ready,
    )  # fmt: skip
    return 0


def seconds(option: str, text: str | None) -> float | None:
    """`20ms`, `1.5s`, `2m` or bare seconds. Raises `UsageError`."""
    if text is None:
        return None
    match = _TIME.fullmatch(text.strip())
    if not match:
        raise UsageError(f"{option} {text!r} is not understood; write 20ms, 1.5s or 2m")
    return float(match[1]) * _SECONDS[match[2]]


def _snippet(url: str, profile: str, token: str) -> list[Line]:
    auth = [] if token else [line('  auth = "none"')]
    secret = [[], line("and give pinsync its token by the environment:"), [],
              line(f"  export PINSYNC_TOKEN_EMULATOR={token}")] if token else []  # fmt: skip
    return [
        line((f"A pinning service that behaves as {profile} does, at {url}", "bold")),
        line(
            (
                "It is for trying things out: it holds no content, and its pins are gone when it ends (but see --db).",
                "dim",
            )
        ),
        [],
        line("To mirror to it, put this into config.toml:"),
        [],
        line("  [[remote]]"),
        line('  name = "emulator"'),
        line(f'  endpoint = "{url}/pins"'),
        *auth,
        *secret,
        [],
        line(("^C ends it.", "dim")),
    ]
