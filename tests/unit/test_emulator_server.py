"""The emulator on a socket: in a thread, and in the foreground as `pinsync emulator` runs it."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

import pinsync
from pinsync.emulator.engine import Emulator
from pinsync.emulator.kubo import KuboStandIn
from pinsync.emulator.server import EmulatorServer, serve
from pinsync.emulator.store import EmulatorError
from pinsync.errors import UsageError
from tests.unit.emulator_kit import cid

_SERVE = """
import sys
from pathlib import Path
from pinsync.emulator.server import serve
serve("nft.storage", port=0, token="t", settle=0.0, db=Path(sys.argv[1]), ready=lambda url: print(url, flush=True))
print("over", flush=True)
"""


def test_a_server_is_there_inside_its_block_and_gone_after() -> None:
    with EmulatorServer("spec", token="t") as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert server.token == "t"
        with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {server.token}"}) as client:
            posted = client.post("/pins", json={"cid": cid(1)}).json()
            assert client.get(f"/pins/{posted['requestid']}").json() == posted
            assert "Not for production" in client.get("/").text
            assert [pin.cid for pin in server.emulator.pins()] == [cid(1)]
            assert client.get("/pins").headers["date"]
        assert httpx.get(f"{server.url}/pins").status_code == 401
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/pins")
    assert not [each for each in threading.enumerate() if each.name == "pinsync-emulator"]


def test_servers_run_side_by_side_and_stop_with_idle_connections_open() -> None:
    with httpx.Client() as client, EmulatorServer("spec") as one, EmulatorServer("cluster") as other:
        assert one.url != other.url
        for server in (one, other):
            assert client.get(f"{server.url}/pins").status_code == 200


def test_an_emulator_outlives_its_server() -> None:
    """A restart: the same pins on the same port."""
    emulator = Emulator("spec")
    with EmulatorServer(emulator=emulator) as server:
        httpx.post(f"{server.url}/pins", json={"cid": cid(1)})
        port = int(server.url.rpartition(":")[2])
    with EmulatorServer(emulator=emulator, port=port) as again:
        assert httpx.get(f"{again.url}/pins").json()["count"] == 1
        assert again.url == server.url


def test_a_small_answer_is_not_delayed() -> None:
    """Head and body are two writes: with Nagle's algorithm on, the second would wait 40 ms for an acknowledgement."""
    with EmulatorServer("spec") as server, httpx.Client(base_url=server.url) as client:
        assert client.get("/pins").status_code == 200
        assert server._server is not None
        [connection] = server._server.server_state.connections
        accepted = connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EmulatorError, match=f"port {port}.*--port"), EmulatorServer(port=port):
            pass
        with pytest.raises(EmulatorError, match=f"port {port}"):
            serve("spec", port=port)
    with pytest.raises(EmulatorError, match="port 70000"):
        serve("spec", port=70_000)


def test_what_serve_does_not_understand_it_says(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="kubo-hostile"):
        serve("nobody", port=0)
    with pytest.raises(UsageError, match="30/10s"):
        serve("spec", port=0, rate="fast")
    with pytest.raises(EmulatorError, match="--db"):
        serve("spec", port=0, db=tmp_path)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_the_foreground_ends_on_a_signal_and_keeps_its_pins(tmp_path: Path, sign: signal.Signals) -> None:
    db = tmp_path / "pins.db"
    environment = os.environ | {"PYTHONPATH": str(Path(pinsync.__file__).parents[1])}
    counts = []
    for number in range(2):
        with subprocess.Popen(
            [sys.executable, "-W", "error", "-c", _SERVE, str(db)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            with httpx.Client(base_url=url, headers={"authorization": "Bearer t"}) as client:
                assert client.post("/pins", json={"cid": cid(number)}).json()["status"] == "pinned"
                counts.append(client.get("/pins").json()["count"])
                began = time.monotonic()
                process.send_signal(sign)
                out, err = process.communicate(timeout=20)
        assert (out, err, process.returncode) == ("over\n", "", 0)
        assert time.monotonic() - began < 10
    assert counts == [1, 2]


def test_the_package_itself_is_light() -> None:
    """`pinsync --help` may import it: no server, no HTTP."""
    heavy = ("starlette", "uvicorn", "httpx")
    code = f"import sys, pinsync.emulator; print([name for name in sys.modules if name.startswith({heavy})])"
    environment = os.environ | {"PYTHONPATH": str(Path(pinsync.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_client_that_goes_away_in_mid_answer_leaves_no_traceback_on_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with KuboStandIn({cid(number): "x" * 200 for number in range(20_000)}) as node:
        host, _, port = node.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closed by a reset
            client.sendall(b"POST /api/v0/pin/ls?stream=true HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            client.recv(1000)
        deadline = time.monotonic() + 15
        while any("process_request_thread" in thread.name for thread in threading.enumerate()):
            assert time.monotonic() < deadline
            time.sleep(0.005)
    assert capsys.readouterr().err == ""
