"""`check`: configuration, manifest and secrets looked at, and nothing else: no network, no ledger."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pinsync.errors import ConfigError, ManifestError, PinsyncError
from pinsync.paths import is_file, present

from .text import Cell, Line, counted, line, table
from .ui import Ui, said

if TYPE_CHECKING:
    from pinsync.settings.credentials import CredentialError
    from pinsync.settings.model import RemoteSettings, Settings

WRONG = 2


@dataclass(slots=True)
class _Found:
    errors: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    manifest: dict[str, Any] = field(default_factory=dict)
    remotes: list[dict[str, Any]] = field(default_factory=list)
    nodes: list[dict[str, Any]] = field(default_factory=list)

    def wrong(self, error: PinsyncError) -> None:
        self.errors += said(error)


def check(ui: Ui) -> int:
    """`pinsync check`: exit code 0, or 2 with every problem."""
    from pinsync.settings.load import load
    from pinsync.settings.places import find_config, socket_path

    source = find_config(ui.config, os.environ)
    found = _Found()
    config = {"path": str(source.path) if source.path else None, "why": source.why}
    try:
        settings = load(ui.config)
    except ConfigError as error:
        found.wrong(error)
        report = {"ok": False, "config": config, "warnings": [], "errors": found.errors}
    else:
        found.warnings += settings.warnings
        _nodes(settings, found)
        for remote in settings.remotes:
            _remote(settings, remote, found)
        _hooks(settings, found)
        _manifest(settings, found)
        report = {
            "ok": not found.errors,
            "config": config,
            "state": str(settings.state.path),
            "socket": str(socket_path(settings, os.environ)),
            "nodes": found.nodes,
            "remotes": found.remotes,
            "manifest": found.manifest,
            "warnings": found.warnings,
            "errors": found.errors,
        }
    if ui.json:
        ui.emit(report)
    else:
        ui.show(_lines(report, ui.quiet, ui.width))
        for warning in found.warnings:
            ui.warn(warning)
    for one in found.errors:
        ui.complain(f"{one['where']}: {one['message']}")
    return 0 if report["ok"] else WRONG


def _nodes(settings: Settings, found: _Found) -> None:
    from pinsync.settings.credentials import CredentialError, load_authorization
    from pinsync.sources.kubo_api import resolve_api

    for node in settings.nodes:
        where = None
        try:
            where = str(resolve_api(node.api, os.environ, name=node.name))
        except PinsyncError as error:
            if node.api == "auto":  # the node's own file says nonsense: that can be mended by starting it
                found.warnings.append(str(error))
            else:
                found.wrong(error)
        try:
            load_authorization(node, os.environ)
        except CredentialError as error:
            _secret(settings, found, error, node.authorization_file is not None)
        found.nodes.append({"name": node.name, "api": node.api, "address": where, "mirror": node.mirror})


def _remote(settings: Settings, remote: RemoteSettings, found: _Found) -> None:
    from pinsync.settings.credentials import CredentialError, load_token

    token = None
    try:
        token = load_token(remote, os.environ)
        found.warnings += token.warnings if token else ()
    except CredentialError as error:
        _secret(settings, found, error, remote.token_file is not None)
    if remote.ca_file is not None and not os.access(remote.ca_file, os.R_OK):
        found.errors.append({"where": f"remote {remote.name}", "message": f"ca_file {remote.ca_file} cannot be read"})
    place = token.where if token else "none needed" if remote.auth == "none" else None
    found.remotes.append({"name": remote.name, "endpoint": remote.endpoint, "mode": remote.mode.value, "token": place})


def _hooks(settings: Settings, found: _Found) -> None:
    from pinsync.settings.credentials import CredentialError, load_hook

    notify = settings.notify
    for kind, file in (("webhook", notify.webhook_file), ("heartbeat", notify.heartbeat_file)):
        try:
            token = load_hook(notify, "webhook" if kind == "webhook" else "heartbeat", os.environ)
            found.warnings += token.warnings if token else ()
        except CredentialError as error:
            _secret(settings, found, error, file is not None)


def _secret(settings: Settings, found: _Found, error: CredentialError, filed: bool) -> None:
    """A secret that the daemon alone may see is no fault; one that nobody can have is.

    The service of a configuration in /etc gets its tokens from systemd, and a file that is there and closed to this
    user is open to somebody.
    """
    system = settings.source.path is not None and settings.source.path.is_relative_to("/etc")
    closed = "may not be read by this user" in str(error)
    if error.elsewhere and (closed or (system and not filed)):
        found.warnings.append(f"{error}. The daemon may have it: this was not checked")
    else:
        found.wrong(error)


def _manifest(settings: Settings, found: _Found) -> None:
    from pinsync.sources.manifest import read_manifest

    path = settings.manifest.path
    found.manifest = {"path": str(path) if path else None, "ok": None, "pins": 0, "ignores": 0, "files": 0}
    if path is None or (not settings.manifest.configured and not present(path, unknown=True)):
        return
    try:
        manifest = read_manifest(path, remotes=[one.name for one in settings.remotes])
    except ManifestError as error:
        found.manifest["ok"] = False
        found.wrong(error)
        return
    files = {os.path.realpath(file) for file in manifest.files if is_file(file)}
    found.manifest |= {
        "ok": True, "pins": len(manifest.pins), "ignores": len(manifest.ignores), "files": len(files),
    }  # fmt: skip


def _lines(report: Mapping[str, Any], quiet: bool, width: int | None) -> Iterator[Line]:
    if report["ok"]:
        notes = f", {counted(len(report['warnings']), 'warning')}" if report["warnings"] else ""
        yield line((f"Configuration and manifest are in order{notes}.", "bold green"))
    else:
        found = counted(len(report["errors"]), "problem")
        yield line((f"{found}: a daemon that runs goes on with the last good one of each.", "bold red"))
    if quiet:
        return
    config = report["config"]
    rows: list[list[Cell]] = [["config", config["path"] or "none", (config["why"], "dim")]]
    for node in report.get("nodes", ()):
        rows.append([f"node {node['name']}", node["address"] or "?", "" if node["mirror"] else "not mirrored"])
    for remote in report.get("remotes", ()):
        place = remote["token"]
        token = "no token" if place is None else "no token needed" if place == "none needed" else f"token from {place}"
        mode = "" if remote["mode"] == "mirror" else f"{remote['mode']}, "
        rows.append([f"remote {remote['name']}", remote["endpoint"], (f"{mode}{token}", "" if place else "red")])
    if manifest := report.get("manifest"):
        told = {None: "none there", False: "not in order"}.get(
            manifest["ok"],
            f"{counted(manifest['pins'], 'pin')}, {counted(manifest['ignores'], 'ignore')}, "
            f"{counted(manifest['files'], 'file')}",
        )
        rows.append(["manifest", manifest["path"] or "none", told])
    if state := report.get("state"):
        rows.append(["state", state, ""])
    yield from table(rows, "<<<", width=width)
