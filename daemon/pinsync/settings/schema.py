"""What may stand in `config.toml`: one pydantic model a table, strict, with the environment layered over the file.

Importing this costs a tenth of a second, so `load` does it when it is called. Validators speak in words that can
follow a key's name and never repeat a value: it may be a token on the wrong line.
"""

from __future__ import annotations

import re
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

from .credentials import hook_problem
from .model import NAME, NodeSettings, NotifySettings, RemoteSettings, Schedule
from .units import parse_address, parse_duration, parse_rate

_NODE, _REMOTE, _SAFETY, _SCHEDULE = NodeSettings(), RemoteSettings("default"), Safety(), Schedule()
_NOTIFY = NotifySettings()
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAX_ORIGINS = 20  # Pinning Service API 1.0.0, schema `Origins`


def _duration(low: str, high: str) -> BeforeValidator:
    least, most = parse_duration(low), parse_duration(high)

    def check(value: object) -> float:
        if not isinstance(value, str):
            raise ValueError('must be a duration with its unit, such as "90s", "15m", "24h" or "7d"')
        seconds = parse_duration(value)
        if not least <= seconds <= most:
            raise ValueError(f'must be between "{low}" and "{high}"')
        return seconds

    return BeforeValidator(check)


def _between(low: int, high: int) -> AfterValidator:
    def check(value: float) -> float:
        if not low <= value <= high:
            raise ValueError(f"must be between {low} and {high}")
        return value

    return AfterValidator(check)


