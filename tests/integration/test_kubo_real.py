"""What a real Kubo 0.42 answers, and that it is read as what it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from pinsync.clock import SystemClock
from pinsync.errors import NodeError
from pinsync.sources.kubo import KuboClient, KuboReading, PinRow, resolve_api
from pinsync.sources.kubo_stream import TrailerTransport
from tests.real.kubo import KuboNode

pytestmark = pytest.mark.real

T = TypeVar("T")
ABSENT = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
NAMES = ("docs v3", 'quotes " and <tags> & \\ back', "Größe 🐟", "two\nlines", "")


@pytest.fixture(scope="module")
def node(kubo_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KuboNode]:
    """A node with a pin of every name in `NAMES` and 1500 without one."""
    with KuboNode(kubo_binary, tmp_path_factory.mktemp("kubo")) as running:
        running.add_pins(len(NAMES), prefix="named", names=NAMES)
        running.add_pins(1500)
        yield running


def with_client(node: KuboNode, use: Callable[[KuboClient], Coroutine[Any, Any, T]], **options: Any) -> T:
    """What `use` answers, given a client that found the node by its `api` file."""

    async def main() -> T:
        address = resolve_api("auto", {"IPFS_PATH": str(node.repo), "HOME": "/nowhere"})
        given: dict[str, Any] = {"clock": SystemClock(), "retry_for": 0} | options
        async with KuboClient("attic", address, **given) as client:
            return await use(client)

    return asyncio.run(main())


def read(node: KuboNode, on_rows: Callable[[], None] = lambda: None) -> tuple[KuboReading, list[PinRow]]:
    rows: list[PinRow] = []

    def spool(batch: Sequence[PinRow]) -> None:
        rows.extend(batch)
        on_rows()

    return with_client(node, lambda client: client.read_pins(spool)), rows


def version_0_directory(node: KuboNode) -> tuple[str, str]:
    """A directory with a file in it, both CIDv0, stored and not pinned."""
    files = {"file": ("directory/file", b"a file in a directory", "application/octet-stream")}
    answer = node.rpc("add", files=files, pin="false", **{"cid-version": "0", "wrap-with-directory": "false"})
    file, directory = (json.loads(text)["Hash"] for text in answer.text.splitlines())
    return directory, file


def other_version(node: KuboNode, cid: str) -> str:
    return str(node.rpc("cid/base32", cid).json()["Formatted"])


def test_every_recursive_pin_is_read_with_its_name(node: KuboNode) -> None:
    reading, rows = read(node)
    assert (reading.complete, reading.count, reading.names_known) == (True, len(rows), True)
    assert (reading.peer_id, reading.version) == (node.peer_id, "0.42.0")
    assert {cid: name for _, cid, name in rows} == node.names()
    assert {name for _, _, name in rows} == set(NAMES)
    assert len(rows) == 1500 + len(NAMES)


def test_direct_and_indirect_pins_are_not_read(kubo_node: KuboNode) -> None:
    directory, file = version_0_directory(kubo_node)
    kubo_node.rpc("pin/add", file, recursive="false")
    assert read(kubo_node)[1] == []
    kubo_node.pin(directory, "mine")
    assert [row[1:] for row in read(kubo_node)[1]] == [(directory, "mine")]


def test_whether_a_pin_is_still_there(node: KuboNode) -> None:
    directory, file = version_0_directory(node)

    async def asked(client: KuboClient) -> dict[str, bool]:
        whole = other_version(node, directory)
        return {
            "version 0": await client.is_pinned(directory),
            "version 1": await client.is_pinned(whole),
            "inside": await client.is_pinned(file),
            "absent": await client.is_pinned(ABSENT),
            "raw": await client.is_pinned(raw),
        }

    raw = next(iter(node.pins()))
    before = {"version 0": False, "version 1": False, "inside": False, "absent": False, "raw": True}
    assert with_client(node, asked) == before
    node.rpc("pin/add", directory, recursive="false")
    assert with_client(node, asked) == before
    node.pin(directory)
    assert with_client(node, asked) == before | {"version 0": True, "version 1": True}
    node.unpin(directory)
    assert with_client(node, asked) == before
    node.pin(other_version(node, directory))
    assert with_client(node, asked) == before | {"version 0": True, "version 1": True}
    node.unpin(other_version(node, directory))


def test_an_error_in_mid_stream_is_seen(node: KuboNode) -> None:
    """By `cat`, which can be made to fail midway: of a file of many blocks, the last is taken away."""
    data = b"".join(b"%d" % (n % 10) * 100_000 for n in range(40)) + b"the end"
    file = node.rpc("add", files={"file": data}, pin="false", chunker="size-100000").json()["Hash"]
    last = node.rpc("ls", file).json()["Objects"][0]["Links"][-1]
    node.rpc("block/rm", last["Hash"])

    async def listed(transport: httpx.AsyncBaseTransport) -> tuple[int, bytes, str | None]:
        async with httpx.AsyncClient(transport=transport, timeout=30) as client:
            answer = await client.post(f"{node.api_url}/api/v0/cat", params={"arg": file})
            return answer.status_code, answer.content, answer.extensions.get("trailers", {}).get("x-stream-error")

    status, body, error = asyncio.run(listed(TrailerTransport(SystemClock())))
    assert status == 200
    assert 0 < len(body) < len(data) and data.startswith(body)
    assert error is not None and "fail" in error
    # what a client without trailers makes of it: all is well
    status, _, error = asyncio.run(listed(httpx.AsyncHTTPTransport()))
    assert (status, error) == (200, None)


@pytest.mark.parametrize("end", [KuboNode.stop, KuboNode.kill])
def test_a_node_that_ends_while_it_lists_is_not_believed(kubo_node: KuboNode, end: Callable[[KuboNode], None]) -> None:
    kubo_node.add_pins(1500)
    assert read(kubo_node)[0].complete
    reading, rows = read(kubo_node, on_rows=lambda: end(kubo_node))
    assert not reading.complete
    assert reading.count == len(rows) > 0
    assert "no pin is removed" in (reading.reason or "")


def test_a_node_that_was_killed_leaves_an_api_file_which_the_error_names(kubo_node: KuboNode) -> None:
    kubo_node.kill()
    assert kubo_node.api_file.exists()
    with pytest.raises(NodeError, match="is the daemon running") as caught:
        read(kubo_node)
    assert str(kubo_node.api_file) in str(caught.value)


def test_a_node_that_comes_back_within_the_time_is_read_whole(kubo_node: KuboNode) -> None:
    expected = set(kubo_node.add_pins(5))

    async def use(client: KuboClient) -> KuboReading:
        reading = asyncio.create_task(client.read_pins(lambda rows: found.update(row[1] for row in rows)))
        await asyncio.to_thread(kubo_node.start)
        return await reading

    found = set[str]()
    kubo_node.kill()
    assert with_client(kubo_node, use, retry_for=60).complete
    assert found == expected


def test_one_node_dials_another_by_the_address_that_it_tells(make_kubo: Callable[[], KuboNode]) -> None:
    one, other = make_kubo(), make_kubo()
    one.start(offline=False)
    other.start(offline=False)
    addresses = with_client(other, lambda client: client.identity()).addresses
    assert all(address.endswith(f"/p2p/{other.peer_id}") for address in addresses)
    target = next(address for address in addresses if "/ip4/127.0.0.1/tcp/" in address)
    with_client(one, lambda client: client.connect(target))
    peers = one.rpc("swarm/peers").json()["Peers"]
    assert [peer["Peer"] for peer in peers] == [other.peer_id]
    stranger = other.peer_id[:-1] + ("B" if other.peer_id.endswith("A") else "A")
    with pytest.raises(NodeError, match="failure"):
        with_client(one, lambda client: client.connect(f"/ip4/127.0.0.1/tcp/1/p2p/{stranger}"))


def test_the_version_is_kubos_own(node: KuboNode) -> None:
    assert with_client(node, lambda client: client.version()) == "0.42.0"


def test_what_is_no_rpc_is_told_apart(node: KuboNode) -> None:
    async def gateway() -> None:
        url = node.api_url + "/ipfs"
        async with KuboClient("attic", resolve_api(url, {}), clock=SystemClock(), retry_for=0) as client:
            await client.read_pins(lambda _: None)

    with pytest.raises(NodeError, match="no Kubo RPC, perhaps a gateway"):
        asyncio.run(gateway())
