"""What `service` says. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pinsync.setup.layout import Layout
from pinsync.setup.machine import Outcome
from pinsync.setup.node import Node
from pinsync.setup.steps import Run, Step, WriteFile

from .text import Line, line, listed, paragraph

_SHOWN = 30  # lines of a file that are shown without --verbose


def node_lines(nodes: Sequence[Node], *, width: int | None) -> Iterator[Line]:
    """Which nodes answer, and which services they know."""
    for node in nodes:
        if node.error:
            continue  # told as a warning
        yield line("Kubo ", node.version, " answers at ", (node.address, "bold"))
        if node.services:
            told = listed(f"{name} ({endpoint})" for name, endpoint in node.services)
            text = f"its own configuration knows {told}; their keys cannot be read from there"
            yield from paragraph(text, width=width)


def plan_lines(steps: Sequence[Step], difference: Sequence[str], *, dry_run: bool, verbose: bool) -> Iterator[Line]:
    """The steps; with the contents of new files where nothing is done, and what changes in the unit."""
    if not steps:
        if dry_run:
            yield line("Nothing is to be done.")
        return
    yield line(("Would do:" if dry_run else "To do:", "bold"))
    for step in steps:
        yield line("  ", str(step))
        if dry_run and isinstance(step, WriteFile) and not step.what.startswith("the token") and not difference:
            content = step.content.decode().splitlines()
            if verbose or len(content) <= _SHOWN:
                yield from (line(("      " + text, "dim")) for text in content)
    yield from (line(("  " + text, _style(text))) for text in difference)


def _style(text: str) -> str:
    return {"+": "green", "-": "red"}.get(text[:1], "dim")


def failed_text(layout: Layout, outcome: Outcome, journal: Sequence[str]) -> str:
    """What failed half way, and how the machine is now."""
    what = f"{outcome.failed}: {outcome.error}"
    journal = [f"its log: {text}" for text in journal]
    if outcome.undone or not outcome.done:
        return "\n".join((what, "whatever was done before was taken back: the machine is as it was"))
    return "\n".join(
        (
            what,
            *journal,
            *(f"done: {step}" for step in outcome.done),
            *(f"not done: {step}" for step in outcome.left),
            f"What is done may stay: mend what failed ({layout.journal}), then `{layout.again}` again goes on from "
            f"there. Or take it away: `{layout.again.replace(' install', ' uninstall')}`",
        )
    )


def steps_json(outcome: Outcome) -> list[dict[str, Any]]:
    """The steps for programs; `state` is what came of each."""
    failed = [outcome.failed] if outcome.failed else []
    each = (("done", outcome.done), ("undone", outcome.undone), ("failed", failed), ("left", outcome.left))
    return [{**_json(step), "state": state} for state, steps in each for step in steps]


def _json(step: Step) -> dict[str, Any]:
    kind = type(step).__name__
    if isinstance(step, Run):
        return {"kind": "run", "path": None, "command": list(step.argv), "mode": None}
    mode = getattr(step, "mode", None)
    kinds = {"MakeDirectory": "mkdir", "WriteFile": "write", "SetMode": "chmod", "RemoveFile": "rm",
             "RemoveDirectory": "rmdir"}  # fmt: skip
    return {"kind": kinds[kind], "path": str(step.path), "command": None, "mode": f"{mode:04o}" if mode else None}


def _no_config(found: Mapping[str, Any]) -> str:
    return found["errors"][0]["message"] if found["errors"] else f"none: {found['config_path']} is not there"


def show_lines(found: Mapping[str, Any]) -> Iterator[Line]:
    """`service show`."""
    unit, runs = found["unit"], found["systemd"]
    if not found["installed"]:
        yield line(("Not installed.", "bold"), f" {found['hint']}")
        return
    style = "green" if runs["active"] == "active" else "red" if runs["active"] == "failed" else "yellow"
    yield line(("unit      ", "bold"), unit["path"] or "?")
    for path in found["drop_ins"]:
        yield line("          ", path)
    yield line(("state     ", "bold"), (f"{runs['active']} ({runs['sub']})", style), f", {runs['enabled'] or '?'}",
               f", process {runs['pid']}" if runs["pid"] else "",
               f", started again {runs['restarts']} times" if runs["restarts"] else "")  # fmt: skip
    yield line(("program   ", "bold"), unit["program"])
    yield line(("config    ", "bold"), found["config"] or _no_config(found))
    for token in found["tokens"]:
        what = (f": {token['problem']}", "red") if token["problem"] else ("", "")
        yield line(("token     ", "bold"), token["path"] or "", f" of {token['remote']}", what)
    yield line(("ledger    ", "bold"), "in ", found["state"])
    if unit["difference"]:
        yield line(("It differs from this pinsync's; `pinsync service install` takes that over:", "yellow"))
        yield from (line(("  " + text, _style(text))) for text in unit["difference"])
