"""`pinsync doctor` on a real Kubo node and a pinning service that others wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pinsync.cli.main import main
from tests.real.kubo import KuboNode
from tests.real.mock_service import MockService

pytestmark = pytest.mark.real


class Doctor:
    """A configuration over a node and a service, and what the doctor finds of it."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.config = directory / "config.toml"
        self._capsys = capsys

    def run(self, *args: str) -> tuple[int, dict[str, Any]]:
        code = main(["--config", str(self.config), *args, "--json"])
        out, err = self._capsys.readouterr()
        assert "Traceback" not in err
        return code, json.loads(out)

    def found(self, code: int = 0) -> dict[tuple[str, str], str]:
        got, found = self.run("doctor")
        assert got == code, [one for one in found["checks"] if one["result"] in ("warn", "fail")]
        return {(one["about"], one["check"]): f"{one['result']}: {one['found']}" for one in found["checks"]}


def test_a_real_node_and_a_real_service(
    kubo_node: KuboNode, mock_service: MockService, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    pins = kubo_node.put_blocks([b"%d" % number for number in range(7)])
    for pin in pins:
        kubo_node.rpc("pin/add", pin)
    monkeypatch.setenv("IPFS_PATH", str(kubo_node.repo))
    monkeypatch.setenv("PINSYNC_TOKEN_MOCK", mock_service.token)
    doctor = Doctor(tmp_path, capsys)

    kubo_node.rpc("pin/remote/service/add", "mine", "https://pins.example/psa", "a-key")
    assert "mine (https://pins.example/psa)" in doctor.found(code=2)["node kubo", "services of Kubo"]

    doctor.config.write_text(
        f'[state]\npath = "state/pinsync.db"\n[[remote]]\nname = "mock"\nendpoint = "{mock_service.url}"\n'
    )
    found = doctor.found()
    assert found["node kubo", "address"].endswith(f"by the file {kubo_node.api_file}")
    assert "Kubo 0.42.0" in found["node kubo", "reachable"]
    assert kubo_node.peer_id in found["node kubo", "identity"]
    assert "7 recursive pins read" in found["node kubo", "pins"]
    assert found["remote mock", "add"].startswith("ok: ") and found["remote mock", "remove"].startswith("ok: ")
    assert found["remote mock", "clock"] == "ok: its clock agrees with ours"
    assert mock_service.pins() == []
    assert len(mock_service.requests()) <= 5

    for _ in range(2):  # this service takes its time, and a listing shows what was there before its pass
        assert doctor.run("sync")[0] == 3
    found = doctor.found()
    assert len(mock_service.pins()) == 7
    assert "as at the last good pass" in found["node kubo", "identity"]
    assert "7 pins after the last whole listing" in found["remote mock", "list"]
    assert found["mirror", "verdict"] == "ok: converging"

    kubo_node.kill()
    assert doctor.found(code=1)["node kubo", "reachable"].startswith("fail: ")
