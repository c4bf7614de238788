"""What every test may ask for: real parts, and a world without the user's own settings.

A real part that is missing fails the test that needs it, and never skips it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.real import parts
from tests.real.kubo import KuboNode
from tests.real.mock_service import MockService

# HYPOTHESIS_PROFILE=thorough looks longer. Under CI the examples are the same at every run, so that a change fails for
# what it did; people's own runs find new ones.
settings.register_profile(
    "default",
    max_examples=60,
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],  # two cores, shared by workers
)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=2000, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

_CACHE = parts.cache_dir()  # before HOME is hidden

# Variables of the person's own that would change what pinsync does.
_PREFIXES = ("PINSYNC_", "XDG_", "IPFS_")
_NAMES = {
    *("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "all_proxy", "http_proxy", "https_proxy", "no_proxy"),
    *(
        "CREDENTIALS_DIRECTORY",
        "RUNTIME_DIRECTORY",
        "STATE_DIRECTORY",
        "NOTIFY_SOCKET",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
    ),
    *("COLUMNS", "FORCE_COLOR", "NO_COLOR"),
}


@pytest.fixture(scope="session", autouse=True)
def nobody_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty home directory, and none of the variables by which a user steers pinsync; answers the directory."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name in _NAMES or (name.startswith(_PREFIXES) and not name.startswith("PINSYNC_TEST_")):
                patch.delenv(name)
        patch.setenv("HOME", str(home))
        yield home


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """What a command set up for its log writes to a stream that is closed after the test."""
    log = logging.getLogger("pinsync")
    before = log.handlers[:], log.level, log.propagate
    yield
    log.handlers[:], log.propagate = before[0], before[2]
    log.setLevel(before[1])


@pytest.fixture(scope="session")
def kubo_binary() -> Path:
    """The `ipfs` of a Kubo 0.42: `$PINSYNC_TEST_KUBO` (set by make), or one in PATH or in the cache."""
    named = os.environ.get("PINSYNC_TEST_KUBO")
    found = Path(named) if named else parts.find_kubo(_CACHE)
    if found is None or not found.exists():
        where = f"at {named}, which PINSYNC_TEST_KUBO names" if named else "in PATH or in the cache"
        pytest.fail(
            f"no Kubo {parts.KUBO_VERSION} {where}: `make test` gets one; "
            "`make test-unit` runs the tests that need none",
            pytrace=False,
        )
    return found


@pytest.fixture(scope="session")
def npm_packages() -> Path:
    """The directory whose `node_modules` hold the pinning services: `$PINSYNC_TEST_NPM` (set by make), or the cache."""
    named = os.environ.get("PINSYNC_TEST_NPM")
    found = Path(named) if named else parts.find_npm(_CACHE)
    if found is None or not (found / "node_modules").exists():
        pytest.fail(
            f"no pinning service from npm in {found or _CACHE}: `make test` installs it; "
            "`make test-unit` runs the tests that need none",
            pytrace=False,
        )
    return found


@pytest.fixture
def make_kubo(kubo_binary: Path, tmp_path: Path) -> Iterator[Callable[[], KuboNode]]:
    """Makes fresh Kubo nodes, not started; all are killed after the test.

    Where one node for a module will do, use `with KuboNode(kubo_binary, tmp_path_factory.mktemp("kubo"))` in a fixture.
    """
    with ExitStack() as nodes:
        count = 0

        def make() -> KuboNode:
            nonlocal count
            count += 1
            node = KuboNode(kubo_binary, tmp_path / f"kubo-{count}")
            nodes.callback(node.kill)
            return node

        yield make


@pytest.fixture
def kubo_node(make_kubo: Callable[[], KuboNode]) -> KuboNode:
    """A fresh, empty Kubo node, running offline."""
    node = make_kubo()
    node.start()
    return node


@pytest.fixture
def mock_service(npm_packages: Path, tmp_path: Path) -> Iterator[MockService]:
    """A fresh, empty mock-ipfs-pinning-service, running."""
    with MockService(npm_packages, tmp_path / "mock") as service:
        yield service
