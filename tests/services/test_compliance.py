"""The emulator, by the public compliance suite's own word."""

from __future__ import annotations

from pathlib import Path

import pytest

from pinsync.emulator.server import EmulatorServer
from tests.services.compliance import CHECKS, comply

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

TOKEN = "c0mpliance"


def test_the_emulator_complies_with_the_specification(helia_packages: Path, tmp_path: Path) -> None:
    with EmulatorServer("spec", token=TOKEN) as server:
        verdict = comply(helia_packages, server.url, TOKEN, tmp_path / "suite")
    assert (verdict.passed, verdict.failed) == (CHECKS, 0), verdict.said
