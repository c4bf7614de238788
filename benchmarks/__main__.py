"""`python -m benchmarks [NAME…] [--quick]`: measure, and print a table.

Exit code 0 also where a goal is missed, which the table says; 1 when a benchmark could not be run; 2 for a wrong name.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx
from tests.real.child import ChildError
from tests.real.kubo import KuboError

from .first_mirror import first_mirror
from .harness import CannotRunError, Setup, kubo_binary, say
from .listing import listing
from .no_change import no_change
from .rate import rate
from .table import Found, Row, lines

Benchmark = Callable[[Setup], Found]
BENCHMARKS: Mapping[str, Benchmark] = {one.__name__: one for one in (listing, first_mirror, no_change, rate)}
_QUICK = 10


def main(args: Sequence[str] | None = None, benchmarks: Mapping[str, Benchmark] = BENCHMARKS) -> int:
    """Run the benchmarks that are named, or all; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure pinsync against its rivals.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(benchmarks))
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes; the goals are meant for full ones")
    asked = parser.parse_args(args)
    if unknown := [name for name in asked.names if name not in benchmarks]:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(benchmarks)}")
    rows: list[Row] = []
    notes: list[str] = []
    failed: list[str] = []
    for name in asked.names or benchmarks:
        say(f"measuring {name} …")
        with tempfile.TemporaryDirectory(prefix="pinsync-bench-") as scratch:
            try:
                found = benchmarks[name](Setup(Path(scratch), _QUICK if asked.quick else 1))
            except (CannotRunError, ChildError, KuboError, OSError, httpx.HTTPError) as error:
                failed.append(f"{name} could not be run: {error}")
                rows.append(Row(name, "could not be run", "", ""))
                continue
        rows += found.rows
        notes += found.notes
    print("\n".join(lines(rows)))
    print()
    for note in notes:
        print(note)
    if asked.quick:
        print("quick: a tenth of the sizes, for which the goals are not meant")
    print(_machine())
    missed = sum(row.met is False for row in rows)
    if missed:
        print(f"{missed} of {sum(row.met is not None for row in rows)} goals missed")
    for failure in failed:
        say(failure)
    return 1 if failed else 0


def _machine() -> str:
    try:
        argv = [str(kubo_binary()), "version", "--number"]
        kubo = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()
    except (CannotRunError, OSError):
        kubo = "none"
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return (
        f"{os.cpu_count()} cores (load {load}), {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, Kubo {kubo}"
    )


if __name__ == "__main__":
    sys.exit(main())
