"""What people write: configuration, manifest, and who is told when something is the matter."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from pinsync.errors import ConfigError, ManifestError
from pinsync.paths import is_file, present, to_close
from pinsync.settings.credentials import CredentialError, load_hook
from pinsync.settings.model import ConfigFile
from pinsync.sources.manifest import read_manifest
from pinsync.words import counted

from .finding import About, Finding, Result
from .patient import Patient

CONFIGURATION, MANIFEST, NOTIFY = About("configuration"), About("manifest"), About("notify")
_OTHERS_READ = 0o004


async def configuration(patient: Patient) -> AsyncIterator[Finding]:
    """Which one is in force and why, and what is odd about it."""
    settings = patient.settings
    yield CONFIGURATION.ok("file", f"{settings.source.path or 'none'}: {settings.source.why}")
    if names := overriding(patient.env):
        yield CONFIGURATION.ok("environment", f"{', '.join(names)} over it")
    for warning in settings.warnings:
        yield CONFIGURATION.warn("setting", warning)
    path = settings.source.path
    secret = [name for name in ("webhook", "heartbeat") if getattr(settings.notify, name) is not None]
    if path is not None and secret and path.stat().st_mode & _OTHERS_READ:
        yield CONFIGURATION.warn(
            "secrets",
            f"every user of this machine can read {path}, and with it the {' and the '.join(secret)} of [notify]",
            f"{to_close(path)}, or put the URL into a file of its own: {secret[0]}_file",
        )


async def wrong_configuration(source: ConfigFile, error: ConfigError) -> AsyncIterator[Finding]:
    """There is none that can be used."""
    yield CONFIGURATION.ok("file", f"{source.path or 'none'}: {source.why}")
    for problem in error.problems:
        yield Finding(
            "configuration", "contents", Result.FAIL, str(problem),
            "mend it; `pinsync check` tells more. A daemon that runs goes on with the last good one", wrong=True,
        )  # fmt: skip


def overriding(env: Mapping[str, str]) -> list[str]:
    """The variables that set something over the file, by name; their values may be secret."""
    from pinsync.settings.schema import TABLES

    found = []
    for name in sorted(env):
        table = name.removeprefix("PINSYNC_").lower().split("__")[0]
        if name.startswith("PINSYNC_") and table in TABLES and env[name].strip():
            found.append(name)
    return found


async def manifest(patient: Patient) -> AsyncIterator[Finding]:
    """Whether it can be read, whole."""
    path = patient.settings.manifest.path
    if path is None:
        yield MANIFEST.skip("contents", "none is configured")
        return
    if not patient.settings.manifest.configured and not present(path, unknown=True):
        yield MANIFEST.skip("contents", f"none: there is no {path}")
        return
    try:
        found = read_manifest(path, remotes=[one.name for one in patient.settings.remotes])
    except ManifestError as error:
        broken = MANIFEST.broke("contents", error)
        yield Finding(
            broken.about, broken.check, Result.FAIL, broken.found,
            "mend it; until then the last good one is in force, and nothing is removed for its sake", wrong=True,
        )  # fmt: skip
        return
    files = {file.resolve() for file in found.files if is_file(file)}
    ignores = f", {len(found.ignores)} ignored" if found.ignores else ""
    there = f"{counted(len(found.pins), 'pin')}{ignores}, in {counted(len(files), 'file')}"
    yield MANIFEST.ok("contents", f"{path}: {there}")
    before = patient.source("manifest").good_pins
    if before and not found.pins:
        yield MANIFEST.warn("size", f"it has no pins, and had {before} before", "removals are held until you approve")


async def notify(patient: Patient) -> AsyncIterator[Finding]:
    """Who is told. Nobody is told anything by this.

    A daemon knows better: it has the credentials, and is the one who runs the command.
    """
    async for finding in _receivers(patient):
        yield replace(finding, elsewhere=True)


async def _receivers(patient: Patient) -> AsyncIterator[Finding]:
    from pinsync.service.receivers import configured, whereto

    receivers = configured(patient.settings.notify, patient.env)
    if not receivers:
        yield NOTIFY.skip("receivers", "nobody is told when something is the matter: [notify] is empty")
        return
    for receiver in receivers:
        try:
            where = whereto(patient.settings.notify, receiver, patient.env)
            token = None if receiver == "command" else load_hook(patient.settings.notify, receiver, patient.env)
        except CredentialError as error:
            yield NOTIFY.broke(receiver, error)
            continue
        if receiver == "command" and not os.access(where, os.X_OK):
            yield NOTIFY.fail(receiver, f"{where} is no program that this user may run", "mend `command` in [notify]")
        else:
            yield NOTIFY.ok(receiver, f"{where}; try it: pinsync notify --test")
        for warning in token.warnings if token else ():
            yield NOTIFY.warn("file", warning)
