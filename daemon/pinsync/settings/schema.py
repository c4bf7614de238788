"""What may stand in `config.toml`: one pydantic model a table, strict, with the environment layered over the file.

Importing this costs a tenth of a second, so `load` does it when it is called. Validators speak in words that can
follow a key's name and never repeat a value: it may be a token on the wrong line. The text below each key is what
docs/configuration.md says of it, in Markdown: `make docs` after a change.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from pinsync.model import Mode, Rate, Removals, Safety

from . import checks
from .model import NodeSettings, NotifySettings, RemoteSettings, Schedule

_NODE, _REMOTE, _SAFETY, _SCHEDULE = NodeSettings(), RemoteSettings("default"), Safety(), Schedule()
_NOTIFY = NotifySettings()

Name = Annotated[str, AfterValidator(checks.name)]
NameOrEmpty = Annotated[str, AfterValidator(checks.name_or_empty)]
PathText = Annotated[str, AfterValidator(checks.plain)]
Choice = Field(strict=False)  # text to enum, which strict validation would refuse


class Table(BaseModel):
    """A table of the file. An unknown key in it is an error."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class MirrorTable(Table):
    id: NameOrEmpty = ""
    """the mark on our pins. Empty: made once, as `host-6hex`, and kept in `mirror-id` beside the ledger"""


class KuboTable(Table):
    name: Name = _NODE.name
    """what reports call it"""
    api: Annotated[str, AfterValidator(checks.api)] = _NODE.api
    """`"auto"` reads `$IPFS_PATH/api`, then `~/.ipfs/api`, then takes 127.0.0.1:5001. Or a URL, a multiaddr, a
    Unix socket (`/unix/…`)"""
    authorization_file: PathText = ""
    """for a node with `API.Authorizations`: a file with `user:password` or a token. Else the systemd credential
    `kubo.authorization`"""
    peer_id: Annotated[str, AfterValidator(checks.peer_id)] = ""
    """refuse any node but the one with this peer id, as `ipfs id` shows it"""
    mirror: bool = _NODE.mirror
    """`false`: this node's pins are not mirrored, and the manifest alone says what is wanted"""
    only_names: list[str] = []
    """globs on pin names; empty means all"""
    skip_names: list[str] = []
    """globs on pin names that are left out, over `only_names`"""
    timeout: Annotated[float, checks.duration("0.1s", "1h")] = _NODE.timeout
    """the longest silence in an answer, 0.1s to 1h"""
    retry_for: Annotated[float, checks.duration("0s", "1h")] = _NODE.retry_for
    """how long one pass tries again when the node is away, 0s to 1h"""


class ManifestTable(Table):
    path: PathText = "pins.toml"
    """a file, or a directory of `*.toml`; `""` for no manifest. See [the manifest](manifest.md)"""


class StateTable(Table):
    path: PathText = ""
    """the ledger: `/var/lib/pinsync/pinsync.db` for a configuration in `/etc`, else
    `$XDG_STATE_HOME/pinsync/pinsync.db`, usually below `~/.local/state`"""


class ScheduleTable(Table):
    every: Annotated[float, checks.duration("1s", "365d")] = _SCHEDULE.every
    """the pause between passes of the daemon, 1s to 365d. `status` calls the mirror stale after three of them without a
    good pass"""
    full_listing: Annotated[float, checks.duration("1s", "365d")] = _SCHEDULE.full_listing
    """a remote's whole list is read at least this often; between,
    [five requests](services.md#a-pass-without-changes) where they can show that nothing changed"""


class ListenTable(Table):
    address: Annotated[str, AfterValidator(checks.listen)] = ""
    """where [metrics, health and status](monitoring.md) can be read by HTTP: a loopback address and a port,
    such as `127.0.0.1:9753` or `[::1]:9753`; port 0 takes a free one. Empty: nowhere but on the control socket"""


class MetricsTable(Table):
    textfile: Annotated[PathText, AfterValidator(checks.prom)] = ""
    """a file for node_exporter's textfile collector, replaced after each pass and every minute; its name ends
    in `.prom`. Empty: none. See [monitoring](monitoring.md#as-a-file-for-node_exporter)"""


class SafetyTable(Table):
    removals: Annotated[Removals, Choice] = _SAFETY.removals
    """`"auto"`: after grace, within limits. `"approve"`: each waits for a person. `"never"`"""
    grace: Annotated[float, checks.duration("0s", "36500d")] = _SAFETY.grace
    """how long a pin must be unwanted before it is removed; `"0s"` for at once"""
    max_removals: Annotated[int, checks.between(0, 1_000_000_000)] = _SAFETY.max_removals
    """removals in a rolling day, for each remote; beyond it all of them are held"""
    max_removal_share: Annotated[float, checks.between(0, 100)] = _SAFETY.max_removal_share
    """per cent of our pins at a remote, 0 to 100, in a rolling day; five removals always pass, and 100 is no limit"""
    max_lost_share: Annotated[float, checks.between(0, 100)] = _SAFETY.max_lost_share
    """when more than this per cent of our pins at a remote, 0 to 100, are gone at once, adding them again is held"""


