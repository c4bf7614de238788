"""All pins of a service: `pinsync ls` against `ipfs pin remote ls`."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

from .harness import CannotRunError, Ipfs, Pinsync, Setup, kubo_binary, made_up_cids
from .service import TOKEN, Service
from .table import Found, Row, at_least

_LATENCY = 0.02  # seconds


def listing(setup: Setup) -> Found:
    """10 000 pins on a 20 ms service, each side a whole process; on `spec`, where the rival lists all, the goal."""
    count = setup.size(10_000)
    found = [_one(setup, profile, count) for profile in ("spec", "nft.storage")]
    return Found([row for row, _ in found], [note for _, note in found])


def _one(setup: Setup, profile: str, count: int) -> tuple[Row, str]:
    from tests.real.kubo import KuboNode

    place = setup.scratch / profile
    place.mkdir()
    with Service(place, profile, latency=_LATENCY, cids=made_up_cids(count)) as service:
        pinsync = Pinsync(place / "pinsync", service)
        before = service.counts().requests
        _, answer = pinsync.ask("ls")
        asked = service.counts().requests - before
        listed = len({pin["cid"] for pin in answer["pins"]})
        if listed != count or not answer["complete"]:
            raise CannotRunError(f"pinsync ls showed {listed} of {count} pins ({answer['reason']})")
        ours = median(pinsync.run("ls", "--json").seconds for _ in range(3))
        with KuboNode(kubo_binary(), place / "kubo") as node:
            ipfs = Ipfs(node)
            ipfs.run("pin", "remote", "service", "add", "bench", service.url, TOKEN)
            before = service.counts().requests
            shown = place / "ipfs.txt"
            rival = ipfs.run("pin", "remote", "ls", "--service=bench", "--enc=json", out=shown)
            asked_too = service.counts().requests - before
        listed_too = _distinct(shown)
    name = f"listing {count} pins, {profile}"
    note = f"{name}: ours {listed} pins in {asked} requests, rival {listed_too} in {asked_too}"
    if listed_too == count:
        return at_least(name, ours, rival.seconds, 30), note
    return Row(name, f"{ours:.2f} s", f"{rival.seconds:.2f} s for {listed_too}", "–"), f"{note}, with exit code 0"


def _distinct(shown: Path) -> int:
    return len({json.loads(line)["Cid"] for line in shown.read_text().splitlines()})
