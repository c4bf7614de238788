"""What may be read by those who watch: health, metrics, and the listener on TCP, which strangers may knock at."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parsed

from pinsync.clock import SystemClock
from pinsync.model import Rate
from pinsync.remote.calls import RequestRecord
from pinsync.remote.limits import RateLimiter
from pinsync.service import protocol
from pinsync.service.metrics import OUTCOMES, Tally, outcome_of, read_record, textfile
from pinsync.service.public import refusal, without_cids
from pinsync.service.textfile import write_textfile
from pinsync.status import EXIT
from tests.unit.cli_kit import home
from tests.unit.remote_servers import VirtualClock
from tests.unit.service_kit import TOKEN, FakeNode, HandClock, Rig, cid, manifest, mode_of, save, until

LISTEN = '[listen]\naddress = "127.0.0.1:0"\n'
_ADDRESSES: dict[Rig, tuple[str, int]] = {}
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A daemon that is in sync and listens, for tests that only read."""
    with FakeNode() as node, Rig(tmp_path_factory.mktemp("public"), extra=LISTEN) as made:
        node.pins = {cid(7): "a name that nobody need know"}
        made.pins.write_text(manifest(1, 2))
        made.emulator.seed_pins([cid(50)])
        made.configure(kubo=f'api = "{node.url}"')
        made.start()
        yield made


def on_socket(rig: Rig, path: str, **rest: Any) -> httpx.Response:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(rig.client.path)), base_url="http://anything") as http:
        return http.get(path, **rest)


def address(rig: Rig) -> tuple[str, int]:
    """Where the daemon listens on TCP."""
    if rig not in _ADDRESSES:

        def found() -> tuple[str, int]:
            host, _, port = str((rig.client.status()["daemon"]["listen"] or {}).get("address")).rpartition(":")
            return host.strip("[]"), int(port or 0)

        until(lambda: found()[1], "the listener")
        _ADDRESSES[rig] = found()
    return _ADDRESSES[rig]


def on_tcp(rig: Rig, path: str, method: str = "GET", **rest: Any) -> httpx.Response:
    host, port = address(rig)
    with httpx.Client(trust_env=False) as http:
        return http.request(method, f"http://{host}:{port}{path}", **rest)


def raw(at: tuple[str, int] | Path, data: bytes) -> bytes:
    """Send bytes; all that comes back until the other side closes."""
    with closing(socket.socket(socket.AF_UNIX if isinstance(at, Path) else socket.AF_INET)) as sock:
        sock.settimeout(10)
        sock.connect(str(at) if isinstance(at, Path) else at)
        found = bytearray()
        try:
            sock.sendall(data)
            while more := sock.recv(65536):
                found += more
        except ConnectionError:
            pass
        return bytes(found)


def samples(text: str) -> Samples:
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value for family in parsed(text) for one in family.samples
    }


# -- health ----------------------------------------------------------------------------------------------------------


def test_a_daemon_that_mirrors_is_healthy_and_ready_on_both(rig: Rig) -> None:
    for ask in (on_socket, on_tcp):
        for path in ("/healthz", "/readyz"):
            answer = ask(rig, path)
            assert (answer.status_code, answer.text) == (200, "ok\n")


def test_it_is_ready_in_its_first_pass_and_not_when_nothing_has_gone_well_for_three_intervals(tmp_path: Path) -> None:
    clock = HandClock()
    with Rig(tmp_path, clock=clock) as rig:
        rig.pins.write_text(manifest(1))
        hanging = rig.emulator.faults.next("slow:0.5", method="GET")
        rig.begin()
        until(lambda: hanging.hits, "the first pass")
        assert on_socket(rig, "/readyz").status_code == 200
        rig.log.wait("INFO: pass (")
        rig.emulator.faults.next("status:503", method="GET", times=9)
        clock.advance(3 * 900 + 1)
        rig.log.wait("INFO: pass (", 2)
        answer = on_socket(rig, "/readyz")
        assert answer.status_code == 503
        assert answer.text == "no pass has gone well for 45 min; `pinsync status` says why\n"
        assert on_socket(rig, "/healthz").status_code == 200
        rig.emulator.faults.clear()
        clock.advance(5)
        until(lambda: on_socket(rig, "/readyz").status_code == 200, "a good pass")


