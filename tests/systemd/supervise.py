"""Runs one container from its first mount to its last process; `machine.py` starts it, in its own mount namespace.

    unshare --mount --propagation private -- python supervise.py ROOT STATE NAME [systemd-nspawn's options…]

The container's files are an overlay in memory over ROOT (directories with `:` between them), which stays as it is. All
mounts vanish with the namespace, the container with this process (`--pdeathsig`), and the control group is removed
here. Standard library alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")


def main(root: str, state: str, name: str, options: Sequence[str]) -> int:
    """Boot, write nspawn's process id to `STATE/nspawn`, and wait until it is over."""
    memory, merged = Path(state, "memory"), Path(state, "merged")
    memory.mkdir()
    merged.mkdir()
    _mount("tmpfs", memory, "-o", "mode=0755")
    for part in ("upper", "work"):
        (memory / part).mkdir()
    _mount("overlay", merged, "-o", f"lowerdir={root},upperdir={memory}/upper,workdir={memory}/work")
    Path("/run/systemd").mkdir(exist_ok=True)
    _mount("tmpfs", Path("/run/systemd"), "-o", "mode=0755")  # where nspawn and its container meet
    _mount("cgroup2", GROUPS)  # whatever the host has there, the container sees version 2 alone
    group = GROUPS / f"{name}-{os.getpid()}"
    group.mkdir()

    def enter() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    nspawn = subprocess.Popen(
        [
            "setpriv", "--pdeathsig", "KILL", "--", "systemd-nspawn", f"--directory={merged}", f"--machine={name}",
            "--boot", "--quiet", "--register=no", "--keep-unit", "--settings=no", "--link-journal=no",
            "--resolv-conf=off", "--timezone=off", "--console=read-only", "--private-network", *options,
        ],
        stdin=subprocess.DEVNULL, preexec_fn=enter, env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
    )  # fmt: skip
    signal.signal(signal.SIGTERM, lambda number, frame: nspawn.terminate())
    Path(state, "nspawn.new").write_text(str(nspawn.pid))
    Path(state, "nspawn.new").rename(Path(state, "nspawn"))
    code = nspawn.wait()
    for directory, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):
            Path(directory).rmdir()
    return code


def _mount(kind: str, where: Path, *options: str) -> None:
    subprocess.run(["mount", "-t", kind, *options, "pinsync-test", str(where)], check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
