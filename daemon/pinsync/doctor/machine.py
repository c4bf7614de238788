"""The machine: versions, its clock, the daemon that runs on it, and how the service manager keeps that."""

from __future__ import annotations

import asyncio
import platform
import re
import shutil
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from pinsync import __version__
from pinsync.clock import Clock
from pinsync.service.client import DaemonClient, DaemonError
from pinsync.service.silent import silent
from pinsync.settings.model import Settings
from pinsync.settings.places import socket_path

from .finding import About, Finding, moment
from .patient import Patient

MACHINE, DAEMON, SERVICE = About("machine"), About("daemon"), About("service")
UNIT = "pinsync.service"
EXPOSURE = 2.0  # by systemd-analyze; our unit has 1.1, a Python service without hardening more than 8
_LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC).timestamp()  # this was written later
_PATIENCE = 10.0  # seconds for a tool of systemd


async def machine(clock: Clock) -> AsyncIterator[Finding]:
    """Versions, and whether the clock can be right."""
    python, sqlite = platform.python_version(), sqlite3.sqlite_version
    yield MACHINE.ok("versions", f"pinsync {__version__}, Python {python}, SQLite {sqlite}, {platform.system()}")
    now = clock.now()
    if now < _LONG_AGO:
        yield MACHINE.fail("clock", f"it says {_shown(now)}, which is past", "set it; certificates and grace need it")
        return
    synchronised = (await _asked("timedatectl", "show", "--property=NTPSynchronized", "--value")).strip()
    if synchronised == "no":
        yield MACHINE.warn("clock", f"{_shown(now)}; no time service keeps it right", "timedatectl set-ntp true")
    else:
        kept = ", kept right by a time service" if synchronised == "yes" else ""
        yield MACHINE.ok("clock", f"{_shown(now)}{kept}")


async def daemon(patient: Patient) -> AsyncIterator[Finding]:
    """Whether one answers, and whether it is of the same version and configuration as this command."""
    settings = patient.settings
    where = socket_path(settings, patient.env)
    try:
        client = DaemonClient.find(settings, patient.env)
        told: dict[str, Any] = client.status(None, None) if client else {}
    except DaemonError as error:
        if isinstance(error.__cause__, PermissionError):
            yield DAEMON.warn("answers", str(error))
        else:
            yield DAEMON.fail(
                "answers", str(error),
                f"see who listens there (ss -xlp src {where}): restart a pinsync that hangs, end anything else; "
                "without the socket the daemon mirrors all the same",
            )  # fmt: skip
        return
    if client is None:
        if (mute := silent(settings, patient.env)) is not None:
            yield DAEMON.fail("answers", mute["error"], "journalctl -u pinsync has the reason")
            return
        yield DAEMON.skip("answers", f"none at {where}; a timer with `pinsync sync` does as well")
        return
    about: Mapping[str, Any] = told["daemon"]
    yield DAEMON.ok("answers", f"process {about.get('pid')} at {client.path}, since {_since(about, patient.now)}")
    if about.get("version") != __version__:
        yield DAEMON.warn("version", f"it is {about.get('version')}, and this command {__version__}", "restart it")
    theirs, ours = told.get("config"), str(settings.source.path) if settings.source.path else None
    if theirs != ours:
        yield DAEMON.warn("configuration", f"it goes by {theirs}, and this command by {ours}", "give --config")
    if wrong := about.get("config_error"):
        yield DAEMON.fail("configuration", f"on disk it is wrong, so the last good one is in force: {wrong}", "mend it")
    if restart := about.get("restart_needed"):
        yield DAEMON.warn("restart", str(restart), "restart it")


def _since(about: Mapping[str, Any], now: float) -> str:
    with suppress(TypeError, ValueError):
        return moment(datetime.fromisoformat(about["since"]).timestamp(), now)
    return "it does not say when"


def _shown(now: float) -> str:
    return f"{datetime.fromtimestamp(now).astimezone():%Y-%m-%d %H:%M:%S %Z}"


async def service(settings: Settings | None) -> AsyncIterator[Finding]:
    """The unit of systemd, the system's and this user's."""
    if shutil.which("systemctl") is None:
        yield SERVICE.skip("unit", "there is no systemd here")
        return
    system = settings is None or settings.source.path is None or settings.source.path.is_relative_to("/etc")
    for scope in ((), ("--user",)) if system else (("--user",), ()):
        shown = await _asked(
            "systemctl", *scope, "show", UNIT,
            "--property=LoadState,ActiveState,SubState,UnitFileState,NRestarts,Result,FragmentPath",
        )  # fmt: skip
        unit = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        if unit.get("LoadState") == "loaded":
            for finding in _unit(unit, " ".join(("systemctl", *scope))):
                yield finding
            if not scope:
                yield await _hardening()
            return
        if unit.get("LoadState") not in (None, "not-found"):
            yield SERVICE.warn(
                "unit", f"{UNIT} cannot be used: {unit['LoadState']}", "systemd-analyze verify pinsync.service"
            )
            return
    yield SERVICE.skip("unit", f"{UNIT} is not installed (`pinsync service install`), or systemd does not run here")


def _unit(unit: Mapping[str, str], systemctl: str) -> list[Finding]:
    found = []
    where, active = unit.get("FragmentPath", "?"), unit.get("ActiveState", "?")
    journal = f"journalctl {'--user ' if '--user' in systemctl else ''}-u pinsync"
    if active in ("active", "reloading"):
        found.append(SERVICE.ok("unit", f"{where}: {active} ({unit.get('SubState', '?')})"))
    elif active == "activating":
        found.append(
            SERVICE.warn(
                "unit", f"{where}: {active} ({unit.get('SubState', '?')})", f"{journal} says what it waits for"
            )
        )
    else:
        result = unit.get("Result", "")
        told = f"{where}: {active}{f', {result}' if result not in ('', 'success') else ''}"
        found.append(SERVICE.fail("unit", told, f"{systemctl} start pinsync; {journal} says why it ended"))
    if unit.get("UnitFileState") not in ("enabled", "enabled-runtime", "static", "linked", "alias", "generated"):
        found.append(SERVICE.warn("at boot", "it is not started with the machine", f"{systemctl} enable pinsync"))
    with suppress(ValueError):
        if (restarts := int(unit.get("NRestarts", "0"))) > 0:
            found.append(
                SERVICE.warn("restarts", f"systemd has started it again {restarts} times", f"{journal} says why")
            )
    return found


async def _hardening() -> Finding:
    said = await _asked("systemd-analyze", "security", "--no-pager", UNIT)
    match = re.search(r"exposure level for \S+:\s+([0-9.]+)", said)
    if match is None:
        return SERVICE.skip("hardening", "systemd-analyze does not say how exposed it is")
    exposure = float(match[1])
    if exposure > EXPOSURE:
        return SERVICE.warn(
            "hardening",
            f"its exposure is {exposure:g} by systemd-analyze security",
            "what eased it? systemctl cat pinsync",
        )
    return SERVICE.ok("hardening", f"its exposure is {exposure:g} by systemd-analyze security")


async def _asked(*command: str) -> str:
    """What a tool prints; "" where it cannot be asked."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return ""
    try:
        async with asyncio.timeout(_PATIENCE):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return ""
    return out.decode("utf-8", "replace")
