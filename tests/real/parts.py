"""The real parts that tests run against: found, or made once in a cache outside the checkout.

    python -m tests.real.parts kubo     prints the path of an `ipfs` of Kubo 0.42, from PATH or built with Go
    python -m tests.real.parts npm      prints the directory whose node_modules hold the mock pinning service
    python -m tests.real.parts cluster  prints the path of an `ipfs-cluster-service` 1.1.6, built with Go
    python -m tests.real.parts helia    prints the directory whose node_modules hold Helia's pinning service and the
                                        public compliance suite

What is made is fixed by the committed go.sum and package-lock.json, and its directory is named after them. Standard
library alone, so that it works before anything is installed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

KUBO_VERSION = "0.42.0"

CLUSTER_VERSION = "1.1.6"

_HERE = Path(__file__).resolve().parent
_KUBO_MODULE = _HERE / "kubo"
_CLUSTER_MODULE = _HERE / "cluster"
_MOCK_PACKAGE = _HERE / "npm"
_HELIA_PACKAGE = _HERE / "npm-helia"

# The compliance suite reads the specification from the network and writes into its own directory. Two of its constants
# are taken from the environment in their place, so that it needs no network and two runs do not meet.
_SUITE_CONSTANTS = "node_modules/@ipfs-shipyard/pinning-service-compliance/dist/src/utils/constants.js"
_SUITE_EDITS = (
    ("const specLocation = ", "const specLocation = process.env.COMPLIANCE_SPEC ?? "),
    ("const docsDir = ", "const docsDir = process.env.COMPLIANCE_DOCS ?? "),
)


class MissingError(Exception):
    """A real part cannot be had; the message says what to install."""


def cache_dir() -> Path:
    """`$XDG_CACHE_HOME/pinsync`, or `~/.cache/pinsync`; need not exist."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "pinsync"


def find_kubo(cache: Path) -> Path | None:
    """An `ipfs` 0.42 that is there already: in PATH or in the cache."""
    in_path = shutil.which("ipfs")
    if in_path and _version_of(in_path).startswith("0.42."):
        return Path(in_path)
    built = _kubo_target(cache) / "ipfs"
    return built if built.exists() else None


def find_cluster(cache: Path) -> Path | None:
    """The `ipfs-cluster-service`, when it is built already."""
    built = _cluster_target(cache) / "ipfs-cluster-service"
    return built if built.exists() else None


def find_npm(cache: Path) -> Path | None:
    """The directory that holds the mock service's `node_modules`, when they are installed already."""
    return _there(_npm_target(cache, _MOCK_PACKAGE))


def find_helia(cache: Path) -> Path | None:
    """The directory that holds Helia's `node_modules`, when they are installed already."""
    return _there(_npm_target(cache, _HELIA_PACKAGE))


def kubo(cache: Path) -> Path:
    """The path of an `ipfs` 0.42, built when there is none. Raises `MissingError`."""
    found = find_kubo(cache)
    if found:
        return found
    go = shutil.which("go")
    if go is None:
        raise MissingError(
            "the tests need a real Kubo 0.42: there is no `ipfs` 0.42 in PATH, and no Go to build one with.\n"
            f"Install Kubo {KUBO_VERSION}, or Go (the version in tests/real/kubo/go.mod or a newer one);\n"
            "or run the tests that need neither: make test-unit"
        )

    def build(directory: Path) -> None:
        _say(f"building Kubo {KUBO_VERSION} with Go, this once; it takes some minutes")
        _go_build(
            go,
            _KUBO_MODULE,
            directory / "ipfs",
            "github.com/ipfs/kubo/cmd/ipfs",
            f"Kubo {KUBO_VERSION} could not be built (see above). It needs Go in the version of\n"
            "tests/real/kubo/go.mod or a newer one, and its module proxy. Install what is missing or put an\n"
            f"`ipfs` {KUBO_VERSION} in PATH; or run the tests that need neither: make test-unit",
        )

    return made(_kubo_target(cache), build) / "ipfs"


def cluster(cache: Path) -> Path:
    """The path of an `ipfs-cluster-service` 1.1.6, built when there is none. Raises `MissingError`."""
    found = find_cluster(cache)
    if found:
        return found
    go = shutil.which("go")
    if go is None:
        raise MissingError(
            f"the tests need a real IPFS Cluster {CLUSTER_VERSION}, and there is no Go to build one with.\n"
            "Install Go (the version in tests/real/cluster/go.mod or a newer one); or run the tests that need no\n"
            "real pinning services: make test"
        )

    def build(directory: Path) -> None:
        _say(f"building IPFS Cluster {CLUSTER_VERSION} with Go, this once; it takes a minute or two")
        _go_build(
            go,
            _CLUSTER_MODULE,
            directory / "ipfs-cluster-service",
            "github.com/ipfs-cluster/ipfs-cluster/cmd/ipfs-cluster-service",
            f"IPFS Cluster {CLUSTER_VERSION} could not be built (see above). It needs Go in the version of\n"
            "tests/real/cluster/go.mod or a newer one, and its module proxy. Mend that, or run the tests that need\n"
            "no real pinning services: make test",
        )

    return made(_cluster_target(cache), build) / "ipfs-cluster-service"


