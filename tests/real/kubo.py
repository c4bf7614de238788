"""A real Kubo node to test against: a fresh repository, loopback alone, gone afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from libipld import encode_dag_cbor, encode_multibase

from tests.real.child import Child

EMPTY_DIRECTORY = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"
"""Every new Kubo repository has this pin; a `KuboNode` is rid of it, so that tests count their own alone."""


class KuboError(Exception):
    """The node answered an error; the message is the node's own."""


class KuboNode:
    """A Kubo node in `directory`: its repository is `directory/repo`, its output `directory/kubo.log`.

    Nothing is made before `init()` or `start()`. As a context manager it starts on entry and is killed on leaving.
    The API keeps its address when the node is started again.
    """

    def __init__(self, binary: Path, directory: Path) -> None:
        self.repo = directory / "repo"
        self.api_file = self.repo / "api"
        self.api_url = ""
        self._binary = binary
        self._log = directory / "kubo.log"
        # Nothing of the user's: no proxy, no settings, no repository.
        self._env = {"PATH": os.defpath, "HOME": str(directory), "IPFS_PATH": str(self.repo), "IPFS_TELEMETRY": "off"}
        self._fresh = False
        self._child: Child | None = None
        self._client: httpx.Client | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()

    def init(self) -> None:
        """Make the repository when there is none: random ports on loopback, no bootstrap, no one asked for content."""
        if self.repo.exists():
            return
        self.repo.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([self._binary, "init", "--profile=test"], env=self._env, check=True, capture_output=True)

        def stay_local(config: dict[str, Any]) -> None:
            config["Routing"]["Type"] = "none"
            config["Provide"]["Enabled"] = False
            config["HTTPRetrieval"]["Enabled"] = False

        self.change_config(stay_local)
        self._fresh = True

    def change_config(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Edit the node's configuration in place; it counts from the next start on."""
        path = self.repo / "config"
        config = json.loads(path.read_text())
        change(config)
        path.write_text(json.dumps(config, indent=2))

    @property
    def peer_id(self) -> str:
        """The node's identity, also while it is stopped."""
        return str(json.loads((self.repo / "config").read_text())["Identity"]["PeerID"])

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    def start(self, *, offline: bool = True) -> None:
        """Start the daemon and wait until its API answers. `offline=False` opens the swarm, on loopback."""
        if self.running:
            raise RuntimeError("this node is running already")
        self.init()
        if self.api_file.exists():  # left by a kill
            self.api_file.unlink()
        self._child = Child([self._binary, "daemon", *(["--offline"] if offline else [])], log=self._log, env=self._env)
        multiaddr = self._child.wait_until(self._listening)
        _, _, host, _, port = multiaddr.split("/")
        self.api_url = f"http://{host}:{port}"
        self._client = httpx.Client(base_url=self.api_url, trust_env=False, timeout=60)
        self._child.wait_until(self._answering)

        def keep_address(config: dict[str, Any]) -> None:
            config["Addresses"]["API"] = multiaddr

        self.change_config(keep_address)
        if self._fresh:
            self.unpin(EMPTY_DIRECTORY)
            self._fresh = False

    def stop(self) -> None:
        """End the daemon as a service manager does. `api_url` goes on telling where it was."""
        if self._child:
            self._child.stop()
        self._forget()

    def kill(self) -> None:
        """End the daemon as a power cut does; its `api` file stays behind."""
        if self._child:
            self._child.kill()
        self._forget()

    def rpc(self, command: str, *arguments: str, files: Any = None, **options: str) -> httpx.Response:
        """`POST /api/v0/COMMAND?arg=…&option=…`, read to its end. Raises `KuboError`, `httpx.TransportError`."""
        if self._client is None:
            raise RuntimeError("this node is not running")
        parameters = httpx.QueryParams([*(("arg", argument) for argument in arguments), *options.items()])
        # Importing and listing 100 000 pins takes minutes on a slow machine.
        response = self._client.post(f"/api/v0/{command}", params=parameters, files=files, timeout=600)
        if response.is_error:
            raise KuboError(f"{command}: {response.status_code}: {response.text.strip()}")
        return response

    def add_pins(self, n: int, *, prefix: str = "pin", names: Sequence[str] = ()) -> list[str]:
        """Pin `n` new blocks of a few bytes recursively, and answer their CIDs (CIDv1, raw).

        The blocks are `PREFIX-0`, `PREFIX-1`…, so that the same call gives the same CIDs on every node. The first
        ones get `names`, one request each; the others are without a name.
        """
        if len(names) > n:
            raise ValueError(f"{len(names)} names for {n} pins")
        keys, car = _car([f"{prefix}-{i}".encode() for i in range(n)])
        answer = self.rpc("dag/import", files={"path": car}, **{"pin-roots": "true"})
        for line in answer.text.splitlines():
            if error := json.loads(line).get("Root", {}).get("PinErrorMsg"):
                raise KuboError(f"dag/import: {error}")
        cids = [str(encode_multibase("b", key)) for key in keys]
        for cid, name in zip(cids, names, strict=False):
            self.pin(cid, name)
        return cids

    def put_blocks(self, blocks: Sequence[bytes]) -> list[str]:
        """Store raw blocks without pinning them, and answer their CIDs (CIDv1)."""
        keys, car = _car(blocks)
        self.rpc("dag/import", files={"path": car}, **{"pin-roots": "false"})
        return [str(encode_multibase("b", key)) for key in keys]

    def add_bytes(self, data: bytes) -> str:
        """Store and pin one file; its CID (CIDv1)."""
        answer = self.rpc("add", files={"file": data}, pin="true", quieter="true", **{"cid-version": "1"})
        return str(answer.json()["Hash"])

    def pin(self, cid: str, name: str | None = None) -> None:
        """Pin recursively, or give a pin another name."""
        self.rpc("pin/add", cid, **({} if name is None else {"name": name}))

    def unpin(self, cid: str) -> None:
        self.rpc("pin/rm", cid)

    def pins(self) -> set[str]:
        """The CIDs of all recursive pins, in one answer that is whole or an error."""
        return set(self.rpc("pin/ls", type="recursive").json().get("Keys") or ())

    def names(self) -> dict[str, str]:
        """The names of all recursive pins by CID; empty for those without."""
        keys = self.rpc("pin/ls", type="recursive", names="true").json().get("Keys") or {}
        return {cid: pin.get("Name", "") for cid, pin in keys.items()}

    def _listening(self) -> str | None:
        # The file is made and then filled: until the line is whole there is nothing to read.
        text = self.api_file.read_text() if self.api_file.exists() else ""
        return text if text.count("/") == 4 and text.rpartition("/")[2].isdigit() else None

    def _answering(self) -> bool | None:
        try:
            self.rpc("id")
        except (KuboError, httpx.TransportError):
            return None
        return True

    def _forget(self) -> None:
        if self._client:
            self._client.close()
        self._client = self._child = None


def _car(blocks: Sequence[bytes]) -> tuple[list[bytes], bytes]:
    """The CIDs of raw blocks in binary, and a CARv1 of them in which each is a root."""
    keys = [b"\x01\x55\x12\x20" + hashlib.sha256(block).digest() for block in blocks]
    header = encode_dag_cbor({"roots": keys, "version": 1})
    sections = (header, *(key + block for key, block in zip(keys, blocks, strict=True)))
    return keys, b"".join(_varint(len(section)) + section for section in sections)


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
