"""From the configuration file and the environment to `Settings`, or to every reason why not."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pinsync.errors import ConfigError, Problem
from pinsync.model import Safety
from pinsync.paths import present

from .files import Unreadable, decode, read_small
from .model import (
    ConfigFile,
    ListenSettings,
    ManifestSettings,
    MetricsSettings,
    MirrorSettings,
    NodeSettings,
    NotifySettings,
    RemoteSettings,
    Schedule,
    Settings,
    StateSettings,
)
from .places import absolute, default_state, expand_home, find_config, searched
from .problems import Origin, closest, cross_check, explain, in_order, quoted
from .units import parse_address

if TYPE_CHECKING:
    from .schema import File, KuboTable, NotifyTable, RemoteTable

_LIMIT = 10 * 1024 * 1024
_PREFIX = "PINSYNC_"

Keys = tuple[str, ...]
"""What a variable sets: table and key."""


def load(explicit: Path | None = None, *, env: Mapping[str, str] = os.environ) -> Settings:
    """The settings in force: the configuration file, found as `find_config` says, with `PINSYNC_…` variables over it.

    Relative paths are taken from the file's directory, without a file from the current one; `~/` is the home
    directory. Files that the settings name (manifest, tokens, certificates) are not looked at.
    Raises `ConfigError` with all problems at once, in file order; none shows a value.
    """
    from .schema import layer

    source = find_config(explicit, env)
    variables, problems = _variables(env)
    if source.path is None and ("remote",) not in variables:
        raise ConfigError([_not_found(env), *problems])
    text, data, broken = _parse(source.path)
    if broken:
        raise ConfigError([broken, *problems])

    data, variables, ambiguous = _settle_nodes(data, variables, env)
    problems += ambiguous
    values = {f"{_PREFIX}{'__'.join(loc)}".lower(): env[name] for loc, name in variables.items()}
    raw, merged, errors = layer(data, values)
    origin = Origin(str(source.path or "environment"), text, variables, merged)
    problems += [*explain(errors, origin), *cross_check(origin)]
    if raw is not None and not problems:
        settings, problems = _build(raw, source, origin, env)
        if settings:
            return settings
    raise ConfigError(in_order(problems, origin.file))


def _parse(path: Path | None) -> tuple[str, dict[str, Any], Problem | None]:
    """The file's text and its values, or why there are none."""
    if path is None:
        return "", {}, None
    import tomli

    line: int | None = None
    try:
        content, _ = read_small(path, _LIMIT)
        text = decode(content)
        return text, tomli.loads(text), None
    except Unreadable as error:
        message = f"the configuration {error}"
        if error.elsewhere and present(path, unknown=True):
            message += "; use sudo, or have its owner let this user read it"
    except tomli.TOMLDecodeError as error:
        line, message = error.lineno, f"not valid TOML, column {error.colno}: {error.msg}"
    except RecursionError:
        message = "not valid TOML: it is nested too deeply"
    except ValueError:
        message = "not valid TOML: a number or a date in it cannot be read"
    return "", {}, Problem(str(path), line, message)


def _variables(env: Mapping[str, str]) -> tuple[dict[Keys, str], list[Problem]]:
    """The variables that set something, by what they set; and those that were surely meant to.

    Other names that begin alike are nobody's mistake: Kubernetes makes PINSYNC_PORT for a service called pinsync.
    """
    from .schema import TABLES

    found: dict[Keys, str] = {}
    problems: list[Problem] = []
    for name in sorted(env):
        if not name.startswith(_PREFIX) or name == "PINSYNC_CONFIG" or name.startswith("PINSYNC_TOKEN_"):
            continue
        rest = name.removeprefix(_PREFIX).lower()
        table, *keys = rest.split("__")
        if not keys:
            if table in TABLES and env[name].strip():
                found[(table,)] = name
            elif meant := _one_underscore(rest):
                problems.append(Problem(f"environment variable {name}", None, f"not a setting; did you mean {meant}?"))
        elif table == "remote":
            message = "remotes are set all at once, as a JSON list in PINSYNC_REMOTE"
            problems.append(Problem(f"environment variable {name}", None, message))
        elif table in TABLES:
            found[(table, *keys)] = name
        else:
            meant = closest(table, TABLES)
            hint = f'did you mean "{meant.upper()}"?' if meant else f"known: {', '.join(TABLES)}"
            message = f"unknown table {quoted(table)}; {hint}"
            problems.append(Problem(f"environment variable {name}", None, message))
    return found, problems


def _one_underscore(rest: str) -> str | None:
    from .schema import TABLES

    table, _, key = rest.partition("_")
    if table in TABLES and key in TABLES[table].model_fields:
        return "PINSYNC_REMOTE, with a JSON list" if table == "remote" else f"{_PREFIX}{table}__{key}".upper()
    return None


