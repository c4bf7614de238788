"""A pinning service in a process of its own, which keeps book of what is done to its pins, and can misbehave.

The child (`python -m tests.faults.service OPTIONS`, options as one JSON object) prints its URL, answers every line on
its standard input, a JSON object with `do`, with one line, and ends with that input.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

from starlette.types import Receive

from pinsync.emulator import app
from pinsync.emulator.engine import Emulator
from pinsync.emulator.faults import Fault
from pinsync.emulator.profiles import profile
from pinsync.emulator.records import Request, Seed
from pinsync.emulator.server import EmulatorServer
from pinsync.emulator.store import Store
from pinsync.emulator.wire import Answer
from pinsync.model import PinStatus

TOKEN = "s3cret-t0ken-nobody-may-see"
ROOT = Path(__file__).resolve().parents[2]


class Service:
    """The service as a context manager. `behaviour` are knobs of `emulator.Behaviour`, in seconds.

    With `clock` (a file of `shift/sitecustomize.py`) its time can be shifted too. What it keeps is in `directory`, so
    that it can be killed and started again; it keeps its port.
    """

    def __init__(self, directory: Path, name: str = "spec", *, clock: Path | None = None, **behaviour: Any) -> None:
        self._options = {"profile": name, "behaviour": behaviour, "db": str(directory / f"{name}.sqlite"), "port": 0}
        paths = [str(ROOT / "daemon"), str(ROOT)]
        self._env = {"PATH": os.defpath, "HOME": str(directory)}
        if clock is not None:
            paths.insert(0, str(ROOT / "tests/faults/shift"))
            self._env["PINSYNC_TEST_CLOCK"] = str(clock)
        self._env["PYTHONPATH"] = os.pathsep.join(paths)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._before: dict[str, int] = {}  # what was counted before the last start; likewise these two
        self._bared: set[str] = set()
        self._twice: set[str] = set()
        self.profile = name
        self.url = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.communicate()

    def start(self) -> None:
        argv = [sys.executable, "-m", "tests.faults.service", json.dumps(self._options)]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self._env, cwd=ROOT
        )
        self.url = self._answer()["url"]
        self._options["port"] = int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        """As a power cut does; `start` brings it back with its pins."""
        assert self._process is not None
        self._before, self._bared, self._twice = self.counts(), self.bared(), self.twice()
        self._process.kill()
        self._process.communicate()

    def seed(self, pins: Sequence[Mapping[str, Any]]) -> None:
        """Pins that are there without a request: `cid`, `name`, `meta`."""
        self._ask("seed", pins=list(pins))

    def pins(self) -> list[dict[str, Any]]:
        """Every pin: `requestid`, `cid`, `name`, `meta`, `status`, `created`."""
        return list(self._ask("pins")["pins"])

    def counts(self) -> dict[str, int]:
        """`requests` that arrived so far, `mutations` among them, `faults` that befell them; `made`: pins ever."""
        now = self._ask("counts")
        return {name: count + self._before.get(name, 0) for name, count in now.items()}

    def bared(self) -> set[str]:
        """The CIDs of which a request ever deleted a live pin and left none that is pinned."""
        return self._bared | set(self._ask("bared")["cids"])

    def twice(self) -> set[str]:
        """The CIDs that were posted while a live pin of them was there."""
        return self._twice | set(self._ask("twice")["cids"])

    def become(self, **knobs: Any) -> None:
        """Behave otherwise from the next request on."""
        self._ask("become", knobs=knobs)

    def misbehave(self, share: float, actions: Sequence[str] = (), seed: int = 0) -> None:
        """Let one of `actions` (`emulator.faults`) befall each request with a probability of `share`."""
        self._ask("misbehave", share=share, actions=list(actions), seed=seed)

    def late(self, seconds: float) -> None:
        """Let a request wait up to so long for its effect, which comes though its client be gone by then."""
        self._ask("late", seconds=seconds)

    def _ask(self, do: str, **more: Any) -> dict[str, Any]:
        with self._lock:
            assert self._process is not None and self._process.stdin is not None
            self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
            self._process.stdin.flush()
            return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise OSError("the pinning service's process has ended; see above")
        answer: dict[str, Any] = json.loads(line)
        return answer


class _Watched(Emulator):
    """An emulator that keeps book: whatever is done to its pins is done under its lock, so nothing is missed."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.arrived = self.spoilt = self.seeded = 0
        self.bared: set[str] = set()
        self.twice: set[str] = set()
        self.share, self.actions, self.random, self.late = 0.0, [""], Random(0), 0.0
        super().__init__(
            profile(options["profile"], **options["behaviour"]), token=TOKEN, store=Store(Path(options["db"]))
        )
        self.before_request = self._arrives

    def handle(
        self, method: str, requestid: str | None, query: bytes = b"", body: bytes = b"",
        authorization: str | None = None,
    ) -> Answer:  # fmt: skip
        with self._lock:
            row = self.store.get(requestid) if method == "DELETE" and requestid is not None else None
            was_live = row is not None and self._service.lifecycle.status(row).live
            asked = json.loads(body or b"{}").get("cid") if method == "POST" and requestid is None else None
            before = self._live(asked) if asked else 0
            answer = super().handle(method, requestid, query, body, authorization)
            if asked and before and answer.status < 300:
                self.twice.add(asked)
            if row is not None and row.gone and was_live and not self._holds(row.cid):
                self.bared.add(row.cid)
            return answer

    def _live(self, cid: str) -> int:
        return sum(row.status.live for row in self.store.of_cid(cid))

    def _holds(self, cid: str) -> bool:
        return any(self._service.lifecycle.status(row) is PinStatus.PINNED for row in self.store.of_cid(cid))

    def _arrives(self, request: Request) -> None:
        self.arrived += 1
        if self.random.random() < self.share:
            self.spoilt += 1
            ordered = self.faults.next(self.random.choice(self.actions), method=request.method, path=None)
            _first(self.faults._pending, ordered)


