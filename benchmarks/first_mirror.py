"""A node's pins onto an empty service: `pinsync sync` against a loop of `ipfs pin remote add --background`."""

from __future__ import annotations

from .harness import CannotRunError, Ipfs, Pinsync, Setup, node_with
from .service import TOKEN, Service
from .table import Found, at_least

_LATENCY = 0.02  # seconds
_SAMPLE = 100  # pins of which the rival's time is taken


def first_mirror(setup: Setup) -> Found:
    """1000 pins onto a 20 ms service that behaves as NFT.Storage does; the rival's first 100 count ten times."""
    count = setup.size(1000)
    sample = min(_SAMPLE, count)
    with node_with(setup.scratch / "kubo", count) as (node, cids):
        with Service(setup.scratch, "nft.storage", latency=_LATENCY) as service:
            ipfs = Ipfs(node)
            ipfs.run("pin", "remote", "service", "add", "bench", service.url, TOKEN)
            adds = (ipfs.run("pin", "remote", "add", "--service=bench", "--background", cid) for cid in cids[:sample])
            rival = sum(add.seconds for add in adds) * count / sample
            if service.counts().pins != sample:
                raise CannotRunError(f"ipfs pin remote add left {service.counts().pins} of {sample} pins")
        with Service(setup.scratch, "nft.storage", latency=_LATENCY) as service:
            # 3: what was added is on its way
            ran, answer = Pinsync(setup.scratch / "pinsync", service, node=node).ask("sync", ok=(0, 3))
            seen = service.counts()
            if (seen.pins, answer["remotes"][0]["added"]) != (count, count):
                raise CannotRunError(f"pinsync sync left {seen.pins} of {count} pins: {answer}")
    name = f"first mirror of {count} pins"
    scaled = "" if sample == count else f" ({sample} pins, × {count / sample:g})"
    return Found([at_least(name, ran.seconds, rival, 15, scaled=scaled)], [f"{name}: ours in {seen.requests} requests"])
