"""A pass with nothing to do: `pinsync sync` against `curl` reading the same list from the same node."""

from __future__ import annotations

import os
import shutil
from statistics import median

from .harness import CannotRunError, Pinsync, Setup, kept_node_with, run
from .service import Service
from .table import Found, Row, at_most

_TIMES = 3
_MEMORY = 150  # MB


def no_change(setup: Setup) -> Found:
    """100 000 pins on both sides, after one pass that filled the ledger; time and memory."""
    count = setup.size(100_000)
    curl = shutil.which("curl")
    if curl is None:
        raise CannotRunError("there is no curl here, which is the rival")
    with kept_node_with(count) as (node, cids), Service(setup.scratch, "nft.storage", cids=cids) as service:
        pinsync = Pinsync(setup.scratch / "pinsync", service, node=node)
        url = f"{node.api_url}/api/v0/pin/ls?type=recursive&stream=true&names=true"
        pinsync.run("sync")
        ours, rival = [], []
        for _ in range(_TIMES):
            ran, answer = pinsync.ask("sync")
            ours.append(ran)
            rival.append(run([curl, "-s", "-X", "POST", url, "-o", os.devnull], {"PATH": os.defpath}))
        remote = answer["remotes"][0]
        if service.counts().mutations or not remote["complete"]:
            raise CannotRunError(f"a pass without changes was none: {answer}")
    name = f"no change, {count} pins"
    peaks = [ran.peak_mb for ran in ours if ran.peak_mb is not None]
    memory = max(peaks) if peaks else None
    rows = [at_most(name, median(one.seconds for one in ours), median(one.seconds for one in rival), 2)]
    if memory is not None:
        rows.append(Row(f"{name}: memory", f"{memory:.0f} MB", "", "", f"< {_MEMORY} MB", memory < _MEMORY))
    spread = "; ".join(
        f"{who} {' '.join(f'{one.seconds:.2f}' for one in each)} s" for who, each in (("ours", ours), ("rival", rival))
    )
    return Found(rows, [f"{name}: {spread}; {remote['requests']} requests, none that changes anything"])
