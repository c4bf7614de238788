"""What the values in `config.toml` must be: validators for `schema`, each raising `ValueError` in words that can follow
a key's name and never repeat the value, which may be a token on the wrong line.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

from pinsync.model import Rate

from .credentials import hook_problem
from .model import NAME
from .units import parse_address, parse_duration, parse_rate

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAX_ORIGINS = 20  # Pinning Service API 1.0.0, schema `Origins`


def duration(low: str, high: str) -> BeforeValidator:
    least, most = parse_duration(low), parse_duration(high)

    def check(value: object) -> float:
        if not isinstance(value, str):
            raise ValueError('must be a duration with its unit, such as "90s", "15m", "24h" or "7d"')
        seconds = parse_duration(value)
        if not least <= seconds <= most:
            raise ValueError(f'must be between "{low}" and "{high}"')
        return seconds

    return BeforeValidator(check)


def between(low: int, high: int) -> AfterValidator:
    def check(value: float) -> float:
        if not low <= value <= high:
            raise ValueError(f"must be between {low} and {high}")
        return value

    return AfterValidator(check)


def plain(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("must not contain control characters")
    return value


def name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError("must be 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit")
    return value


def name_or_empty(value: str) -> str:
    return value and name(value)


def peer_id(value: str) -> str:
    if value and not re.fullmatch(r"[A-Za-z0-9]{20,128}", value):
        raise ValueError("must be a peer id such as 12D3KooW…, as `ipfs id` shows it")
    return value


def web_address(value: str) -> str:
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


def endpoint(value: str) -> str:
    bare = web_address(value).rstrip("/")
    return bare if bare.endswith("/pins") else f"{bare}/pins"


def api(value: str) -> str:
    if value == "auto" or value.startswith(("/", "unix:")):
        return plain(value)
    if value.startswith(("http://", "https://")):
        try:
            return web_address(value)
        except ValueError as error:
            if "user or password" in str(error):
                raise ValueError("must not hold a user or password: name a file in authorization_file") from None
            raise
    raise ValueError('must be "auto", a URL (http://127.0.0.1:5001), a multiaddr (/ip4/…) or a Unix socket (/unix/…)')


def listen(value: str) -> str:
    if value:
        parse_address(value)  # the value stays text until all is known to be right
    return value


def prom(value: str) -> str:
    if value and not value.endswith(".prom"):
        raise ValueError("must end in .prom: node_exporter reads nothing else")
    return value


def hook(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text and (problem := hook_problem(text)):
        raise ValueError(problem)
    return value


def command(value: list[str]) -> list[str]:
    if value and not value[0].startswith("/"):
        raise ValueError('must begin with the whole path of a program: ["/usr/local/bin/tell", "argument"]')
    if any("\0" in part for part in value):
        raise ValueError("must not contain zero bytes")
    return value


def rate(value: object) -> Rate | None:
    if not isinstance(value, str):
        raise ValueError('must be requests/duration in quotes, such as "30/10s", or "" for no limit')
    return parse_rate(value)


def origins(value: object) -> object:
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


def as_list(value: object) -> object:
    return [value] if isinstance(value, dict) else value