def test_it_is_not_ready_before_a_pass_has_gone_well(tmp_path: Path) -> None:
    with Rig(tmp_path, clock=HandClock()) as rig:
        rig.pins.write_text(manifest(1))
        rig.emulator.become(closed="maintenance")
        rig.start()
        assert on_socket(rig, "/readyz").text == "no pass has gone well yet; `pinsync status` says why\n"


# -- metrics ---------------------------------------------------------------------------------------------------------


def test_metrics_are_what_status_says(rig: Rig) -> None:
    found = samples(on_tcp(rig, "/metrics").text)
    report = rig.client.status()
    remote = report["remotes"][0]
    for state in ("pinned", "queued", "pinning", "failed", "refused", "missing"):
        assert found["pinsync_pins", (("remote", "there"), ("status", state))] == remote[state]
    there = (("remote", "there"),)
    assert found["pinsync_wanted_pins", there] == remote["wanted"] == 3
    assert found["pinsync_remote_pins", there] == remote["present"] == 4  # with those that this first pass added
    assert found["pinsync_foreign_pins", there] == remote["foreign"] == 1
    assert found["pinsync_remote_ok", there] == found["pinsync_remote_listing_complete", there] == 1
    assert found["pinsync_node_ok", (("node", "kubo"),)] == found["pinsync_node_pins", (("node", "kubo"),)] == 1
    assert found["pinsync_manifest_pins", ()] == 2
    verdicts = {dict(labels)["verdict"]: value for (name, labels), value in found.items() if name == "pinsync_verdict"}
    assert verdicts == {verdict: float(verdict == "in-sync") for verdict in EXIT}
    assert found["pinsync_requests_total", (("method", "POST"), ("outcome", "2xx"), *there)] == 3
    assert found["pinsync_passes_total", (("result", "in-sync"),)] == 1
    assert found["pinsync_pass_duration_seconds_count", ()] == 1
    assert found["pinsync_schedule_interval_seconds", ()] == 900
    for name in ("last_pass", "last_good_pass", "next_pass"):
        assert found[f"pinsync_{name}_timestamp_seconds", ()] > found["pinsync_start_time_seconds", ()]
    assert found["pinsync_written_timestamp_seconds", ()] >= found["pinsync_last_pass_timestamp_seconds", ()]
    ledger = rig.directory / "state/pinsync.db"
    assert found["pinsync_ledger_size_bytes", ()] >= ledger.stat().st_size


