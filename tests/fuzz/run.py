"""`make fuzz`: try the targets for a while, each in turn, and keep what found something.

    python -m tests.fuzz [--minutes M] [--processes N] [--only TARGET]… [--keep DIRECTORY]

A case that found something is made as small as it gets, printed, and written to the directory (by default
`.hypothesis/found`), in the form of `tests/fuzz/corpus`: to make it a regression test, move it there. The same finding
is told once. The exit code is 1 when there was one.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import random
import resource
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.kit import Case, Target, dump, tried
from tests.fuzz.targets import TARGETS

SLICE = 20.0  # seconds that one target is tried before the next
SHRINKING = 60.0  # seconds more in which a finding is made small
MOST_MEMORY = 2 << 30  # bytes of address space; what wants more ends in a MemoryError, which is a finding


class Over(KeyboardInterrupt):
    """The slice is over. Hypothesis lets this kind alone pass."""


@dataclass
class Tally:
    """What came of one target in one process."""

    cases: int = 0
    seconds: float = 0.0
    found: list[tuple[str, str]] = field(default_factory=list)
    """Where and what, and the smallest case as JSON."""


class Attempt:
    """One slice of one target: counts, ends in time, and lets what is known already pass."""

    def __init__(self, target: Target, until: float, known: set[str]) -> None:
        self.target, self.until, self.known = target, until, known
        self.cases = 0
        self.last: tuple[str, Case, Exception] | None = None

    def __call__(self, case: Case) -> None:
        if time.monotonic() > self.until + (SHRINKING if self.last else 0.0):
            raise Over
        self.cases += 1
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                tried(self.target, case)
        except Exception as error:
            where = signature(error)
            if where in self.known or (self.last is not None and self.last[0] != where):
                return
            self.last = where, case, error
            raise


def signature(error: BaseException) -> str:
    """What makes two findings the same: the kind of exception, and the last place in the product that it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "pinsync" in frame.filename] or frames
    last = ours[-1]
    said = str(error).partition("\n")[0][:80] if "tests" in last.filename else ""
    place = f"{Path(last.filename).name}:{last.lineno} {last.name}"
    return f"{type(error).__name__} at {place}: {said}"


def work(names: Sequence[str], until: float, number: int) -> dict[str, Tally]:
    """One process: the targets in turn until the time is over."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    chance = random.Random(f"{os.getpid()} {time.time_ns()} {number}")
    tallies = {name: Tally() for name in names}
    known: set[str] = set()
    order = [*names[number % len(names) :], *names[: number % len(names)]]
    while time.monotonic() < until:
        for name in order:
            begun = time.monotonic()
            attempt = Attempt(TARGETS[name], min(until, begun + SLICE), known)
            run = given(TARGETS[name].cases)(attempt_of(attempt))
            run = seed(chance.getrandbits(64))(run)
            run = settings(
                max_examples=100_000,
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                phases=(Phase.generate, Phase.shrink),
                print_blob=False,
            )(run)
            try:
                run()
            except Over:
                pass
            except Exception:
                if attempt.last is None:
                    raise
            if attempt.last is not None:
                where, case, error = attempt.last
                known.add(where)
                tallies[name].found.append((where, dump(case)))
                report(name, where, case, error)
            tallies[name].cases += attempt.cases
            tallies[name].seconds += time.monotonic() - begun
            if time.monotonic() >= until:
                break
    return tallies


def attempt_of(attempt: Attempt):  # type: ignore[no-untyped-def]  # a plain function, which Hypothesis asks for
    def tries(case: Case) -> None:
        attempt(case)

    return tries


def report(name: str, where: str, case: Case, error: Exception) -> None:
    lines = "".join(traceback.format_exception(error, limit=-6)).rstrip()
    print(f"\n*** {name}: {where}\n{lines}\n{dump(case)[:4000]}\n", file=sys.stderr, flush=True)


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Try what nobody would write.")
    asked.add_argument("--minutes", type=float, default=60.0)
    asked.add_argument("--processes", type=int, default=2)
    asked.add_argument("--only", action="append", choices=sorted(TARGETS), metavar="TARGET")
    asked.add_argument("--keep", type=Path, default=Path(".hypothesis/found"), metavar="DIRECTORY")
    args = asked.parse_args()
    names = args.only or list(TARGETS)
    until = time.monotonic() + args.minutes * 60
    total = {name: Tally() for name in names}
    with ProcessPoolExecutor(args.processes, multiprocessing.get_context("spawn")) as pool:
        for done in as_completed([pool.submit(work, names, until, number) for number in range(args.processes)]):
            for name, tally in done.result().items():
                total[name].cases += tally.cases
                total[name].seconds += tally.seconds
                total[name].found += tally.found
    findings = 0
    for name, tally in total.items():
        places = dict(tally.found)
        findings += len(places)
        print(f"{name:10} {tally.cases:9,} cases  {tally.seconds / 60:6.1f} min  {len(places)} found")
        for where, text in places.items():
            file = args.keep / name / f"{hashlib.sha256(where.encode()).hexdigest()[:12]}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f'{{"found": {dump(where)},\n"case": {text}}}\n')
            print(f"           {where}\n           {file}")
    print(f"{sum(tally.cases for tally in total.values()):,} cases, {findings} found")
    return 1 if findings else 0