class NotifyTable(Table):
    command: Annotated[list[str], AfterValidator(checks.command)] = list(_NOTIFY.command)
    """a program, by its whole path, and its arguments; run without a shell"""
    webhook: Annotated[SecretStr, AfterValidator(checks.hook)] = SecretStr("")
    """a URL that JSON is POSTed to"""
    webhook_file: PathText = ""
    """a file that holds this URL alone"""
    heartbeat: Annotated[SecretStr, AfterValidator(checks.hook)] = SecretStr("")
    """a URL that is called (GET) after each good pass over everything"""
    heartbeat_file: PathText = ""
    """a file that holds this URL alone"""
    failing_after: Annotated[int, checks.between(0, 1000)] = _NOTIFY.failing_after
    """for so many intervals (`[schedule] every`) something must fail before it is told, 0 to 1000; 0 for at once"""
    timeout: Annotated[float, checks.duration("0.1s", "5m")] = _NOTIFY.timeout
    """the longest that one try may take, 0.1s to 5m"""


class RemoteTable(Table):
    name: Name
    """what commands, messages and the manifest call it: letters, digits, `.`, `_`, `-`"""
    endpoint: Annotated[str, AfterValidator(checks.endpoint)] = _REMOTE.endpoint
    """where the service is, with or without `/pins`"""
    mode: Annotated[Mode, Choice] = _REMOTE.mode
    """`"add-only"` never removes; `"read-only"` lists and reports alone ([modes](semantics.md#modes))"""
    token_file: PathText = ""
    """a file that holds the token alone; see [tokens](#tokens)"""
    auth: Literal["bearer", "basic", "none"] = _REMOTE.auth
    """how the token is sent. `"basic"`: the token is `user:password`. `"none"`: the service asks for none, as
    one's own Cluster"""
    nodes: bool = _REMOTE.nodes
    """`false`: only manifest entries go there, not the nodes' pins"""
    rate: Annotated[Rate | None, BeforeValidator(checks.rate)] = None  # unless it is set, the host's default applies
    """at most so many requests in so long; `""` for no limit. Left out: [what is known of the
    host](services.md#rate-limits)"""
    concurrency: Annotated[int, checks.between(1, 64)] = _REMOTE.concurrency
    """requests at a time, 1 to 64"""
    origins: Annotated[Literal["auto", "none"] | tuple[str, ...], BeforeValidator(checks.origins)] = _REMOTE.origins
    """where the service can fetch from. `"auto"`: the node's public addresses. `"none"`, or up to 20 multiaddrs
    ending in `/p2p/…`"""
    timeout: Annotated[float, checks.duration("0.1s", "1h")] = _REMOTE.timeout
    """the longest silence in an answer, 0.1s to 1h"""
    retry_for: Annotated[float, checks.duration("0s", "1h")] = _REMOTE.retry_for
    """how long one call is tried again within a pass when the service is away or in trouble, 0s to 1h"""
    ca_file: PathText = ""
    """certificates (PEM) to trust instead of the system's"""
    safety: SafetyTable = SafetyTable()  # what is set in it goes over the global one
    """values over those of [`[safety]`](#safety) for this remote: `safety = { grace = "30d" }`"""


class File(BaseSettings):
    """The whole of `config.toml`, its keys settable as `PINSYNC_<TABLE>__<KEY>`."""

    model_config = SettingsConfigDict(
        env_prefix="pinsync_",
        env_nested_delimiter="__",
        case_sensitive=True,
        strict=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    mirror: MirrorTable = MirrorTable()
    kubo: Annotated[list[KuboTable], BeforeValidator(checks.as_list)] = [KuboTable()]
    manifest: ManifestTable = ManifestTable()
    state: StateTable = StateTable()
    schedule: ScheduleTable = ScheduleTable()
    safety: SafetyTable = SafetyTable()
    listen: ListenTable = ListenTable()
    metrics: MetricsTable = MetricsTable()
    notify: NotifyTable = NotifyTable()
    remote: list[RemoteTable] = []


TABLES: Mapping[str, type[Table]] = {
    "mirror": MirrorTable,
    "kubo": KuboTable,
    "manifest": ManifestTable,
    "state": StateTable,
    "schedule": ScheduleTable,
    "safety": SafetyTable,
    "listen": ListenTable,
    "metrics": MetricsTable,
    "notify": NotifyTable,
    "remote": RemoteTable,
}


class _Variables(EnvSettingsSource):
    """The given variables, not those of this process. Broken JSON stays text: validation then reports it."""

    def __init__(self, settings_cls: type[BaseSettings], variables: Mapping[str, str]) -> None:
        super().__init__(settings_cls)
        self.env_vars = variables

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except (ValueError, RecursionError):
            return value


def layer(
    file: Mapping[str, Any], variables: Mapping[str, str]
) -> tuple[File | None, dict[str, Any], list[ErrorDetails]]:
    """The file with the variables over it: validated, as merged before validation, and what is wrong with it.

    `variables` have lower-case names. The errors hold no input values.
    """
    merged: dict[str, Any] = {}

    class Layered(File):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return _Variables(settings_cls, variables), InitSettingsSource(settings_cls, init_kwargs=dict(file))

        @model_validator(mode="before")
        @classmethod
        def keep(cls, data: dict[str, Any]) -> dict[str, Any]:
            merged.update(data)
            return data

    try:
        return Layered(), merged, []
    except ValidationError as error:
        return None, merged, error.errors(include_url=False, include_input=False)


def is_loopback(url: str) -> bool:
    """Whether the host of `url` is this machine, so that nothing said to it can be overheard on a network."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