def _plain(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("must not contain control characters")
    return value


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError("must be 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit")
    return value


def _name_or_empty(value: str) -> str:
    return value and _name(value)


def _peer_id(value: str) -> str:
    if value and not re.fullmatch(r"[A-Za-z0-9]{20,128}", value):
        raise ValueError("must be a peer id such as 12D3KooW…, as `ipfs id` shows it")
    return value


def _web_address(value: str) -> str:
    """Checks an http or https URL for what every one of ours must be; the messages show no part of it."""
    if re.search(r"[\s\x00-\x1f\x7f]", value) or not value.isascii():
        raise ValueError("must be a URL without spaces, control characters or letters beyond ASCII")
    try:
        url = urlsplit(value)
        _ = url.port
    except ValueError:
        raise ValueError("is not a URL: its host or port is wrong") from None
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError('must be a URL that starts with "https://" or "http://" and a host')
    if "@" in url.netloc:
        raise ValueError("must not hold a user or password: they would be shown in messages; put them in a file")
    if "?" in value or "#" in value:
        raise ValueError("must not have a query or fragment ('?' or '#')")
    return value


def _endpoint(value: str) -> str:
    bare = _web_address(value).rstrip("/")
    return bare if bare.endswith("/pins") else f"{bare}/pins"


def _api(value: str) -> str:
    if value == "auto" or value.startswith(("/", "unix:")):
        return _plain(value)
    if value.startswith(("http://", "https://")):
        try:
            return _web_address(value)
        except ValueError as error:
            if "user or password" in str(error):
                raise ValueError("must not hold a user or password: name a file in authorization_file") from None
            raise
    raise ValueError('must be "auto", a URL (http://127.0.0.1:5001), a multiaddr (/ip4/…) or a Unix socket (/unix/…)')


def _listen(value: str) -> str:
    if value:
        parse_address(value)  # the value stays text until all is known to be right
    return value


def _prom(value: str) -> str:
    if value and not value.endswith(".prom"):
        raise ValueError("must end in .prom: node_exporter reads nothing else")
    return value


def _hook(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text and (problem := hook_problem(text)):
        raise ValueError(problem)
    return value


def _command(value: list[str]) -> list[str]:
    if value and not value[0].startswith("/"):
        raise ValueError('must begin with the whole path of a program: ["/usr/local/bin/tell", "argument"]')
    if any("\0" in part for part in value):
        raise ValueError("must not contain zero bytes")
    return value


def _rate(value: object) -> Rate | None:
    if not isinstance(value, str):
        raise ValueError('must be requests/duration in quotes, such as "30/10s", or "" for no limit')
    return parse_rate(value)


def _origins(value: object) -> object:
    if value in ("auto", "none"):
        return value
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError('must be "auto", "none" or a list of multiaddrs in quotes')
    if len(value) > _MAX_ORIGINS:
        raise ValueError(f"must not have more than {_MAX_ORIGINS} addresses: pinning services refuse more")
    if not all(re.fullmatch(r"/[!-~]+/p2p/[A-Za-z0-9]+", one) for one in value):
        raise ValueError(
            "must be multiaddrs that end with the peer id, such as /dns4/node.example/tcp/4001/p2p/12D3KooW…"
        )
    return tuple(value)


def _as_list(value: object) -> object:
    return [value] if isinstance(value, dict) else value


Name = Annotated[str, AfterValidator(_name)]
NameOrEmpty = Annotated[str, AfterValidator(_name_or_empty)]
PathText = Annotated[str, AfterValidator(_plain)]
Choice = Field(strict=False)  # text to enum, which strict validation would refuse


class Table(BaseModel):
    """A table of the file. An unknown key in it is an error."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class MirrorTable(Table):
    id: NameOrEmpty = ""


class KuboTable(Table):
    name: Name = _NODE.name
    api: Annotated[str, AfterValidator(_api)] = _NODE.api
    authorization_file: PathText = ""
    peer_id: Annotated[str, AfterValidator(_peer_id)] = ""
    mirror: bool = _NODE.mirror
    only_names: list[str] = []
    skip_names: list[str] = []
    timeout: Annotated[float, _duration("0.1s", "1h")] = _NODE.timeout
    retry_for: Annotated[float, _duration("0s", "1h")] = _NODE.retry_for


class ManifestTable(Table):
    path: PathText = "pins.toml"


class StateTable(Table):
    path: PathText = ""


class ScheduleTable(Table):
    every: Annotated[float, _duration("1s", "365d")] = _SCHEDULE.every
    full_listing: Annotated[float, _duration("1s", "365d")] = _SCHEDULE.full_listing


class ListenTable(Table):
    address: Annotated[str, AfterValidator(_listen)] = ""


class MetricsTable(Table):
    textfile: Annotated[PathText, AfterValidator(_prom)] = ""


class SafetyTable(Table):
    removals: Annotated[Removals, Choice] = _SAFETY.removals
    grace: Annotated[float, _duration("0s", "36500d")] = _SAFETY.grace
    max_removals: Annotated[int, _between(0, 1_000_000_000)] = _SAFETY.max_removals
    max_removal_share: Annotated[float, _between(0, 100)] = _SAFETY.max_removal_share
    max_lost_share: Annotated[float, _between(0, 100)] = _SAFETY.max_lost_share


class NotifyTable(Table):
    command: Annotated[list[str], AfterValidator(_command)] = list(_NOTIFY.command)
    webhook: Annotated[SecretStr, AfterValidator(_hook)] = SecretStr("")
    webhook_file: PathText = ""
    heartbeat: Annotated[SecretStr, AfterValidator(_hook)] = SecretStr("")
    heartbeat_file: PathText = ""
    failing_after: Annotated[int, _between(0, 1000)] = _NOTIFY.failing_after
    timeout: Annotated[float, _duration("0.1s", "5m")] = _NOTIFY.timeout


class RemoteTable(Table):
    name: Name
    endpoint: Annotated[str, AfterValidator(_endpoint)] = _REMOTE.endpoint
    mode: Annotated[Mode, Choice] = _REMOTE.mode
    token_file: PathText = ""
    auth: Literal["bearer", "basic", "none"] = _REMOTE.auth
    nodes: bool = _REMOTE.nodes
    rate: Annotated[Rate | None, BeforeValidator(_rate)] = None  # unless it is set, the host's default applies
    concurrency: Annotated[int, _between(1, 64)] = _REMOTE.concurrency
    origins: Annotated[Literal["auto", "none"] | tuple[str, ...], BeforeValidator(_origins)] = _REMOTE.origins
    timeout: Annotated[float, _duration("0.1s", "1h")] = _REMOTE.timeout
    retry_for: Annotated[float, _duration("0s", "1h")] = _REMOTE.retry_for
    ca_file: PathText = ""
    safety: SafetyTable = SafetyTable()  # what is set in it goes over the global one


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
    kubo: Annotated[list[KuboTable], BeforeValidator(_as_list)] = [KuboTable()]
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
