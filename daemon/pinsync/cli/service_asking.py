"""What `service install` has to be told: by options, or on a terminal. Tokens are asked for without an echo."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from pinsync.errors import UsageError
from pinsync.settings.credentials import CredentialError, given_token
from pinsync.settings.files import Unreadable, decode
from pinsync.settings.model import NFT_STORAGE, RemoteSettings

SERVICES = (
    ("nftstorage", NFT_STORAGE, "NFT.Storage, for accounts from before July 2024"),
    ("pinata", "https://api.pinata.cloud/psa", "Pinata"),
    ("filebase", "https://api.filebase.io/v1/ipfs", "Filebase"),
)
"""(name, endpoint, what it is) of the list that is shown."""
_LIMIT = 64 * 1024
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of `service install`."""

    remote: str | None = None
    endpoint: str | None = None
    auth: str | None = None
    token_file: str | None = None
    api: str | None = None
    dry_run: bool = False
    yes: bool = False


class Person(Protocol):
    """Whoever sits at the terminal."""

    def line(self, question: str) -> str:
        """A line, without the space around it; "" for Enter alone."""

    def secret(self, question: str) -> str:
        """The same, not shown while it is typed."""


class AtTerminal:
    """Asks on standard error, as the commands' other questions are."""

    def line(self, question: str) -> str:
        sys.stdout.flush()
        sys.stderr.write(question)
        sys.stderr.flush()
        text = sys.stdin.readline()
        if not text:
            raise KeyboardInterrupt
        return text.strip()

    def secret(self, question: str) -> str:
        from getpass import getpass

        sys.stdout.flush()
        try:
            return getpass(question, sys.stderr).strip()
        except EOFError:
            raise KeyboardInterrupt from None


def agreed(person: Person, question: str) -> bool:
    """Whether the answer is yes; Enter is no."""
    return person.line(f"{question} [y/N] ").lower() in ("y", "yes")


def remote(asked: Asked, known: Sequence[tuple[str, str]], person: Person | None) -> tuple[str, str, str]:
    """Name, endpoint and `auth` of a first remote. `known` are (name, endpoint) in the node's own configuration.

    Raises `UsageError` where nobody can be asked for what is lacking.
    """
    services = {**{_named(name): at for name, at in reversed(known)}, **{name: at for name, at, _ in SERVICES}}
    if asked.endpoint is not None:
        name = asked.remote or next((one for one, at in services.items() if at == asked.endpoint), "")
        return name or _name_of(asked.endpoint), asked.endpoint, asked.auth or "bearer"
    if asked.remote is not None:
        if asked.remote not in services:
            raise UsageError(
                f"--remote {asked.remote} needs --endpoint URL; without it there are: {', '.join(sorted(services))}"
            )
        return asked.remote, services[asked.remote], asked.auth or "bearer"
    if person is None:
        return "nftstorage", NFT_STORAGE, asked.auth or "bearer"
    return _chosen(asked, known, person)


def _chosen(asked: Asked, known: Sequence[tuple[str, str]], person: Person) -> tuple[str, str, str]:
    theirs = [(_named(name), at, "in Kubo's own configuration") for name, at in known]
    listed = [*SERVICES, *(one for one in theirs if one[1] not in {at for _, at, _ in SERVICES})]
    lines = ["Which pinning service?", *(f"  {n}  {at}  ({what})" for n, (_, at, what) in enumerate(listed, 1))]
    lines.append(f"  {len(listed) + 1}  another one, or your own IPFS Cluster")
    for _ in range(_TRIES):
        answer = person.line("\n".join((*lines, "[1] ")))
        lines = [f"A number from 1 to {len(listed) + 1}, please."]
        if answer in ("", *map(str, range(1, len(listed) + 1))):
            name, at, _ = listed[int(answer or "1") - 1]
            return name, at, asked.auth or "bearer"
        if answer == str(len(listed) + 1):
            at = person.line("Its endpoint, a URL: ")
            name = _name_of(at)
            name = person.line(f"Its name here [{name}] ") or name
            none = asked.auth is None and person.line("Does it ask for a token? [Y/n] ").lower() in ("n", "no")
            return name, at, asked.auth or ("none" if none else "bearer")
    raise UsageError("no service was chosen; nothing was changed")


def token(remote: RemoteSettings, path: Path, who: str, person: Person) -> bytes | None:
    """The content of the token's file, asked for; None when Enter alone was the answer. Raises `CredentialError`."""
    question = (
        f"The token of {remote.name} will lie in {path}, which {who} can read and nobody else.\n"
        f"{'user:password' if remote.auth == 'basic' else 'Token'} of {remote.name} (not shown): "
    )
    for left in reversed(range(_TRIES)):
        answer = person.secret(question)
        if not answer:
            return None
        try:
            return content(remote, answer, "what was given")
        except CredentialError as error:
            if not left:
                raise
            question = f"{error.problems[0].message}. Once more: "
    return None


def token_from(remote: RemoteSettings, file: str) -> bytes:
    """The content of the token's file, from another file, or from standard input for `-`. Raises `CredentialError`."""
    if file == "-":
        return content(remote, sys.stdin.read(_LIMIT), "standard input")
    try:
        with Path(file).open("rb") as opened:  # a pipe too: <(pass show …)
            return content(remote, decode(opened.read(_LIMIT)), f"--token-file {file}")
    except Unreadable as problem:
        raise CredentialError(f"remote {remote.name}", f"--token-file {file} {problem}") from None
    except OSError as error:
        raise CredentialError(f"remote {remote.name}", f"--token-file {file}: {error.strerror}") from None


def content(remote: RemoteSettings, text: str, where: str) -> bytes:
    """A token as its file has it. Raises `CredentialError`."""
    return f"{given_token(remote, text, where).secret.get_secret_value()}\n".encode()


def _named(name: str) -> str:
    """A name that the configuration takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("._-")[:64] or "remote"


def _name_of(endpoint: str) -> str:
    """A name for a service: of `https://pins.example.org/x` it is `example`."""
    try:
        host = urlsplit(endpoint).hostname or ""
    except ValueError:
        return "remote"
    labels = host.split(".")
    if all(label.isdecimal() for label in labels) or len(labels) < 2:
        return _named(host.replace(".", "-")) if host and not host[0].isdecimal() else "remote"
    return _named(labels[-2])
