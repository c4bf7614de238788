"""Where a node's RPC is, and which of its addresses are worth telling the world."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinsync.errors import NodeError
from pinsync.sources.kubo_api import choose_origins, resolve_api

PEER = "12D3KooWCM6JHNqzyfRHVLmfZJwe9Htfusgg9x5LoESFXN2FBZGL"
RELAY = "12D3KooWGRUVh4XKmGSMxsTzq8CRjSkE2xHZ4yN9Bb8uYQpMpE1o"


@pytest.mark.parametrize(
    ("api", "url"),
    [
        ("http://127.0.0.1:5001", "http://127.0.0.1:5001"),
        ("http://127.0.0.1:5001/", "http://127.0.0.1:5001"),
        ("http://127.0.0.1:5001/api/v0/", "http://127.0.0.1:5001"),
        ("https://node.example.org/ipfs-rpc/", "https://node.example.org/ipfs-rpc"),
        ("http://[::1]:5001", "http://[::1]:5001"),
        ("/ip4/127.0.0.1/tcp/5001", "http://127.0.0.1:5001"),
        ("/ip4/127.0.0.1/tcp/5001/http", "http://127.0.0.1:5001"),
        ("/ip4/0.0.0.0/tcp/5001", "http://127.0.0.1:5001"),
        ("/ip6/::1/tcp/5001", "http://[::1]:5001"),
        ("/ip6/::/tcp/5001", "http://[::1]:5001"),
        ("/dns/node.example.org/tcp/443/https", "https://node.example.org:443"),
        ("/dns4/node.example.org/tcp/443/tls/http", "https://node.example.org:443"),
    ],
)
def test_an_address_in_any_form_becomes_a_url(api: str, url: str) -> None:
    address = resolve_api(api, {})
    assert (address.url, address.uds, address.file) == (url, None, None)
    assert api in address.where


@pytest.mark.parametrize(
    "api",
    [
        "/unix/run/ipfs/api.sock",
        "/unix//run/ipfs/api.sock",
        "/unix/%2Frun%2Fipfs%2Fapi.sock",
        "unix:///run/ipfs/api.sock",
        "unix:/run/ipfs/api.sock",
        "/run/ipfs/api.sock",
    ],
)
def test_a_socket_in_any_form(api: str) -> None:
    assert resolve_api(api, {}).uds == Path("/run/ipfs/api.sock")


@pytest.mark.parametrize(
    ("api", "why"),
    [
        ("", "empty"),
        (" http://127.0.0.1:5001", "spaces"),
        ("127.0.0.1:5001", "http://"),
        ("localhost", "http://"),
        ("ftp://127.0.0.1", "http://"),
        ("http://", "no host"),
        ("http://127.0.0.1:99999", "port"),
        ("http://127.0.0.1:x", "port"),
        ("http://[::1", "malformed"),
        ("http://a b:5001", "spaces"),
        ("http://xn--\u00e4.example:5001", "IDNA"),
        ("http://127.0.0.1:5001?x=1", "?"),
        ("/ip4/127.0.0.1", "/tcp/PORT"),
        ("/ip4/127.0.0.1/udp/5001", "/tcp/PORT"),
        ("/ip4/127.0.0.1/tcp/5001/ws", "/ws"),
        ("/ip4/127.0.0.256/tcp/5001", "IPv4"),
        ("/ip6/127.0.0.1/tcp/5001", "IPv6"),
        ("/ip4/127.0.0.1/tcp/five", "port"),
        ("/dnsaddr/example.org/tcp/1", "dnsaddr"),
        ("unix:run/api.sock", "absolute"),
    ],
)
def test_an_address_that_cannot_be_used_says_what_is_wrong_and_what_to_write(api: str, why: str) -> None:
    with pytest.raises(NodeError) as caught:
        resolve_api(api, {}, name="attic")
    assert why in str(caught.value)
    assert "/ip4/127.0.0.1/tcp/5001" in str(caught.value)
    assert caught.value.node == "attic"


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(NodeError, match="authorization_file") as caught:
        resolve_api("http://me:hunter2@127.0.0.1:5001", {})
    assert "hunter2" not in str(caught.value)


def test_auto_follows_ipfs_path_then_the_home_directory_then_the_default(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    env = {"HOME": str(home), "IPFS_PATH": str(other)}
    assert resolve_api("auto", env).url == "http://127.0.0.1:5001"
    assert resolve_api("auto", env).file is None

    (home / ".ipfs").mkdir(parents=True)
    (home / ".ipfs" / "api").write_text("/ip4/127.0.0.1/tcp/5002")
    assert resolve_api("auto", env).url == "http://127.0.0.1:5002"

    other.mkdir()
    (other / "api").write_text("/unix/run/kubo.sock\n")
    address = resolve_api("auto", env)
    assert (address.uds, address.file) == (Path("/run/kubo.sock"), other / "api")
    assert str(other / "api") in address.where

    assert resolve_api("auto", {"HOME": str(home), "IPFS_PATH": "~/.ipfs"}).url == "http://127.0.0.1:5002"


@pytest.mark.parametrize(
    ("content", "why"), [("", "empty"), ("\n", "empty"), ("rubbish", "http://"), ("\0\1", "control")]
)
def test_a_damaged_api_file_is_named(tmp_path: Path, content: str, why: str) -> None:
    (tmp_path / "api").write_text(content)
    with pytest.raises(NodeError) as caught:
        resolve_api("auto", {"HOME": "/", "IPFS_PATH": str(tmp_path)})
    assert str(tmp_path / "api") in str(caught.value)
    assert why in str(caught.value)


def test_an_api_file_that_cannot_be_read_is_not_passed_over_for_another_node(tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()  # as unreadable as a file of somebody else's, also for root
    with pytest.raises(NodeError, match=r"api.*cannot be read.*kubo\.api"):
        resolve_api("auto", {"HOME": "/", "IPFS_PATH": str(tmp_path)})


@given(st.text(max_size=60) | st.text("/:[]@?#.%abcdiptn0123456789 ", max_size=40).map("/ip4/".__add__))
def test_no_text_makes_it_fall_over(api: str) -> None:
    try:
        address = resolve_api(api, {"HOME": "/nowhere"})
    except NodeError:
        return
    assert address.url.startswith(("http://", "https://")) and not address.url.endswith("/")


@pytest.mark.parametrize(
    "host",
    [
        "ip4/127.0.0.1",
        "ip4/10.1.2.3",
        "ip4/172.16.0.1",
        "ip4/192.168.1.2",
        "ip4/169.254.3.4",
        "ip4/100.64.0.1",
        "ip4/100.127.255.254",
        "ip4/0.0.0.0",
        "ip4/192.0.2.7",
        "ip4/198.51.100.7",
        "ip4/203.0.113.7",
        "ip4/224.0.0.1",
        "ip4/240.0.0.1",
        "ip4/nonsense",
        "ip6/::1",
        "ip6/::",
        "ip6/fe80::1",
        "ip6/fc00::1",
        "ip6/fd12:3456::1",
        "ip6/fec0::1",
        "ip6/2001:db8::1",
        "ip6/::ffff:10.0.0.1",
        "ip6/2002:0a00:0001::1",
        "ip6/ff02::1",
        "dns4/localhost",
        "dns/attic.local",
        "dns/kubo",
        "dns4/192-168-1-5.k51qzi5uqu5dhabc.libp2p.direct",
        "dns6/fd12-3456--1.k51qzi5uqu5dhabc.libp2p.direct",
    ],
)
def test_an_address_that_the_world_cannot_reach_is_no_origin(host: str) -> None:
    assert choose_origins([f"/{host}/tcp/4001/p2p/{PEER}", f"/ip4/8.8.8.8/tcp/4001/p2p/{PEER}"], PEER) == (
        f"/ip4/8.8.8.8/tcp/4001/p2p/{PEER}",
    )


@pytest.mark.parametrize(
    "address",
    [
        "/ip4/8.8.8.8/udp/4001/quic-v1",
        "/ip6/2a00:1450::5/tcp/4001",
        "/ip4/8.8.8.8/udp/4001/quic-v1/webtransport/certhash/uEiA/certhash/uEiB",
        "/dns4/node.nft.storage/tcp/443/wss",
        "/dnsaddr/node.nft.storage",
        "/dns4/8-8-8-8.k51qzi5uqu5dhabc.libp2p.direct/tcp/4001/tls/ws",
        "/dns6/2a00-1450--5.k51qzi5uqu5dhabc.libp2p.direct/tcp/4001/tls/ws",
        f"/ip4/8.8.8.8/tcp/4001/p2p/{RELAY}/p2p-circuit",
    ],
)
def test_a_public_address_is_an_origin_and_ends_in_the_peer_id(address: str) -> None:
    origin = f"{address}/p2p/{PEER}"
    assert choose_origins([address, origin, address + "/", f"{address}/ipfs/{PEER}"], PEER) == (origin,)


def test_relayed_addresses_come_last_and_twenty_is_the_most() -> None:
    relayed = f"/ip4/9.9.9.9/tcp/4001/p2p/{RELAY}/p2p-circuit/p2p/{PEER}"
    direct = [f"/ip4/8.8.8.{n}/tcp/4001/p2p/{PEER}" for n in range(1, 31)]
    assert choose_origins([relayed, *direct[:19]], PEER) == (*direct[:19], relayed)
    assert choose_origins([relayed, *direct], PEER) == tuple(direct[:20])


def test_another_peers_address_is_no_origin() -> None:
    assert choose_origins([f"/ip4/8.8.8.8/tcp/4001/p2p/{RELAY}", "", "rubbish", "/ip4", "/p2p/x"], PEER) == ()


@given(st.lists(st.ip_addresses().map(lambda ip: f"/ip{ip.version}/{ip}/tcp/4001") | st.text(max_size=30), max_size=60))
def test_origins_are_few_distinct_and_end_in_the_peer_id(addresses: list[str]) -> None:
    origins = choose_origins(addresses, PEER)
    assert len(origins) <= 20
    assert len(set(origins)) == len(origins)
    assert all(origin.startswith("/") and origin.endswith(f"/p2p/{PEER}") for origin in origins)
