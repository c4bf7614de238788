"""A machine's clock that is set, forward and back, while everything goes on. The service's clock stays right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.faults.conftest import Conclude
from tests.faults.service import Service
from tests.faults.stage import Stage, set_clock, wait_until
from tests.real.kubo import KuboNode

pytestmark = [pytest.mark.real, pytest.mark.faults, pytest.mark.timeout(900)]

HOUR, DAY = 3600.0, 86400.0
JUMPS = (HOUR, -HOUR, 30 * DAY, 0.0, -30 * DAY, 0.0, -5.0, 400 * DAY, -400 * DAY, 0.0)


def test_a_clock_that_is_set_while_pins_come_and_go(
    tmp_path: Path, kubo_node: KuboNode, make_service: Callable[..., Service], random: Random, conclude: Conclude
) -> None:
    clock = tmp_path / "clock"
    set_clock(clock, 0)
    service = make_service("spec", latency=0.01, settle=0.1)
    stage = Stage(tmp_path, kubo_node, service, clock=clock, every="1s")
    stage.fill(300, foreign_too=20)
    daemon = stage.ready(stage.start("run"))
    for jump in JUMPS:
        stage.churn(random, unpin=30, pin=15, rename=15)
        stage.until_requests(random.randint(1, 60), alive=daemon)
        set_clock(clock, jump)
        ended = passes_ended(stage)
        wait_until(lambda ended=ended: passes_ended(stage) > ended + 1, "two more passes", alive=daemon)  # type: ignore[misc]
    daemon.stop()
    conclude("the clock set, a daemon under way", len(JUMPS), stage)


def passes_ended(stage: Stage) -> int:
    return int(stage.ask_ledger("SELECT count(*) FROM runs WHERE finished_at IS NOT NULL"))


def test_grace_is_not_over_because_a_clock_is_wrong(
    tmp_path: Path, kubo_node: KuboNode, make_service: Callable[..., Service], random: Random, conclude: Conclude
) -> None:
    clock = tmp_path / "clock"
    set_clock(clock, 0)
    service = make_service("spec", settle=0.1)
    stage = Stage(tmp_path, kubo_node, service, clock=clock, safety='grace = "7d"\nmax_removal_share = 100')
    cids = stage.fill(200)
    stage.settle()
    gone = cids[:20]
    stage.unpin(gone)
    stage.run("sync", exits=(3,))
    for jump in (8 * DAY, 0.0, -8 * DAY, 0.0, 3650 * DAY, 0.0):
        set_clock(clock, jump)
        for _ in range(3):
            stage.run("sync", exits=(0, 1, 3, 4))
            assert stage.there() >= {*gone}, f"removed in its grace, by a clock that was wrong by {jump / DAY:g} days"
    stage.pin(gone)
    conclude("grace, and a clock that is wrong", 3, stage)


def test_what_waited_by_a_wrong_clock_does_not_wait_for_ever(
    tmp_path: Path, kubo_node: KuboNode, make_service: Callable[..., Service], random: Random, conclude: Conclude
) -> None:
    """A service that refuses and fails pins while the clock is a year ahead; then it is set right."""
    clock = tmp_path / "clock"
    set_clock(clock, 400 * DAY)
    service = make_service("spec", settle=0.0)
    stage = Stage(tmp_path, kubo_node, service, clock=clock)
    stage.fill(60, foreign_too=5)
    service.become(fails=["*q"])
    stage.run("sync", exits=(1,))
    stage.churn(random, unpin=10, pin=0, rename=10)
    for closed in ("maintenance", "full"):
        service.become(closed=closed)
        stage.run("sync", exits=(1,))
    service.become(closed="", fails=[])
    for days in (0.0, 1.0, 2.0):  # by the right clock, every pause is over in a day at the most
        set_clock(clock, days * DAY)
        stage.run("sync", exits=(0, 1, 3))
    conclude("pauses begun by a clock a year ahead", 1, stage)
