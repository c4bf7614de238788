"""A machine to install on that is a directory, with a systemd that remembers what it was told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pinsync.cli import service, service_rest
from pinsync.cli.service_asking import Asked
from pinsync.cli.ui import Ui
from pinsync.setup.checks import Program
from pinsync.setup.host import Host
from pinsync.setup.layout import UNIT, Layout
from pinsync.setup.machine import Ran
from tests.unit.remote_servers import VirtualClock

TOKEN = "a-token-that-nobody-may-see"


class Systemd:
    """`systemctl`, `systemd-sysusers`, `getent` and `journalctl`, as far as installing asks them."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.loaded: bytes | None = None
        self.enabled = False
        self.active = "inactive"
        self.user = False
        self.version = 252
        self.fails: set[str] = set()
        self.calls: list[str] = []
        """What changed something."""

    def __call__(self, argv: Sequence[str]) -> Ran:
        words = [word for word in argv if word != "--user"]
        if words[0] == "getent":
            return Ran(0 if self.user else 2, "", "")
        if words[0] == "journalctl":
            return Ran(0, "the token of nftstorage is not accepted\n", "")
        if words[:2] == ["systemctl", "--version"]:
            return Ran(0, f"systemd {self.version} (252.39-1~deb12u1)\n", "")
        if words[:2] == ["systemctl", "show"]:
            return Ran(0, self._show(), "")
        verb = words[0] if words[0] != "systemctl" else words[1]
        self.calls.append(verb)
        if verb in self.fails:
            if verb in ("start", "restart"):
                self.active = "failed"
            return Ran(1, "", f"Job for {UNIT} failed.\n")
        self._do(verb)
        return Ran(0, "", "")

    def _do(self, verb: str) -> None:
        match verb:
            case "systemd-sysusers":
                assert self.layout.sysusers[0].is_file()
                self.user = True
            case "daemon-reload":
                self.loaded = self._on_disk()
            case "enable":
                assert self.loaded is not None
                self.enabled = True
            case "start" | "restart":
                assert self.loaded == self._on_disk(), "a unit that was not loaded"
                self.active = "active"
                self.layout.state.mkdir(parents=True, exist_ok=True)
            case "disable":
                self.enabled, self.active = False, "inactive"
            case "reset-failed":
                self.active = "inactive"
            case _:
                raise AssertionError(verb)

    def _on_disk(self) -> bytes | None:
        """The unit with its drop-ins."""
        if not self.layout.unit.is_file():
            return None
        drop_ins = sorted(self.layout.drop_ins.glob("*.conf")) if self.layout.drop_ins.is_dir() else []
        return b"\0".join(path.read_bytes() for path in (self.layout.unit, *drop_ins))

    def _show(self) -> str:
        there = self.loaded is not None
        return "\n".join(
            (
                f"LoadState={'loaded' if there else 'not-found'}",
                f"ActiveState={self.active}",
                f"SubState={'running' if self.active == 'active' else 'dead'}",
                f"UnitFileState={('enabled' if self.enabled else 'disabled') if there else ''}",
                f"FragmentPath={self.layout.unit if there else ''}",
                f"NeedDaemonReload={'yes' if there and self.loaded != self._on_disk() else 'no'}",
                f"MainPID={812 if self.active == 'active' else 0}",
            )
        )


@dataclass
class Typist:
    """Somebody at a terminal, who types these lines, and who was asked these questions."""

    lines: list[str]
    secrets: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def line(self, question: str) -> str:
        self.asked.append(question)
        return self.lines.pop(0)

    def secret(self, question: str) -> str:
        self.asked.append(question)
        return self.secrets.pop(0)


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        assert found["format"] == 1
        return found


class Box:
    """The machine: below `root` for the system's service, in a home for one's own."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str], api: str, *, user: bool = False) -> None:
        self.user, self.api, self._capsys = user, api, capsys
        self.root = root
        (root / "run/systemd/system").mkdir(parents=True)
        self.env = {"HOME": str(root / "home/alice")} if user else {"HOME": "/root"}
        program = Program(Path("/opt/pinsync/bin/pinsync"), ())
        bare = Host(root, self.env, 1000 if user else 0, "pinsync", clock=VirtualClock(), program_is=program)
        self.layout = bare.layout(user)
        self.systemd = Systemd(self.layout)
        self.host = Host(root, self.env, bare.uid, "pinsync", self.systemd, bare.clock, program)

    def install(self, *, person: Typist | None = None, json: bool = False, token: str | None = TOKEN,
                host: Host | None = None, **asked: Any) -> Said:  # fmt: skip
        """`pinsync service install`, with a token from a file and the node of the test unless said otherwise."""
        if token is not None and person is None and "token_file" not in asked:
            (self.root / "given").write_text(f"{token}\n")
            asked["token_file"] = str(self.root / "given")
        if not self.layout.config.exists() and "api" not in asked:
            asked["api"] = self.api
        return self._said(
            lambda: service.install(Ui(json=json), self.user, Asked(**asked), host or self.host, person), person
        )

    def uninstall(self, *, purge: bool = False, dry_run: bool = False, json: bool = False,
                  person: Typist | None = None) -> Said:  # fmt: skip
        return self._said(
            lambda: service_rest.uninstall(
                Ui(json=json), self.user, purge=purge, dry_run=dry_run, yes=False, host=self.host, person=person
            ),
            person,
        )

    def show(self, *, json: bool = False) -> Said:
        return self._said(lambda: service_rest.show(Ui(json=json), self.user, self.host), None)

    def _said(self, work: Any, person: Typist | None) -> Said:
        self._capsys.readouterr()
        try:
            code = work()
        finally:
            out, err = self._capsys.readouterr()
            assert TOKEN not in out + err + "".join(person.asked if person else [])
        return Said(code, out, err)

    def tree(self) -> dict[str, tuple[int, str]]:
        """Every file but what a test gave: path → mode and content."""
        return {
            str(path.relative_to(self.root)): (path.stat().st_mode & 0o777, path.read_text())
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and path.name != "given"
        }
