"""Servers that repeat every secret that they are told, in every spelling, wherever an answer has room for it.

One plays a pinning service, one a Kubo node. And the search for what must be found nowhere.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

CORE = "c0reOfTheS3cret"
"""In the middle of every secret here, made of letters that no spelling but base64 changes."""

TOKEN = f'tok+/{CORE}"&=%41/x'
PASSWORD = f"pa+ss/{CORE}&=%41"
USER = "the-user"
PAIR = f"{USER}:{PASSWORD}"
KUBO_SECRET = f"kubo+{CORE}/=&x"
PROXY_PASSWORD = f"pr0xy{CORE}"


def packed_core() -> set[str]:
    """What of `CORE` is to be seen in base64 at each of the three places where it may begin."""
    found = set()
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + CORE.encode() + b"\0\0\0").decode()
        found.add(text[4 : 4 + (len(CORE) - 4) // 3 * 4])
    return found


TRACES = {CORE.lower(), CORE[::-1].lower(), CORE.encode().hex()} | {text.lower() for text in packed_core()}


def traces(data: bytes | str) -> list[str]:
    """What of a secret is in `data`, in any spelling and any case, with some of what stands around it."""
    text = data if isinstance(data, str) else data.decode("latin-1") + "\n" + data.decode("utf-16-le", "replace")
    lower = text.lower()
    found = []
    for trace in TRACES:
        at = lower.find(trace)
        if at >= 0:
            found.append(text[max(0, at - 120) : at + 80])
    return found


def clean(data: bytes | str, what: object = "") -> None:
    found = traces(data)
    assert not found, f"{what}: {found}"


def clean_files(directory: Path, *, but: Iterable[Path] = ()) -> int:
    """Every file below, byte by byte and by name; how many there were."""
    files = [path for path in directory.rglob("*") if path not in but]
    for path in files:
        clean(str(path), path)
        if path.is_file():
            clean(path.read_bytes(), path)
    return len(files)


def spelled(secret: str) -> dict[str, str]:
    """A header's value in the ways in which servers repeat it."""
    bare = secret.partition(" ")[2]
    plain = bare
    if secret.startswith("Basic "):
        plain = base64.b64decode(bare).decode()
    return {
        "header": secret,
        "raw": bare,
        "plain": plain,
        "password": plain.partition(":")[2] or plain,
        "quoted": quote(plain, safe=""),
        "half-quoted": quote(plain),
        "packed": base64.b64encode(plain.encode()).decode(),
        "url-packed": base64.urlsafe_b64encode(plain.encode()).decode(),
        "upper": f"BEARER {plain}",
        "slashed": plain.replace("/", "\\/"),
    }


Answer = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""


class Echo:
    """A server whose answers `reply` makes of method, path and what `Authorization` held; a context manager."""

    def __init__(self, reply: Callable[[str, str, dict[str, str]], Answer], *, certificate: Path | None = None) -> None:
        self.reply = reply
        self.told: list[str] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.echo = self
        if certificate is not None:
            certificate.write_text(SELF_SIGNED)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if certificate is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Echo:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


SELF_SIGNED = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQNaak4ZL1XZNku0g
2o2pfFu+a+frgjH6vaEJ+mOUPc6hRANCAAREhKytfCJ/t0HGaCHwqBKQVPJgxl3q
H94hx+5wUtacNCZ2tKYPymyUz0w9JQjkbN003B7TTvb+PT8g8gPoR8fP
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBhTCCASugAwIBAgIUU6x9lavST6vYhJ2KHEXVoq20sUYwCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMcGlucy5leGFtcGxlMCAXDTI2MTEyMzA4MTQ1N1oYDzIxMjYx
MDMwMDgxNDU3WjAXMRUwEwYDVQQDDAxwaW5zLmV4YW1wbGUwWTATBgcqhkjOPQIB
BggqhkjOPQMBBwNCAAREhKytfCJ/t0HGaCHwqBKQVPJgxl3qH94hx+5wUtacNCZ2
tKYPymyUz0w9JQjkbN003B7TTvb+PT8g8gPoR8fPo1MwUTAdBgNVHQ4EFgQUo80s
A6JadD/7Q3yBAROrvY68YPYwHwYDVR0jBBgwFoAUo80sA6JadD/7Q3yBAROrvY68
YPYwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAvtDMFQBYMW1/
pRVYsvIKzBAOZQe2+2rBResoq/dr4zUCIE9wOPZdZByZv7NRd9BDqlQLYWPDS9zW
p/RsZYXyAT6u
-----END CERTIFICATE-----
"""
"""A certificate that nobody has reason to trust, made for these tests, and its key, which guards nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    echo: Echo

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away in the middle are what these servers are for."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        given = self.headers.get("Authorization", "Bearer ")
        self.server.echo.told.append(given)
        status, headers, body = self.server.echo.reply(self.command, self.path, spelled(given))
        if status == 0:
            self.wfile.write(body)  # what is no HTTP at all
            self.close_connection = True
            return
        self.send_response(status, f"reason {given}".replace("\n", " "))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def log_message(self, *args: Any) -> None:
        pass


