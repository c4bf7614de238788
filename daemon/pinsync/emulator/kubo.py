"""A stand-in for a Kubo node: its RPC as far as a mirror reads it, for the demo and for tests that need no real node.

It answers `id`, `version` and `pin/ls` (streamed, as one object, and for one CID) as Kubo 0.42 does, in a thread of its
own, and holds no content.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

PEER_ID = "12D3KooWDemoStandInForAKuboNodeWithoutAnyContentAtA"
VERSION = "0.42.0"


class KuboStandIn:
    """A node that pins `pins` (CID → name, "" for none) recursively, as a context manager; `url` is its RPC.

    `pins` may be changed while it runs, by assignment or in place. `broken`: every call is answered with this status.
    """

    def __init__(self, pins: Mapping[str, str] | None = None, *, peer_id: str = PEER_ID) -> None:
        self.pins: dict[str, str] = dict(pins or {})
        self.peer_id = peer_id
        self.broken: int | None = None
        self.calls: list[str] = []
        self.url = ""
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.node = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="kubo-stand-in", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def answer(self, command: str, query: Mapping[str, list[str]]) -> tuple[int, str]:
        """Status and body of one call."""
        self.calls.append(command)
        if self.broken is not None:
            return self.broken, _error("broken on purpose")
        match command:
            case "id":
                agent = f"kubo/{VERSION}/"
                return 200, json.dumps({"ID": self.peer_id, "AgentVersion": agent, "Addresses": None})
            case "version":
                return 200, json.dumps({"Version": VERSION})
            case "pin/ls":
                return self._pins(query)
        return 404, "404 page not found"

    def _pins(self, query: Mapping[str, list[str]]) -> tuple[int, str]:
        pins = dict(self.pins)
        for cid in query.get("arg", ()):
            if cid not in pins:
                return 500, _error(f"path '{cid}' is not pinned")
            pins = {cid: pins[cid]}
        if query.get("stream", [""])[0] != "true":
            keys = {cid: {"Type": "recursive", "Name": name} for cid, name in pins.items()}
            return 200, json.dumps({"Keys": keys})
        rows = ({"Cid": cid, "Type": "recursive"} | ({"Name": name} if name else {}) for cid, name in pins.items())
        return 200, "".join(f"{json.dumps(row)}\n" for row in rows)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    node: KuboStandIn

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in mid-answer is no fault of ours, and no traceback on somebody's terminal."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        status, text = self.server.node.answer(parts.path.removeprefix("/api/v0/"), parse_qs(parts.query))
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status != 404 else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name for it
        pass


def _error(message: str) -> str:
    return json.dumps({"Message": message, "Code": 0, "Type": "error"})
