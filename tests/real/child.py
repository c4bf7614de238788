"""Child processes that never outlive the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

_POLL = 0.01  # seconds
_T = TypeVar("_T")


class ChildError(Exception):
    """A child ended, or was not ready in time; the message closes with the end of its log."""


class Child:
    """A running process, with its output in the file `log`.

    It dies with this one even when that is killed: on Linux by the parent-death signal (`setpriv` of util-linux),
    and everywhere its standard input ends then, for those that look.
    """

    def __init__(self, argv: Sequence[str | Path], *, log: Path, env: Mapping[str, str]) -> None:
        self.log = log
        self._name = Path(argv[0]).name
        tied = list(argv)
        if setpriv := shutil.which("setpriv"):
            # A parent that died before the signal was asked for sends none: such a child has another parent already.
            guard = ["/bin/sh", "-c", 'test "$PPID" = "$0" && exec "$@"', str(os.getpid())]
            tied = [setpriv, "--pdeathsig", "KILL", "--", *guard, *argv]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                tied, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, env=env
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait_until(self, ready: Callable[[], _T | None], *, timeout: float = 30) -> _T:
        """What `ready` answers as soon as it is not None. Raises `ChildError`, with the process killed."""
        deadline = time.monotonic() + timeout
        while (answer := ready()) is None:
            if not self.running:
                raise ChildError(f"{self._name} ended with exit code {self._process.returncode}{self._tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ChildError(f"{self._name} was not ready within {timeout:g} s{self._tail()}")
            time.sleep(_POLL)
        return answer

    def stop(self, *, timeout: float = 10) -> None:
        """SIGTERM, and SIGKILL for one that has not ended after `timeout` seconds. Harmless on one that has."""
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._end()

    def kill(self) -> None:
        """SIGKILL. Harmless on one that has ended."""
        self._process.kill()
        self._end()

    def _end(self) -> None:
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()

    def _tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-20:]
        return "; its log ends:\n" + "\n".join(f"    {line}" for line in lines) if lines else "; its log is empty"
