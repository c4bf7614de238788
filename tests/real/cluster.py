"""A real IPFS Cluster of one peer, with a Kubo node of its own that holds what it pins.

Its pins are in a CRDT, its ids are the CIDs, its lists have no order. Everything listens on loopback alone, on ports
that were free a moment before.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.real.child import Child
from tests.real.kubo import KuboNode

_USER = "pinsync"
_CACHE = 8 << 20  # bytes, in place of the gigabyte that a new configuration gives its database


class ClusterService:
    """The service in `directory`, its output in `directory/cluster.log`; `kubo` is the node that it pins on.

    `binary` is the `ipfs-cluster-service`, `kubo_binary` the `ipfs` (`tests.real.parts`). As a context manager it
    starts on entry and ends on leaving. A pin of which no block came for `pin_timeout` is `pin_error`.
    Without `guarded` nobody is asked for user and password. A stopped service keeps its pins and its addresses.
    """

    def __init__(
        self, binary: Path, kubo_binary: Path, directory: Path, *, guarded: bool = True, pin_timeout: str = "60s"
    ) -> None:
        self.kubo = KuboNode(kubo_binary, directory / "kubo")
        self.url = ""
        """The endpoint of the Pinning Service API, without `/pins`."""
        self.token = f"{_USER}:{secrets.token_urlsafe(16)}"
        """User and password, for `auth = "basic"`."""
        self._guarded = guarded
        self._pin_timeout = pin_timeout
        self._rest = ""
        self._binary = binary
        self._path = directory / "cluster"
        self._log = directory / "cluster.log"
        self._env = {"PATH": os.defpath, "HOME": str(directory), "IPFS_CLUSTER_PATH": str(self._path)}
        self._child: Child | None = None
        self._client: httpx.Client | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the Kubo node, then the peer, and wait until both of its APIs answer."""
        if self._child:
            raise RuntimeError("this service is running already")
        if not self.kubo.running:
            self.kubo.start(offline=False)
        self._configure()
        self._child = Child([self._binary, "--loglevel", "error", "daemon"], log=self._log, env=self._env)
        user, password = self.token.split(":")
        self._client = httpx.Client(auth=(user, password), trust_env=False, timeout=60)
        self._child.wait_until(self._answering, timeout=60)

    def stop(self) -> None:
        """End the peer and its Kubo node."""
        if self._client:
            self._client.close()
        if self._child:
            self._child.stop()
        self._client = self._child = None
        self.kubo.kill()

    def pins(self) -> dict[str, dict[str, Any]]:
        """All pins by CID, by the cluster's own REST API: `{"name", "metadata", "status", …}`.

        `status` is the word of its only peer: `pinned`, `pinning`, `pin_queued`, `pin_error`…
        """
        answer = self._running().get(f"{self._rest}/pins").raise_for_status()
        found = {}
        for line in answer.text.splitlines():
            pin = json.loads(line)
            (peer,) = pin["peer_map"].values()
            found[pin["cid"]] = pin | {"status": peer["status"]}
        return found

    def post(self, cid: str, name: str = "", **options: Any) -> dict[str, Any]:
        """Pin as another user of the cluster would, through its pinning service."""
        body = {"cid": cid, "name": name} | options
        return dict(self._running().post(f"{self.url}/pins", json=body).raise_for_status().json())

    def _configure(self) -> None:
        path = self._path / "service.json"
        if not path.exists():
            command: list[str | Path] = [self._binary, "--loglevel", "error", "init", "--consensus", "crdt"]
            subprocess.run(command, env=self._env, check=True, capture_output=True)
        _, _, port = self.kubo.api_url.rpartition(":")
        config = json.loads(path.read_text())
        config["ipfs_connector"]["ipfshttp"] |= {
            "node_multiaddress": f"/ip4/127.0.0.1/tcp/{port}",
            "pin_timeout": self._pin_timeout,
        }
        if not self.url:
            swarm, rest, service = _free_ports(3)
            user, password = self.token.split(":")
            config["cluster"] |= {"listen_multiaddress": f"/ip4/127.0.0.1/tcp/{swarm}", "mdns_interval": "0s"}
            config["api"].pop("ipfsproxy", None)
            for name, api_port in (("restapi", rest), ("pinsvcapi", service)):
                config["api"][name] |= {
                    "http_listen_multiaddress": f"/ip4/127.0.0.1/tcp/{api_port}",
                    "basic_auth_credentials": {user: password} if self._guarded else None,
                }
            config["datastore"]["pebble"]["pebble_options"] |= {"cache_size_bytes": _CACHE, "mem_table_size": _CACHE}
            self.url, self._rest = f"http://127.0.0.1:{service}", f"http://127.0.0.1:{rest}"
        path.write_text(json.dumps(config, indent=2))

    def _answering(self) -> bool | None:
        try:
            both = [self._running().get(url) for url in (f"{self._rest}/id", f"{self.url}/pins")]
        except httpx.TransportError:
            return None
        return True if all(answer.is_success for answer in both) else None

    def _running(self) -> httpx.Client:
        if self._client is None:
            raise RuntimeError("this service is not running")
        return self._client


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; Cluster cannot be asked which one it took."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
