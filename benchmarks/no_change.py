"""A pass with nothing to do: `pinsync sync` against `curl` reading the same list from the same node."""

from __future__ import annotations

import os
import shutil
from statistics import median

from tests.real.kubo import KuboNode

from .harness import CannotRunError, Pinsync, Setup, kept_node_with, run
from .service import Service
from .table import Found, Row, at_most

_TIMES = 3
_WARMING = 2  # passes: the first finds our pins by their marks, the second that nothing is to be done
_MEMORY = 150  # MB


def no_change(setup: Setup) -> Found:
    """100 000 pins on both sides, after passes that filled the ledger; time and memory.

    With NFT.Storage every pass lists all; where counts are totals (`spec`), a few requests show that nothing changed.
    """
    count = setup.size(100_000)
    with kept_node_with(count) as (node, cids):
        found = [_one(setup, profile, node, cids) for profile in ("nft.storage", "spec")]
    return Found([row for rows, _ in found for row in rows], [note for _, note in found])


def _one(setup: Setup, profile: str, node: KuboNode, cids: list[str]) -> tuple[list[Row], str]:
    curl = shutil.which("curl")
    if curl is None:
        raise CannotRunError("there is no curl here, which is the rival")
    url = f"{node.api_url}/api/v0/pin/ls?type=recursive&stream=true&names=true"
    place = setup.scratch / profile
    place.mkdir()
    with Service(place, profile, cids=cids) as service:
        pinsync = Pinsync(place / "pinsync", service, node=node)
        for _ in range(_WARMING):
            pinsync.run("sync")
        ours, rival = [], []
        for _ in range(_TIMES):
            ran, answer = pinsync.ask("sync")
            ours.append(ran)
            rival.append(run([curl, "-s", "-X", "POST", url, "-o", os.devnull], {"PATH": os.defpath}))
        remote = answer["remotes"][0]
        if service.counts().mutations or not remote["complete"]:
            raise CannotRunError(f"a pass without changes was none: {answer}")
    name = f"no change, {len(cids)} pins, {profile}"
    peaks = [ran.peak_mb for ran in ours if ran.peak_mb is not None]
    rows = [at_most(name, median(one.seconds for one in ours), median(one.seconds for one in rival), 2)]
    if peaks:
        memory = max(peaks)
        rows.append(Row(f"{name}: memory", f"{memory:.0f} MB", "", "", f"< {_MEMORY} MB", memory < _MEMORY))
    spread = "; ".join(
        f"{who} {' '.join(f'{one.seconds:.2f}' for one in each)} s" for who, each in (("ours", ours), ("rival", rival))
    )
    return rows, f"{name}: {spread}; {remote['requests']} requests, none that changes anything"
