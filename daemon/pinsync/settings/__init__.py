"""Settings: `config.toml`, the environment and credentials, read into frozen values.

    units         durations and rates as text
    model         the values, their defaults, and the fingerprint of what decides what is wanted
    places        where the configuration, the ledger and the control socket are
    schema        what may stand in the file (pydantic), environment layered over it (pydantic-settings)
    toml_lines    the line on which each value of a TOML text stands
    problems      what is wrong, in words, each with its file and line
    load          all of these put together
    credentials   tokens, the node's Authorization header, the secret URLs of [notify]

Importing this package is cheap; pydantic is imported by `load` and the credential functions when they are called.
"""

from pinsync.model import Rate, Safety

from .credentials import CredentialError, Token, load_authorization, load_hook, load_token
from .load import load
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
from .places import find_config, socket_path
from .units import format_duration, parse_duration, parse_rate

__all__ = [
    "ConfigFile",
    "CredentialError",
    "ListenSettings",
    "ManifestSettings",
    "MetricsSettings",
    "MirrorSettings",
    "NodeSettings",
    "NotifySettings",
    "Rate",
    "RemoteSettings",
    "Safety",
    "Schedule",
    "Settings",
    "StateSettings",
    "Token",
    "find_config",
    "format_duration",
    "load",
    "load_authorization",
    "load_hook",
    "load_token",
    "parse_duration",
    "parse_rate",
    "socket_path",
]
