"""What a signal makes of a pass of `pinsync sync`: changes in flight end, and nothing else is waited for."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from pinsync import ending
from pinsync.cli.passes import Stopped, until_signalled
from pinsync.clock import SystemClock
from pinsync.house import House
from pinsync.remote.limits import RateLimiter
from pinsync.settings import load

_LONG = 30.0  # seconds; far beyond what any of this takes


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    config = tmp_path / "config.toml"
    config.write_text('[[remote]]\nname = "away"\nendpoint = "http://127.0.0.1:1"\n')
    monkeypatch.setattr(ending, "GRACE", 2 * _LONG)
    made = House(load(config, env={"HOME": str(tmp_path)}), {})
    made.limiters["away"] = RateLimiter(SystemClock(), None, 8)
    return made


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_a_remote_that_is_away_is_not_waited_for(house: House) -> None:
    async def work() -> None:
        interrupt()
        await asyncio.wait_for(asyncio.Event().wait(), _LONG)  # another try, the rate limit, a list that does not come

    with pytest.raises(Stopped) as stopped:
        until_signalled(work, house, lambda: None)
    assert stopped.value.exit_code == 130
    assert house.stop.is_set()


def test_a_change_in_flight_is_waited_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "_LOOK", 0.001)

    async def work() -> str:
        with house.limiters["away"].finishing():
            interrupt()
            for _ in range(100):  # far more than it takes to be called idle
                await asyncio.sleep(0.001)
            return "noted"

    assert until_signalled(work, house, lambda: None) == ("noted", signal.SIGINT)


def test_a_second_signal_waits_for_nothing(house: House) -> None:
    async def work() -> None:
        with house.limiters["away"].finishing():
            interrupt()
            await house.stop.wait()
            interrupt()
            await asyncio.wait_for(asyncio.Event().wait(), _LONG)

    with pytest.raises(Stopped):
        until_signalled(work, house, lambda: None)
