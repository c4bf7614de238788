"""The public compliance suite for pinning services, @ipfs-shipyard/pinning-service-compliance from npm, on a server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

SPECIFICATION = Path(__file__).resolve().parents[1] / "real" / "spec" / "ipfs-pinning-service.yaml"
_SUITE = "node_modules/@ipfs-shipyard/pinning-service-compliance/dist/src/index.js"
CHECKS = 9


@dataclass(frozen=True)
class Verdict:
    """What the suite wrote: checks passed and failed; `said` is its report, for whoever asks why."""

    passed: int
    failed: int
    said: str


def comply(packages: Path, url: str, token: str, directory: Path) -> Verdict:
    """Run the suite against the server at `url`; it asks one request a second. What it writes goes to `directory`.

    Its exit code is 0 whatever it finds, and a check that could not run is not counted: require `CHECKS` passed.
    """
    node = shutil.which("node")
    if node is None:
        raise RuntimeError("there is no node in PATH")
    directory.mkdir(parents=True, exist_ok=True)
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "COMPLIANCE_SPEC": str(SPECIFICATION),
        "COMPLIANCE_DOCS": str(directory),
    }
    process = subprocess.run(
        [node, packages / _SUITE, "-s", url, token],
        cwd=directory,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    written = directory / f"{urlsplit(url).hostname}.json"
    said = re.sub(r"\x1b\[[\d;]*m", "", process.stdout + process.stderr)
    if not written.exists():
        raise AssertionError(f"the compliance suite wrote no {written.name}:\n{said}")
    counted = json.loads(written.read_text())
    return Verdict(counted["passed"], counted["failed"], said)