def test_metrics_follow_the_conventions_and_name_no_pin(rig: Rig) -> None:
    answer = on_tcp(rig, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    for secret in (*map(cid, (1, 2, 7, 50)), "a name that nobody", TOKEN, str(rig.directory)):
        assert secret not in answer.text
    for family in parsed(answer.text):
        assert family.name.startswith(("pinsync_", "process_"))
        assert family.documentation.endswith(".")
        assert {label for one in family.samples for label in one.labels} <= {
            "remote", "node", "status", "verdict", "kind", "result", "method", "outcome", "version", "le",
        }  # fmt: skip
        if family.type == "counter":
            assert all(one.name.endswith("_total") for one in family.samples), family.name
        if "time" in family.name or "duration" in family.name:
            assert "_seconds" in family.name


def test_metrics_come_as_openmetrics_where_that_is_asked_for(rig: Rig) -> None:
    answer = on_socket(rig, "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert "pinsync_passes" in {family.name for family in openmetrics(answer.text)}  # type: ignore[no-untyped-call]


def test_what_waits_and_is_held_is_counted_by_kind(tmp_path: Path) -> None:
    with Rig(tmp_path, extra='removals = "approve"') as rig:
        rig.pins.write_text(manifest(*range(4)))
        rig.start()
        save(rig.pins, manifest(0))
        until(lambda: rig.passes() == 2)
        found = samples(on_socket(rig, "/metrics").text)
        assert found["pinsync_held_actions", (("kind", "remove"), ("remote", "there"))] == 3
        assert found["pinsync_held_actions", (("kind", "add"), ("remote", "there"))] == 0
        assert found["pinsync_verdict", (("verdict", "held"),)] == 1
        assert found["pinsync_passes_total", (("result", "held"),)] == 1


def test_requests_are_counted_by_what_came_of_them(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.pins.write_text(manifest(1))
        rig.start()
        rig.emulator.faults.next("status:503", method="GET")
        rig.client.sync()
        rig.emulator.faults.next("cut-before", method="GET")
        rig.client.sync()
        found = samples(on_socket(rig, "/metrics").text)
        for outcome in ("5xx", "error"):
            assert found["pinsync_requests_total", (("method", "GET"), ("outcome", outcome), ("remote", "there"))] >= 1
        assert found["pinsync_passes_total", (("result", "failing"),)] == 2
        unread = {name for name, _ in found if name == "pinsync_requests_total"}
        assert unread  # and every outcome has its series from the start
        assert {dict(labels)["outcome"] for name, labels in found if name in unread} == set(OUTCOMES)


@pytest.mark.parametrize(
    ("status", "error", "outcome"),
    [(200, None, "2xx"), (302, None, "3xx"), (404, None, "4xx"), (429, None, "429"), (503, None, "5xx"),
     (None, "ConnectError", "error"), (200, "BadAnswer", "error"), (None, None, "given-up"), (999, None, "5xx")],
)  # fmt: skip
def test_every_request_has_one_outcome(status: int | None, error: str | None, outcome: str) -> None:
    assert outcome_of(RequestRecord("GET", "/pins", status, 0.1, error)) == outcome
    assert outcome in OUTCOMES


def test_the_waits_for_the_rate_are_measured() -> None:
    async def run() -> float:
        limiter = RateLimiter(clock, Rate(2, 10.0), 8)
        for _ in range(3):
            async with limiter.slot():
                pass
        limiter.pause_until(clock.now() + 5)
        async with limiter.slot():
            pass
        return limiter.waited

    clock = VirtualClock()
    assert asyncio.run(run()) == pytest.approx(10.0 + 5.0, abs=0.5)


def test_a_ledger_that_cannot_be_read_is_said_and_the_counters_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pinsync.errors import StateError
    from pinsync.service import monitor

    def broken(*_: object) -> None:
        raise StateError("the ledger is damaged")

    with Rig(tmp_path) as rig:
        rig.pins.write_text(manifest(1))
        rig.start()
        monkeypatch.setattr(monitor, "read_record", broken)
        found = samples(on_socket(rig, "/metrics").text)
        assert found["pinsync_ledger_ok", ()] == 0
        assert found["pinsync_passes_total", (("result", "in-sync"),)] == 1
        assert "pinsync_wanted_pins" not in {name for name, _ in found}


def test_the_process_is_measured_where_proc_stat_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(_: object) -> None:
        raise FileNotFoundError("/proc/stat")

    usual = {family.name: family.samples[0].value for family in Tally(0.0, dict).process() if family.samples}
    monkeypatch.setattr("prometheus_client.ProcessCollector._boot_time", hidden)
    found = {family.name: family.samples[0].value for family in Tally(0.0, dict).process() if family.samples}
    assert found.keys() == usual.keys()
    if "process_start_time_seconds" in usual:  # this system has /proc
        assert found["process_start_time_seconds"] == pytest.approx(usual["process_start_time_seconds"], abs=5)


# -- the textfile ----------------------------------------------------------------------------------------------------


def test_the_textfile_is_written_after_each_pass_readable_by_all_and_its_failure_disturbs_nothing(
    tmp_path: Path,
) -> None:
    there, in_sync = tmp_path / "collector", (("result", "in-sync"),)
    with Rig(tmp_path, extra='[metrics]\ntextfile = "collector/pinsync.prom"\n') as rig:
        rig.pins.write_text(manifest(1))
        rig.start()
        rig.log.wait("cannot be written to")
        assert "No such file" in rig.client.status()["daemon"]["textfile_error"]
        there.mkdir()
        before = os.umask(0o077)
        try:
            rig.client.sync()
            until((there / "pinsync.prom").exists)
            # What was to be told of the first pass may be written only now, before the second is told.
            until(lambda: samples((there / "pinsync.prom").read_text())["pinsync_passes_total", in_sync] == 2)
        finally:
            os.umask(before)
        found = samples((there / "pinsync.prom").read_text())
        assert found["pinsync_wanted_pins", (("remote", "there"),)] == 1
        assert not [name for name, _ in found if name.startswith("process_")]  # node_exporter has its own
        assert mode_of(there / "pinsync.prom") == 0o644
        assert [one.name for one in there.iterdir()] == ["pinsync.prom"]
        rig.log.wait("are written to")
        assert rig.client.status()["daemon"]["textfile_error"] is None
        assert rig.triggers() == ["start", "sync"] and rig.log.count("cannot be written") == 1


def test_a_bug_in_watching_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("oops")

    monkeypatch.setattr("pinsync.service.monitor.read_record", broken)
    with Rig(tmp_path, extra='[metrics]\ntextfile = "pinsync.prom"\n') as rig:
        rig.pins.write_text(manifest(1))
        rig.start()
        rig.log.wait("ERROR: watching failed")
        assert on_socket(rig, "/metrics").status_code == 500
        assert rig.client.sync()[1] == 0


def test_a_textfile_that_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "pinsync.prom").mkdir()
    assert "cannot be written" in write_textfile(tmp_path / "pinsync.prom", b"x 1\n")
    assert [one.name for one in tmp_path.iterdir()] == ["pinsync.prom"]


def test_without_a_daemon_the_record_alone_is_shown(rig: Rig) -> None:
    found = samples(textfile(read_record(rig.load(), SystemClock().now(), {"running": False})).decode())
    assert found["pinsync_wanted_pins", (("remote", "there"),)] == 3
    assert not {name for name, _ in found} & {"pinsync_passes_total", "pinsync_pass_running"}


def test_a_sync_without_a_daemon_writes_the_textfile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with home(tmp_path, capsys, monkeypatch, {cid(1): ""}) as at:
        at.configure('[metrics]\ntextfile = "pinsync.prom"\n')
        assert at.run("sync").code == 0
        assert samples((tmp_path / "pinsync.prom").read_text())["pinsync_wanted_pins", (("remote", "nft"),)] == 1
        at.configure('[metrics]\ntextfile = "nowhere/pinsync.prom"\n')
        ran = at.run("sync", "--json")
        assert ran.code == 0 and ran.json()["errors"] == []
        assert ran.err.startswith("warning: the metrics cannot be written to ")


def test_commands_do_not_pay_for_metrics() -> None:
    code = "import sys, pinsync.cli.main, pinsync.cli.passes; print('prometheus_client' in sys.modules)"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert found.stdout == "False\n"


# -- the listener on TCP ---------------------------------------------------------------------------------------------


def test_the_listener_shows_status_and_what_there_is(rig: Rig) -> None:
    report = on_tcp(rig, "/v1/status").json()
    assert report["verdict"] == "in-sync" and report["remotes"] == rig.client.status()["remotes"]
    answer = on_tcp(rig, "/")
    assert answer.json()["requests"] == ["GET /healthz", "GET /metrics", "GET /readyz", "GET /v1/status"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert on_tcp(rig, "/healthz", "HEAD").status_code == 200
    on_the_socket = on_socket(rig, "/v1/").json()
    assert on_the_socket["format"] == 1 and "POST /v1/approve" in on_the_socket["requests"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/v1/sync", {}, 405),
        ("POST", "/v1/approve", {}, 405),
        ("DELETE", "/metrics", {}, 405),
        ("OPTIONS", "/metrics", {}, 405),
        ("GET", "/v1/plan", {}, 404),
        ("GET", "/v1/events", {}, 404),
        ("GET", "/v1/held", {}, 404),
        ("GET", "/v1/ls?remote=there", {}, 404),
        ("GET", "/metrics", {"Host": "evil.example"}, 421),
        ("GET", "/metrics", {"Host": "127.0.0.1.evil.example:9753"}, 421),
        ("GET", "/metrics", {"Host": "192.0.2.1"}, 421),
        ("GET", "/metrics", {"Host": ""}, 421),
        ("GET", "/metrics", {"Origin": "http://evil.example"}, 403),
        ("GET", "/metrics", {"Origin": "null"}, 403),
        ("GET", "/metrics", {"Host": "localhost:1"}, 200),
        ("GET", "/metrics", {"Host": "[::1]:9753"}, 200),
    ],
)
def test_the_listener_is_for_reading_from_here_alone(
    rig: Rig, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = on_tcp(rig, path, method, headers=headers)
    assert answer.status_code == status
    assert status == 200 or set(answer.json()) == {"error"}
    assert rig.triggers() == ["start"]


def test_two_hosts_or_none_are_refused() -> None:
    assert refusal("GET", []) is not None
    assert refusal("GET", [(b"Host", b"localhost"), (b"host", b"localhost")]) is not None
    assert refusal("GET", [(b"host", b"localhost")]) is None


@pytest.mark.parametrize("where", ["socket", "tcp"])
def test_malformed_and_oversized_http_is_refused_with_a_reason_and_the_daemon_lives(rig: Rig, where: str) -> None:
    at = rig.client.path if where == "socket" else address(rig)
    for data in (
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,  # TLS
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    ):
        said = raw(at, data)
        assert said.startswith(b"HTTP/1.1 400 ")
        assert b"this is not HTTP/1.1, or its head is longer than 64 KiB" in said
    rest = b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    for data in (
        b"GET /" + b"x" * 100_000 + rest + b"\r\n",
        b"GET /healthz" + rest + b"X: " + b"x" * 67_000 + b"\r\n\r\n",
        b"GET /healthz" + rest + b"X: " + b"x" * 200_000 + b"\r\n\r\n",
        b"GET / " + rest + b"X: " + b"x" * 5_000_000 + b"\r\n\r\n",
    ):
        said = raw(at, data)  # nothing, where the system throws the answer away with what was not read
        assert len(said) < 1000 and b"200 OK" not in said
    assert b"200 OK" in raw(at, b"GET /healthz" + rest + b"X: " + b"x" * 64_000 + b"\r\n\r\n")
    assert b"421" in raw(at, b"GET /metrics HTTP/1.0\r\n\r\n").split(b"\r\n")[0] or where == "socket"
    assert raw(at, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n")
    assert on_socket(rig, "/healthz").text == on_tcp(rig, "/healthz").text == "ok\n"
    assert rig.log.count("ERROR") == 0


@pytest.mark.parametrize("where", ["socket", "tcp"])
def test_a_request_that_never_ends_and_too_many_connections_are_given_up(
    rig: Rig, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at: Any = rig.client.path if where == "socket" else address(rig)
    monkeypatch.setattr(protocol, "PATIENCE", 0.1)
    for beginning in (b"", b"GET / HT", b"POST /v1/sync HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"):
        assert b"200 OK" not in raw(at, beginning)
    monkeypatch.setattr(protocol, "PATIENCE", 30.0)
    idle = [socket.socket(socket.AF_UNIX if where == "socket" else socket.AF_INET) for _ in range(65)]
    try:
        for sock in idle:
            sock.connect(str(at) if where == "socket" else at)
        assert raw(at, b"").startswith(b"HTTP/1.1 503 ")
    finally:
        for sock in idle:
            sock.close()
    until(lambda: on_socket(rig, "/healthz").text == on_tcp(rig, "/healthz").text == "ok\n")


def test_an_address_in_use_is_said_and_mirroring_goes_on_and_it_is_had_later(tmp_path: Path) -> None:
    clock = HandClock()
    with closing(socket.create_server(("127.0.0.1", 0))) as other, Rig(tmp_path, clock=clock) as rig:
        port = other.getsockname()[1]
        rig.extra = f'[listen]\naddress = "127.0.0.1:{port}"\n'
        rig.configure()
        rig.pins.write_text(manifest(1))
        rig.start()
        assert rig.there() == {cid(1)}
        told = until(lambda: rig.client.status()["daemon"]["listen"]["error"])
        assert told.startswith(f"127.0.0.1:{port} cannot be listened at: Address already in use. Mirroring goes on")
        other.close()
        until(lambda: rig.log.count("cannot be listened at") == 1)
        clock.advance(61)
        until(lambda: rig.log.count("for reading at http://127.0.0.1"))
        assert on_tcp(rig, "/readyz").status_code == 200
        rig.configure(extra="")
        rig.log.wait("INFO: pass (", 2)
        clock.advance(3)
        until(lambda: rig.client.status()["daemon"]["listen"] is None, "the listener to be gone")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False)


def test_no_text_that_strangers_may_read_names_a_cid() -> None:
    old = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKUbFG".replace("U", "u").replace("F", "G")
    said = {"error": f"refused {cid(1)}: no", "of": [f"{old}, gone"], "peer": "12D3KooWCM6JHN", "n": 1, "no": None}
    assert without_cids(said) == {
        "error": "refused …: no", "of": ["…, gone"], "peer": "12D3KooWCM6JHN", "n": 1, "no": None,
    }  # fmt: skip
