"""A daemon in a thread of its own, with an emulator as its remote and, where wanted, a small stand-in for a node."""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs, urlsplit

from pinsync.cid import text_of
from pinsync.clock import Clock, SystemClock
from pinsync.emulator.behaviour import Behaviour
from pinsync.emulator.server import EmulatorServer
from pinsync.house import reading
from pinsync.service.client import DaemonClient
from pinsync.service.daemon import Daemon
from pinsync.settings import load
from pinsync.settings.model import Settings

T = TypeVar("T")
PATIENCE = 15.0  # seconds; far more than anything takes, on a busy machine too
TOKEN = "a-token-that-nobody-may-see"


def cid(number: int) -> str:
    """A raw CIDv1 in base32."""
    return text_of(b"\x01\x55\x12\x20" + hashlib.sha256(b"%d" % number).digest())


def until(found: Callable[[], T], what: str = "") -> T:
    """What `found` answers as soon as it is something."""
    end = time.monotonic() + PATIENCE
    while not (answer := found()):
        assert time.monotonic() < end, f"not in {PATIENCE} s: {what or found}"
        time.sleep(0.005)
    return answer


def manifest(*numbers: int) -> str:
    return "".join(f'[[pin]]\ncid = "{cid(number)}"\n' for number in numbers)


class HandClock:
    """Time that passes only by `advance`, which may be called from any thread. Pauses under a second are none."""

    def __init__(self) -> None:
        self._now = 1_790_000_000.0
        self._lock = threading.Lock()
        self._sleepers: list[tuple[float, int, asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._count = 0

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds < 1:
            await asyncio.sleep(0)
            return
        over = asyncio.Event()
        with self._lock:
            self._count += 1
            heapq.heappush(self._sleepers, (self._now + seconds, self._count, asyncio.get_running_loop(), over))
        await over.wait()

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._now += seconds
            while self._sleepers and self._sleepers[0][0] <= self._now:
                _, _, loop, over = heapq.heappop(self._sleepers)
                with suppress(RuntimeError):  # a daemon that has ended slept in this loop
                    loop.call_soon_threadsafe(over.set)


class Beside:
    """The remote's clock beside a `HandClock`: the same time, and what passes meanwhile."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begun = time.monotonic()

    def now(self) -> float:
        return self._clock.now() + time.monotonic() - self._begun

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Lines(logging.Handler):
    """What was logged, at `level: text`."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname}: {record.getMessage()}")

    def count(self, part: str) -> int:
        return sum(part in line for line in self.lines)

    def wait(self, part: str, times: int = 1) -> None:
        """Until it was logged so often."""
        until(lambda: self.count(part) >= times, f"{times} × {part!r} in the log")


class Rig:
    """A configuration, a manifest and a remote in a directory, and a daemon to start over them. A context manager."""

    def __init__(
        self, directory: Path, *, behaviour: Behaviour | str = "spec", clock: Clock | None = None, every: str = "15m",
        extra: str = "", **env: str,
    ) -> None:  # fmt: skip
        self.directory = directory
        self.config = directory / "config.toml"
        self.pins = directory / "pins.toml"
        self.token = directory / "token"
        self.env: Mapping[str, str] = {"HOME": str(directory), **env}
        self.clock = clock or SystemClock()
        self.server = EmulatorServer(behaviour, token=TOKEN, clock=Beside(clock) if clock else None)
        self.emulator = self.server.emulator
        self.log = Lines()
        self.every, self.extra = every, extra
        self.daemon: Daemon | None = None
        self.raised: BaseException | None = None
        self.exit_code: int | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Self:
        self.server.__enter__()
        self.token.write_text(TOKEN)
        self.token.chmod(0o600)
        self.configure()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.server.__exit__(kind, error, trace)

    def configure(self, *, kubo: str = "mirror = false", remote: str = "", extra: str | None = None) -> None:
        """Write the configuration, by atomic rename."""
        text = (
            f'[kubo]\n{kubo}\nretry_for = "0s"\n[manifest]\npath = "pins.toml"\n[state]\npath = "state/pinsync.db"\n'
            f'[schedule]\nevery = "{self.every}"\n[safety]\ngrace = "0s"\n{self.extra if extra is None else extra}\n'
            f'[[remote]]\nname = "there"\nendpoint = "{self.server.url}"\ntoken_file = "token"\nrate = ""\n'
            f'retry_for = "0s"\n{remote}\n'
        )
        save(self.config, text)

    def load(self) -> Settings:
        return load(self.config, env=self.env)

    def begin(self) -> None:
        """Start the daemon, without waiting for anything."""
        started, ready = threading.Event(), threading.Event()

        async def main() -> int:
            log = logging.Logger("pinsync.test", logging.DEBUG)
            log.addHandler(self.log)
            self.daemon = Daemon(self.load, self.env, clock=self.clock, ready=ready.set, log=log)
            self._loop = asyncio.get_running_loop()
            started.set()
            return await self.daemon.run()

        def run() -> None:
            try:
                self.exit_code = asyncio.run(main())
            except BaseException as error:
                self.raised = error
            finally:
                started.set()
                ready.set()

        self.exit_code, self.raised = None, None
        self._thread = threading.Thread(target=run, name="daemon-under-test", daemon=True)
        self._thread.start()
        assert started.wait(PATIENCE)
        self._ready = ready

    def start(self) -> Self:
        """Start the daemon and wait until its first pass is over."""
        told = self.log.count("INFO: pass (")
        self.begin()
        assert self._ready.wait(PATIENCE)
        assert self.raised is None, self.raised
        self.log.wait("INFO: pass (", told + 1)
        return self

    def stop(self) -> float:
        """As SIGTERM does; returns how long it took."""
        begun = time.monotonic()
        if self._thread is not None:
            if self._thread.is_alive():
                self.call(lambda daemon: daemon.stop())
            self._thread.join(PATIENCE)
            assert not self._thread.is_alive(), "the daemon did not end"
            self._thread = None
        return time.monotonic() - begun

    def call(self, what: Callable[[Daemon], None]) -> None:
        """Do something in the daemon's loop."""
        assert self._loop is not None and self.daemon is not None
        self._loop.call_soon_threadsafe(what, self.daemon)

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def client(self) -> DaemonClient:
        found = DaemonClient.find(self.load(), self.env)
        assert found is not None
        return found

    def there(self) -> set[str]:
        """The CIDs at the remote."""
        return {pin.cid for pin in self.emulator.pins()}

    def passes(self) -> int:
        """How many passes are over."""
        return len(self.triggers())

    def triggers(self) -> list[str]:
        """What the passes that are over were for."""
        if not (self.directory / "state/pinsync.db").exists():
            return []
        with reading(self.load_state()) as ledger:
            if ledger is None:
                return []
            rows = ledger.store.execute("SELECT trigger FROM runs WHERE finished_at IS NOT NULL ORDER BY id")
            return [str(trigger) for (trigger,) in rows]

    def fact(self, name: str) -> str | None:
        with reading(self.load_state()) as ledger:
            return ledger.fact(name) if ledger else None

    def load_state(self) -> Settings:
        """Settings that tell where the ledger is, whatever became of the configuration."""
        remote = json.dumps([{"name": "there", "endpoint": self.server.url, "auth": "none"}])
        state = str(self.directory / "state/pinsync.db")
        nowhere = self.directory / "nowhere.toml"
        nowhere.touch()
        return load(nowhere, env={**self.env, "PINSYNC_REMOTE": remote, "PINSYNC_STATE__PATH": state})


def save(path: Path, text: str) -> None:
    """As editors do: a new file takes the old one's name."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text)
    temporary.replace(path)


class FakeNode:
    """A node's RPC on 127.0.0.1, as far as a pass asks it; a context manager. It keeps its port when it comes back."""

    PEER = "12D3KooWCM6JHNqzyfRHVLmfZJwe9Htfusgg9x5LoESFXN2FBZGL"

    def __init__(self) -> None:
        self.pins: dict[str, str] = {}
        self.port = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.arrive()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def arrive(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), partial(_Rpc, self))
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def leave(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Rpc(BaseHTTPRequestHandler):
    def __init__(self, node: FakeNode, *args: Any) -> None:
        self._node = node
        super().__init__(*args)

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        command, query = url.path.rpartition("/api/v0/")[2], parse_qs(url.query)
        if command == "id":
            self._answer(200, [{"ID": FakeNode.PEER, "AgentVersion": "kubo/0.42.0/", "Addresses": None}])
        elif command == "pin/ls" and "arg" not in query:
            rows = [{"Cid": cid, "Name": name, "Type": "recursive"} for cid, name in self._node.pins.items()]
            self._answer(200, rows)
        elif command == "pin/ls" and query["arg"][0] in self._node.pins:
            self._answer(200, [{"Keys": {query["arg"][0]: {"Type": "recursive"}}}])
        else:
            message = f"path '{query.get('arg', [''])[0]}' is not pinned"
            self._answer(500, [{"Message": message, "Code": 0, "Type": "error"}])

    def _answer(self, status: int, lines: list[dict[str, Any]]) -> None:
        body = "".join(json.dumps(line) + "\n" for line in lines).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


def mode_of(path: Path) -> int:
    return os.stat(path).st_mode & 0o777
