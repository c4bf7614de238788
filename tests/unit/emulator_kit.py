"""What the emulator's tests share: a clock that only they move, CIDs by number, and a client without sockets."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import httpx

from pinsync.cid import text_of
from pinsync.emulator.app import create_app
from pinsync.emulator.behaviour import Behaviour
from pinsync.emulator.engine import Emulator

START = 1_790_000_000.25
START_NS = 1_790_000_000_250_000_000
ALL = "queued,pinning,pinned,failed"


class HandClock:
    """Time stands still until `pass_by`, or until somebody sleeps."""

    def __init__(self, now: float = START) -> None:
        self.at = now
        self.slept: list[float] = []

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds
        await asyncio.sleep(0)

    def pass_by(self, seconds: float) -> None:
        self.at += seconds


def cid(number: int) -> str:
    """A raw CIDv1 in base32."""
    return text_of(b"\x01\x55\x12\x20" + hashlib.sha256(b"%d" % number).digest())


class Api:
    """An emulator on a `HandClock`, called through ASGI."""

    def __init__(self, behaviour: Behaviour | str = "spec", *, token: str | None = None, **knobs: Any) -> None:
        self.clock = HandClock()
        self.emulator = Emulator(behaviour, token=token, clock=self.clock)
        if knobs:
            self.emulator.become(**knobs)
        self._app = create_app(self.emulator)
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    def call(self, method: str, path: str, **rest: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://emulator.test") as client:
                return await client.request(method, path, headers=self._headers | rest.pop("headers", {}), **rest)

        return asyncio.run(once())

    def page(self, **query: Any) -> dict[str, Any]:
        answer = self.call("GET", "/pins", params=query)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def cids(self, **query: Any) -> list[str]:
        return [row["pin"]["cid"] for row in self.page(**query)["results"]]

    def post(self, cid: str, **fields: Any) -> dict[str, Any]:
        answer = self.call("POST", "/pins", json={"cid": cid, **fields})
        assert answer.status_code in (200, 202), answer.text
        body: dict[str, Any] = answer.json()
        return body

    def refused(self, method: str = "POST", path: str = "/pins", **rest: Any) -> tuple[int, Any]:
        """Status and body of a request that is to be refused."""
        answer = self.call(method, path, **rest)
        assert answer.status_code >= 400, answer.text
        return answer.status_code, answer.json() if "json" in answer.headers["content-type"] else answer.text

    def get(self, requestid: str) -> dict[str, Any]:
        answer = self.call("GET", f"/pins/{quoted(requestid)}")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def delete(self, requestid: str) -> httpx.Response:
        return self.call("DELETE", f"/pins/{quoted(requestid)}")

    def replace(self, requestid: str, cid: str, **fields: Any) -> httpx.Response:
        return self.call("POST", f"/pins/{quoted(requestid)}", json={"cid": cid, **fields})


def quoted(requestid: str) -> str:
    """An id as one segment of a path, dots too: clients take `..` away."""
    return "".join(
        char if char.isascii() and char.isalnum() else "".join(f"%{b:02X}" for b in char.encode()) for char in requestid
    )
