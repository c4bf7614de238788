"""The emulator in a process of its own, so that what is measured does not share an interpreter with it.

The child (`python -m benchmarks.service OPTIONS`, options as one JSON object) prints its URL, answers every line on its
standard input with a line of counts, and ends with that input: it cannot outlive whoever started it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

TOKEN = "bench-mark"
SOURCES = Path(__file__).resolve().parent.parent / "daemon"
MARK = "bench"  # the mirror id in the meta of the pins that are there from the beginning


@dataclass(frozen=True, slots=True)
class Counts:
    """What a service has seen so far. `span`: seconds from the first to the last request of the last 10 000."""

    pins: int
    requests: int
    mutations: int
    limited: int  # requests answered with 429
    span: float


class Service:
    """An emulator process, as a context manager. Raises `OSError` when it does not start.

    `latency` in seconds, `rate` as `30/10s`, `cids` are pinned there as ours; `scratch` holds the list of them.
    """

    def __init__(
        self, scratch: Path, profile: str, *, latency: float = 0.0, rate: str = "", cids: Iterable[str] = ()
    ) -> None:
        seeds = scratch / "seeds.txt"
        seeds.write_text("".join(f"{cid}\n" for cid in cids))
        options = {"profile": profile, "latency": latency, "rate": rate, "seeds": str(seeds)}
        self._argv = [sys.executable, "-m", "benchmarks.service", json.dumps(options)]
        self.url = ""

    def __enter__(self) -> Self:
        path = os.pathsep.join((str(SOURCES), str(SOURCES.parent)))
        self._process = subprocess.Popen(
            self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}
        )
        self.url = self._answer()["url"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def counts(self) -> Counts:
        """What it has seen since it started."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Counts(**self._answer())

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise OSError("the emulator's process has ended; see above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def main(options: dict[str, Any]) -> None:
    """Serve until standard input ends."""
    from pinsync.emulator.behaviour import Rate
    from pinsync.emulator.engine import Emulator
    from pinsync.emulator.profiles import profile
    from pinsync.emulator.records import Seed
    from pinsync.emulator.server import EmulatorServer

    rate = Rate.parse(options["rate"])
    emulator = Emulator(profile(options["profile"], latency=options["latency"], rate=rate), token=TOKEN)
    cids = Path(options["seeds"]).read_text().split()
    emulator.seed_pins(Seed(cid, None, {"pinsync": MARK}) for cid in cids)
    with EmulatorServer(emulator=emulator, token=TOKEN) as server:
        print(json.dumps({"url": server.url}), flush=True)
        for _ in sys.stdin:
            seen = list(emulator.requests)
            counts = {
                "pins": len(emulator.store),
                "requests": len(seen),
                "mutations": emulator.mutations,
                "limited": sum(request.status == 429 for request in seen),
                "span": seen[-1].at - seen[0].at if seen else 0.0,
            }
            print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
