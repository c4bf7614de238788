"""Answers that do not come, come broken, or come after the effect all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.faults.conftest import Conclude
from tests.faults.service import Service
from tests.faults.stage import Stage
from tests.real.kubo import KuboNode

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

CUTS = ("cut-before", "cut-after", "cut-middle")
WORSE = (*CUTS, "hang", "hang-after", "status:500", "status-after:500", "status-after:502", "html:502", "empty",
         "truncate", "garbage")  # fmt: skip


@pytest.mark.faults
@pytest.mark.parametrize(("actions", "share", "profile", "what"), [
    (CUTS, 0.15, "spec", "answers cut before, in and after the effect"),
    (CUTS, 0.15, "nft.storage", "the same, where ids are CIDs"),
    (WORSE, 0.1, "spec", "no answer, garbage, 500 after the effect"),
])  # fmt: skip
def test_answers_that_go_wrong(
    tmp_path: Path, kubo_node: KuboNode, make_service: Callable[..., Service], random: Random, conclude: Conclude,
    actions: tuple[str, ...], share: float, profile: str, what: str,
) -> None:  # fmt: skip
    go_wrong(tmp_path, kubo_node, make_service, random, conclude, actions, share, profile, what, 400, 12)


def test_answers_that_are_cut(
    tmp_path: Path, kubo_node: KuboNode, make_service: Callable[..., Service], random: Random, conclude: Conclude
) -> None:
    go_wrong(tmp_path, kubo_node, make_service, random, conclude, CUTS, 0.15, "spec", "answers cut", 50, 2)


def go_wrong(
    directory: Path, node: KuboNode, make_service: Callable[..., Service], random: Random, conclude: Conclude,
    actions: tuple[str, ...], share: float, profile: str, what: str, pins: int, rounds: int,
) -> None:  # fmt: skip
    service = make_service(profile, latency=0.005, settle=0.1, list_lag=0.0)
    stage = Stage(directory, node, service, remote='timeout = "1s"\nretry_for = "1s"')
    stage.fill(pins, foreign_too=pins // 20, named=pins // 10)
    service.misbehave(share, actions, random.randrange(10**6))
    for number in range(rounds):
        if number:
            stage.churn(random, unpin=pins // 10, pin=pins // 20, rename=pins // 20)
        stage.run("sync", exits=(0, 1, 3))
    service.misbehave(0)
    times = service.counts()["faults"]
    assert times
    conclude(what, times, stage, once=profile == "spec")
