"""The contract as a table: services down, promises across, and what `ipfs pin remote ls` makes of the same servers.

    python -m tests.services.table [--emulator-only]

Needs the real parts of `make test-services`, and takes three minutes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pinsync.cid import key_of
from pinsync.emulator.behaviour import SECOND
from pinsync.emulator.records import Seed
from pinsync.emulator.server import EmulatorServer
from tests.mirror import TOKEN, cid
from tests.real import parts
from tests.real.cluster import ClusterService
from tests.real.helia import HeliaService
from tests.real.kubo import KuboNode
from tests.real.mock_service import MockService
from tests.services.compliance import CHECKS as COMPLIANCE
from tests.services.compliance import comply
from tests.services.contract import CHECKS, MINE, NATURES, PROFILES, REAL, Nature
from tests.services.real_stages import Real, RealCluster, RealHelia, RealMock
from tests.services.stage import Emulated, Stage

PINS = 200
KUBO_PATIENCE = 10.0  # seconds for `ipfs pin remote ls`


@dataclass
class Line:
    """What was found of one service."""

    name: str
    cells: dict[str, str] = field(default_factory=dict)


@dataclass
class Subject:
    """A service that can be had afresh: `opened` gives a stage on it; `address` puts `PINS` there."""

    name: str
    nature: Nature
    opened: Callable[[Path, ExitStack], Stage]
    address: Callable[[Path, ExitStack], tuple[str, str]]


def subjects(cache: Path, real: bool, stack: ExitStack, directory: Path) -> tuple[list[Subject], KuboNode]:
    """Every service under contract, and the node whose client is compared with ours."""
    kubo = _there(parts.find_kubo(cache))
    node = KuboNode(kubo, directory / "kubo")
    stack.callback(node.kill)
    node.start(offline=False)
    found = []
    for name, nature in NATURES.items():
        behaviour = PROFILES[name]

        def served(path: Path, stack: ExitStack, name: str = name) -> tuple[str, str]:
            server = stack.enter_context(EmulatorServer(PROFILES[name], token=TOKEN))
            start = (int(server.emulator.server_time()) - 60) * SECOND
            # Four at a time, as a client makes them that has four requests under way.
            server.emulator.seed_pins([Seed(cid(n), created=start + n // 4 * SECOND // 5) for n in range(PINS)])
            return server.url, TOKEN

        found.append(
            Subject(name, nature, lambda path, stack, behaviour=behaviour: Emulated(path, behaviour), served)  # type: ignore[misc]
        )
    if not real:
        return found, node
    npm, helia, cluster = (_there(find(cache)) for find in (parts.find_npm, parts.find_helia, parts.find_cluster))

    def mock(path: Path, stack: ExitStack) -> Stage:
        return RealMock(path, stack.enter_context(MockService(npm, path / "mock")))

    def real_helia(path: Path, stack: ExitStack) -> Stage:
        return RealHelia(path, stack.enter_context(HeliaService(helia, node.api_url, path / "helia")), node)

    def real_cluster(path: Path, stack: ExitStack) -> Stage:
        return RealCluster(
            path, stack.enter_context(ClusterService(cluster, kubo, path / "cluster", pin_timeout="5s")), node
        )

    def open_cluster(path: Path, stack: ExitStack) -> Stage:
        service = stack.enter_context(ClusterService(cluster, kubo, path / "cluster", guarded=False))
        return RealCluster(path, service, node, auth="none")

    def filled(opened: Callable[[Path, ExitStack], Stage]) -> Callable[[Path, ExitStack], tuple[str, str]]:
        def address(path: Path, stack: ExitStack) -> tuple[str, str]:
            stage = opened(path, stack)
            assert isinstance(stage, Real)
            stage.theirs(*range(PINS))
            return stage.address

        return address

    found += [
        Subject("real mock 0.4.2", REAL["mock"], mock, filled(mock)),
        Subject("real Helia 1.0.4", REAL["helia"], real_helia, filled(real_helia)),
        Subject("real Cluster 1.1.6", REAL["cluster"], real_cluster, filled(open_cluster)),
    ]
    return found, node


def examined(subject: Subject, node: KuboNode, binary: Path) -> Line:
    """One line of the table."""
    line = Line(subject.name)
    for title, check in CHECKS.items():
        with _fresh() as (path, stack):
            stage = subject.opened(path, stack)
            try:
                check(stage, subject.nature)
                line.cells[title] = _kept(title, subject.nature)
            except AssertionError as error:
                where = traceback.extract_tb(error.__traceback__)[-1].line or ""
                line.cells[title] = "NO: " + (str(error).splitlines() or [where])[0][:60]
    with _fresh() as (path, stack):
        stage = subject.opened(path, stack)
        stage.theirs(*range(PINS))
        before = stage.requests
        reading, pins, _ = stage.listed()
        line.cells["pinsync ls"] = f"{len(pins)}{'' if reading.complete else ', not all'}"
        line.cells["requests: list"] = str(stage.requests - before)
    with _fresh() as (path, stack):
        stage = subject.opened(path, stack)
        stage.theirs(*range(PINS))
        stage.pin(*MINE)
        stage.at_rest()
        before = stage.requests
        stage.sync()
        line.cells["quiet pass"] = str(stage.requests - before)
    with _fresh() as (path, stack):
        url, token = subject.address(path, stack)
        line.cells["ipfs pin remote ls"] = kubo_lists(binary, node, url, token)
    return line


def _kept(title: str, nature: Nature) -> str:
    """The word for a promise that was kept, which on some services is that pinsync knows its limits."""
    if not nature.listable:
        return {"listing complete": "says not all", "500 in one second": "says not all", "rename": "waits",
                "removal": "holds", "failed retry": "waits"}.get(title, "yes")  # fmt: skip
    if title == "500 in one second" and not nature.crowded:
        return "or says not"
    if title == "rename":
        return {"taken": "yes", "once": "once, learned", "never": "learned", "waits": "waits"}[nature.names]
    if title == "failed retry" and nature.retry == "stuck":
        return "asked, stays"
    return "yes"


def kubo_lists(binary: Path, node: KuboNode, url: str, token: str) -> str:
    """What `ipfs pin remote ls` prints of a server that holds `PINS` pins: how many of them, and in how many lines."""
    env = {"PATH": os.defpath, "HOME": str(node.repo.parent), "IPFS_PATH": str(node.repo)}
    service = f"s{time.monotonic_ns()}"
    subprocess.run([binary, "pin", "remote", "service", "add", service, url, token], env=env, check=True)
    command: list[str | Path] = [
        binary,
        "pin",
        "remote",
        "ls",
        f"--service={service}",
        "--status=queued,pinning,pinned,failed",
    ]
    with (
        tempfile.TemporaryFile("w+") as printed,
        subprocess.Popen(command, env=env, stdout=printed, stderr=subprocess.PIPE, text=True) as process,
    ):
        try:
            _, said = process.communicate(timeout=KUBO_PATIENCE)
            end = "" if process.returncode == 0 else f", exit {process.returncode}: {said.strip()}"
        except subprocess.TimeoutExpired:
            process.kill()
            end = f", not ended after {KUBO_PATIENCE:g} s"
        printed.seek(0)
        lines = [line.split()[0] for line in printed if line.strip()]
    wanted = {key_of(cid(n)) for n in range(PINS)}
    distinct = len({key_of(line) for line in lines} & wanted)
    return f"{distinct} of {PINS}" + (f" in {len(lines)} lines" if len(lines) != distinct else "") + end


def printed(lines: list[Line]) -> str:
    """The table as text."""
    titles = list(lines[0].cells)
    widths = [max(len(title), *(len(line.cells.get(title, "")) for line in lines)) for title in titles]
    first = max(len(line.name) for line in lines)
    rows = [[" " * first, *(title.ljust(width) for title, width in zip(titles, widths, strict=True))]]
    for line in lines:
        cells = (line.cells.get(title, "").ljust(width) for title, width in zip(titles, widths, strict=True))
        rows.append([line.name.ljust(first), *cells])
    return "\n".join("  ".join(row).rstrip() for row in rows)


@contextmanager
def _fresh() -> Iterator[tuple[Path, ExitStack]]:
    with tempfile.TemporaryDirectory(prefix="pinsync-table-") as directory, ExitStack() as stack:
        yield Path(directory), stack


def _there(found: Path | None) -> Path:
    if found is None:
        sys.exit("a real part is missing: run `make test-services` first, or give --emulator-only")
    return found


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.services.table", description=__doc__)
    parser.add_argument("--emulator-only", action="store_true", help="leave the real services out")
    options = parser.parse_args()
    cache = parts.cache_dir()
    with _fresh() as (path, stack):
        chosen, node = subjects(cache, not options.emulator_only, stack, path)
        binary = _there(parts.find_kubo(cache))
        lines = []
        for subject in chosen:
            began = time.monotonic()
            lines.append(examined(subject, node, binary))
            print(f"{subject.name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
        if not options.emulator_only:
            server = stack.enter_context(EmulatorServer("spec", token=TOKEN))
            verdict = comply(_there(parts.find_helia(cache)), server.url, TOKEN, path / "suite")
            print(f"public compliance suite on `spec`: {verdict.passed} of {COMPLIANCE} passed\n")
    print(printed(lines))
    if any(cell.startswith("NO") for line in lines for cell in line.cells.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
