"""Real pinning services for the tests with the marker `services`. One that is missing fails the test that needs it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.real import parts

_CACHE = parts.cache_dir()  # before HOME is hidden


@pytest.fixture(scope="session")
def cluster_binary() -> Path:
    """An `ipfs-cluster-service` 1.1.6: `$PINSYNC_TEST_CLUSTER` (set by make), or the cache."""
    named = os.environ.get("PINSYNC_TEST_CLUSTER")
    found = Path(named) if named else parts.find_cluster(_CACHE)
    if found is None or not found.exists():
        pytest.fail(
            f"no IPFS Cluster {parts.CLUSTER_VERSION} in {found or _CACHE}: `make test-services` builds it",
            pytrace=False,
        )
    return found


@pytest.fixture(scope="session")
def helia_packages() -> Path:
    """The directory whose `node_modules` hold Helia and the compliance suite: `$PINSYNC_TEST_HELIA`, or the cache."""
    named = os.environ.get("PINSYNC_TEST_HELIA")
    found = Path(named) if named else parts.find_helia(_CACHE)
    if found is None or not (found / "node_modules").exists():
        pytest.fail(
            f"no Helia and no compliance suite in {found or _CACHE}: `make test-services` installs them", pytrace=False
        )
    return found
