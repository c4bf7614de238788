"""A state directory that is full, or may not be written, on a small file system of its own. Only root can mount one."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from tests.faults.conftest import Conclude
from tests.faults.service import Service
from tests.faults.stage import Mount, Stage, wait_until
from tests.real.kubo import KuboNode

pytestmark = [pytest.mark.real, pytest.mark.faults, pytest.mark.timeout(900)]

SIZE = 16_384  # KiB


def fill_up(directory: Path, leave: int) -> Path:
    """A file that leaves `leave` KiB of a small file system."""
    path = directory / "ballast"
    free = os.statvfs(directory)
    with path.open("wb") as file, suppress(OSError):
        file.write(b"\0" * max(0, free.f_bavail * free.f_frsize - leave * 1024))
    return path


def test_a_disk_that_is_full(
    tmp_path: Path, kubo_node: KuboNode, make_service: Callable[..., Service], random: Random, conclude: Conclude
) -> None:
    service = make_service("spec", latency=0.005, settle=0.1)
    with Mount(tmp_path / "small", SIZE) as small:
        stage = Stage(tmp_path, kubo_node, service, state=small)
        stage.fill(600, foreign_too=20, named=60)
        full = 0
        for number, leave in enumerate((0, 8, 60, 150, 250, 350, 500, 700, 900, 1200, 20, 90, 40, 130)):
            if number > 9:
                stage.churn(random, unpin=80, pin=40, rename=40)
            ballast = fill_up(small, leave)
            # Scratch space is on the same disk, as it is on most machines.
            ran = stage.run("sync", exits=(0, 1, 3), TMPDIR=str(small), SQLITE_TMPDIR=str(small))
            if ran.code == 1:
                full += 1
                assert "is full" in ran.err or "No space left" in ran.err, ran.err
            status = stage.run("status", "--json", exits=range(6))
            assert status.json is not None
            ballast.unlink()
        assert full >= 5, "the disk was hardly ever full"
        conclude("a full disk", full, stage)


def test_a_disk_that_fills_up_under_a_daemon(
    tmp_path: Path, kubo_node: KuboNode, make_service: Callable[..., Service], random: Random, conclude: Conclude
) -> None:
    service = make_service("spec", latency=0.01, settle=0.1)
    with Mount(tmp_path / "small", SIZE) as small:
        stage = Stage(tmp_path, kubo_node, service, state=small, every="1s")
        stage.fill(300, foreign_too=20)
        daemon = stage.ready(stage.start("run", TMPDIR=str(small), SQLITE_TMPDIR=str(small)))
        times = 5
        for number in range(times):
            if number:
                stage.churn(random, unpin=60, pin=30, rename=30)
            stage.until_requests(random.randint(1, 60), alive=daemon)
            ballast = fill_up(small, 0)
            said = stage.log.read_text().count("full")
            wait_until(lambda said=said: stage.log.read_text().count("full") > said, "words", alive=daemon)  # type: ignore[misc]
            ballast.unlink()
            good = passes_that_went_well(stage)
            wait_until(lambda good=good: passes_that_went_well(stage) > good, "a good pass", alive=daemon)  # type: ignore[misc]
        assert daemon.running
        daemon.stop()
        assert "Traceback" not in stage.log.read_text()
        conclude("the disk full under a daemon", times, stage)


def passes_that_went_well(stage: Stage) -> int:
    return int(stage.ask_ledger("SELECT count(*) FROM runs WHERE good"))


def test_a_state_directory_that_may_not_be_written(
    tmp_path: Path, kubo_node: KuboNode, make_service: Callable[..., Service], random: Random, conclude: Conclude
) -> None:
    service = make_service("spec", settle=0.1)
    mount = Mount(tmp_path / "small", SIZE)
    with mount as small:
        stage = Stage(tmp_path, kubo_node, service, state=small)
        mount.remount("ro")
        assert not stage.state.exists()
        for words in (("sync",), ("run",)):  # nothing there yet
            assert "cannot be" in stage.run(*words, exits=(1,)).err
        assert stage.requests() == 0
        mount.remount("rw")
        stage.fill(200, foreign_too=10)
        stage.settle()
        for _ in range(4):
            stage.churn(random, unpin=20, pin=10, rename=10)
            before = service.counts()["mutations"]
            mount.remount("ro")
            for words in (("sync",), ("run",)):
                said = stage.run(*words, exits=(1,)).err
                assert "read-only" in said.lower() and str(small) in said, said
            assert service.counts()["mutations"] == before, "something was sent that nobody could note"
            read = stage.run("status", "--json", exits=(0, 3, 5)).json
            assert read is not None and read["remotes"][0]["wanted"]
            stage.run("plan", "--json", exits=(3,))
            mount.remount("rw")
            stage.settle()
        conclude("a read-only state directory", 8, stage)
