"""What the fuzzing starts ends with its tests: others look at threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz import control


@pytest.fixture(scope="package", autouse=True)
def _no_daemon_is_left() -> Iterator[None]:
    yield
    control.end()
