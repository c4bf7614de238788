"""Tokens of remotes, the Authorization header of nodes, URLs that are secrets: found, checked, and never shown."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from pinsync.errors import ConfigError, Problem
from pinsync.paths import to_close

from .files import Unreadable, decode, read_small
from .model import NodeSettings, NotifySettings, RemoteSettings

if TYPE_CHECKING:
    from pydantic import SecretStr

_LIMIT = 64 * 1024  # bytes; the longest token that a service hands out has a few thousand
_HEADER = re.compile(r"[!-~]+")  # what any HTTP library and server takes in a header, without spaces
_WORLD = 0o004
_LONG = re.compile(r"[!-.0-~]{20}")
_FILE = re.compile(r"\.(token|txt|key|secret|jwt|pem|conf|cred|credential|authorization)s?$", re.IGNORECASE)


class CredentialError(ConfigError):
    """A token or an Authorization header cannot be had. The message names the places and never shows a value.

    `elsewhere`: it is missing here or closed to this user, so the daemon, to which systemd may pass it, can have it.
    """

    def __init__(self, who: str, message: str, *, elsewhere: bool = False) -> None:
        super().__init__([Problem(who, None, message)])
        self.elsewhere = elsewhere

    @classmethod
    def all_of(cls, errors: Collection[CredentialError]) -> CredentialError:
        """Several as one, which another process can have only where it can have each of them."""
        whole = cls("", "", elsewhere=all(error.elsewhere for error in errors))
        ConfigError.__init__(whole, [problem for error in errors for problem in error.problems])
        return whole


@dataclass(frozen=True, slots=True)
class Token:
    """A remote's token; with `auth = "basic"` it is `user:password`. `where` names its place for people."""

    secret: SecretStr
    where: str
    warnings: tuple[str, ...] = ()


def load_token(remote: RemoteSettings, env: Mapping[str, str]) -> Token | None:
    """The token of `remote`; None when it needs none (`auth = "none"`).

    The first found of `token_file`, the systemd credential `NAME.token` and `PINSYNC_TOKEN_<NAME>`. One that is found
    and cannot be used is an error, as is a `token_file` that is not there; the later places are not tried then.
    Raises `CredentialError`.
    """
    from pydantic import SecretStr

    if remote.auth == "none":
        return None
    who = f"remote {remote.name}"
    variable = f"PINSYNC_TOKEN_{remote.secret_name}"
    warnings: tuple[str, ...] = ()
    if remote.token_file:
        where = f"token_file {remote.token_file}"
        raw, warnings = _read(who, where, remote.token_file)
    elif credential := _credential(env, f"{remote.name}.token"):
        where = f"credential {credential}"
        raw, warnings = _read(who, where, credential)
    elif raw := env.get(variable, "").strip():
        where = variable
    else:
        raise CredentialError(who, _nowhere(remote, variable, env), elsewhere=True)
    basic = remote.auth == "basic"
    return Token(SecretStr(_checked(who, where, _without_scheme(raw), basic)), where, warnings)


def given_token(remote: RemoteSettings, raw: str, where: str) -> Token:
    """The token of `remote` in what somebody gave; `where` names that for messages. Raises `CredentialError`."""
    from pydantic import SecretStr

    who, text = f"remote {remote.name}", raw.strip()
    if not text:
        raise CredentialError(who, f"{where} is empty")
    if "\n" in text or "\r" in text:
        raise CredentialError(who, f"{where} has more than one line; it must hold the token alone")
    return Token(SecretStr(_checked(who, where, _without_scheme(text), remote.auth == "basic")), where)


def load_authorization(node: NodeSettings, env: Mapping[str, str]) -> SecretStr | None:
    """The whole value of the Authorization header for `node`'s API; None when nothing is set for it.

    From `authorization_file`, else the systemd credential `NAME.authorization`, or `kubo.authorization` for the only
    node. It may hold the header's value (`Bearer …`, `Basic …`), what Kubo's `API.Authorizations` has as AuthSecret
    (`bearer:TOKEN`, `basic:USER:PASSWORD`), or a bare `USER:PASSWORD` or token. Raises `CredentialError`.
    """
    from pydantic import SecretStr

    names = [f"{node.name}.authorization", *(["kubo.authorization"] if node.sole else [])]
    path = node.authorization_file or next(filter(None, (_credential(env, name) for name in names)), None)
    if path is None:
        return None
    who = f"kubo {node.name}"
    where = f"authorization_file {path}" if node.authorization_file else f"credential {path}"
    raw, _ = _read(who, where, path)
    scheme, rest = _scheme(raw)
    _checked(who, where, rest, scheme == "Basic" and ":" in rest)
    if scheme == "Basic" and ":" in rest:
        rest = b64encode(rest.encode()).decode("ascii")
    return SecretStr(f"{scheme} {rest}")


