"""A local Kubo node, read over its RPC: who it is, its recursive pins, and whether it still holds one of them.

Every call is a POST below `/api/v0`; a GET is 405 there. No redirect is followed and no proxy of the environment used.
"""

from __future__ import annotations

import json
import logging
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import SecretStr

from pinsync import __version__
from pinsync.cid import CidError, key_of, spellings
from pinsync.clock import Clock
from pinsync.sources.kubo_api import ApiAddress, choose_origins, resolve_api
from pinsync.sources.kubo_failures import FailureError, Failures, Tries, authorization_header
from pinsync.sources.kubo_pins import BrokenListError, KuboReading, NameFilter, PinLines, PinRow, judged, printable
from pinsync.sources.kubo_stream import TrailerTransport

__all__ = [
    "ApiAddress",
    "KuboClient",
    "KuboReading",
    "NameFilter",
    "NodeIdentity",
    "PinRow",
    "choose_origins",
    "judged",
    "resolve_api",
]

log = logging.getLogger("pinsync.requests")

_T = TypeVar("_T")
_MAX_ANSWER = 1 << 20
_AGENT = re.compile(r"(?:kubo|go-ipfs)/([0-9][^/\s]{0,40})")
_NAMES = re.compile(r"\bnames\b")
_NAMES_SINCE = (0, 27)
_SETTLE = 0.1  # seconds
_ERROR_TRAILER = "x-stream-error"
_NOT_RECURSIVE = re.compile(r"\bis not pinned\b|\bis pinned (?:in)?direct")


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """What `id` says. `version` is Kubo's own (`0.42.0`), None for other programs; `addresses` is empty offline."""

    peer_id: str
    version: str | None
    addresses: tuple[str, ...]


