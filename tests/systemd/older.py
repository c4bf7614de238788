"""An older pinsync, whose ledger has schema 1, as a wheel with the number 0.0.9."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.real.parts import MissingError, made
from tests.systemd.machine import PROJECT

SCHEMA_1 = "9bf48557abf4d8961ef4bf00c76e363803c202e5"  # the last commit with it
NUMBER = "0.0.9"


def real(cache: Path) -> Path | None:
    """The program as it was then, from the history; None where this checkout has not so much of it."""
    command = ["git", "-C", str(PROJECT), "archive", "--format=tar", SCHEMA_1]
    try:
        archive = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    if archive.returncode:
        return None

    def build(directory: Path) -> None:
        source = directory / "source"
        source.mkdir()
        subprocess.run(["tar", "-x", "-C", str(source)], input=archive.stdout, check=True)
        about = source / "daemon/pinsync/__init__.py"
        about.write_text(re.sub(r'__version__ = ".*"', f'__version__ = "{NUMBER}"', about.read_text()))
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
        if subprocess.run([*command, f"--wheel-dir={directory}", source], stdout=sys.stderr, check=False).returncode:
            raise MissingError("the older version could not be built (see above)")

    return next(made(cache / f"older-{SCHEMA_1[:12]}", build).glob("*.whl"))


def stand_in(wheel: Path, directory: Path) -> Path:
    """The program of today that knows schema 1 alone: good for refusing a newer ledger, and for nothing else."""
    before = wheel.name.split("-")[1]
    target = directory / wheel.name.replace(before, NUMBER)
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name).decode()
            if name == "pinsync/__init__.py" or name.endswith("/METADATA"):
                data = data.replace(before, NUMBER)
            elif name == "pinsync/ledger/schema.py":
                data += "\nMIGRATIONS = (VERSION_1,)\nVERSION = 1\n"
            elif name.endswith("/RECORD"):
                data = re.sub(r"(?m),sha256=[^,]*,\d*$", ",,", data).replace(before, NUMBER)
            new.writestr(name.replace(f"pinsync-{before}.", f"pinsync-{NUMBER}."), data)
    return target
