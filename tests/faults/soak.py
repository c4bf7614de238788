"""A month of a daemon's life in an hour, and a year behind it: does it grow? `make soak`, with `MINUTES=` to shorten.

    python -m tests.faults.soak [MINUTES]

Real processes: a Kubo node, a pinning service, the daemon. The wall clock of the last two is set forward between two
passes: by a quarter of an hour each for two thirds of the time, then by so much that the history's retention is over
well before the end. Meanwhile pins come, go and are renamed, the manifest is edited rightly and wrongly, the service
fails, the node dies, commands ask. Exit code 1, with reasons, when memory, files, threads or the ledger grew beyond
what they hold, or when a pin is not as it should be in the end.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random, SystemRandom
from statistics import median

from pinsync.steps.record import KEEP_HISTORY
from tests.faults.service import Service
from tests.faults.stage import Stage, set_clock, wait_until
from tests.mirror import cid as made_up
from tests.real import parts
from tests.real.child import Child
from tests.real.kubo import KuboNode

QUARTER, DAY = 900.0, 86400.0
PACE = 3600 / 2900  # seconds for a pass: 2900 quarters of an hour, a month, in an hour
NUDGE = 10.0  # seconds without a pass after which the clock is set on
MONTHS_AT = 2 / 3  # of the time, from when on days pass
DAYS = 420.0  # that pass then, at least: more than the retention twice
NODE_PINS, MANIFEST_PINS = 500, 40
TABLES = ("entries", "owned", "journal", "pending", "approvals", "doubts", "manifest", "runs", "events")
HISTORY = {"journal": "at", "runs": "started_at", "events": "at"}  # what is pruned, by which column
_RSS = re.compile(r"^VmRSS:\s+(\d+) kB", re.MULTILINE)
_THREADS = re.compile(r"^Threads:\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sample:
    """What the daemon holds between two passes. `days` of its own time since the beginning; sizes in KiB."""

    step: int
    days: float
    rss: int
    files: int
    threads: int
    ledger: int
    wal: int
    rows: dict[str, int]

    def __str__(self) -> str:
        rows = ", ".join(f"{count} {name}" for name, count in self.rows.items() if count)
        return (
            f"pass {self.step:5}, day {self.days:6.1f}: {self.rss / 1024:6.1f} MB, {self.files:3} files, "
            f"{self.threads} threads, ledger {self.ledger} KiB + {self.wal}; {rows}"
        )


class Soak:
    """One soak over a stage, whose daemon is started here."""

    def __init__(self, stage: Stage, clock: Path, random: Random, say: Callable[[str], None]) -> None:
        self._stage, self._clock, self._random, self._say = stage, clock, random, say
        self._manifest = {made_up(f"of the manifest {n}"): f"entry {n}" for n in range(MANIFEST_PINS)}
        self._made = MANIFEST_PINS
        self._ahead = 0.0
        self._trouble = 0  # passes for which the service goes on failing
        self.samples: list[Sample] = []
        self.daemon: Child | None = None

    def live(self, minutes: float) -> None:
        """Live through it."""
        stage = self._stage
        stage.fill(NODE_PINS, foreign_too=20, named=50)
        self._edit()
        # The daemon looks at its clock four times as often as the watchdog wants to hear of it.
        self.daemon = stage.ready(stage.start("run", WATCHDOG_USEC="1000000"))
        wait_until(self._finished, "the first pass", alive=self.daemon)
        steps = max(60, round(minutes * 60 / PACE))
        months_at = round(steps * MONTHS_AT)
        stride = max(QUARTER, DAYS * DAY / (steps - months_at))
        told = begun = time.monotonic()
        for step in range(steps):
            self._ahead += QUARTER if step < months_at else stride
            self._pass()
            self.samples.append(self._sample(step))
            self._happen(step)
            if time.monotonic() - told > 30:
                told = time.monotonic()
                self._say(str(self.samples[-1]))
            time.sleep(max(0.0, begun + (step + 1) * minutes * 60 / steps - time.monotonic()))
        self._say(str(self.samples[-1]))

    def _pass(self) -> None:
        """Set the clock forward, and wait for the pass that this brings about."""
        before, over = self._finished(), 0.0
        while self._finished() == before:
            assert self.daemon is not None
            if not self.daemon.running:
                raise AssertionError(f"the daemon ended:\n{self._stage.log.read_text()[-3000:]}")
            if time.monotonic() > over:
                # Once more where a pass ended at this very moment: its next one is due an interval from then.
                self._ahead += QUARTER if over else 0.0
                set_clock(self._clock, self._ahead)
                over = time.monotonic() + NUDGE
            time.sleep(0.01)

    def end(self) -> list[str]:
        """Let everything settle; what is wrong then, and what grew."""
        assert self.daemon is not None
        self.daemon.stop()
        self._stage.service.misbehave(0)
        self._edit()
        for _ in range(3):  # grace is an hour, and refusals and failures wait for their next try
            self._ahead += 2 * DAY
            set_clock(self._clock, self._ahead)
            self._stage.run("sync", exits=(0, 1, 3))
        self._stage.settle()
        made = self._stage.service.counts()["made"]
        return self._stage.verdict() + grown(self.samples) + self._history(made)

    # -- what happens -----------------------------------------------------------------------------------------------

    def _happen(self, step: int) -> None:
        stage, random = self._stage, self._random
        if step % 20 == 5:
            stage.churn(random, unpin=3, pin=3, rename=3)
        if step % 30 == 10:
            self._change_manifest()
        if step % 90 == 40:
            stage.pins_file.write_text('[[pin]]\ncid = "not a CID"\n')
        if step % 90 == 42:
            self._edit()
        if self._trouble:
            self._trouble -= 1
            if not self._trouble:
                stage.service.misbehave(0)
        elif step % 50 == 25:
            self._trouble = 3
            actions = ("cut-before", "cut-after", "cut-middle", "status:500", "status-after:502", "garbage", "hang")
            stage.service.misbehave(0.3, actions, random.randrange(10**6))
        if step % 200 == 120:
            stage.node.kill()
        if step % 200 == 122:
            stage.node.start()
        if step % 100 == 60 and self.daemon is not None:
            os.kill(self.daemon.pid, signal.SIGHUP)
        if step % 40 == 15:
            stage.run("status", "--json", exits=range(7))
            stage.run("plan", "--json", exits=range(5))
            self._hang_up()
        if step % 60 == 30:
            stage.run("sync", "--json", exits=range(5))

    def _change_manifest(self) -> None:
        gone = self._random.choice(sorted(self._manifest))
        del self._manifest[gone]
        del self._stage.wanted[gone]
        self._stage.loose.add(gone)
        self._made += 1
        self._manifest[made_up(f"of the manifest {self._made % (3 * MANIFEST_PINS)}")] = f"entry {self._made}"
        self._edit()

    def _edit(self) -> None:
        """Write the manifest as editors do."""
        text = "".join(f'[[pin]]\ncid = "{cid}"\nname = "{name}"\n' for cid, name in self._manifest.items())
        temporary = self._stage.pins_file.with_suffix(".new")
        temporary.write_text(text)
        temporary.replace(self._stage.pins_file)
        self._stage.renamed.update(self._manifest)
        self._stage.wanted.update(self._manifest)

    def _hang_up(self) -> None:
        """Somebody who connects to the control socket, begins to ask or to listen, and goes away."""
        for asked in ("POST /v1/sync HTTP/1.1\r\n", "GET /v1/events HTTP/1.1\r\nHost: pinsync\r\n\r\n"):
            path = next(self._stage.state.parent.glob("*.sock"))
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking, suppress(OSError):
                asking.settimeout(2)
                asking.connect(str(path))
                asking.sendall(asked.encode())
                if asked.startswith("GET"):
                    asking.recv(200)

    # -- what it holds ----------------------------------------------------------------------------------------------

    def _finished(self) -> int:
        # Counted by number: old ones are pruned.
        return int(self._stage.ask_ledger("SELECT coalesce(max(id), 0) FROM runs WHERE finished_at IS NOT NULL"))

    def _sample(self, step: int) -> Sample:
        assert self.daemon is not None
        process = Path(f"/proc/{self.daemon.pid}")
        status = (process / "status").read_text()
        rss, threads = _RSS.search(status), _THREADS.search(status)
        assert rss and threads
        wal = self._stage.state.with_name(self._stage.state.name + "-wal")
        return Sample(
            step, self._ahead / DAY, int(rss[1]), len(list((process / "fd").iterdir())), int(threads[1]),
            self._stage.state.stat().st_size // 1024, wal.stat().st_size // 1024 if wal.exists() else 0,
            {table: int(self._stage.ask_ledger(f"SELECT count(*) FROM {table}")) for table in TABLES},
        )  # fmt: skip

    def _history(self, made: int) -> list[str]:
        """What is older than it should be, and what is gone that should not be."""
        wrong = []
        with closing(sqlite3.connect(f"{self._stage.state.as_uri()}?mode=ro", uri=True)) as db:
            for table, column in HISTORY.items():
                only = "WHERE state NOT IN ('open', 'unclear')" if table == "journal" else ""
                oldest = db.execute(f"SELECT min({column}) FROM {table} {only}").fetchone()[0]
                age = time.time() + self._ahead - (oldest or time.time() + self._ahead)
                if age > KEEP_HISTORY + 2 * DAY:
                    wrong.append(f"{table} keeps what is {age / DAY:.0f} days old")
            owned = db.execute("SELECT count(*) FROM owned WHERE how != 'foreign'").fetchone()[0]
        self._say(f"{made} pins were ever made at the service, {owned} are in the ledger's `owned`")
        if not made * 0.95 <= owned <= made:  # a pin whose POST was cut and which was deleted before a list is unknown
            wrong.append(f"`owned` has {owned} pins, the service made {made}")
        return wrong


def grown(samples: Sequence[Sample]) -> list[str]:
    """What grew beyond what it should hold: early (from the eighth part on) against late (the last eighth)."""
    eighth = max(1, len(samples) // 8)
    early, late = samples[eighth : 3 * eighth], samples[-eighth:]
    wrong = []
    # Python's allocator never gives all back, so a little more is no leak.
    for what, slack in (("rss", 6 * 1024), ("files", 1), ("threads", 1)):
        was, now = (median(getattr(one, what) for one in part) for part in (early, late))
        if now > was + slack:
            wrong.append(f"{what} grew from {was:g} to {now:g}")
    for table in set(TABLES) - HISTORY.keys() - {"owned"}:
        was, now = (max(one.rows[table] for one in part) for part in (early, late))
        if now > was * 1.1 + 20:
            wrong.append(f"{table} grew from {was} to {now} rows")
    most = max(one.wal for one in samples)
    if most > 16 * 1024:
        wrong.append(f"the write-ahead log grew to {most} KiB")
    for table in HISTORY:
        # When the retention's first end has passed, as much goes as comes.
        full = [one.rows[table] for one in samples if one.days > KEEP_HISTORY / DAY + 20]
        if full and full[-1] > max(full[: len(full) // 4 + 1]) * 1.2 + 30:
            wrong.append(f"{table} went on growing past its retention: {full[0]} to {full[-1]} rows")
    return wrong


def main(minutes: float) -> int:
    """Soak for so many minutes; 0 when nothing grew and nothing is wrong."""
    seed = int(os.environ.get("PINSYNC_TEST_SEED") or SystemRandom().randrange(10**6))
    binary = Path(named) if (named := os.environ.get("PINSYNC_TEST_KUBO")) else parts.find_kubo(parts.cache_dir())
    if binary is None:
        print(f"there is no Kubo {parts.KUBO_VERSION} here; `make soak` gets one", file=sys.stderr)
        return 1
    print(f"soaking for {minutes:g} min, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="pinsync-soak-") as scratch:
        directory = Path(scratch)
        clock = directory / "clock"
        set_clock(clock, 0)
        safety = 'grace = "1h"\nmax_removals = 1000\nmax_removal_share = 90'
        remote = 'timeout = "2s"\nretry_for = "1s"'
        with (
            KuboNode(binary, directory / "kubo") as node,
            Service(directory, "spec", clock=clock, settle=0.1) as service,
        ):
            stage = Stage(directory / "mirror", node, service, safety=safety, remote=remote, clock=clock)
            soak = Soak(stage, clock, Random(seed), lambda text: print(text, flush=True))
            soak.live(minutes)
            wrong = soak.end()
            tail = stage.log.read_text()
            if "Traceback" in tail:
                wrong.append("a traceback is in the log: " + tail[tail.index("Traceback") :][:2000])
    for said in wrong:
        print(f"WRONG: {said}")
    print("nothing grew beyond what it should hold" if not wrong else f"{len(wrong)} things are wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))
