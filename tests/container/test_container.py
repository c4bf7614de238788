"""The container as docs/containers.md runs it: from the Containerfile, state on a volume, remotes by environment."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pinsync.emulator.kubo import KuboStandIn
from pinsync.emulator.profiles import profile
from pinsync.emulator.server import EmulatorServer
from pinsync.house import ID_FILE
from tests.container.image import UID, Image, check_host
from tests.real import parts
from tests.real.child import Child
from tests.unit.service_kit import cid

pytestmark = [pytest.mark.container, pytest.mark.timeout(400)]
TOKEN = "a-token-that-nobody-may-see"
PATIENCE = 60.0  # seconds
_CACHE = parts.cache_dir()  # before HOME is hidden


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    try:
        check_host()
        return Image(tmp_path_factory.mktemp("image"), _CACHE)
    except parts.MissingError as error:
        pytest.fail(str(error), pytrace=False)


class Box:
    """A container's volumes and environment, a node and a service on the host."""

    def __init__(self, image: Image, path: Path, service: EmulatorServer, node: KuboStandIn) -> None:
        self.image, self.path, self.service = image, path, service
        self.state, self.etc = path / "state", path / "etc"
        self.state.mkdir()
        os.chown(self.state, UID, UID)
        self.etc.mkdir()
        remote = [{"name": "nftstorage", "endpoint": service.url}]
        self.env: Mapping[str, str] = {
            "PINSYNC_REMOTE": json.dumps(remote), "PINSYNC_TOKEN_NFTSTORAGE": TOKEN, "PINSYNC_KUBO__API": node.url,
            "PINSYNC_MANIFEST__PATH": "/etc/pinsync/pins.toml", "PINSYNC_SAFETY__GRACE": "0s",
            "PINSYNC_SAFETY__MAX_REMOVAL_SHARE": "100",
        }  # fmt: skip
        self.volumes = {self.state: "/var/lib/pinsync", self.etc: "/etc/pinsync:ro"}

    def manifest(self, *numbers: int) -> None:
        """Replaced at once, as editors do: only a mounted directory shows that."""
        new = self.etc / "pins.toml.new"
        new.write_text("".join(f'[[pin]]\ncid = "{cid(number)}"\n' for number in numbers))
        new.replace(self.etc / "pins.toml")

    def start(self) -> Child:
        """What an engine would start."""
        argv = [*self.image.config["Entrypoint"], *self.image.config["Cmd"]]
        return Child(self.image.argv(argv, self.volumes, self.env), log=self.path / "log", env=dict(os.environ))

    def health(self) -> tuple[int, str]:
        kind, *argv = self.image.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        done = self.image.run(argv)
        return done.returncode, done.stdout.strip()

    def arrive(self, child: Child, *numbers: int) -> None:
        def there() -> bool | None:
            pins = {pin.cid for pin in self.service.emulator.pins()}
            return True if pins == {cid(number) for number in numbers} else None

        child.wait_until(there, timeout=PATIENCE)

    def recorded(self) -> bool | None:
        """Whether a pass is over that found everything pinned, or on its way."""
        done = self.image.run(["pinsync", "status"], self.volumes, self.env)
        return True if done.returncode in (0, 3) else None

    def stop(self, child: Child) -> float:
        """Seconds until it was over, by the signal that the image asks for."""
        told = json.loads(self.image.run(["pinsync", "status", "--json"], self.volumes, self.env).stdout)
        assert Path(f"/proc/{told['daemon']['pid']}/status").read_text().split("Uid:\t")[1].startswith(f"{UID}\t")
        begun = time.monotonic()
        os.kill(told["daemon"]["pid"], signal.Signals[self.image.config["StopSignal"]])
        while child.running:
            assert time.monotonic() < begun + PATIENCE
            time.sleep(0.05)
        took = time.monotonic() - begun
        child.stop()
        return took


@pytest.fixture
def box(image: Image, tmp_path: Path) -> Iterator[Box]:
    with EmulatorServer(profile("nft.storage"), token=TOKEN) as service, KuboStandIn({}) as node:
        tmp_path.chmod(0o755)
        for above in tmp_path.parents[:2]:
            above.chmod(above.stat().st_mode | 0o011)  # pytest's own are for root alone
        yield Box(image, tmp_path, service, node)


def test_the_image_runs_as_nobody_special_with_its_state_on_a_volume(image: Image) -> None:
    assert image.config["User"] == f"{UID}:{UID}"
    assert list(image.config["Volumes"]) == ["/var/lib/pinsync"]
    assert image.run(["id", "-u"]).stdout.strip() == str(UID)
    assert image.run(["pinsync", "--version"]).stdout.startswith("pinsync ")
    for path in ("/opt/pinsync/bin/pinsync", "/etc/pinsync", "/usr/local/bin"):
        assert image.run(["test", "-w", path]).returncode == 1, path
    for path in ("/var/lib/pinsync", "/run/pinsync"):
        assert image.run(["test", "-w", path]).returncode == 0, path
    assert image.run(["test", "-e", "/src"]).returncode == 1


def test_without_a_configuration_it_says_what_is_lacking(image: Image, box: Box) -> None:
    done = image.run(["pinsync", "run"], box.volumes)
    assert done.returncode == 2
    assert "PINSYNC_REMOTE" in done.stderr
    code, said = box.health()
    assert code == 1 and "no daemon answers" in said


def test_pins_arrive_follow_the_manifest_and_survive_the_container(box: Box) -> None:
    box.manifest(1, 2)
    child = box.start()
    box.arrive(child, 1, 2)
    assert box.health() == (0, "ok")
    child.wait_until(box.recorded, timeout=PATIENCE)
    box.manifest(1, 3)
    box.arrive(child, 1, 3)
    assert box.stop(child) < PATIENCE / 2
    assert box.health()[0] == 1
    mirror = (box.state / ID_FILE).read_text()
    assert {path.stat().st_uid for path in box.state.iterdir()} == {UID}

    again = box.start()
    box.manifest(1, 3, 4)
    box.arrive(again, 1, 3, 4)
    box.stop(again)
    assert (box.state / ID_FILE).read_text() == mirror
    assert len(list(box.service.emulator.pins())) == 3
    assert TOKEN not in (box.path / "log").read_text()