def headers(said: dict[str, str]) -> dict[str, str]:
    """Secrets in headers that clients read."""
    return {
        "Content-Type": f"application/json; charset={said['quoted']}",
        "WWW-Authenticate": f'{said["header"]} realm="{said["plain"]}"',
        "Retry-After": said["quoted"],
        "Date": said["plain"],
        "X-Ratelimit-Remaining": said["raw"],
        "X-Ratelimit-Reset": said["raw"],
        "Set-Cookie": f"token={said['quoted']}",
    }


def words(shape: str, said: dict[str, str]) -> bytes:
    """An error's body in one of the shapes that services have."""
    everything = " | ".join(f"{name} {text}" for name, text in said.items())
    bodies: dict[str, Callable[[], str]] = {
        "spec": lambda: json.dumps({"error": {"reason": said["raw"][:60], "details": everything}}),
        "nft": lambda: json.dumps({"ok": False, "error": {"code": said["plain"], "message": everything}}),
        "bare": lambda: json.dumps({"reason": everything, "details": list(said.values())}),
        "deep": lambda: json.dumps({"error": {"reason": {"of": [everything]}, "details": said}}),
        "text": lambda: everything,
        "html": lambda: f"<html><title>{everything}</title><h1>{everything}</h1></html>",
        "cut": lambda: json.dumps({"error": everything})[:-2],
        "maintenance": lambda: json.dumps({"error": {"reason": "ERROR_MAINTENANCE", "details": everything}}),
        "full": lambda: json.dumps({"error": {"reason": "INSUFFICIENT_FUNDS", "details": f"quota {everything}"}}),
        "kubo": lambda: json.dumps({"Message": everything, "Code": 0, "Type": "error"}),
        "empty": lambda: "",
    }
    return bodies[shape]().encode()


def row(cid: str, said: dict[str, str], number: int, status: str) -> dict[str, Any]:
    """A pin with secrets wherever the API has text that a service chooses."""
    return {
        "requestid": f"id-{number}",
        "status": status,
        "created": "2023-11-15T22:13:20Z",
        "pin": {"cid": cid, "name": said["raw"], "meta": {said["raw"]: said["plain"]}, "origins": [said["plain"]]},
        "delegates": [f"/dns4/{said['quoted']}/tcp/1"],
        "info": {"status_details": " ".join(said.values())},
    }


def nowhere(said: dict[str, str], other: str) -> list[str]:
    """Places to be redirected to, on another host, with the secret in each part."""
    return [
        f"{other}/{said['quoted']}",
        f"{other}/pins?token={said['quoted']}",
        f"http://{quote(USER)}:{said['quoted']}@example.invalid/",
        f"{other}/#{said['quoted']}",
        f"http://{said['packed']}.example.invalid/",
        f"/{said['raw']}",
        said["raw"],
    ]


@contextmanager
def kubo(secret_shape: str, status: int, cid: str) -> Iterator[Echo]:
    """A node that asks for a password and repeats it: with `status` in an error, or in the middle of a list."""

    def reply(method: str, path: str, said: dict[str, str]) -> Answer:
        if status != 200:
            extra = {"Location": f"http://example.invalid/{said['quoted']}"} if 300 <= status < 400 else {}
            return status, {**headers(said), **extra}, words(secret_shape, said)
        command = unquote(urlsplit(path).path).rpartition("/api/v0/")[2]
        told = {"Content-Type": "application/json"}
        if command == "id":
            answer: dict[str, Any] = {
                "ID": "12D3KooWCM6JHNqzyfRHVLmfZJwe9Htfusgg9x5LoESFXN2FBZGL",
                "AgentVersion": said["raw"],
            }
            return 200, told, json.dumps(answer).encode()
        lines = json.dumps({"Cid": cid, "Type": "recursive"}) + "\n"
        return 200, told, lines.encode() + words(secret_shape, said) + b"\n"

    with Echo(reply) as server:
        yield server
