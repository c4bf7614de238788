"""The control socket's HTTP from somebody who does not know any: a daemon that runs, and bytes.

One daemon for all cases. It answers, or it closes; it never has a bug; and it lives.
"""

from __future__ import annotations

import atexit
import json
import logging
import socket
import tempfile
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from pinsync.settings.places import socket_path
from tests.fuzz.kit import EDITS, JSONS, TEXT, Case, Target, edited
from tests.unit.service_kit import PATIENCE, TOKEN, Lines, Rig, cid, manifest, until

PATHS = [
    "/v1/status",
    "/v1/plan",
    "/v1/held",
    "/v1/ls",
    "/v1/sync",
    "/v1/approve",
    "/v1/adopt",
    "/",
    "/v1/",
    "//",
    "/v2/status",
    "/v1/status/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/v1/pause",
    "/v1/resume",
    "/v1/retry",
    "/v1/events",
    "/v1/history",
    "http://x/v1/status",
    "*",
    "/%00",
    "/v1/status%2f..",
    "/..//v1/held",
]


class Noise(Lines):
    """With the traceback, of which the last lines tell."""

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(logging.Formatter().format(record)[-600:])


NOISE = Noise()
_OPEN = ExitStack()
"""What asyncio complains of: a traceback in the journal, made by a stranger."""


@lru_cache(maxsize=1)
def daemon() -> Rig:
    """The daemon, with two pins mirrored, until `end`."""
    logging.getLogger("asyncio").addHandler(NOISE)
    directory = tempfile.TemporaryDirectory(prefix="pinsync-fuzz-")
    atexit.register(end)
    rig = Rig(Path(directory.name), every="1h", extra='[listen]\naddress = "127.0.0.1:0"\n')
    rig.__enter__()
    rig.pins.write_text(manifest(1, 2))
    rig.emulator.seed_pins([cid(9)])
    rig.start()

    _OPEN.push(lambda *_: directory.cleanup())
    _OPEN.push(rig.__exit__)
    return rig


def end() -> None:
    """No daemon any more, until somebody asks for it again."""
    _OPEN.close()
    daemon.cache_clear()
    listener.cache_clear()


def exchanged(place: str | tuple[str, int], pieces: list[bytes]) -> bytes:
    """What the daemon answers to these bytes, at its socket or at its listener."""
    with socket.socket(socket.AF_UNIX if isinstance(place, str) else socket.AF_INET) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(place)
        answer = bytearray()
        try:
            for piece in pieces:
                sock.sendall(piece)
            sock.shutdown(socket.SHUT_WR)
            while data := sock.recv(1 << 16):
                answer += data
        except TimeoutError:
            raise
        except OSError:  # it was closed at the other end, with what we still had to say unread
            pass
        return bytes(answer)


def status(path: Path) -> dict[str, Any]:
    """What `status` says, so that the daemon lives."""
    well = exchanged(str(path), [b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"])
    assert well.startswith(b"HTTP/1.1 200"), well[:200]
    found: dict[str, Any] = json.loads(well.partition(b"\r\n\r\n")[2])
    return found


@lru_cache(maxsize=1)
def listener(path: Path) -> tuple[str, int]:
    """Where the daemon of this socket listens for all of the machine."""
    address: str = until(lambda: str((status(path)["daemon"]["listen"] or {}).get("address") or ""), "a listener")
    host, _, port = address.rpartition(":")
    return host, int(port)


def check(case: Case) -> None:
    rig = daemon()
    path = socket_path(rig.load(), rig.env)
    place: str | tuple[str, int] = listener(path) if case["to"] == "listener" else str(path)
    text = request(case, "x" if isinstance(place, str) else f"{place[0]}:{place[1]}")
    answer = exchanged(place, [text[at : at + case["piece"]] for at in range(0, len(text), case["piece"])])
    assert not answer or answer.startswith(b"HTTP/1.1 "), answer[:200]
    assert b"bug in pinsync" not in answer, answer[:500]
    assert b"Traceback" not in answer
    assert TOKEN.encode() not in answer
    assert not rig.log.count("ERROR"), rig.log.lines
    noise, NOISE.lines = NOISE.lines, []
    assert not noise, noise[-1]
    assert rig.alive
    found = status(path)
    assert found["remotes"][0]["foreign"] == 1
    assert rig.there() == {cid(1), cid(2), cid(9)}


def request(case: Case, host: str) -> bytes:
    query = "&".join(f"{name}={text}" for name, text in case["query"])
    target = (case["path"] + (f"?{query}" if query else "")).encode("utf-8", "replace")
    body = case["body"] if isinstance(case["body"], bytes) else json.dumps(case["body"]).encode()
    headers = [
        f"Host: {host}".encode(),
        *(f"{name}: {text}".encode("utf-8", "replace") for name, text in case["headers"]),
    ]
    if case["framed"] == "length":
        headers.append(b"Content-Length: %d" % len(body))
    elif case["framed"] == "chunked":
        headers.append(b"Transfer-Encoding: chunked")
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    if case["framed"] != "open":
        headers.append(b"Connection: close")
    text = b"%b %b HTTP/1.1\r\n" % (case["method"].encode(), target) + b"\r\n".join(headers) + b"\r\n\r\n" + body
    return edited(text, case["edits"]) if case["edits"] else text


BODIES: st.SearchStrategy[Any] = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "remote": st.one_of(st.sampled_from(["there", "nowhere"]), JSONS),
            "cids": st.one_of(st.lists(st.one_of(st.integers(0, 9).map(cid), TEXT), max_size=3), JSONS),
            "now": JSONS,
            "dry_run": st.one_of(st.just(True), JSONS),
            "by": JSONS,
            "x": JSONS,
            "reason": JSONS,
            "until": JSONS,
        },
    ),
    JSONS,
    st.binary(max_size=20),
    st.sampled_from([b"", b"[" * 100_000, b"{", b'{"cids": [' + b'"x",' * 5000 + b'"x"]}', b"9" * 5000]),
)
CONTROL = Target(
    "control",
    st.fixed_dictionaries(
        {
            "to": st.sampled_from(["socket", "socket", "listener"]),
            "method": st.sampled_from(
                ["GET", "POST", "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "CONNECT", "get", "X" * 300]
            ),
            "path": st.sampled_from(PATHS),
            "query": st.lists(
                st.tuples(
                    st.sampled_from(["remote", "cid", "x", "", "since", "limit", "most"]),
                    st.one_of(
                        st.just("there"),
                        st.integers(0, 9).map(cid),
                        TEXT,
                        st.sampled_from(["%ff", "%00", "%ed%a0%80", "1e999"]),
                    ),
                ).map(list),
                max_size=2,
            ),
            "headers": st.lists(
                st.tuples(
                    st.sampled_from(
                        [
                            "X",
                            "Host",
                            "Content-Length",
                            "Transfer-Encoding",
                            "Expect",
                            "Upgrade",
                            "Connection",
                            "Content-Type",
                            "Accept",
                            "Cookie",
                            "Origin",
                            "If-None-Match",
                        ]
                    ),
                    st.one_of(
                        TEXT,
                        st.sampled_from(
                            ["100-continue", "h2c", "websocket", "chunked, chunked", "gzip", "x" * 70_000, "-1", "1e9"]
                        ),
                    ),
                ).map(list),
                max_size=2,
            ),
            "framed": st.sampled_from(["length", "length", "length", "chunked", "open", "none"]),
            "body": BODIES,
            "edits": st.one_of(st.none(), st.none(), EDITS),
            "piece": st.sampled_from([1 << 20, 1 << 20, 100]),
        }
    ),
    check,
)