class KuboClient:
    """The RPC of one node. Every method raises `NodeError`, whose text names the node, its address and what to do.

    `timeout` is in seconds without a byte; `retry_for` in seconds after the first failure, in which what may pass
    (refused, reset, timeout, 5xx, cut answers) is tried again; 0 for never. `transport` is for tests.
    """

    def __init__(
        self,
        name: str,
        address: ApiAddress,
        *,
        authorization: SecretStr | None = None,
        timeout: float = 30.0,
        retry_for: float = 20.0,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.name = name
        self.address = address
        self._retry_for = retry_for
        self._clock = clock
        self._failures = Failures(name, address, timeout=timeout)
        headers = {
            "User-Agent": f"pinsync/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        if authorization is not None:
            try:
                headers["Authorization"], self._failures.hide = authorization_header(authorization)
            except ValueError as error:
                raise self._failures.error(
                    f"its authorization (kubo.authorization_file) cannot be used: {error}"
                ) from None
        context = ssl.create_default_context() if address.url.startswith("https:") else None
        listing = transport or TrailerTransport(clock, uds=address.uds, context=context)
        usual = transport or httpx.AsyncHTTPTransport(
            verify=context or False,  # False spares reading certificates that plain HTTP has no use for
            uds=str(address.uds) if address.uds else None,
            trust_env=False,
        )
        self._client, self._listing = (
            httpx.AsyncClient(
                transport=over,
                headers=headers,
                timeout=timeout,
                trust_env=False,
                follow_redirects=False,
                event_hooks=_hooks(name, clock),
            )
            for over in (usual, listing)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()
        await self._listing.aclose()

    async def identity(self) -> NodeIdentity:
        """Which node answers (`id`)."""
        return await self._retrying(self._identity)

    async def version(self) -> str:
        """Kubo's version, such as `0.42.0` (`version`)."""
        answer = await self._retrying(lambda: self._call("version", {}))
        version = answer.get("Version")
        if not isinstance(version, str) or not version:
            raise self._failures.foreign("version", json.dumps(answer).encode())
        return printable(version, 60)

    async def read_pins(
        self,
        on_batch: Callable[[Sequence[PinRow]], None],
        *,
        on_restart: Callable[[], None] = lambda: None,
        progress: Callable[[int], None] | None = None,
    ) -> KuboReading:
        """Reads all recursive pins, about a thousand at a time, into `on_batch`.

        A listing that broke is begun again within `retry_for`; `on_restart` is called first, and what was delivered
        until then does not count. `progress` is called with the number of pins so far. A pin can come twice when it
        is changed meanwhile. The reading is not complete, with the reason, when the list broke for good or a row made
        no sense; what was delivered holds. Raises `NodeError` when not one pin could be had; nothing that was
        delivered holds then. A complete reading is no proof that a pin which it lacks is gone (a proxy may drop
        the trailer that tells of an error, a node restart in a wink): ask `is_pinned` before removing anything.
        """
        tries = Tries(self._clock, self._retry_for)
        with_names = True
        first: str | None = None
        while True:
            lines: PinLines | None = None
            begun = self._clock.now()
            node: NodeIdentity | None = None
            try:
                node = await self._identity()
                first = first or node.peer_id
                if node.peer_id != first:
                    raise self._failures.error(f"another node ({node.peer_id}) answers than a moment ago ({first})")
                lines = PinLines(
                    on_batch,
                    tells_names=with_names and _tells_names(node.version),
                    progress=progress,
                    hide=self._failures.hide,
                )
                await self._list(lines, with_names)
                await self._still_there(node, lines.count)
                trouble = None
            except FailureError as failure:
                nothing = lines is None or not lines.count
                if with_names and nothing and failure.said and _NAMES.search(failure.said):
                    with_names = False  # before 0.27
                    continue
                pause = tries.next_pause() if failure.passing else None
                if pause is not None:
                    if not nothing:
                        on_restart()
                    await self._clock.sleep(pause)
                    continue
                if nothing:
                    raise
                trouble = str(failure)
            assert lines is not None and node is not None
            lines.flush()
            return self._reading(lines, node, begun, trouble)

    async def is_pinned(self, cid: str) -> bool:
        """Whether the node has this content pinned recursively, as version 0 or 1.

        Kubo compares CIDs exactly here: asked for the other version of what it has pinned, it says "is not pinned".
        So every spelling is asked for before the answer is no.
        """
        try:
            key = key_of(cid)
        except CidError as error:
            raise self._failures.error(str(error)) from None
        for spelling in spellings(key, cid):
            if await self._retrying(partial(self._is_pinned, spelling, key)):
                return True
        return False

    async def connect(self, multiaddr: str) -> None:
        """Has the node dial a peer (`swarm/connect`), once."""
        await self._call("swarm/connect", {"arg": multiaddr})

    async def remote_services(self) -> list[tuple[str, str]]:
        """(name, endpoint) of the pinning services in Kubo's own configuration; their keys are not told (once)."""
        answer = await self._call("pin/remote/service/ls", {})
        rows = answer.get("RemoteServices") or []
        found = [(row.get("Service"), row.get("ApiEndpoint")) for row in rows if isinstance(row, dict)]
        return [
            (printable(name, 60), printable(at, 200))
            for name, at in found
            if isinstance(name, str) and isinstance(at, str)
        ]

    async def _identity(self) -> NodeIdentity:
        answer = await self._call("id", {})
        peer_id, agent, addresses = answer.get("ID"), answer.get("AgentVersion"), answer.get("Addresses") or []
        if (
            not isinstance(peer_id, str)
            or not re.fullmatch(r"[0-9A-Za-z]{8,128}", peer_id)
            or not isinstance(addresses, list)
        ):
            raise self._failures.foreign("id", json.dumps(answer).encode())
        match = _AGENT.match(agent) if isinstance(agent, str) else None
        return NodeIdentity(
            peer_id, match[1] if match else None, tuple(text for text in addresses if isinstance(text, str))
        )

    async def _is_pinned(self, cid: str, key: bytes) -> bool:
        try:
            answer = await self._call("pin/ls", {"arg": cid, "type": "recursive"})
        except FailureError as failure:
            if failure.said and _NOT_RECURSIVE.search(failure.said):
                return False
            raise
        keys = answer.get("Keys")
        try:
            found = {key_of(text): row["Type"] for text, row in keys.items()}  # type: ignore[union-attr]
            return bool(found[key] == "recursive")
        except (AttributeError, TypeError, KeyError, CidError):
            raise self._failures.foreign("pin/ls", json.dumps(answer).encode()) from None

    async def _list(self, lines: PinLines, with_names: bool) -> None:
        asked = {"type": "recursive", "stream": "true"} | ({"names": "true"} if with_names else {})
        try:
            async with self._listing.stream("POST", self._url("pin/ls"), params=asked) as answer:
                if answer.status_code != 200:
                    raise self._failures.refusal("pin/ls", answer, await self._body(answer), passing=True)
                if "json" not in answer.headers.get("content-type", "") or _encoded(answer):
                    raise self._failures.foreign("pin/ls", await self._body(answer))
                async for data in answer.aiter_bytes():
                    lines.feed(data)
                said = answer.extensions.get("trailers", {}).get(_ERROR_TRAILER)
                if said:
                    raise BrokenListError(f"Kubo says: {printable(said, hide=self._failures.hide)}", passing=True)
                lines.end()
        except BrokenListError as broken:
            raise self._failures.error(
                f"its pin list broke off after {lines.count} pins: {broken}", passing=broken.passing
            ) from None
        except httpx.HTTPError as error:
            raise self._failures.unreachable(error, f"after {lines.count} pins" if lines.count else "") from None
        if lines.unreadable and not lines.count:
            raise self._failures.foreign("pin/ls", lines.first_unreadable.encode())

    async def _still_there(self, node: NodeIdentity, count: int) -> None:
        """Proves that the node did not stop while it listed.

        A Kubo that is being stopped (0.42, seen) ends its list at once, streamed or not, without an error or a trailer,
        as though it were whole. It closes its listener in the milliseconds after.
        """
        await self._clock.sleep(_SETTLE)
        try:
            after = await self._identity()
        except FailureError as failure:
            raise self._failures.error(
                f"it no longer answers after listing {count} pins, which need not be all: a Kubo that is being stopped "
                "ends its list early. Until it answers, no pin is removed",
                passing=failure.passing,
            ) from None
        if after.peer_id != node.peer_id:
            raise self._failures.error(f"another node ({after.peer_id}) took its place while it listed its pins")

    def _reading(self, lines: PinLines, node: NodeIdentity, begun: float, trouble: str | None) -> KuboReading:
        if trouble is None and lines.unreadable:
            rows = "1 row" if lines.unreadable == 1 else f"{lines.unreadable} rows"
            trouble = (
                f"{self._failures.at} lists {rows} that pinsync cannot read, the first being "
                f"{lines.first_unreadable}; what is readable is mirrored, nothing is removed"
            )
        return KuboReading(
            complete=trouble is None,
            reason=trouble,
            count=lines.count,
            read_at=begun,
            name=self.name,
            peer_id=node.peer_id,
            version=node.version,
            names_known=not lines.nameless,
        )

    async def _call(self, command: str, params: Mapping[str, str]) -> dict[str, Any]:
        try:
            async with self._client.stream("POST", self._url(command), params=dict(params)) as answer:
                body = await self._body(answer)
        except httpx.HTTPError as error:
            raise self._failures.unreachable(error) from None
        if answer.status_code != 200:
            raise self._failures.refusal(command, answer, body)
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise self._failures.foreign(command, body)
        return found

    async def _retrying(self, call: Callable[[], Awaitable[_T]]) -> _T:
        tries = Tries(self._clock, self._retry_for)
        while True:
            try:
                return await call()
            except FailureError as failure:
                pause = tries.next_pause() if failure.passing else None
                if pause is None:
                    raise
            await self._clock.sleep(pause)

    async def _body(self, answer: httpx.Response) -> bytes:
        body = bytearray()
        if _encoded(answer):
            return b""
        async for data in answer.aiter_bytes():
            body += data
            if len(body) > _MAX_ANSWER:
                raise self._failures.foreign("a short question", bytes(body))
        return bytes(body)

    def _url(self, command: str) -> str:
        return f"{self.address.url}/api/v0/{command}"


def _hooks(name: str, clock: Clock) -> dict[str, list[Callable[..., Any]]]:
    """What logs each request when somebody wants to see them: its path, without arguments or headers."""

    async def sent(request: httpx.Request) -> None:
        request.extensions["pinsync.sent"] = clock.monotonic()

    async def answered(answer: httpx.Response) -> None:
        request = answer.request
        took = clock.monotonic() - request.extensions["pinsync.sent"]
        log.debug(
            "node %s: %s %s: %d in %.0f ms", name, request.method, request.url.path, answer.status_code, took * 1000
        )

    return {"request": [sent], "response": [answered]} if log.isEnabledFor(logging.DEBUG) else {}


def _encoded(answer: httpx.Response) -> bool:
    """Whether the body is compressed, which nobody asked for, and which could grow beyond any bound."""
    return str(answer.headers.get("content-encoding", "identity")).lower() != "identity"


def _tells_names(version: str | None) -> bool:
    match = re.match(r"(\d+)\.(\d+)", version or "")
    return match is not None and (int(match[1]), int(match[2])) >= _NAMES_SINCE