def _settle_nodes(
    data: dict[str, Any], variables: dict[Keys, str], env: Mapping[str, str]
) -> tuple[dict[str, Any], dict[Keys, str], list[Problem]]:
    """Makes a variable for one key of a node (`PINSYNC_KUBO__API`) fit a file with one `[[kubo]]`; refuses several."""
    nodes = data.get("kubo")
    whole = {loc for loc, name in variables.items() if loc == ("kubo",) and env[name].lstrip().startswith("[")}
    single = {loc for loc in variables if loc[0] == "kubo"} - whole
    if not single or not (whole or isinstance(nodes, list)):
        return data, variables, []
    if isinstance(nodes, list) and len(nodes) == 1 and not whole:
        return {**data, "kubo": nodes[0]}, variables, []
    problems = [
        Problem(
            f"environment variable {variables[loc]}",
            None,
            "there are several nodes, and this does not say which one; set it in the file, "
            "or all of them as a JSON list in PINSYNC_KUBO",
        )
        for loc in sorted(single)
    ]
    return data, {loc: name for loc, name in variables.items() if loc not in single}, problems


def _not_found(env: Mapping[str, str]) -> Problem:
    places = ", ".join(str(path) for path in searched(env))
    return Problem("config.toml", None, (
        f"no configuration, so nothing is mirrored. Looked for: --config (not given), $PINSYNC_CONFIG (not set), "
        f"{places}. "
        "Copy config.example.toml to one of these places and edit it, or name a file with --config; "
        "without a file, the remotes can be set as a JSON list in PINSYNC_REMOTE"
    ))  # fmt: skip


def _build(
    raw: File, source: ConfigFile, origin: Origin, env: Mapping[str, str]
) -> tuple[Settings | None, list[Problem]]:
    base = source.path.parent if source.path else None

    def path(text: str) -> Path | None:
        return absolute(expand_home(text, env), base) if text else None

    state = path(raw.state.path) or default_state(source, env)
    if state is None:
        message = "state.path must be set here: there is no home directory for its default"
        return None, [origin.problem(("state", "path"), message)]
    safety = Safety(**dict(raw.safety))
    # A default that depends on where a command happens to be started is none: without a file there is no manifest.
    configured = "path" in raw.manifest.model_fields_set
    manifest = path(raw.manifest.path) if configured or base else None
    nodes = tuple(_node(node, path(node.authorization_file), len(raw.kubo) == 1) for node in raw.kubo)
    remotes = tuple(_remote(one, path(one.token_file), path(one.ca_file), safety) for one in raw.remote)
    settings = Settings(
        source=source,
        mirror=MirrorSettings(raw.mirror.id or None),
        nodes=nodes,
        manifest=ManifestSettings(manifest, configured),
        state=StateSettings(state),
        schedule=Schedule(**dict(raw.schedule)),
        safety=safety,
        remotes=remotes,
        listen=ListenSettings(parse_address(raw.listen.address) if raw.listen.address else None),
        metrics=MetricsSettings(path(raw.metrics.textfile)),
        notify=_notify(raw.notify, path(raw.notify.webhook_file), path(raw.notify.heartbeat_file)),
    )
    return replace(settings, warnings=tuple(_warnings(settings))), []


def _node(raw: KuboTable, authorization_file: Path | None, sole: bool) -> NodeSettings:
    return NodeSettings(
        name=raw.name,
        api=raw.api,
        authorization_file=authorization_file,
        peer_id=raw.peer_id or None,
        mirror=raw.mirror,
        only_names=tuple(raw.only_names),
        skip_names=tuple(raw.skip_names),
        timeout=raw.timeout,
        retry_for=raw.retry_for,
        sole=sole,
    )


def _remote(raw: RemoteTable, token_file: Path | None, ca_file: Path | None, safety: Safety) -> RemoteSettings:
    own = {key: getattr(raw.safety, key) for key in raw.safety.model_fields_set}
    return RemoteSettings(
        name=raw.name,
        endpoint=raw.endpoint,
        mode=raw.mode,
        token_file=token_file,
        auth=raw.auth,
        nodes=raw.nodes,
        rate=raw.rate if "rate" in raw.model_fields_set else "default",
        concurrency=raw.concurrency,
        origins=raw.origins,
        timeout=raw.timeout,
        retry_for=raw.retry_for,
        ca_file=ca_file,
        safety=replace(safety, **own),
    )


def _notify(raw: NotifyTable, webhook_file: Path | None, heartbeat_file: Path | None) -> NotifySettings:
    return NotifySettings(
        command=tuple(raw.command),
        webhook=raw.webhook if raw.webhook.get_secret_value() else None,
        webhook_file=webhook_file,
        heartbeat=raw.heartbeat if raw.heartbeat.get_secret_value() else None,
        heartbeat_file=heartbeat_file,
        failing_after=raw.failing_after,
        timeout=raw.timeout,
    )


def _warnings(settings: Settings) -> list[str]:
    from .schema import is_loopback

    found: list[str] = []
    accounts: dict[object, str] = {}
    for remote in settings.remotes:
        if remote.auth != "none" and remote.endpoint.startswith("http://") and not is_loopback(remote.endpoint):
            found.append(
                f"remote {remote.name}: its endpoint is plain http, so its token can be read on the way; use https"
            )
        if remote.auth == "none" and remote.token_file:
            found.append(f'remote {remote.name}: token_file is not used, since auth = "none"')
        if remote.token_file or remote.auth == "none":
            other = accounts.setdefault((remote.endpoint, remote.token_file), remote.name)
            if other != remote.name:
                found.append(
                    f"remotes {other} and {remote.name} are the same account: "
                    "everything is asked of it twice, and each may undo what the other does"
                )
    if settings.manifest.path is None and not any(node.mirror for node in settings.nodes):
        found.append("nothing is wanted anywhere: no node is mirrored, and there is no manifest")
    return found
