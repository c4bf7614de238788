"""Processes that end without a word, or stand still: pinsync itself, the node, the service."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.faults.conftest import Conclude
from tests.faults.cutter import Cutter
from tests.faults.service import Service
from tests.faults.stage import Stage, wait_until
from tests.real.kubo import KuboNode

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
faults = pytest.mark.faults

LATENCY = 0.02  # seconds


def killed(
    stage: Stage, random: Random, times: int, span: int, between: Callable[[int], None] = lambda number: None
) -> None:
    """Start daemons and `sync`s and kill each at a random moment, until `times` have been hit while they lived.

    Most are killed at the service's next `span` requests or a little after one, some while they start or end.
    """
    hit = 0
    while hit < times:
        between(hit)
        child = stage.start("run" if random.random() < 0.5 else "sync")
        if random.random() < 0.15:
            time.sleep(random.uniform(0, 0.8))
        else:
            # A daemon that has nothing more to ask is killed too.
            stage.until_requests(random.randint(1, span), alive=child, patience=5)
            time.sleep(random.uniform(0, 2 * LATENCY))
        hit += child.running
        child.kill()


@faults
def test_kill_9_a_hundred_times_while_2000_pins_are_mirrored(
    tmp_path: Path, kubo_node: KuboNode, make_service: Callable[..., Service], random: Random, conclude: Conclude
) -> None:
    service = make_service("spec", latency=LATENCY, settle=0.1)  # each POST makes a pin: what is posted twice shows
    stage = Stage(tmp_path, kubo_node, service)
    stage.fill(2000, foreign_too=50, named=100)
    killed(stage, random, 100, 60)
    assert len(stage.there()) < 2030, "there was nothing left to be killed in"
    conclude("kill -9, first mirror of 2000", 100, stage, once=True)


@faults
@pytest.mark.parametrize("profile", ["spec", "nft.storage"])
def test_kill_9_while_pins_come_and_go_and_change_their_names(
    tmp_path: Path, kubo_node: KuboNode, make_service: Callable[..., Service], random: Random, conclude: Conclude,
    profile: str,
) -> None:  # fmt: skip
    # Pinning takes longer than most processes live: the old pin of an update must outlive them too.
    service = make_service(profile, latency=LATENCY, settle=2.0, list_lag=0.0)
    stage = Stage(tmp_path, kubo_node, service)
    stage.fill(400, foreign_too=20, named=40)
    stage.settle()

    def between(number: int) -> None:
        if number % 3 == 0:
            stage.churn(random, unpin=40, pin=20, rename=30)

    killed(stage, random, 40, 80, between)
    conclude(f"kill -9, adds, removals, renames ({profile})", 40, stage)


@faults
def test_kill_9_where_the_service_acts_long_after_the_request(
    tmp_path: Path, kubo_node: KuboNode, make_service: Callable[..., Service], random: Random, conclude: Conclude
) -> None:
    """What was under way at the kill has its effect while the next process reads, plans or posts."""
    service = make_service("spec", settle=0.1)
    stage = Stage(tmp_path, kubo_node, service)
    stage.fill(400, foreign_too=20, named=40)

    def between(number: int) -> None:
        if number % 5 == 4:
            stage.churn(random, unpin=30, pin=15, rename=15)

    service.late(1.0)
    killed(stage, random, 20, 60, between)
    time.sleep(1.5)  # what is still to come
    service.late(0.0)
    conclude("kill -9, effects a second late", 20, stage)


@faults
def test_kill_9_of_the_service_in_the_middle_of_everything(
    tmp_path: Path, kubo_node: KuboNode, make_service: Callable[..., Service], random: Random, conclude: Conclude
) -> None:
    service = make_service("spec", latency=LATENCY, settle=0.1)
    stage = Stage(tmp_path, kubo_node, service, every="1s")
    stage.fill(400, foreign_too=20)
    stage.settle()
    daemon = stage.ready(stage.start("run"))
    for _ in range(8):
        stage.churn(random, unpin=40, pin=20, rename=20)
        stage.until_requests(random.randint(5, 90), alive=daemon)
        service.kill()
        service.start()
    daemon.stop()
    conclude("the service killed and back", 8, stage)


@faults
def test_stopped_for_longer_than_every_timeout(
    tmp_path: Path, kubo_node: KuboNode, make_service: Callable[..., Service], random: Random, conclude: Conclude
) -> None:
    stand_still(tmp_path, kubo_node, make_service, random, conclude, pins=400, times=6)


def test_stopped_once_in_the_middle(
    tmp_path: Path, kubo_node: KuboNode, make_service: Callable[..., Service], random: Random, conclude: Conclude
) -> None:
    stand_still(tmp_path, kubo_node, make_service, random, conclude, pins=100, times=1)


def stand_still(
    directory: Path, node: KuboNode, make_service: Callable[..., Service], random: Random, conclude: Conclude,
    *, pins: int, times: int,
) -> None:  # fmt: skip
    service = make_service("spec", latency=LATENCY, settle=0.1)
    stage = Stage(directory, node, service, every="1s", remote='timeout = "1s"\nretry_for = "1s"')
    stage.fill(pins, foreign_too=10)
    daemon = stage.ready(stage.start("run"))
    for number in range(times):
        if number:
            stage.churn(random, unpin=pins // 8, pin=pins // 16, rename=pins // 16)
        stage.until_requests(random.randint(5, pins // 4), alive=daemon)
        os.kill(daemon.pid, signal.SIGSTOP)
        time.sleep(1.5)  # the fault itself: longer than the timeout of every request
        os.kill(daemon.pid, signal.SIGCONT)
    assert daemon.running
    daemon.stop()
    conclude("SIGSTOP past all timeouts, SIGCONT", times, stage)


@faults
def test_the_node_killed_in_the_middle_of_its_list(
    tmp_path: Path, kubo_node: KuboNode, make_service: Callable[..., Service], random: Random, conclude: Conclude
) -> None:
    service = make_service("spec", settle=0.1)
    with Cutter(kubo_node.api_url) as cutter:
        stage = Stage(tmp_path, kubo_node, service, api=cutter.url)
        cids = stage.fill(2000, foreign_too=50)
        stage.settle()
        times = 0
        for number in range(12):
            if number % 2:  # something to remove, were the list believed
                stage.unpin(random.sample(sorted(stage.wanted.keys() - set(cids[-50:])), 20))
            before = len(stage.there())
            cutter.hold_after(random.randint(2_000, 60_000))
            process = stage.start("sync")
            assert wait_until(lambda: cutter.held, "the list to be under way", alive=process)
            # A node that is stopped ends its list as though it were whole; one that is killed cuts it off.
            end = threading.Thread(target=kubo_node.kill if number % 4 < 2 else kubo_node.stop)
            end.start()
            time.sleep(random.uniform(0, 0.1))
            cutter.release()
            end.join()
            if number % 3 == 0:
                kubo_node.start()  # and back while the pass still asks for it
            wait_until(lambda process=process: not process.running, "the pass to end")  # type: ignore[misc]
            process.kill()
            if kubo_node.running:
                assert stage.there() >= stage.wanted.keys(), "something was removed on half a list"
            else:
                assert len(stage.there()) == before, "something was removed while the node was away"
                kubo_node.start()
            times += 1
            stage.run("sync", exits=(0, 3))
        conclude("the node killed or stopped in mid-list", times, stage)
