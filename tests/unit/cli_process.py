"""Commands as processes of their own: in a pipe, on a terminal, ended by a signal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

COMMAND = [sys.executable, "-m", "pinsync"]
PATIENCE = 30.0


def environment(home: Path, **more: str) -> dict[str, str]:
    """A small environment with a home of its own."""
    return {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "TERM": "xterm-256color",
        "LC_ALL": "C.UTF-8",
        **more,
    }


def piped(env: Mapping[str, str], *args: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a pipe."""
    return subprocess.run([*COMMAND, *args], env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)


def start(env: Mapping[str, str], *args: str) -> subprocess.Popen[str]:
    """Begin a command in a pipe."""
    return subprocess.Popen([*COMMAND, *args], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def on_terminal(
    env: Mapping[str, str], *args: str, answer: str = "", enough: str = "", twice: bool = False, columns: int = 100
) -> tuple[int, str]:
    """Run a command on a terminal; its exit code and all that it showed.

    `answer` is typed when it asks, ^C once it has shown `enough`, or shown it `twice`.
    """
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen([*COMMAND, *args], env=env, stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    shown, deadline = b"", time.monotonic() + PATIENCE
    try:
        while time.monotonic() < deadline:
            if select.select([leader], [], [], 0.2)[0]:
                try:
                    data = os.read(leader, 1 << 16)
                except OSError:  # the other side is closed
                    break
                shown += data
                if enough and shown.count(enough.encode()) > twice:
                    process.send_signal(signal.SIGINT)
                    enough = ""
                if answer and shown.endswith(b"[y/N] "):
                    os.write(leader, f"{answer}\n".encode())
        return process.wait(PATIENCE), shown.decode()
    finally:
        os.close(leader)
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()
