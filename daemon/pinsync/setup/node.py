"""Which node the service will find, and which pinning services that node knows already."""

from __future__ import annotations

import asyncio
import pwd
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from pinsync.clock import Clock
from pinsync.errors import PinsyncError
from pinsync.settings.credentials import load_authorization
from pinsync.settings.model import NodeSettings
from pinsync.sources.kubo import KuboClient, resolve_api

TIMEOUT = 5.0  # seconds without a byte; it is asked while somebody waits


@dataclass(frozen=True, slots=True)
class Node:
    """A node as it answered: `error` says why it did not. `api` is what the configuration has to say to reach it.

    `services` are (name, endpoint) of what `ipfs pin remote service add` has put into its configuration.
    """

    name: str
    api: str
    address: str = ""
    socket: bool = False
    version: str = ""
    error: str = ""
    services: tuple[tuple[str, str], ...] = ()


def ask_nodes(nodes: Sequence[NodeSettings], env: Mapping[str, str], clock: Clock) -> list[Node]:
    """Each of the configuration's nodes, asked as the service will ask: `env` is the service's."""

    async def each() -> list[Node]:
        return list(await asyncio.gather(*(_ask(node, env, clock) for node in nodes)))

    return asyncio.run(each())


def find_node(api: str | None, env: Mapping[str, str], callers: Mapping[str, str], clock: Clock) -> Node:
    """The node at `api`; without that, the first that answers where the service looks by itself, and where whoever
    installs it has one (`callers`: their environment). The service sees neither their variables nor their home.
    """

    async def first() -> Node:
        found = await _ask(NodeSettings(api=api or "auto"), env, clock)
        if api or not found.error:
            return found
        for other in (callers, *_behind_sudo(callers)):
            theirs = await _ask(NodeSettings(), other, clock)
            if not theirs.error and theirs.address != found.address:
                return replace(theirs, api=theirs.address)
        return found

    return asyncio.run(first())


async def _ask(settings: NodeSettings, env: Mapping[str, str], clock: Clock) -> Node:
    found = Node(settings.name, settings.api)
    try:
        address = resolve_api(settings.api, env, name=settings.name)
        found = replace(found, address=str(address), socket=address.uds is not None)
        authorization = load_authorization(settings, env)
        client = KuboClient(
            settings.name, address, authorization=authorization, timeout=TIMEOUT, retry_for=0, clock=clock
        )
        async with client:
            who = await client.identity()
            found = replace(found, version=who.version or "of an unknown version")
            with suppress(PinsyncError):  # no Kubo, or not allowed by API.Authorizations
                found = replace(found, services=tuple(await client.remote_services()))
    except PinsyncError as error:
        return replace(found, error=str(error))
    return found


def _behind_sudo(env: Mapping[str, str]) -> list[dict[str, str]]:
    try:
        return [{"HOME": pwd.getpwnam(env["SUDO_USER"]).pw_dir}]
    except KeyError:
        return []
