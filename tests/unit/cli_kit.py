"""What the tests of the command line share: a home with a configuration, a service and a node, and commands to run."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pinsync.cli.main import main
from pinsync.emulator.kubo import KuboStandIn
from pinsync.emulator.profiles import profile
from pinsync.emulator.server import EmulatorServer

TOKEN = "s3cret-t0ken-of-a-test"


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command came to."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """The one object on standard output."""
        found: dict[str, Any] = json.loads(self.out)
        assert found["format"] == 1
        return found


@dataclass(slots=True)
class Home:
    """A configuration in a directory of its own, run in this process."""

    path: Path
    capsys: pytest.CaptureFixture[str]
    service: EmulatorServer
    node: KuboStandIn
    extra: str = ""
    remotes: list[str] = field(default_factory=lambda: ["nft"])

    @property
    def config(self) -> Path:
        return self.path / "config.toml"

    @property
    def ledger(self) -> Path:
        return self.path / "state" / "pinsync.db"

    def configure(self, extra: str = "", *, endpoint: str | None = None, api: str | None = None) -> None:
        """Write config.toml; `extra` are tables of their own."""
        tables = [f'[[remote]]\nname = "{name}"\nendpoint = "{endpoint or self.service.url}"\nretry_for = "0s"\n'
                  for name in self.remotes]  # fmt: skip
        kubo = f'[kubo]\napi = "{api or self.node.url}"\nretry_for = "0s"\n'
        self.config.write_text(f'{kubo}[state]\npath = "state/pinsync.db"\n{extra}\n{"".join(tables)}')

    def manifest(self, text: str) -> None:
        (self.path / "pins.toml").write_text(text)

    def run(self, *args: str) -> Ran:
        self.capsys.readouterr()
        code = main(["--config", str(self.config), *args])
        out, err = self.capsys.readouterr()
        ran = Ran(code, out, err)
        assert TOKEN not in ran.out + ran.err
        assert "Traceback" not in ran.err, ran.err
        return ran

    def age(self, seconds: float) -> None:
        """Let every pass have been so long ago."""
        with closing(sqlite3.connect(self.ledger)) as db, db:
            db.execute("UPDATE runs SET started_at = started_at - ?1, progress_at = progress_at - ?1, "
                       "finished_at = finished_at - ?1", (seconds,))  # fmt: skip


@contextmanager
def home(
    path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    pins: dict[str, str],
    *,
    service: str = "spec",
    **knobs: object,
) -> Iterator[Home]:
    """A node with `pins`, a service that behaves as `service` does, a configuration that mirrors one to the other."""
    monkeypatch.setenv("PINSYNC_TOKEN_NFT", TOKEN)
    with ExitStack() as stack:
        server = stack.enter_context(EmulatorServer(profile(service, **knobs), token=TOKEN))
        node = stack.enter_context(KuboStandIn(pins))
        made = Home(path, capsys, server, node)
        made.configure()
        yield made
