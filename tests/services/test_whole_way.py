"""The whole way, by the commands that people type: from a Kubo node through a real Cluster onto another Kubo node."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_mirror_real import Operator, did
from tests.real.cluster import ClusterService
from tests.real.kubo import KuboNode

pytestmark = pytest.mark.services

MEGABYTE = 1 << 20


def test_every_pin_can_be_read_from_the_cluster_with_the_mirrored_node_gone(
    cluster_binary: Path, kubo_binary: Path, make_kubo: Callable[[], KuboNode], tmp_path: Path
) -> None:
    node = make_kubo()
    node.start(offline=False)
    # No empty file among them: Bitswap never delivered an empty block from one Kubo 0.42 to the other.
    files = {node.add_bytes(data): data for data in (b"small", random.Random(3).randbytes(3 * MEGABYTE))}
    directory = node.rpc("add", files=[("file", ("a%20b/one", b"1")), ("file", ("a%20b/two", b"2" * MEGABYTE))]).text
    root = json.loads(directory.splitlines()[-1])["Hash"]
    blocks = {cid: f"block-{n}".encode() for n, cid in enumerate(node.add_pins(300, prefix="block"))}
    with ClusterService(cluster_binary, kubo_binary, tmp_path / "cluster") as cluster:
        theirs = cluster.kubo.put_blocks([b"somebody else's"])[0]
        cluster.post(theirs, "theirs")
        pinsync = Operator(tmp_path, node, {"cluster": (cluster.url, cluster.token)}, grace='"0s"')
        origins = json.dumps(node.rpc("id").json()["Addresses"])
        # Loopback addresses are never sent by "auto": a pinning service could do nothing with them.
        pinsync.edit('rate = ""\n', f'rate = ""\nauth = "basic"\norigins = {origins}\n')

        first = pinsync("sync", exits=3)
        assert did(first) == {"added": len(files) + 1 + len(blocks)}
        settled(pinsync)
        held = cluster.pins()
        assert held.keys() == {*files, root, *blocks, theirs}
        assert {pin["status"] for pin in held.values()} == {"pinned"}
        assert cluster.kubo.pins() == held.keys()

        gone, *_ = blocks
        node.unpin(gone)
        assert did(pinsync("sync", exits=0)) == {"removed": 1}
        assert cluster.pins().keys() == held.keys() - {gone}

        node.stop()
        for cid, data in files.items():
            assert cluster.kubo.rpc("cat", cid, timeout="5s").content == data
        assert cluster.kubo.rpc("cat", f"{root}/two", timeout="5s").content == b"2" * MEGABYTE
        for cid, data in blocks.items():
            if cid != gone:
                assert cluster.kubo.rpc("block/get", cid, timeout="5s").content == data
        assert did(pinsync("sync", exits=1)) == {}
        assert cluster.pins().keys() == held.keys() - {gone}, "a node that is away removes nothing"


def settled(pinsync: Operator) -> dict[str, Any]:
    """What the pass says in which everything was pinned and nothing was left to do."""
    deadline = time.monotonic() + 60
    while True:
        with pinsync.start("sync", "--json") as process:
            out, err = process.communicate(timeout=60)
        answer: dict[str, Any] = json.loads(out)
        assert process.returncode in (0, 3), out + err
        assert did(answer).keys() <= {"waiting"}, "a pin on its way may be missing from one list"
        if process.returncode == 0:
            return answer
        assert time.monotonic() < deadline, out
