"""The verdict on a stage, and the soak's on growth, find what is wrong: else they would prove nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from pinsync.ledger.store import Store
from tests.faults.service import TOKEN, Service
from tests.faults.soak import TABLES, Sample, grown
from tests.faults.stage import Stage
from tests.mirror import cid
from tests.real.kubo import KuboNode


@pytest.mark.real
def test_a_verdict_finds_what_is_wrong(
    tmp_path: Path, kubo_node: KuboNode, make_service: Callable[..., Service]
) -> None:
    service = make_service("spec", settle=0.0)
    stage = Stage(tmp_path, kubo_node, service, mirror_id="here")
    cids = stage.fill(20)
    stage.settle()
    assert stage.verdict(once=True) == []

    ids = {pin["cid"]: pin["requestid"] for pin in service.pins()}
    with httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False) as other:
        for gone in (cids[0], stage.foreign[0]["cid"]):
            assert other.delete(f"/pins/{ids[gone]}").status_code == 202
        for more in (cids[1], cid("nobody wants this")):
            assert other.post("/pins", json={"cid": more, "meta": {"pinsync": "here"}}).status_code == 202
    store = Store.open(stage.state)
    columns = "remote, kind, step, key, cid, at, state"
    store.execute(f"INSERT INTO journal ({columns}) VALUES ('x', 'add', 'post', x'', '', 0, 'open')")
    store.close()
    said = "\n".join(stage.verdict(once=True))
    for part in (
        "1 foreign pins were harmed", f"{cids[0]} is there 0 times", f"{cids[1]} is there 2 times",
        "1 that nobody wants are left", "1 intents are open for ever", "2 wanted pins were deleted at some time",
        "1 were posted though they were there", "the next pass is not silent",
    ):  # fmt: skip
        assert part in said, said
    service.seed([{"cid": cid("late")}])
    assert "status says" in "\n".join(stage.verdict())


def samples(grow: Callable[[Sample, int], Sample] = lambda sample, n: sample) -> list[Sample]:
    """A soak in which nothing grows, but for what `grow` makes of each sample."""
    flat = Sample(0, 0.0, 60_000, 17, 5, 600, 4000, dict.fromkeys(TABLES, 500))
    return [grow(replace(flat, step=n, days=n * 2.0), n) for n in range(200)]


def with_rows(sample: Sample, **rows: int) -> Sample:
    return replace(sample, rows={**sample.rows, **rows})


def test_a_soak_finds_what_grows() -> None:
    assert grown(samples()) == []
    assert grown(samples(lambda one, n: replace(one, rss=60_000 + n * 60)))[0].startswith("rss grew")
    assert grown(samples(lambda one, n: replace(one, files=17 + n // 40)))[0].startswith("files grew")
    assert grown(samples(lambda one, n: replace(one, threads=5 + n // 40)))[0].startswith("threads grew")
    assert grown(samples(lambda one, n: with_rows(one, entries=500 + n)))[0].startswith("entries grew")
    assert grown(samples(lambda one, n: with_rows(one, journal=500 + n * 10)))[0].startswith("journal went on growing")
    assert grown(samples(lambda one, n: with_rows(one, journal=10 * min(n, 90)))) == [], "up to its retention it may"
    assert grown(samples(lambda one, n: with_rows(one, owned=500 + n))) == [], "what we own is for ever"
