"""The commands as people see them: names, arguments, options, help.

A command here only says what it takes: it returns the work as a function without arguments, in a module that is
imported when it is called. So parsing imports nothing of weight, and what goes wrong in the work never passes through
Typer.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pinsync import __version__

from .options import Cids, Config, Job, Json, Quiet, Remote, SomeCids, Verbose, common
from .ui import Ui

EXAMPLE_TOKEN = "try-me"  # noqa: S105 - of the emulator, which guards nothing


app = typer.Typer(
    name="pinsync",
    help="Mirrors a Kubo node's pins and a pin manifest onto remote IPFS pinning services.",
    epilog="Start with `pinsync demo`; then `pinsync check`, `pinsync plan`, `pinsync sync`.",
    rich_markup_mode=None,  # Rich takes longer to import than all of this
    pretty_exceptions_enable=False,
    add_completion=False,
)
manifest = typer.Typer(help="Edit the manifest; its comments and order are kept.", rich_markup_mode=None)
app.add_typer(manifest, name="manifest")


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"pinsync {__version__}\n")
        raise typer.Exit


@app.callback()
def _common(
    ctx: typer.Context,
    config: Config = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.", show_default=False)
    ] = False,
) -> None:
    ctx.obj = Ui(config, json, quiet, verbose)


@app.command()
def run(
    ctx: typer.Context,
    log_format: Annotated[
        str,
        typer.Option("--log-format", envvar="PINSYNC_LOG_FORMAT", metavar="text|json", help="The form of the log."),
    ] = "text",
    config: Config = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False,
) -> Job:  # fmt: skip
    """Run the daemon, in the foreground."""
    ui = common(ctx, config, json, quiet, verbose)

    def job() -> int:
        from . import serving

        return serving.run(ui, log_format)

    return job


@app.command()
def sync(
    ctx: typer.Context, remote: Remote = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="The same as `pinsync plan`.", show_default=False)] = False,
    config: Config = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False,
) -> Job:  # fmt: skip
    """One pass now; asks the daemon to do it when one runs."""
    ui = common(ctx, config, json, quiet, verbose)

    def job() -> int:
        from . import passes

        return passes.plan(ui, remote) if dry_run else passes.sync(ui, remote)

    return job


@app.command()
def plan(
    ctx: typer.Context, remote: Remote = None,
    config: Config = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False,
) -> Job:  # fmt: skip
    """What a pass would do, and why; changes nothing anywhere."""
    ui = common(ctx, config, json, quiet, verbose)

    def job() -> int:
        from . import passes

        return passes.plan(ui, remote)

    return job


@app.command()
def status(
    ctx: typer.Context,
    cid: Annotated[str | None, typer.Argument(metavar="CID", help="One pin, with its history.",
                                              show_default=False)] = None,
    remote: Remote = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every 2 s.", show_default=False)] = False,
    config: Config = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False,
) -> Job:  # fmt: skip
    """Where things stand, and what needs a person."""
    ui = common(ctx, config, json, quiet, verbose)

    def job() -> int:
        from . import standing

        return standing.status(ui, cid, remote, watch)

    return job


@app.command()
def approve(
    ctx: typer.Context, cids: Cids = None, remote: Remote = None,
    everything: Annotated[bool, typer.Option("--all", help="All that the last pass held.", show_default=False)] = False,
    now: Annotated[bool, typer.Option("--now", help="With CIDs: do not wait for grace.", show_default=False)] = False,
    config: Config = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False,
) -> Job:  # fmt: skip
    """Release what is held; the next pass acts."""
    ui = common(ctx, config, json, quiet, verbose)

    def job() -> int:
        from . import people

        return people.approve(ui, remote, cids or [], everything, now)

    return job


@app.command()
def adopt(
    ctx: typer.Context, cids: Cids = None, remote: Remote = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All that are wanted and not ours.", show_default=False)
    ] = False,
    config: Config = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False,
) -> Job:  # fmt: skip
    """Make pins that are already at the remote ours."""
    ui = common(ctx, config, json, quiet, verbose)

    def job() -> int:
        from . import people

        return people.adopt(ui, remote, cids or [], everything)

    return job


@manifest.command("add")
def manifest_add(
    ctx: typer.Context, cids: SomeCids,
    name: Annotated[str | None, typer.Option("--name", metavar="N", help="The pin's name.", show_default=False)] = None,
    meta: Annotated[
        list[str] | None, typer.Option("--meta", metavar="K=V", help="May be repeated.", show_default=False)
    ] = None,
    remote: Annotated[
        list[str] | None,
        typer.Option("--remote", metavar="R", help="Only there; may be repeated.", show_default=False),
    ] = None,
    config: Config = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False,
) -> Job:  # fmt: skip
    """Add entries to the manifest's main file."""
    ui = common(ctx, config, json, quiet, verbose)

    def job() -> int:
        from . import manifest

        return manifest.add(ui, cids, name, meta or [], remote or [])

    return job


@manifest.command("rm")
def manifest_rm(
    ctx: typer.Context, cids: SomeCids,
    config: Config = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False,
) -> Job:  # fmt: skip
    """Take entries out of the manifest's main file."""
    ui = common(ctx, config, json, quiet, verbose)

    def job() -> int:
        from . import manifest

        return manifest.remove(ui, cids)

    return job


@app.command("ls")
def ls(
    ctx: typer.Context, remote: Remote = None,
    config: Config = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False,
) -> Job:  # fmt: skip
    """The remote's pins: all of them, or an error that says it is not all."""
    ui = common(ctx, config, json, quiet, verbose)

    def job() -> int:
        from . import listing

        return listing.ls(ui, remote)

    return job


@app.command()
def check(
    ctx: typer.Context, config: Config = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False
) -> Job:
    """Look at configuration and manifest alone, without network."""
    ui = common(ctx, config, json, quiet, verbose)

    def job() -> int:
        from . import check

        return check.check(ui)

    return job


@app.command()
def emulator(
    ctx: typer.Context,
    profile: Annotated[str, typer.Option("--profile", metavar="P", help="The service to behave as.")] = "nft.storage",
    port: Annotated[int, typer.Option("--port", metavar="N", help="0 takes a free one.")] = 5000,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    token: Annotated[
        str, typer.Option("--token", envvar="PINSYNC_EMULATOR_TOKEN", help="The token to ask for; empty for none.")
    ] = EXAMPLE_TOKEN,
    latency: Annotated[
        str | None, typer.Option("--latency", metavar="TIME", help="Answer so late: 20ms, 1s.", show_default=False)
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option("--rate", metavar="RATE", help="30/10s, or `documented`; more is 429.", show_default=False),
    ] = None,
    settle: Annotated[
        str | None,
        typer.Option("--settle", metavar="TIME", help="From queued to pinned: 0s, 5s.", show_default=False),
    ] = None,
    db: Annotated[
        Path | None,
        typer.Option("--db", metavar="FILE", help="Keep the pins there, else in memory.", show_default=False),
    ] = None,
    config: Config = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False,
) -> Job:  # fmt: skip
    """A pinning service to try things on; holds no content."""
    ui = common(ctx, config, json, quiet, verbose)

    def job() -> int:
        from . import serving

        return serving.emulator(ui, profile, host, port, token, latency, rate, settle, db)

    return job


@app.command()
def demo(
    ctx: typer.Context, config: Config = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False
) -> Job:
    """See a mirror at work, in 20 s, with nothing of yours changed."""
    ui = common(ctx, config, json, quiet, verbose)

    def job() -> int:
        from pinsync.demo import demo

        return demo(ui)

    return job
