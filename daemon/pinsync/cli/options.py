"""What all commands take, and the types of their arguments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from .ui import Ui

Job = Callable[[], int]

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="The configuration to use.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.", show_default=False)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only what is asked for.", show_default=False)]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.", show_default=False)]
Remote = Annotated[str | None, typer.Option("--remote", metavar="R", help="This remote alone.", show_default=False)]
Cids = Annotated[list[str] | None, typer.Argument(metavar="CID", help="The pins.", show_default=False)]
SomeCids = Annotated[list[str], typer.Argument(metavar="CID", help="The pins.", show_default=False)]


def common(ctx: typer.Context, config: Path | None, json: bool, quiet: bool, verbose: bool) -> Ui:
    """The common options, given before the command or after it."""
    before: Ui = ctx.obj
    return Ui(config or before.config, json or before.json, quiet or before.quiet, verbose or before.verbose)
