"""The real parts that tests run against: found, or made once in a cache outside the checkout.

    python -m tests.real.parts kubo     prints the path of an `ipfs` of Kubo 0.42, from PATH or built with Go
    python -m tests.real.parts npm      prints the directory whose node_modules hold the pinning services from npm

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

_HERE = Path(__file__).resolve().parent
_GO_MODULE = _HERE / "kubo"
_NPM_PACKAGE = _HERE / "npm"


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


def find_npm(cache: Path) -> Path | None:
    """The directory that holds `node_modules`, when it is installed already."""
    target = _npm_target(cache)
    return target if target.exists() else None


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
        settings = {
            "GOFLAGS": "-mod=readonly -buildvcs=false",  # the build is what go.sum says, with git or without
            "GOWORK": "off",
            "CGO_ENABLED": "0",
        }
        arguments = ["-trimpath", "-ldflags=-s -w", "-o", str(directory / "ipfs"), "github.com/ipfs/kubo/cmd/ipfs"]
        _run(
            [go, "build", "-C", str(_GO_MODULE), *arguments],
            directory,
            os.environ | settings,
            f"Kubo {KUBO_VERSION} could not be built (see above). It needs Go in the version of\n"
            "tests/real/kubo/go.mod or a newer one, and its module proxy. Install what is missing or put an\n"
            f"`ipfs` {KUBO_VERSION} in PATH; or run the tests that need neither: make test-unit",
        )

    return _made(_kubo_target(cache), build) / "ipfs"


def npm(cache: Path) -> Path:
    """The directory that holds `node_modules`, installed when there is none. Raises `MissingError`."""
    program = shutil.which("npm")
    if program is None or shutil.which("node") is None:
        raise MissingError(
            "the tests need Node.js (18 or newer) and npm, for a pinning service that others wrote.\n"
            "Install them (Debian, Ubuntu: nodejs and npm); or run the tests that need neither: make test-unit"
        )

    def install(directory: Path) -> None:
        _say("installing the pinning services from npm, this once")
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_NPM_PACKAGE / name, directory)
        _run(
            [program, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"],
            directory,
            os.environ,
            "npm could not install what tests/real/npm/package-lock.json lists (see above). Mend that,\n"
            "or run the tests that need no real parts: make test-unit",
        )

    return _made(_npm_target(cache), install)


def _kubo_target(cache: Path) -> Path:
    return cache / f"kubo-{KUBO_VERSION}-{_digest(_GO_MODULE / 'go.sum')}"


def _npm_target(cache: Path) -> Path:
    return cache / f"npm-{_digest(_NPM_PACKAGE / 'package-lock.json')}"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _version_of(ipfs: str) -> str:
    try:
        answer = subprocess.run([ipfs, "version", "--number"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()


def _made(target: Path, make: Callable[[Path], None]) -> Path:
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
    makers = {"kubo": kubo, "npm": npm}
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
