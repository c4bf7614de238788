"""`service uninstall` and `service show`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pinsync.errors import ConfigError, PinsyncError
from pinsync.paths import is_file, is_folder, present
from pinsync.settings.credentials import CredentialError, load_token
from pinsync.setup import checks, planning
from pinsync.setup.host import Host
from pinsync.setup.layout import UNIT, Layout, with_program
from pinsync.setup.machine import Outcome, carry_out, look, read, unit_state

from .render_service import failed_text, plan_lines, show_lines, steps_json
from .service import by_its_own_file
from .service_asking import AtTerminal, Person, agreed
from .service_choice import remembered
from .text import line
from .ui import Ui


def uninstall(
    ui: Ui, user: bool, *, purge: bool, dry_run: bool, yes: bool, host: Host | None = None, person: Person | None = None
) -> int:
    """`pinsync service uninstall`."""
    host = host or Host()
    layout = host.layout(user)
    by_its_own_file(ui, layout)
    if not dry_run:
        checks.rights(layout, host.uid, host.env)
    if person is None and ui.interactive and not dry_run and not yes:
        person = AtTerminal()
    tokens = sorted(layout.config_dir.glob("*.token")) if is_folder(layout.config_dir) else []
    found = look(layout, tokens, host.runner)
    secret = [path for path in (*tokens, layout.config) if path in found.files]
    if secret and person and not purge:
        names = ", ".join(str(layout.inside(path)) for path in secret)
        purge = agreed(person, f"Remove configuration and tokens too ({names})?")
    steps = planning.uninstall(layout, found, purge=purge, tokens=tokens)
    ui.show(plan_lines(steps, [], dry_run=dry_run, verbose=ui.verbose))
    outcome, error = Outcome(left=list(steps)), ""
    if not dry_run and (not steps or person is None or agreed(person, "Do this?")):
        outcome = carry_out(steps, host.runner)
        if outcome.failed:
            error = failed_text(layout, outcome, [])
            ui.complain(error)
        else:
            ui.show([line(("Uninstalled." if steps else "Nothing of it is installed.", "bold green"))])
    left = [] if error else _left(layout, found.unit.fragment)
    if ui.json:
        errors = [{"where": "service", "message": error}] if error else []
        ui.emit(
            {
                "scope": layout.scope,
                "dry_run": dry_run,
                "changed": bool(outcome.done),
                "steps": steps_json(outcome),
                "left": [{"path": path, "what": what} for path, what in left],
                "errors": errors,
            }
        )
    elif left and not dry_run:
        ui.show([line("There still is:"), *(line("  ", path, f"  {what}") for path, what in left)])
    return 1 if error else 0


def _left(layout: Layout, fragment: str) -> list[tuple[str, str]]:
    """What stays, and why."""
    left = [(str(layout.inside(layout.state)), "the ledger and the mirror's id")] if present(layout.state) else []
    if not layout.user and left:
        left.append(("user pinsync", "it owns the ledger; without that: userdel pinsync"))
    for path in sorted(layout.drop_ins.glob("*")) if is_folder(layout.drop_ins) else []:
        left.append((str(layout.inside(path)), "a drop-in that somebody else wrote"))
    for path in sorted(layout.config_dir.glob("*")) if is_folder(layout.config_dir) else []:
        known = path == layout.config or path.suffix == ".token"
        left.append((str(layout.inside(path)), "--purge removes it" if known else "somebody else wrote it"))
    if fragment and Path(fragment) != layout.unit and any(present(path) for path in layout.packaged):
        left.append((fragment, "it belongs to a package"))
    return left


def show(ui: Ui, user: bool, host: Host | None = None) -> int:
    """`pinsync service show`. Exit code 1 where it is not installed, or is not running."""
    host = host or Host()
    layout = host.layout(user)
    by_its_own_file(ui, layout)
    state = unit_state(layout, host.runner)
    unit = read(Path(state.fragment)) if state.fragment and is_file(Path(state.fragment)) else read(layout.unit)
    shipped = checks.shipped(layout)[0].decode()
    found: dict[str, Any] = {
        "scope": layout.scope,
        "installed": unit is not None,
        "unit": {
            "path": state.fragment or str(layout.unit),
            "program": checks.starts(unit.content) if unit else None,
            "difference": _difference(layout, host, shipped, unit.content) if unit else [],
        },
        "drop_ins": list(state.drop_ins),
        **_configured(layout, host),
        "state": str(layout.state),
        "systemd": {
            "load": state.load, "active": state.active, "sub": state.sub, "enabled": state.file_state,
            "result": state.result, "pid": state.pid, "restarts": state.restarts,
        },
    }  # fmt: skip
    if ui.json:
        ui.emit(found)
    else:
        ui.show(show_lines({**found, "hint": _hint(layout, host) if unit is None else ""}))
    return 0 if unit is not None and state.active in ("active", "reloading") else 1


def _difference(layout: Layout, host: Host, shipped: str, unit: bytes) -> list[str]:
    try:
        ours = with_program(shipped, host.program(layout).command)
    except (PinsyncError, ValueError):  # started as a module: whatever it starts is right
        ours = shipped.replace(checks.starts(shipped.encode()), checks.starts(unit), 1)
    return planning.difference(unit, ours.encode(), UNIT)


def _hint(layout: Layout, host: Host) -> str:
    if not layout.user and host.uid != 0:
        own = host.layout(True)
        if present(own.unit):
            return "There is one of your own: pinsync service show --user"
    return f"`{layout.again}` does it"


def _configured(layout: Layout, host: Host) -> dict[str, Any]:
    """The configuration that the service goes by, and where its tokens are."""
    found: dict[str, Any] = {"config": None, "config_path": str(layout.config), "tokens": [], "errors": []}
    try:
        settings = remembered(layout, host)
    except ConfigError as error:
        found["errors"] = [{"where": str(layout.config), "message": str(error)}]
        return {**found, "config": str(layout.config)}
    except PinsyncError as error:
        return {**found, "errors": [{"where": str(layout.config), "message": str(error)}]}
    if settings is None:
        return found
    for remote in settings.remotes:
        if remote.auth == "none":
            continue
        problem, path = None, remote.token_file or layout.token(remote.name)
        try:
            load_token(remote, host.service_env(layout))
        except CredentialError as error:
            if not (error.elsewhere and present(path, unknown=True)):  # root's, and somebody else looks
                problem = error.problems[0].message
        found["tokens"].append({"remote": remote.name, "path": str(path), "problem": problem})
    return {**found, "config": str(layout.config)}