def _first(pending: list[Fault], ordered: Fault) -> None:
    pending.remove(ordered)
    pending.insert(0, ordered)


def main(options: Mapping[str, Any]) -> None:
    """Serve until standard input ends."""
    emulator = _Watched(options)
    read = app._body

    async def read_late(receive: Receive) -> bytes:
        body = await read(receive)
        await asyncio.sleep(emulator.random.uniform(0, emulator.late))
        return body

    app._body = read_late
    with EmulatorServer(emulator=emulator, token=TOKEN, port=options["port"]) as server:
        print(json.dumps({"url": server.url}), flush=True)
        for line in sys.stdin:
            print(json.dumps(_obey(emulator, json.loads(line))), flush=True)


def _obey(emulator: _Watched, order: Mapping[str, Any]) -> dict[str, Any]:
    match order["do"]:
        case "seed":
            emulator.seeded += len(order["pins"])
            emulator.seed_pins([Seed(pin["cid"], pin.get("name"), pin.get("meta")) for pin in order["pins"]])
        case "pins":
            keys = ("requestid", "cid", "name", "meta", "status", "created")
            return {"pins": [{key: getattr(pin, key) for key in keys} for pin in emulator.pins()]}
        case "counts":
            return {"requests": emulator.arrived, "mutations": emulator.mutations, "faults": emulator.spoilt,
                    "made": emulator.store.next_seq - 1 - emulator.seeded}  # fmt: skip
        case "bared":
            return {"cids": sorted(emulator.bared)}
        case "twice":
            return {"cids": sorted(emulator.twice)}
        case "become":
            emulator.become(**order["knobs"])
        case "late":
            emulator.late = order["seconds"]
        case "misbehave":
            emulator.share, emulator.actions, emulator.random = (
                order["share"], order["actions"], Random(order["seed"]),
            )  # fmt: skip
            emulator.faults.clear()
    return {}


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
