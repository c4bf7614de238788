"""A pinning service of a history: the emulator behind a network that loses, repeats and garbles."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from email.utils import formatdate
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import httpx

from pinsync.emulator.behaviour import Behaviour, ErrorAnswer
from pinsync.emulator.engine import Emulator
from pinsync.emulator.wire import Answer

from .loop import Hang, SimClock
from .records import Account
from .truth import Row, Rows, content

if TYPE_CHECKING:
    from .mirror import SimMirror

TOKEN = "s3cret-t0ken-nobody-may-see"
MOST_REQUESTS = 3000  # in one pass
_ID = re.compile(r'"requestid":"((?:[^"\\]|\\.)*)"')
_BEFORE = ("refused", "lost-before", "timeout-before", "status", "html", "echo")  # without effect


class SimRemote:
    """A remote with two accounts: ours, and the one that another token opens."""

    def __init__(self, name: str, behaviour: Behaviour, clock: SimClock, seed: int, *, dated: bool = True) -> None:
        self.name = name
        self.dated = dated  # answers tell the service's time
        self.emulators = [Emulator(behaviour, token=TOKEN, clock=clock, seed=seed + at) for at in range(2)]
        self.accounts = [Account(name, self._look_at(emulator), clock.monotonic) for emulator in self.emulators]
        self.at = 0
        self.hidden: set[str] = set()  # ids that lists leave out
        self.lags = 0.0
        self.everywhere = False  # … and so does a look-up by CID
        self.garbled: set[str] = set()  # ids that lists show as nonsense
        self.become()

    @property
    def emulator(self) -> Emulator:
        return self.emulators[self.at]

    @property
    def account(self) -> Account:
        return self.accounts[self.at]

    @property
    def lying(self) -> bool:
        """Whether lists show something else than what is there."""
        return bool(self.hidden or self.garbled or self.lags)

    def become(self, **knobs: object) -> None:
        """Behave otherwise from now on; the oracle is told what of it matters."""
        for emulator, account in zip(self.emulators, self.accounts, strict=True):
            emulator.become(**knobs)  # type: ignore[arg-type]
            b = emulator.behaviour
            if not b.meta_allowed:  # a service that refuses it says so; nobody could guess it
                emulator.become(errors={**b.errors, "bad-pin": ErrorAnswer(400, "spec", "BAD_REQUEST")})
            account.keeps_meta, account.deletes_all = b.meta_kept, b.delete_takes_all
            account.list_lag = b.list_lag
            account.requeues = b.repost == "new-row" or b.repost_requeues_failed
            account.id_is_cid, account.resets = b.requestid == "cid", b.created_reset_by_repost or not self.dated
            late = b.list_delay > 0
            account.lies, account.blind = account.lies or late, account.blind or late
            account.wobbles = account.wobbles or late

    def hide(self, requestid: str | None, *, everywhere: bool = False) -> None:
        """Lists leave this pin out, without a word, and look-ups by CID do `everywhere`; None: they are true again."""
        self.hidden = {requestid} if requestid is not None else set()
        self.everywhere = bool(self.hidden) and (everywhere or self._one_list)
        for account in self.accounts if self.hidden else ():
            account.lies = account.wobbles = True
            account.blind = account.blind or self.everywhere

    def lag(self, seconds: float) -> None:
        """Lists do not show a pin before it has this age; look-ups and GET by id do."""
        self.lags = seconds
        self.everywhere = self.everywhere or (bool(seconds) and self._one_list)
        for account in self.accounts if seconds else ():
            account.lies = account.wobbles = True
            account.blind = account.blind or self.everywhere
            account.lag = max(account.lag, seconds)

    @property
    def _one_list(self) -> bool:
        """Whether a look-up by CID is answered with the list."""
        return self.emulator.behaviour.cid_filter == "ignored"

    @staticmethod
    def _look_at(emulator: Emulator) -> Callable[[], Rows]:
        def look() -> Rows:
            status = emulator._service.lifecycle.status
            return {
                row.seq: Row(
                    row.seq, row.requestid, row.cid, content(row.cid), status(row).value, row.name,
                    row.meta.get("pinsync") if row.meta else None, row.created,
                )
                for row in emulator.store
            }  # fmt: skip

        return look


class Wire(httpx.AsyncBaseTransport):
    """What lies between one mirror and one remote."""

    def __init__(self, mirror: SimMirror, remote: SimRemote, chance: Random) -> None:
        self._mirror = mirror
        self._remote = remote
        self._chance = chance

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        mirror, remote, effects = self._mirror, self._remote, self._mirror.effects
        effects.point("request")
        mirror.requests += 1
        if mirror.requests > MOST_REQUESTS:
            raise Hang("a pass sends requests for ever")
        path, _, query = request.url.raw_path.partition(b"?")
        requestid = None if path == b"/pins" else unquote_to_bytes(path.removeprefix(b"/pins/")).decode()
        mirror.oracle.sent(mirror.watch, remote.name, requestid)
        mirror.happens()
        fault, _, argument = mirror.fault(request.method).partition(":")
        await mirror.clock.sleep(self._chance.choice((0.01, 0.02, 0.3)))
        answer = None
        if fault == "late" and request.method == "POST":
            mirror.late.append(lambda: self._carry_out(request, requestid, query, echo=True))
        elif fault not in _BEFORE:
            answer = self._carry_out(request, requestid, query, answered=not fault)
            if fault == "twice" and request.method != "GET":
                self._carry_out(request, requestid, query, echo=True)
        effects.point("answer")
        if fault:
            answer = await self._spoil(request, fault, argument, answer)
        else:
            await mirror.clock.sleep(self._chance.choice((0.0, 0.01, 0.3)))
        assert answer is not None
        effects.point("answered")
        if request.method != "DELETE" and answer.status < 300 and fault in ("", "slow", "twice", "late"):
            ids = {json.loads(f'"{found}"') for found in _ID.findall(answer.body.decode())}
            mirror.oracle.answered(mirror.watch, remote.name, request.method, requestid, ids)
        headers = list(answer.headers.items())
        if remote.dated:
            headers.append(("date", formatdate(remote.emulator.server_time(), usegmt=True)))
        if answer.content_type is not None:
            headers.append(("content-type", answer.content_type))
        return httpx.Response(answer.status, headers=headers, content=answer.body)

    def _carry_out(
        self, request: httpx.Request, requestid: str | None, query: bytes, *, echo: bool = False, answered: bool = False
    ) -> Answer:
        mirror, remote = self._mirror, self._remote
        account, emulator = remote.account, remote.emulator
        mutating = request.method != "GET"
        before = account.look() if mutating else {}
        answer = emulator.handle(
            request.method, requestid, query, request.content, request.headers.get("authorization")
        )
        if mutating:
            if mirror.tell:
                said = request.content.decode() or requestid
                mirror.tell(f"    {mirror.name} {request.method} {remote.name} {said}: {answer.status}")
            posted = None
            if answered and request.method == "POST" and answer.status < 300:
                body = json.loads(request.content)
                posted = content(body["cid"]), body.get("name")
            mirror.oracle.carried_out(
                mirror.watch, remote.name, account, request.method, requestid, before, account.look(), echo=echo,
                posted=posted,
            )  # fmt: skip
        elif (
            requestid is None and remote.lying and answer.status == 200 and (remote.everywhere or b"cid=" not in query)
        ):
            answer = self._left_out(answer)
        return answer

    def _left_out(self, answer: Answer) -> Answer:
        page = json.loads(answer.body)
        remote, store = self._remote, self._remote.emulator.store
        hidden = set(remote.hidden)
        if remote.lags:
            young = int((remote.emulator.server_time() - remote.lags) * 1e9)
            hidden |= {row.requestid for row in store if row.created > young}
        rows = [row for row in page["results"] if row["requestid"] not in hidden]
        page["count"] -= len(page["results"]) - len(rows)
        odd = {"status": "odd", "created": "yesterday"}
        page["results"] = [odd if row["requestid"] in remote.garbled else row for row in rows]
        return Answer(200, json.dumps(page, separators=(",", ":")).encode(), answer.content_type, answer.headers)

    async def _spoil(self, request: httpx.Request, fault: str, argument: str, answer: Answer | None) -> Answer:
        match fault:
            case "refused":
                raise httpx.ConnectError("connection refused")
            case "lost-before" | "lost-after":
                raise httpx.RemoteProtocolError("the connection was cut")
            case "timeout-before" | "timeout-after" | "late":
                if answer is None or fault != "late":
                    await self._mirror.clock.sleep(30.0)
                    raise httpx.ReadTimeout("no answer")
            case "status" | "status-after":
                return self._remote.emulator.error(int(argument))
            case "html":
                return Answer(int(argument), b"<html><title>Oops</title>so sorry</html>", "text/html")
            case "echo":
                told = request.headers.get("authorization", "")
                body = json.dumps({"error": {"reason": "ECHO", "details": f"you sent {told}"}}).encode()
                return Answer(int(argument), body)
            case "slow":
                await self._mirror.clock.sleep(float(argument))
        assert answer is not None
        match fault:
            case "garbage":
                return Answer(answer.status, bytes(range(128, 256)), answer.content_type)
            case "empty":
                return Answer(answer.status, b"", answer.content_type)
            case "truncate":
                return Answer(answer.status, answer.body[: len(answer.body) // 2], answer.content_type)
        return answer
