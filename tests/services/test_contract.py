"""The contract: what pinsync must achieve on every pinning service, emulated and real."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.real.cluster import ClusterService
from tests.real.helia import HeliaService
from tests.real.kubo import KuboNode
from tests.real.mock_service import MockService
from tests.services.contract import CHECKS, NATURES, PROFILES, REAL, Check, failed_retry
from tests.services.real_stages import RealCluster, RealHelia, RealMock
from tests.services.stage import Emulated

contract = pytest.mark.parametrize("check", CHECKS.values(), ids=lambda check: check.__name__)


def test_every_profile_is_under_contract() -> None:
    assert NATURES.keys() == PROFILES.keys()


@contract
@pytest.mark.parametrize("profile", NATURES)
def test_on_the_emulator(check: Check, profile: str, tmp_path: Path) -> None:
    check(Emulated(tmp_path, PROFILES[profile]), NATURES[profile])


@pytest.fixture
def content(make_kubo: Callable[[], KuboNode]) -> KuboNode:
    """A Kubo node that real services fetch blocks from."""
    node = make_kubo()
    node.start(offline=False)
    return node


@pytest.mark.services
@contract
def test_on_the_real_mock_service(check: Check, mock_service: MockService, tmp_path: Path) -> None:
    check(RealMock(tmp_path, mock_service), REAL["mock"])


@pytest.mark.services
@contract
def test_on_real_helia(check: Check, helia_packages: Path, content: KuboNode, tmp_path: Path) -> None:
    with HeliaService(helia_packages, content.api_url, tmp_path / "helia") as service:
        check(RealHelia(tmp_path, service, content), REAL["helia"])


@pytest.mark.services
@contract
def test_on_a_real_cluster(
    check: Check, cluster_binary: Path, kubo_binary: Path, content: KuboNode, tmp_path: Path
) -> None:
    patience = "5s" if check is failed_retry else "60s"
    with ClusterService(cluster_binary, kubo_binary, tmp_path / "cluster", pin_timeout=patience) as service:
        check(RealCluster(tmp_path, service, content), REAL["cluster"])
