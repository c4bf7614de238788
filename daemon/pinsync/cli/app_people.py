"""The commands by which people look back and steer, and what helps them at the prompt; registered as `app` has it."""

from __future__ import annotations

from typing import Annotated

import typer

from .app import app
from .options import Cids, Config, Job, Json, Quiet, Remote, SomeCids, Verbose, common


@app.command()
def history(
    ctx: typer.Context,
    cid: Annotated[str | None, typer.Argument(metavar="CID", help="The life of this pin.", show_default=False)] = None,
    remote: Remote = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="From then on: 7d ago, 14:30, 2026-11-30.",
                                 show_default=False),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", metavar="N", min=1, help="The newest N; else 50, or all since then.",
                                 show_default=False),
    ] = None,
    config: Config = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False,
) -> Job:  # fmt: skip
    """What passes did, or what happened to one pin; the newest last."""
    ui = common(ctx, config, json, quiet, verbose)

    def job() -> int:
        from . import history

        return history.history(ui, cid, remote, since, limit)

    return job


@app.command()
def retry(
    ctx: typer.Context, cids: Cids = None, remote: Remote = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="All that failed or were refused.", show_default=False)
    ] = False,
    config: Config = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False,
) -> Job:  # fmt: skip
    """Try pins again that failed or were refused, without waiting."""
    ui = common(ctx, config, json, quiet, verbose)

    def job() -> int:
        from . import steering

        return steering.retry(ui, remote, cids or [], failed)

    return job


@app.command()
def pause(
    ctx: typer.Context, remote: Remote = None,
    length: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="So long: 90s, 15m, 2h, 7d.", show_default=False)
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Until then: 14:30, 2026-11-30, 2026-11-30T14:30.",
                                 show_default=False),
    ] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="What status tells of it.", show_default=False)
    ] = None,
    config: Config = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False,
) -> Job:  # fmt: skip
    """Ask and change nothing at the remotes until it is resumed."""
    ui = common(ctx, config, json, quiet, verbose)

    def job() -> int:
        from . import steering

        return steering.pause(ui, remote, length, until, reason)

    return job


@app.command()
def resume(
    ctx: typer.Context, remote: Remote = None,
    config: Config = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False,
) -> Job:  # fmt: skip
    """End a pause, or all of them."""
    ui = common(ctx, config, json, quiet, verbose)

    def job() -> int:
        from . import steering

        return steering.resume(ui, remote)

    return job


@app.command()
def disown(
    ctx: typer.Context, cids: SomeCids, remote: Remote = None,
    config: Config = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False,
) -> Job:  # fmt: skip
    """Make pins of ours foreign: never removed or changed again."""
    ui = common(ctx, config, json, quiet, verbose)

    def job() -> int:
        from . import steering

        return steering.disown(ui, remote, cids)

    return job


@app.command()
def completion(
    ctx: typer.Context,
    shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.", show_default=False)],
    config: Config = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False,
) -> Job:  # fmt: skip
    """Print a script that completes commands and options in a shell."""
    ui = common(ctx, config, json, quiet, verbose)

    def job() -> int:
        from . import completion as scripts

        return scripts.completion(ui, shell)

    return job
