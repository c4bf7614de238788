"""`pinsync doctor` on real services: the right to write without a trace, and a Cluster on the mirrored node itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from pinsync.clock import SystemClock
from pinsync.doctor.finding import Finding
from pinsync.doctor.patient import Patient, admitted
from pinsync.doctor.remote import remote
from pinsync.model import Safety
from pinsync.remote.client import RemoteClient
from pinsync.remote.cluster import kubo_behind
from pinsync.remote.limits import RateLimiter
from pinsync.remote.rights import may_add, may_remove
from pinsync.settings.model import (
    ConfigFile,
    ManifestSettings,
    MirrorSettings,
    NodeSettings,
    RemoteSettings,
    Schedule,
    Settings,
    StateSettings,
)
from tests.real.cluster import ClusterService
from tests.real.helia import HeliaService
from tests.real.kubo import KuboNode

pytestmark = pytest.mark.services


async def _rights(url: str, auth: Any, token: str) -> tuple[str, str]:
    clock = SystemClock()
    limiter = RateLimiter(clock, None, 8)
    async with RemoteClient(
        "there", url, auth=auth, token=SecretStr(token), clock=clock, limiter=limiter, retry_for=0
    ) as client:
        return (await may_add(client)).may, (await may_remove(client)).may


def rights(url: str, auth: str, token: str) -> tuple[str, str]:
    """May a token add, may it remove?"""
    return asyncio.run(_rights(url, auth, token))


def test_rights_on_helia(helia_packages: Path, kubo_binary: Path, tmp_path: Path) -> None:
    with (
        KuboNode(kubo_binary, tmp_path / "content") as content,
        HeliaService(helia_packages, content.api_url, tmp_path / "helia") as service,
    ):
        assert rights(service.url, "bearer", service.token) == ("yes", "yes")
        assert rights(service.url, "bearer", "wrong")[1] == "no"  # it reads a body before it looks at the token
        assert service.pins() == []


def test_rights_on_cluster_and_a_cluster_that_pins_on_the_mirrored_node(
    cluster_binary: Path, kubo_binary: Path, tmp_path: Path
) -> None:
    service = ClusterService(cluster_binary, kubo_binary, tmp_path, guarded=False)
    service.kubo.init()

    def announce(config: dict[str, Any]) -> None:
        config["Addresses"]["AppendAnnounce"] = ["/ip4/10.1.2.3/tcp/4001"]  # Cluster tells no address of loopback

    service.kubo.change_config(announce)
    with service, KuboNode(kubo_binary, tmp_path / "another") as another:
        assert rights(service.url, "none", "") == ("yes", "yes")
        assert service.pins() == {}
        (cid,) = service.kubo.put_blocks([b"content"])
        service.post(cid)
        port = int(service._rest.rpartition(":")[2])
        assert asyncio.run(kubo_behind(f"{service.url}/pins", port)) == service.kubo.peer_id
        assert until(lambda: _loop(tmp_path, service.url, service.kubo)).result == "fail"
        assert until(lambda: _loop(tmp_path, service.url, another)).result == "ok"


def until(look: Callable[[], Finding]) -> Finding:
    """Cluster tells its peers' addresses once it has measured them."""
    deadline = time.monotonic() + 60
    while (found := look()).result == "skip" and time.monotonic() < deadline:
        time.sleep(0.5)
    return found


def _loop(directory: Path, url: str, node: KuboNode) -> Finding:
    settings = Settings(
        ConfigFile(None, "made by a test"), MirrorSettings(), (NodeSettings(),), ManifestSettings(None),
        StateSettings(directory / "pinsync.db"), Schedule(), Safety(), (RemoteSettings("there", url, auth="none"),),
    )  # fmt: skip

    async def look(patient: Patient) -> Finding:
        (found,) = [one async for one in remote(patient, patient.settings.remotes[0]) if one.check == "loop"]
        return found

    with admitted(settings, {}, SystemClock()) as patient:
        patient.peers["kubo"] = node.peer_id
        return asyncio.run(look(patient))
