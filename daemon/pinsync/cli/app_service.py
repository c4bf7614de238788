"""The commands about the service of systemd, as people see them. In the style of `app`."""

from __future__ import annotations

from typing import Annotated

import typer

from .app import app
from .options import Config, Job, Json, Quiet, Verbose, common

service = typer.Typer(help="The service of systemd: install it, look at it, take it away.", rich_markup_mode=None)
app.add_typer(service, name="service")

User = Annotated[bool, typer.Option("--user", help="A service of your own, not the system's.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done.", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before it is done.", show_default=False)]


@service.command("install")
def service_install(
    ctx: typer.Context, user: User = False, dry_run: DryRun = False, yes: Yes = False,
    remote: Annotated[
        str | None, typer.Option("--remote", metavar="R", help="The pinning service's name.", show_default=False)
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", metavar="URL", help="Where it is.", show_default=False)
    ] = None,
    auth: Annotated[
        str | None, typer.Option("--auth", metavar="KIND", help="bearer, basic or none.", show_default=False)
    ] = None,
    token_file: Annotated[
        str | None,
        typer.Option("--token-file", metavar="FILE", help="Take the token from there; - reads it.", show_default=False),
    ] = None,
    api: Annotated[
        str | None, typer.Option("--api", metavar="ADDR", help="Where the Kubo node is.", show_default=False)
    ] = None,
    config: Config = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False,
) -> Job:  # fmt: skip
    """Set pinsync up as a service, and start it."""
    ui = common(ctx, config, json, quiet, verbose)

    def job() -> int:
        from . import service as work
        from .service_asking import Asked

        return work.install(ui, user, Asked(remote, endpoint, auth, token_file, api, dry_run, yes))

    return job


@service.command("uninstall")
def service_uninstall(
    ctx: typer.Context, user: User = False, dry_run: DryRun = False, yes: Yes = False,
    purge: Annotated[
        bool, typer.Option("--purge", help="Configuration and tokens too.", show_default=False)
    ] = False,
    config: Config = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False,
) -> Job:  # fmt: skip
    """Stop the service and take it away; the ledger stays."""
    ui = common(ctx, config, json, quiet, verbose)

    def job() -> int:
        from . import service_rest

        return service_rest.uninstall(ui, user, purge=purge, dry_run=dry_run, yes=yes)

    return job


@service.command("show")
def service_show(
    ctx: typer.Context, user: User = False,
    config: Config = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = False,
) -> Job:  # fmt: skip
    """The unit in force, what it uses, and how it stands."""
    ui = common(ctx, config, json, quiet, verbose)

    def job() -> int:
        from . import service_rest

        return service_rest.show(ui, user)

    return job
