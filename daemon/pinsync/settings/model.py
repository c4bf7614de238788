"""What the configuration says, as frozen values. The defaults stand here and nowhere else.

Durations are seconds, shares are per cent, paths are absolute.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pinsync.model import Mode, Rate, Safety

if TYPE_CHECKING:
    from pydantic import SecretStr

NFT_STORAGE = "https://api.nft.storage/pins"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # of remotes, nodes and mirrors


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """The configuration file and why it is this one, in words for people. `path` None: there is none."""

    path: Path | None
    why: str


@dataclass(frozen=True, slots=True)
class MirrorSettings:
    """`[mirror]`. `id` None: the one that was made once and lies beside the ledger."""

    id: str | None = None


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """`[kubo]`, or one of several `[[kubo]]`.

    `api` is `auto`, a URL, a multiaddr or the path of a Unix socket, as written. `only_names` and `skip_names` are
    globs. `timeout` is the longest silence in an answer, `retry_for` how long one pass tries again. `sole`: there
    is no other node, so the credential `kubo.authorization` is this one's whatever its name.
    """

    name: str = "kubo"
    api: str = "auto"
    authorization_file: Path | None = None
    peer_id: str | None = None
    mirror: bool = True
    only_names: tuple[str, ...] = ()
    skip_names: tuple[str, ...] = ()
    timeout: float = 30.0
    retry_for: float = 20.0
    sole: bool = True


@dataclass(frozen=True, slots=True)
class ManifestSettings:
    """`[manifest]`. `path` is a file or a directory, None for no manifest.

    `configured` tells a path that somebody wrote, whose absence is an error, from the default, whose absence is not.
    """

    path: Path | None
    configured: bool = True


@dataclass(frozen=True, slots=True)
class StateSettings:
    """`[state]`. `path` is the ledger's file; the lock and the mirror id lie beside it."""

    path: Path


@dataclass(frozen=True, slots=True)
class Schedule:
    """`[schedule]`: seconds between passes, and at most between full listings of a remote."""

    every: float = 900.0
    full_listing: float = 21600.0


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """`[listen]`. `address` is a loopback address and a port, None for no listener on TCP."""

    address: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """`[metrics]`. `textfile` is the file that node_exporter collects, None for none."""

    textfile: Path | None = None


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """`[notify]`: who is told when something needs a person, and who hears that all goes on.

    `command` is a program and its arguments. `webhook` and `heartbeat` are URLs, secret because whoever knows one can
    use it; each is the first found of its `_file`, the systemd credential `notify.webhook` or `notify.heartbeat`, and
    the value itself: see `load_hook`. `failing_after`: for so many intervals something must fail before it is told.
    `timeout` is for one try, in seconds.
    """

    command: tuple[str, ...] = ()
    webhook: SecretStr | None = None
    webhook_file: Path | None = None
    heartbeat: SecretStr | None = None
    heartbeat_file: Path | None = None
    failing_after: int = 3
    timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """One `[[remote]]`.

    `endpoint` ends in `/pins`, without a slash after it. `rate` is `"default"` where the configuration says
    nothing: what is known of the host applies; None is no limit. `safety` is the global one with this remote's own
    values over it. The token is not here: see `load_token`.
    """

    name: str
    endpoint: str = NFT_STORAGE
    mode: Mode = Mode.MIRROR
    token_file: Path | None = None
    auth: Literal["bearer", "basic", "none"] = "bearer"
    nodes: bool = True
    rate: Rate | Literal["default"] | None = "default"
    concurrency: int = 8
    origins: Literal["auto", "none"] | tuple[str, ...] = "auto"
    timeout: float = 30.0
    retry_for: float = 20.0
    ca_file: Path | None = None
    safety: Safety = field(default_factory=Safety)

    @property
    def secret_name(self) -> str:
        """The `<NAME>` of the environment variable `PINSYNC_TOKEN_<NAME>`."""
        return secret_name(self.name)


def secret_name(remote: str) -> str:
    """A remote's name in capitals, other characters than letters and digits as `_`."""
    return re.sub(r"[^A-Z0-9]", "_", remote.upper())


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the configuration and the environment say, checked. `warnings` are sentences for people."""

    source: ConfigFile
    mirror: MirrorSettings
    nodes: tuple[NodeSettings, ...]
    manifest: ManifestSettings
    state: StateSettings
    schedule: Schedule
    safety: Safety
    remotes: tuple[RemoteSettings, ...]
    notify: NotifySettings = field(default_factory=NotifySettings)
    warnings: tuple[str, ...] = ()
    listen: ListenSettings = field(default_factory=ListenSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)

    def fingerprint_parts(self) -> dict[str, str]:
        """What decides which pins are wanted where: the setting's name for people → its value as JSON.

        The order of tables and of globs does not matter and is not in it. A default `mirror.id` is null here.
        """
        parts: dict[str, object] = {
            "mirror.id": self.mirror.id,
            "manifest.path": str(self.manifest.path) if self.manifest.path else None,
        }
        for node in self.nodes:
            parts[f"node {node.name}: mirror"] = node.mirror
            parts[f"node {node.name}: only_names"] = sorted(set(node.only_names))
            parts[f"node {node.name}: skip_names"] = sorted(set(node.skip_names))
        for remote in self.remotes:
            parts[f"remote {remote.name}: nodes"] = remote.nodes
            parts[f"remote {remote.name}: mode"] = str(remote.mode)
        return {name: json.dumps(parts[name], ensure_ascii=False) for name in sorted(parts)}

    def fingerprint(self) -> str:
        """32 hexadecimal digits over `fingerprint_parts`: equal when, and in practice only when, those are."""
        text = json.dumps(self.fingerprint_parts(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]
