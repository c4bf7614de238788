"""`make simulate`: many histories, or one of them told step by step.

python -m tests.simulation [--histories N] [--first SEED] [--workers W]     many, in processes side by side
python -m tests.simulation --seed SEED                                      one again, told, and cut down if it fails
python -m tests.simulation --brief SEED                                     one of those that `make test` plays
python -m tests.simulation --file HISTORY.json                              one that was cut down
python -m tests.simulation --planted                                        how long each planted bug lives
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .planted import BUGS, LIMIT
from .runner import Result, Script, smaller, theatre, write

CHUNK = 50  # histories that a process is given at a time


@dataclass
class Sum:
    """What some histories came to."""

    histories: int = 0
    passes: int = 0
    requests: int = 0
    judged: int = 0
    effects: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)

    def take(self, result: Result) -> None:
        """Count one history."""
        self.histories += 1
        self.passes += result.passes
        self.requests += result.requests
        self.judged += result.judged
        for mine, its in zip(
            self._counters(), (result.effects, result.crashes, result.faults, result.actions), strict=True
        ):
            mine.update(its)
        if result.error is not None:
            self.failures.append((result.script.seed or 0, result.error))

    def add(self, other: Sum) -> None:
        """Count what another process did."""
        self.histories += other.histories
        self.passes += other.passes
        self.requests += other.requests
        self.judged += other.judged
        for mine, its in zip(self._counters(), other._counters(), strict=True):
            mine.update(its)
        self.failures += other.failures

    def _counters(self) -> tuple[Counter[str], ...]:
        return self.effects, self.crashes, self.faults, self.actions


def play(seeds: range) -> Sum:
    """Some histories in this process."""
    total = Sum()
    with theatre() as place:
        for seed in seeds:
            total.take(place.run(write(seed)))
    return total


def many(first: int, histories: int, workers: int) -> int:
    """All of them; returns how many failed."""
    chunks = [range(start, min(start + CHUNK, first + histories)) for start in range(first, first + histories, CHUNK)]
    total, began, told = Sum(), time.monotonic(), 0.0
    gc.freeze()
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        for part in pool.imap_unordered(play, chunks):
            total.add(part)
            for seed, error in part.failures:
                print(f"seed {seed}: {error.strip().splitlines()[-1]}", flush=True)
            took = time.monotonic() - began
            if took - told > 30:
                told = took
                print(f"{total.histories} histories, {total.histories / took:.1f} a second", flush=True)
    _print(total, time.monotonic() - began, workers)
    if total.failures:
        cut_down(min(total.failures)[0])
    return len(total.failures)


def _print(total: Sum, took: float, workers: int) -> None:
    rate = total.histories / took
    speed = f"{rate:.1f} a second, {3600 * rate:.0f} an hour"
    print(f"{total.histories} histories in {took:.0f} s by {workers} processes: {speed}")
    print(f"  {total.passes} passes, {total.requests} requests, {total.judged} of them with an effect, each judged")
    for name, counter in (
        ("effects", total.effects), ("crashes before", total.crashes), ("faults", total.faults),
        ("actions", total.actions),
    ):  # fmt: skip
        said = ", ".join(f"{what} {number}" for what, number in counter.most_common() if number)
        print(f"  {name}: {sum(counter.values())} ({said})")
    print(f"  failures: {len(total.failures)}")


def cut_down(seed: int) -> None:
    """Print the shortest history that fails as this one does, and how to play it again."""
    with theatre() as place:
        first = place.run(write(seed))
        script = smaller(first.script, lambda fewer: _alike(place.run(fewer), first))
        print(f"\nThe first failure, cut down: {first.error}\n  {json.dumps(script.spec)}")
        for step in script.steps:
            print(f"  {json.dumps(step)}")
    path = Path(tempfile.gettempdir()) / f"pinsync-history-{seed}.json"
    path.write_text(json.dumps({"spec": script.spec, "steps": script.steps}))
    print(f"\nPlay it again, told step by step: make simulate FILE={path}\nAs it was: make simulate SEED={seed}")


def _alike(one: Result, other: Result) -> bool:
    last = one.error and one.error.strip().splitlines()[-1][:40]
    return one.error is not None and one.number == other.number and (
        other.number is not None or last == (other.error or "").strip().splitlines()[-1][:40]
    )  # fmt: skip


def one(script: Script) -> int:
    """One history, told."""
    with theatre() as place:
        result = place.run(script, print)
    print(result.error or "every promise was kept")
    return result.error is not None


def planted(limit: int) -> int:
    """How many histories each planted bug needs; returns how many were not found."""
    missed = 0
    with theatre() as place:
        for bug in BUGS:
            with bug.planted():
                found = next(((at, result) for at in range(limit) if (result := place.run(write(at))).error), None)
            missed += found is None
            at, said = (
                (found[0] + 1, (found[1].error or "").strip().splitlines()[-1]) if found else ("NOT FOUND in", limit)
            )
            print(f"invariant {bug.number}, {bug.name}: {at} {'histories;' if found else ''} {said}", flush=True)
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--histories", type=int, default=3000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--brief", type=int, metavar="SEED")
    parser.add_argument("--file", type=Path)
    parser.add_argument("--planted", action="store_true")
    asked = parser.parse_args()
    if asked.file is not None:
        kept = json.loads(asked.file.read_text())
        return one(Script(None, kept["spec"], kept["steps"]))
    if asked.brief is not None:
        return one(write(asked.brief, brief=True))
    if asked.seed is not None:
        failed = one(write(asked.seed))
        if failed:
            cut_down(asked.seed)
        return failed
    if asked.planted:
        return planted(min(asked.histories, LIMIT)) > 0
    return many(asked.first, asked.histories, max(1, asked.workers)) > 0


if __name__ == "__main__":
    sys.exit(main())
