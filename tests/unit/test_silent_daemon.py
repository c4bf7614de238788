"""A daemon that mirrors without its control socket is seen all the same."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pinsync.cli.render_status import status_lines
from pinsync.cli.standing import read
from pinsync.cli.text import plain
from pinsync.doctor import state as doctor_state
from pinsync.doctor.finding import gathered
from pinsync.doctor.machine import DAEMON, daemon
from pinsync.doctor.patient import admitted
from pinsync.ledger.lock import StateLock, lock_of
from tests.unit.service_kit import Rig, cid, manifest


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A daemon that mirrors, with a file where its socket should be."""
    with Rig(tmp_path) as made:
        made.pins.write_text(manifest(1))
        (made.directory / "state").mkdir()
        (made.directory / "state/pinsync.sock").write_text("in the way")
        made.start()
        yield made


def test_status_says_that_it_runs_why_it_does_not_answer_and_what_to_do(rig: Rig) -> None:
    assert rig.there() == {cid(1)}
    found, code = read(rig.load(), None)
    assert code == 0
    assert found["daemon"] | {"error": ""} == {"running": True, "answers": False, "pid": os.getpid(), "error": ""}
    shown = "\n".join(map(plain, status_lines(found, width=None, now=0.0, verbose=False)))
    needs = shown.partition("Needs a person")[2]
    assert "pinsync.sock is in the way of the control socket" in needs
    assert "Move it away" in needs
    assert "not running" not in shown


def test_doctor_says_so_too(rig: Rig) -> None:
    with admitted(rig.load(), rig.env, rig.clock) as patient:
        [one] = asyncio.run(gathered(DAEMON, "answers", daemon(patient)))
        assert (one.check, one.result) == ("answers", "fail")
        assert "pinsync.sock is in the way" in one.found


def test_a_pass_by_hand_is_no_daemon(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        lock = StateLock(tmp_path / "state/pinsync.db")
        lock.acquire("sync")
        try:
            assert read(rig.load(), None)[0]["daemon"] == {"running": False}
        finally:
            lock.release()


def test_doctor_does_not_call_a_lock_free_that_it_may_not_read(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = lock_of(rig.load().state.path)
    opens = Path.open

    def opened(path: Path, *args: str, **more: str) -> object:
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return opens(path, *args, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", opened)
    monkeypatch.setattr(doctor_state, "holder", lambda path: None)
    with admitted(rig.load(), rig.env, rig.clock) as patient:
        one = doctor_state._lock(patient)
    assert (one.result, one.elsewhere) == ("skip", True)
    assert "free" not in one.found
