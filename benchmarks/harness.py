"""What the benchmarks share: measured processes, `pinsync` on a configuration of its own, and Kubo nodes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libipld import encode_multibase
from tests.real import parts
from tests.real.kubo import KuboNode

from .service import MARK, SOURCES, TOKEN, Service

_HWM = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)
_SAMPLE = 0.02  # seconds


class CannotRunError(Exception):
    """A benchmark cannot be run, or what it ran did not do its work; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How to run: a directory for one benchmark's files, and by what its sizes are divided."""

    scratch: Path
    divisor: int = 1

    def size(self, full: int) -> int:
        """How many of something, of which a full run takes `full`."""
        return full // self.divisor


@dataclass(frozen=True, slots=True)
class Ran:
    """A process that has ended. `peak_mb`: the most memory it ever held (MB), None where the system does not tell."""

    seconds: float
    code: int
    peak_mb: float | None


def run(
    argv: Sequence[str | Path], env: Mapping[str, str], *, out: Path | None = None, ok: Sequence[int] = (0,)
) -> Ran:
    """Run a process to its end, its output to `out` or nowhere. Raises `CannotRunError` on another exit code."""
    with (out or Path(os.devnull)).open("wb") as output:
        begun = time.perf_counter()
        with subprocess.Popen(
            argv, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE
        ) as process:
            sampled = _Peak(process.pid)
            assert process.stderr is not None
            said = process.stderr.read().decode(errors="replace")
            code = process.wait()
            seconds = time.perf_counter() - begun
            peak = sampled.end()
    if code not in ok:
        raise CannotRunError(f"{' '.join(map(str, argv))} ended with exit code {code}:\n{said.strip()}")
    return Ran(seconds, code, peak)


class _Peak:
    """Reads a process's own high-water mark until it ends.

    Not `getrusage`: a child's `ru_maxrss` begins with what its parent held, which may be more than it ever uses.
    """

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._kib: int | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> float | None:
        """The highest mark seen, in MB."""
        self._done.set()
        self._thread.join()
        return None if self._kib is None else self._kib * 1024 / 1e6

    def _watch(self) -> None:
        while not self._done.wait(_SAMPLE):
            try:
                found = _HWM.search(self._status.read_text())
            except OSError:
                return
            # Before its exec a child still shows its parent's mark, so the last reading counts, not the largest.
            self._kib = int(found[1]) if found else self._kib


class Pinsync:
    """The `pinsync` of this checkout on a configuration and a state of its own, with one remote called `bench`."""

    def __init__(
        self, directory: Path, service: Service, *, node: KuboNode | None = None, manifest: Sequence[str] = (),
        remote: str = "",
    ) -> None:  # fmt: skip
        directory.mkdir()
        lists = directory / "pins.txt"
        lists.write_text("".join(f"{cid}\n" for cid in manifest))
        (directory / "pins.toml").write_text('include = ["pins.txt"]\n' if manifest else "")
        kubo = f'api = "{node.api_url}"' if node else "mirror = false"
        self.config = directory / "config.toml"
        self.config.write_text(
            f'[mirror]\nid = "{MARK}"\n[kubo]\n{kubo}\n[state]\npath = "pinsync.db"\n'
            f'[manifest]\npath = "pins.toml"\n[[remote]]\nname = "bench"\nendpoint = "{service.url}"\n{remote}\n'
        )
        self._out = directory / "out.json"
        self._env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(directory),
            "PYTHONPATH": str(SOURCES),
            "PYTHONUTF8": "1",
            "PINSYNC_TOKEN_BENCH": TOKEN,
        }

    def run(self, *args: str, ok: Sequence[int] = (0,)) -> Ran:
        """A whole process, `python -m pinsync ARGS`, its output to nowhere."""
        return run(self._argv(args), self._env, ok=ok)

    def ask(self, *args: str, ok: Sequence[int] = (0,)) -> tuple[Ran, dict[str, Any]]:
        """The same, with the object that it prints."""
        ran = run(self._argv([*args, "--json"]), self._env, out=self._out, ok=ok)
        answer: dict[str, Any] = json.loads(self._out.read_bytes())
        return ran, answer

    def _argv(self, args: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "pinsync", "--config", str(self.config), *args]


class Ipfs:
    """The `ipfs` command on a node's repository: the rival. It asks the node's daemon where one runs."""

    def __init__(self, node: KuboNode) -> None:
        self._argv = [str(kubo_binary())]
        self._env = {
            "PATH": os.defpath, "HOME": str(node.repo.parent), "IPFS_PATH": str(node.repo), "IPFS_TELEMETRY": "off",
        }  # fmt: skip

    def run(self, *args: str, out: Path | None = None) -> Ran:
        """A whole process."""
        return run([*self._argv, *args], self._env, out=out)


def kubo_binary() -> Path:
    """The `ipfs` of a Kubo 0.42: `$PINSYNC_TEST_KUBO`, or one in PATH or in the cache. Raises `CannotRunError`."""
    named = os.environ.get("PINSYNC_TEST_KUBO")
    found = Path(named) if named else parts.find_kubo(parts.cache_dir())
    if found is None or not found.exists():
        raise CannotRunError(f"there is no Kubo {parts.KUBO_VERSION} here; `make bench` gets one")
    return found


@contextmanager
def node_with(directory: Path, pins: int) -> Iterator[tuple[KuboNode, list[str]]]:
    """A running Kubo node with that many pins (and their CIDs), its repository in `directory`."""
    with KuboNode(kubo_binary(), directory) as node:
        yield node, node.add_pins(pins)


@contextmanager
def kept_node_with(pins: int) -> Iterator[tuple[KuboNode, list[str]]]:
    """The same from the cache, since making a hundred thousand takes minutes: made there where it is missing."""
    home = parts.cache_dir() / f"bench-kubo-{pins}"
    if not home.exists():
        say(f"making a Kubo repository with {pins} pins in {home}, this once; it takes some minutes")
        new = home.with_name(f"{home.name}.new-{os.getpid()}")
        try:
            with node_with(new, pins) as (node, _):
                node.stop()
            new.rename(home)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    node = KuboNode(kubo_binary(), home)

    def any_port(config: dict[str, Any]) -> None:
        config["Addresses"]["API"] = "/ip4/127.0.0.1/tcp/0"  # the one it had may be somebody else's by now

    node.change_config(any_port)
    with node:
        try:
            cids = sorted(node.pins())
            if len(cids) != pins:
                raise CannotRunError(f"the node in {home} has {len(cids)} pins, not {pins}; remove that directory")
            yield node, cids
        finally:
            node.stop()


def made_up_cids(count: int) -> list[str]:
    """CIDs of blocks that nobody has."""
    keys = (b"\x01\x55\x12\x20" + hashlib.sha256(f"bench-{i}".encode()).digest() for i in range(count))
    return [str(encode_multibase("b", key)) for key in keys]


def say(text: str) -> None:
    """Tell, on standard error, what takes so long."""
    print(text, file=sys.stderr, flush=True)