def npm(cache: Path) -> Path:
    """The directory that holds the mock service's `node_modules`, installed when needed. Raises `MissingError`."""
    return _installed(cache, _MOCK_PACKAGE, "run the tests that need no real parts: make test-unit")


def helia(cache: Path) -> Path:
    """The directory that holds Helia's `node_modules` and the compliance suite's. Raises `MissingError`."""

    def edit(directory: Path) -> None:
        constants = directory / _SUITE_CONSTANTS
        text = constants.read_text()
        for old, new in _SUITE_EDITS:
            if text.count(old) != 1:
                raise MissingError(
                    f"{_SUITE_CONSTANTS} has changed: {old!r} is not in it once; mend tests/real/parts.py"
                )
            text = text.replace(old, new)
        constants.write_text(text)

    return _installed(cache, _HELIA_PACKAGE, "run the tests that need no real pinning services: make test", edit)


def _installed(
    cache: Path, package: Path, otherwise: str, edit: Callable[[Path], None] = lambda directory: None
) -> Path:
    target = _npm_target(cache, package)
    if target.exists():
        return target
    program = shutil.which("npm")
    if program is None or shutil.which("node") is None:
        raise MissingError(
            "the tests need Node.js (18 or newer) and npm, for pinning services that others wrote.\n"
            f"Install them (Debian, Ubuntu: nodejs and npm); or {otherwise}"
        )

    def install(directory: Path) -> None:
        _say(f"installing from npm what tests/real/{package.name} lists, this once")
        for name in ("package.json", "package-lock.json", ".npmrc"):
            if (package / name).exists():
                shutil.copy(package / name, directory)
        _run(
            [program, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"],
            directory,
            os.environ,
            f"npm could not install what tests/real/{package.name}/package-lock.json lists (see above). Mend that,\n"
            f"or {otherwise}",
        )
        edit(directory)

    return made(target, install)


def _go_build(go: str, module: Path, output: Path, package: str, failure: str) -> None:
    settings = {
        "GOFLAGS": "-mod=readonly -buildvcs=false",  # the build is what go.sum says, with git or without
        "GOWORK": "off",
        "CGO_ENABLED": "0",
    }
    arguments = ["-trimpath", "-ldflags=-s -w", "-o", str(output), package]
    _run([go, "build", "-C", str(module), *arguments], output.parent, os.environ | settings, failure)


def _there(target: Path) -> Path | None:
    return target if target.exists() else None


def _kubo_target(cache: Path) -> Path:
    return cache / f"kubo-{KUBO_VERSION}-{_digest(_KUBO_MODULE / 'go.sum')}"


def _cluster_target(cache: Path) -> Path:
    return cache / f"cluster-{CLUSTER_VERSION}-{_digest(_CLUSTER_MODULE / 'go.sum')}"


def _npm_target(cache: Path, package: Path) -> Path:
    return cache / f"{package.name}-{_digest(package / 'package-lock.json')}"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _version_of(ipfs: str) -> str:
    try:
        answer = subprocess.run([ipfs, "version", "--number"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()


def made(target: Path, make: Callable[[Path], None]) -> Path:
    """`target`, filled by `make` when it is not there: whole or not at all, by one process at a time."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock(target.with_name(target.name + ".lock")):
        if not target.exists():
            for left_over in target.parent.glob(f"{target.name}.new-*"):  # of a process that was killed
                shutil.rmtree(left_over)
            new = Path(tempfile.mkdtemp(prefix=f"{target.name}.new-", dir=target.parent))
            try:
                make(new)
                new.rename(target)
            except BaseException:
                shutil.rmtree(new)
                raise
    return target


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"another process holds {path}; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _run(argv: list[str], directory: Path, env: dict[str, str] | os._Environ[str], failure: str) -> None:
    # Standard output is ours to answer on, so what the tools say goes to standard error.
    if subprocess.run(argv, cwd=directory, env=env, stdout=sys.stderr, check=False).returncode:
        raise MissingError(failure)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    makers = {"kubo": kubo, "npm": npm, "cluster": cluster, "helia": helia}
    if len(arguments) != 1 or arguments[0] not in makers:
        _say(f"usage: python -m tests.real.parts {'|'.join(makers)}")
        return 2
    try:
        print(makers[arguments[0]](cache_dir()))
    except (MissingError, OSError) as error:
        _say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
