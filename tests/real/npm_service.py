"""A pinning service from npm, run by node: what the real ones have in common."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.real.child import Child


class NpmService:
    """`script` under node, on a free port of loopback, with its output in `log`; `side` is its route for tests.

    `packages` is the directory that holds `node_modules` (`tests.real.parts`). As a context manager it starts on entry
    and ends on leaving. A stopped service forgets its pins, and has another address when it is started again.
    """

    def __init__(self, script: Path, packages: Path, log: Path, side: str, env: Mapping[str, str]) -> None:
        self.token = secrets.token_urlsafe(16)
        self.url = ""
        """The endpoint, without `/pins`."""
        self._argv = [script, packages]
        self._log = log
        self._side = side
        self._env = env
        self._child: Child | None = None
        self._client: httpx.Client | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the service and wait until it listens."""
        if self._child:
            raise RuntimeError("this service is running already")
        node = shutil.which("node")
        if node is None:
            raise RuntimeError("there is no node in PATH")
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log.unlink(missing_ok=True)
        env = {"PATH": os.defpath, "SERVICE_TOKEN": self.token, **self._env}
        self._child = Child([node, *self._argv], log=self._log, env=env)
        self.url = f"http://127.0.0.1:{self._child.wait_until(self._port)}"
        headers = {"Authorization": f"Bearer {self.token}"}
        self._client = httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=30)

    def stop(self) -> None:
        if self._client:
            self._client.close()
        if self._child:
            self._child.kill()  # it has nothing to save
        self._client = self._child = None

    def pins(self) -> list[dict[str, Any]]:
        """All pin requests (schema `PinStatus`), read beside the service's own API."""
        return list(self._state()["pins"])

    def requests(self) -> list[tuple[str, str]]:
        """Method and path with query of every request so far."""
        return [(method, url) for method, url in self._state()["requests"]]

    def post(self, **pin: Any) -> dict[str, Any]:
        """Pin as another user of the account would: `post(cid=…, name=…, meta=…)`; the `PinStatus`."""
        return dict(self._running().post("/pins", json=pin).raise_for_status().json())

    def _state(self) -> dict[str, Any]:
        return dict(self._running().get(self._side).raise_for_status().json())

    def _running(self) -> httpx.Client:
        if self._client is None:
            raise RuntimeError("this service is not running")
        return self._client

    def _port(self) -> int | None:
        said = re.search(r"^listening on (\d+)\n", self._log.read_text(), re.MULTILINE)
        return int(said[1]) if said else None
