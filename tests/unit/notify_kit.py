"""Somebody to tell: an HTTP receiver on loopback whose URL is a secret, and programs that write down what they get."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.unit.service_kit import until

SECRET = "T024/B456/a-secret-that-nobody-may-see"


class Hook:
    """A receiver; a context manager. `status` is what it answers; cleared `answers` lets it hang until it is set."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.answers = threading.Event()
        self.answers.set()
        self.got: list[tuple[str, str, bytes]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                hook.got.append((self.command, self.path, body))
                hook.answers.wait(20)
                self.send_response(hook.status)
                if 300 <= hook.status < 400:
                    self.send_header("Location", f"https://elsewhere.example/{SECRET}")
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_POST = do_GET = answer  # noqa: N815

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{SECRET}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()

    def messages(self) -> list[dict[str, Any]]:
        """The JSON that was POSTed."""
        return [json.loads(body) for method, _, body in self.got if method == "POST"]

    def events(self) -> list[str]:
        return [message["event"] for message in self.messages()]

    def beats(self) -> int:
        return sum(method == "GET" for method, _, _ in self.got)

    def wait(self, *events: str) -> None:
        """Until exactly these events were told."""
        until(lambda: self.events() == list(events), f"{events}, told were {self.events()}")


def program(path: Path, script: str) -> Path:
    """A program for /bin/sh."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return path