def load_hook(notify: NotifySettings, kind: Literal["webhook", "heartbeat"], env: Mapping[str, str]) -> Token | None:
    """The URL to call, whose `where` names the place that it is from; None when none is set.

    The first found of `webhook_file`, the systemd credential `notify.webhook` and the key `webhook`; likewise
    `heartbeat`. Raises `CredentialError`.
    """
    from pydantic import SecretStr

    who = f"notify.{kind}"
    file = notify.webhook_file if kind == "webhook" else notify.heartbeat_file
    key = notify.webhook if kind == "webhook" else notify.heartbeat
    path = file or _credential(env, who)
    if path is None:
        return None if key is None else Token(key, f"{kind} in the configuration")
    where = f"{kind}_file {path}" if file else f"credential {path}"
    raw, warnings = _read(who, where, path, "the URL")
    if problem := hook_problem(raw):
        raise CredentialError(who, f"{where}: {problem}")
    return Token(SecretStr(raw), where, warnings)


def hook_problem(url: str) -> str | None:
    """Why nobody can be told at this URL, in words that follow a name and show no part of it; None when they can."""
    if re.search(r"[\s\x00-\x1f\x7f]", url) or not url.isascii():
        return "must be a URL without spaces, control characters or letters beyond ASCII"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "is not a URL: its host or port is wrong"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return 'must be a URL that starts with "https://" or "http://" and a host'
    return None


def hook_host(url: str) -> str:
    """The only part of such a URL that may be shown."""
    return urlsplit(url).hostname or "?"


def _scheme(raw: str) -> tuple[str, str]:
    """The scheme, and what belongs after it; for Basic that is `user:password` or the same in base64."""
    if match := re.match(r"(bearer|basic)(?:[ \t]+|:)", raw, re.IGNORECASE):
        return match[1].capitalize(), raw[match.end() :]
    return ("Basic" if ":" in raw else "Bearer"), raw


def _without_scheme(raw: str) -> str:
    """People paste the header's whole value."""
    return re.sub(r"^(authorization:\s*)?bearer[ \t]+", "", raw, flags=re.IGNORECASE)


def _credential(env: Mapping[str, str], name: str) -> Path | None:
    directory = env.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return None
    path = Path(directory) / name
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        pass  # reading it says what is the matter
    return path


def _read(who: str, where: str, path: Path, what: str = "the token") -> tuple[str, tuple[str, ...]]:
    try:
        content, mode = read_small(path, _LIMIT)
        text = decode(content).strip()
    except Unreadable as problem:
        key = where.partition(" ")[0]
        if _pasted(path):
            raise CredentialError(who, (
                f"{key} names no file, and looks like the secret itself, so it is not shown. Write the secret into a "
                f"file that only this user can read, and name that file in {key}"
            )) from None  # fmt: skip
        raise CredentialError(who, f"{where} {problem}", elsewhere=problem.elsewhere) from None
    if not text and where.startswith("credential "):
        raise CredentialError(
            who,
            f"{where} is empty: the file that the unit's LoadCredential= names for {path.name} is missing or empty. "
            "Write the token into that file, then restart the service",
        )
    if not text:
        raise CredentialError(who, f"{where} is empty; write {what} into it")
    if "\n" in text or "\r" in text:
        raise CredentialError(who, f"{where} has more than one line; it must hold {what} alone")
    if not mode & _WORLD:
        return text, ()
    return text, (f"{who}: every user of this machine can read {path}; close it with: {to_close(path)}",)


def _pasted(path: Path) -> bool:
    """Whether what should name a file looks like a token that somebody put in its place.

    Judged is what is not there: long, letters and digits mixed, no ending that files of secrets have.
    """
    there = path
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    missing = path.parts[len(there.parts) :]
    return any(
        _LONG.search(part) and re.search("[0-9]", part) and re.search("[A-Za-z]", part) and not _FILE.search(part)
        for part in missing
    )


def _checked(who: str, where: str, secret: str, user_and_password: bool) -> str:
    """`secret` if it can travel in a header; the messages say what is wrong without showing any of it."""
    if secret.lower() in ("", "bearer", "basic"):
        raise CredentialError(who, f"{where}: names a scheme and nothing after it")
    if secret[:1] in "\"'" and secret[:1] == secret[-1:]:
        raise CredentialError(who, f"{where}: the value stands in quotes; leave them out")
    if user_and_password:  # travels as base64, so only what breaks lines is wrong
        if ":" not in secret or secret.startswith(":"):
            raise CredentialError(who, f"{where}: must be user:password")
        if not secret.isprintable():
            raise CredentialError(who, f"{where}: holds a control character; was it cut or pasted wrongly?")
    elif not _HEADER.fullmatch(secret):
        raise CredentialError(
            who, f"{where}: holds a space, a control character or a letter beyond ASCII, so it is not a token"
        )
    return secret


def _nowhere(remote: RemoteSettings, variable: str, env: Mapping[str, str]) -> str:
    credential = f"{remote.name}.token"
    directory = env.get("CREDENTIALS_DIRECTORY")
    absent = f"not in {directory}" if directory else "this process was passed none"
    return (
        "no token; nothing can be read or changed there without one. Looked for: "
        "token_file (not set); "
        f"the systemd credential {credential} ({absent}); "
        f"the environment variable {variable} ({'empty' if variable in env else 'not set'}). "
        'Put the token in one of them, or set auth = "none" if this service asks for none'
    )
