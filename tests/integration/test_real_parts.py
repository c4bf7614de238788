"""The real parts do what other tests take for granted."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.real import parts
from tests.real.child import Child, ChildError
from tests.real.kubo import KuboError, KuboNode
from tests.real.mock_service import MockService

CID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"


@pytest.mark.real
def test_a_node_lists_a_thousand_pins_and_the_names_that_were_asked_for(kubo_node: KuboNode) -> None:
    cids = kubo_node.add_pins(1000, prefix="thousand", names=["first", "second, with a comma"])

    assert len(set(cids)) == 1000
    assert kubo_node.pins() == set(cids)
    names = kubo_node.names()
    assert [names[cid] for cid in cids[:3]] == ["first", "second, with a comma", ""]


@pytest.mark.real
def test_pins_come_and_go_one_by_one(kubo_node: KuboNode) -> None:
    assert kubo_node.pins() == set()
    cid = kubo_node.add_bytes(b"a file")
    kubo_node.pin(cid, "renamed")
    assert kubo_node.names() == {cid: "renamed"}

    kubo_node.unpin(cid)

    assert kubo_node.pins() == set()
    with pytest.raises(KuboError, match="not pinned"):
        kubo_node.rpc("pin/ls", cid, type="recursive")


@pytest.mark.real
@pytest.mark.parametrize("end", [KuboNode.stop, KuboNode.kill])
def test_a_node_that_ended_comes_back_at_its_address_with_its_pins(
    kubo_node: KuboNode, end: Callable[[KuboNode], None]
) -> None:
    cids = kubo_node.add_pins(10)
    address, peer = kubo_node.api_url, kubo_node.peer_id

    end(kubo_node)
    assert not kubo_node.running
    with pytest.raises(httpx.ConnectError):
        httpx.post(f"{address}/api/v0/id", trust_env=False)
    kubo_node.start()

    assert kubo_node.api_url == address
    assert kubo_node.rpc("id").json()["ID"] == kubo_node.peer_id == peer
    assert kubo_node.pins() == set(cids)


@pytest.mark.real
def test_an_online_node_knows_no_one_and_listens_on_loopback_alone(make_kubo: Callable[[], KuboNode]) -> None:
    node = make_kubo()
    node.start(offline=False)

    addresses = node.rpc("id").json()["Addresses"]

    assert addresses
    assert all(address.startswith("/ip4/127.0.0.1/") for address in addresses)
    assert not node.rpc("swarm/peers").json()["Peers"]
    assert not node.rpc("bootstrap/list").json()["Peers"]


@pytest.mark.real
def test_the_mock_service_keeps_what_it_is_sent_and_wants_its_token(mock_service: MockService) -> None:
    refused = httpx.get(f"{mock_service.url}/pins", headers={"Authorization": "Bearer wrong"}, trust_env=False)
    assert refused.status_code == 401

    made = mock_service.post(cid=CID, name="pinned-mine", meta={"team": "web"})

    assert made["status"] == "pinned"
    assert mock_service.pins() == [made]
    assert made["pin"] == {"cid": CID, "name": "pinned-mine", "meta": {"team": "web"}}
    assert mock_service.requests() == [("GET", "/pins"), ("POST", "/pins")]


def test_a_child_that_ends_early_is_an_error_with_what_it_said(tmp_path: Path) -> None:
    child = Child([sys.executable, "-c", "print('no such port'); exit(3)"], log=tmp_path / "log", env={})

    with pytest.raises(ChildError, match=r"exit code 3(?s:.*)no such port"):
        child.wait_until(lambda: None)
    child.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's own")
def test_a_child_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, sys\n"
        "from pathlib import Path\n"
        "from tests.real.child import Child\n"
        "child = Child(['sleep', '300'], log=Path(sys.argv[1]), env={'PATH': os.defpath})\n"
        "Path(sys.argv[2]).write_text(str(child.pid))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    pid_file = tmp_path / "pid"
    environment = {"PATH": os.defpath, "PYTHONPATH": str(Path(__file__).parents[2])}
    parent = Child([sys.executable, script, tmp_path / "child.log", pid_file], log=tmp_path / "log", env=environment)

    with pytest.raises(ChildError, match="exit code -9"):
        parent.wait_until(lambda: None)

    parent.kill()
    assert _gone(int(pid_file.read_text()))


def _gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
            time.sleep(0.01)
            continue
        return True
    return False


FAKE_GO = """#!/bin/sh
echo build >>"$0.log"
while [ "$1" != -o ]; do shift; done
sleep 0.2
[ -e "$0.broken" ] && echo 'no such module' >&2 && exit 1
echo fake >"$2"
"""


@pytest.fixture
def fake_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `go` that writes what it was to build, fails where `go.broken` lies beside it, and logs its calls."""
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(FAKE_GO)
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{go.parent}:{os.defpath}")
    return go


def test_two_runs_at_once_build_kubo_once(fake_go: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(parts.kubo, [tmp_path / "cache"] * 2)

    assert first == second == parts.find_kubo(tmp_path / "cache")
    assert first.read_text() == "fake\n"
    assert fake_go.with_name("go.log").read_text() == "build\n"


def test_a_build_that_failed_leaves_nothing_behind_and_is_tried_again(fake_go: Path, tmp_path: Path) -> None:
    cache, broken = tmp_path / "cache", fake_go.with_name("go.broken")
    broken.touch()
    with pytest.raises(parts.MissingError, match="make test-unit"):
        parts.kubo(cache)
    assert parts.find_kubo(cache) is None
    assert not [path for path in cache.iterdir() if path.is_dir()]

    broken.unlink()

    assert parts.kubo(cache).exists()


def test_a_kubo_in_path_counts_in_the_right_version_alone(fake_go: Path, tmp_path: Path) -> None:
    ipfs = fake_go.with_name("ipfs")
    for version, taken in (("0.41.0", False), ("0.42.0", True), ("0.42.1", True), ("0.420.0", False)):
        ipfs.write_text(f"#!/bin/sh\necho {version}\n")
        ipfs.chmod(0o755)
        assert (parts.find_kubo(tmp_path / "cache") == ipfs) is taken, version
