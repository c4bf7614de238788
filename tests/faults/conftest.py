"""What the tests of faults share, and the table that `make test-faults` ends with."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, Protocol

import pytest

from tests.faults.service import Service
from tests.faults.stage import Stage

_HEAD = ("fault", "times", "passes", "requests", "verdict", "seconds", "seed")
_ROW = "fault"


class Conclude(Protocol):
    """Settle a stage and fail the test where something is wrong then; `times` is how often the fault happened."""

    def __call__(self, fault: str, times: int, stage: Stage, *, once: bool = False) -> None: ...


@pytest.fixture
def seed() -> int:
    """What all chance in a test comes from: `$PINSYNC_TEST_SEED`, or made up. It is in the table."""
    return int(os.environ.get("PINSYNC_TEST_SEED") or SystemRandom().randrange(10**6))


@pytest.fixture
def random(seed: int) -> Random:
    return Random(seed)


@pytest.fixture
def make_service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts a pinning service (`Service`); it ends with the test."""
    with ExitStack() as services:

        def make(name: str = "spec", **more: Any) -> Service:
            return services.enter_context(Service(tmp_path, name, **more))

        yield make


@pytest.fixture
def conclude(request: pytest.FixtureRequest, seed: int) -> Conclude:
    begun = time.monotonic()

    def concluded(fault: str, times: int, stage: Stage, *, once: bool = False) -> None:
        wrong = ["it was not got to"]
        try:
            stage.settle()
            wrong = stage.verdict(once=once)
        finally:
            seconds = time.monotonic() - begun
            found = f"{len(wrong)} wrong: {wrong[0]}"[:60] if wrong else "ok"
            row = (fault, times, stage.passes(), stage.requests(), found, f"{seconds:.0f}", seed)
            request.node.user_properties.append((_ROW, list(map(str, row))))
        assert wrong == [], f"seed {seed}"

    return concluded


def pytest_terminal_summary(terminalreporter: Any) -> None:
    rows = []
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            if "tests/faults/" not in report.nodeid:
                continue
            found = [value for name, value in report.user_properties if name == _ROW]
            failed = [report.nodeid.rpartition("::")[2], "", "", "", "FAILED", f"{report.duration:.0f}", ""]
            rows += found or ([failed] if outcome == "failed" and report.when == "call" else [])
    if not rows:
        return
    rows.sort()
    widths = [max(len(row[column]) for row in (_HEAD, *rows)) for column in range(len(_HEAD))]
    terminalreporter.write_sep("=", "what happened to it, and what came of it")
    for row in (_HEAD, *rows):
        terminalreporter.write_line(
            "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        )
