"""The image of the Containerfile, built by buildah, and commands run in it; no engine and no registry is asked.

The base image is the Debian 12 of tests/systemd, the wheels are those of its cache. Buildah carries the instructions
out in a chroot, so it needs root, and its containers share network and processes with the host.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli

from tests.real.parts import MissingError, cache_dir, made
from tests.systemd import machine

PROJECT = machine.PROJECT
UID = 10001
_BUILD = 240.0  # seconds, on a busy machine


def check_host() -> None:
    """Raises `MissingError` with what to do where nothing can be built here."""
    missing = [name for name in ("buildah", "mmdebstrap") if shutil.which(name) is None]
    if missing:
        raise MissingError(f"building the container's image needs: apt-get install {' '.join(missing)}")
    if os.geteuid() != 0:
        raise MissingError("building the container's image needs root: sudo make test-container")


def wheels(cache: Path) -> Path:
    """A directory with all wheels that the build asks for, those that build pinsync included. Raises `MissingError`."""
    there = machine.wheels(cache)
    wanted: list[str] = tomli.loads((PROJECT / "pyproject.toml").read_text())["build-system"]["requires"]

    def download(directory: Path) -> None:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        options = ["--only-binary=:all:", "--python-version=3.11", f"--dest={directory}"]
        if subprocess.run([*command, *options, *wanted], stdout=sys.stderr, check=False).returncode:
            raise MissingError("pip could not download what builds pinsync (see above)")
        for wheel in there.glob("*.whl"):
            shutil.copy(wheel, directory)

    return made(cache / f"wheels-build-3.11-{machine._recipe([there.name, wanted])}", download)


class Image:
    """The image, in a storage of its own below `directory`."""

    def __init__(self, directory: Path, cache: Path) -> None:
        self._buildah = ["buildah", "--root", str(directory / "storage"), "--runroot", str(directory / "run"),
                         "--storage-driver", "vfs"]  # fmt: skip
        base = self.buildah("from", "scratch")
        self.buildah("add", "--quiet", base, str(machine.rootfs(cache)), "/")
        self.buildah("commit", "--quiet", base, "base")
        self.buildah("rm", base)
        self.told = self.buildah(
            "build", "--isolation=chroot", "--format=docker", "--pull-never", "--build-arg=BASE=localhost/base",
            "--build-arg=PIP_NO_INDEX=1", "--build-arg=PIP_FIND_LINKS=/wheels", f"--volume={wheels(cache)}:/wheels:ro",
            "--tag=pinsync", "--file=Containerfile", ".",
        )  # fmt: skip
        self.name = self.buildah("from", "--pull-never", "localhost/pinsync")
        inspected = json.loads(self.buildah("inspect", "--type=image", "localhost/pinsync"))
        # Buildah puts an unnamed volume at each VOLUME, below or, now and then, on top of the one that `run` names.
        for volume in inspected["Docker"]["config"]["Volumes"]:
            self.buildah("config", f"--volume={volume}-", self.name)
        self.config: dict[str, Any] = inspected["Docker"]["config"]

    def buildah(self, *words: str) -> str:
        done = subprocess.run(
            [*self._buildah, *words], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=_BUILD
        )
        assert done.returncode == 0, f"buildah {' '.join(words)}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout.strip()

    def argv(self, words: Sequence[str], volumes: Mapping[Path, str], env: Mapping[str, str]) -> list[str]:
        """What runs a command in the container, as the image's user."""
        given = [f"--volume={path}:{where}" for path, where in volumes.items()]
        given += [f"--env={name}={value}" for name, value in env.items()]
        return [*self._buildah, "run", "--isolation=chroot", *given, self.name, "--", *words]

    def run(
        self, words: Sequence[str], volumes: Mapping[Path, str] | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.argv(words, volumes or {}, env or {}), capture_output=True, text=True, check=False, timeout=60
        )


if __name__ == "__main__":  # what takes long, before any test's time is measured
    try:
        check_host()
        machine.rootfs(cache_dir())
        wheels(cache_dir())
    except MissingError as problem:
        sys.exit(str(problem))
