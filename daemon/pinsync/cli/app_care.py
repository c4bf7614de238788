"""The commands of those who look after a mirror: does it work, and whom does it tell. In the style of `app`."""

from __future__ import annotations

from typing import Annotated

import typer

from .app import app
from .options import Config, Job, Json, Quiet, Remote, Verbose, common


@app.command()
def doctor(
    ctx: typer.Context, remote: Remote = None,
    config: Config = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False,
) -> Job:  # fmt: skip
    """Try each thing for real: node, tokens, remotes, state, service."""
    ui = common(ctx, config, json, quiet, verbose)

    def job() -> int:
        from . import doctor

        return doctor.doctor(ui, remote)

    return job


@app.command()
def notify(
    ctx: typer.Context,
    test: Annotated[
        bool, typer.Option("--test", help="Tell each that this is a trial.", show_default=False)
    ] = False,
    config: Config = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False,
) -> Job:  # fmt: skip
    """Who is told when something is the matter."""
    ui = common(ctx, config, json, quiet, verbose)

    def job() -> int:
        from . import notify

        return notify.notify(ui, test)

    return job
