"""The watchdog hears of real progress: a pass that hangs is not alive because a ticker is."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pinsync.house import State, run_pass
from pinsync.model import Rate
from pinsync.remote.limits import RateLimiter
from pinsync.service import runner
from pinsync.service.pulse import Pulse, patience
from pinsync.steps.report import PassReport
from pinsync.world import World
from tests.unit.service_kit import HandClock, Rig, cid, manifest, until

LIMIT = 180  # seconds that the service manager waits


class Manager:
    """A service manager that listens."""

    def __init__(self, directory: Path) -> None:
        self.path = str(directory / "notify")
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(self.path)
        self._sock.setblocking(False)

    def alive(self) -> bool:
        """Whether a sign of life came since the last look."""
        found = False
        while True:
            try:
                found = self._sock.recv(4096) == b"WATCHDOG=1" or found
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._sock.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with closing(Manager(tmp_path)) as made:
        yield made


@pytest.fixture
def rig(tmp_path: Path, manager: Manager) -> Iterator[Rig]:
    env = {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": str(LIMIT * 1_000_000)}
    with Rig(tmp_path, clock=HandClock(), every="10h", **env) as made:
        made.pins.write_text(manifest(1))
        yield made


def pass_time(rig: Rig, seconds: float) -> None:
    assert isinstance(rig.clock, HandClock)
    rig.clock.advance(seconds)


def test_an_idle_daemon_lives(rig: Rig, manager: Manager) -> None:
    rig.start()
    for _ in range(3):
        manager.alive()
        pass_time(rig, 3600)
        until(manager.alive, "a sign of life")
    assert not rig.log.count("nothing has moved")


def test_a_pass_that_hangs_is_not_called_alive_until_it_moves_again(
    rig: Rig, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on: list[asyncio.Event] = []

    async def hanging(world: World, state: State, *, trigger: str, only: str | None = None) -> PassReport:
        go_on.append(asyncio.Event())
        await go_on[-1].wait()
        return await run_pass(world, state, trigger=trigger, only=only)

    monkeypatch.setattr(runner, "run_pass", hanging)
    rig.begin()
    until(lambda: go_on, "the pass")
    allowed = patience(rig.load()) + LIMIT
    pass_time(rig, allowed - 3)
    until(manager.alive, "a sign of life within what timeouts allow")
    pass_time(rig, 6)
    rig.log.wait("nothing has moved")
    manager.alive()
    for _ in range(3):
        asked = rig.log.count("hold what they held")
        rig.pins.touch()
        until(lambda before=asked: rig.log.count("hold what they held") > before, "the loop, which lives")  # type: ignore[misc]
        pass_time(rig, 3)
    assert not manager.alive()
    rig.call(lambda daemon: go_on[-1].set())
    until(lambda: rig.passes() == 1)
    pass_time(rig, 3)
    until(manager.alive, "a sign of life after it went on")
    assert rig.there() == {cid(1)}
    assert rig.log.count("nothing has moved") == rig.log.count("the work goes on") == 1


def test_waiting_for_a_rate_limit_is_no_silence() -> None:
    clock = HandClock()
    pulse = Pulse(clock)
    assert pulse.silent_for([]) == 0
    pulse.beat()
    clock.advance(50)
    assert pulse.silent_for([]) == 50

    async def scenario() -> None:
        limiter = RateLimiter(clock, Rate(1, 3600), 1)
        assert pulse.silent_for([limiter]) == 50
        async with limiter.slot():
            pass
        assert pulse.silent_for([limiter]) == 0

        async def second() -> None:
            async with limiter.slot():
                pass

        task = asyncio.create_task(second())
        await asyncio.sleep(0.01)
        clock.advance(3500)
        assert pulse.silent_for([limiter]) == 0
        clock.advance(207.2)  # the slot was free after 3607.2 s
        assert pulse.silent_for([limiter]) == pytest.approx(100)
        await task
        assert pulse.silent_for([limiter]) == 0
        pulse.rest()
        clock.advance(10_000)
        assert pulse.silent_for([limiter]) == 0

    asyncio.run(scenario())
