"""One mirror of a history: its process, its disk, and a pass with everything that happens meanwhile."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

from pydantic import SecretStr

from pinsync import house
from pinsync.errors import StateError
from pinsync.ledger.records import RemoteRecord
from pinsync.model import Mode, Rate, Removals, Safety
from pinsync.remote.client import RemoteClient
from pinsync.remote.limits import RateLimiter
from pinsync.settings.model import (
    ConfigFile,
    ManifestSettings,
    MirrorSettings,
    NodeSettings,
    RemoteSettings,
    Schedule,
    Settings,
    StateSettings,
)
from pinsync.status import status
from pinsync.steps.report import PassReport, sync_json
from pinsync.world import World

from . import effects as effects_module
from .effects import Effects
from .loop import Died, SimClock, SimulatedLoop
from .node import SimNode
from .oracle import Oracle
from .records import Account, Violation, Watch
from .service import TOKEN, SimRemote, Wire
from .truth import Wishes


class Heard(logging.Handler):
    """All that the product logs in a history."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class SimMirror:
    """A mirror. `act` is told what happens to the world in the middle of a pass."""

    def __init__(
        self, name: str, directory: Path, loop: SimulatedLoop, oracle: Oracle, wishes: Wishes,
        remotes: dict[str, SimRemote], spec: dict[str, Any], act: Callable[[list[Any]], None],
    ) -> None:  # fmt: skip
        self.name = name
        self.directory = directory
        directory.mkdir(parents=True)
        self.loop = loop
        self.oracle = oracle
        self.clock = SimClock(loop)
        self.wishes = wishes
        self.remotes = remotes
        self.spec = spec
        self.act = act
        self.tell: Callable[[str], None] | None = None
        self.undisturbed: Callable[[], bool] = lambda: True
        self.id: str | None = None
        self.watch = Watch(name, wishes, self.clock.now, serial=spec["concurrency"] == 1)
        oracle.watches[name] = self.watch
        oracle.changed(self.watch)
        self.effects = Effects(loop)
        self.state: house.State | None = None
        self._open: AbstractContextManager[house.State] | None = None
        self._limiters: dict[str, RateLimiter] = {}
        self._then: dict[tuple[str, bytes], float] = {}
        self.requests = 0
        self.late: list[Callable[[], object]] = []
        self._events: list[tuple[int, list[Any]]] = []
        self._faults: list[tuple[int, str]] = []
        self.fault_hits: list[str] = []
        self.crashes: list[str] = []
        self.passes = 0
        self.said: list[str] = []  # reports
        self.lost_answers = self.lost_ledger = self.lost_id = self.jumped = False

    # -- what it is told --------------------------------------------------------------------------------------------

    @property
    def database(self) -> Path:
        return self.directory / "state" / "pinsync.db"

    def settings(self) -> Settings:
        spec, wishes = self.spec, self.wishes
        manifest = self.directory / "pins.toml" if wishes.manifest.configured else None
        remotes = tuple(
            RemoteSettings(
                policy.name, f"http://{policy.name}.example/pins", Mode(policy.mode), None, "bearer", policy.nodes,
                Rate(*spec["rate"]) if spec["rate"] else None, spec["concurrency"], "none", 30.0, spec["retry_for"],
                None, Safety(Removals(policy.removals), policy.grace, policy.max_removals, policy.share,
                             policy.lost_share),
            )
            for policy in wishes.policies.values()
            if not policy.dropped
        )  # fmt: skip
        nodes = tuple(
            NodeSettings(node.name, mirror=node.mirror, skip_names=node.skip, sole=len(wishes.nodes) == 1)
            for node in wishes.nodes
        )
        return Settings(
            ConfigFile(None, "made by a history"), MirrorSettings(self.id), nodes, ManifestSettings(manifest),
            StateSettings(self.database), Schedule(full_listing=spec["full_listing"]), Safety(), remotes,
        )  # fmt: skip

    # -- its process ------------------------------------------------------------------------------------------------

    def start(self) -> house.State:
        """The process, begun if there is none. Raises `Died`, `StateError`."""
        if self.state is None:
            self.effects.dead = False
            self._limiters = {}
            opening = house.writing(self.settings(), "history", self.clock)
            with effects_module.of(self.effects):
                self.state = opening.__enter__()
            self._open = opening
        return self.state

    def stop(self) -> None:
        """It ends, by itself or by `kill -9`: then nothing more is written."""
        if self._open is not None:
            with suppress(Died):
                if self.effects.dead:
                    self._open.__exit__(Died, Died(), None)
                else:
                    self.effects.calm()
                    self._open.__exit__(None, None, None)
        self._open = self.state = None

    def client(self, settings: RemoteSettings, record: RemoteRecord) -> RemoteClient:
        limiter = self._limiters.get(settings.name)
        if limiter is None or limiter.rate != settings.rate or limiter.concurrency != settings.concurrency:
            assert settings.rate != "default"
            limiter = RateLimiter(self.clock, settings.rate, settings.concurrency)
            limiter.restore(record.recent)
            self._limiters[settings.name] = limiter
        remote, chance = self.remotes[settings.name], Random(self.salt)
        return RemoteClient(
            settings.name, settings.endpoint, auth="bearer", token=_SECRET, clock=self.clock, limiter=limiter,
            timeout=settings.timeout, retry_for=settings.retry_for, transport=Wire(self, remote, chance),
            jitter=chance.random,
        )  # fmt: skip

    salt = 0

    # -- a pass -----------------------------------------------------------------------------------------------------

    def make_pass(self, step: dict[str, Any]) -> str:
        """One pass; "done", "crashed" or "failed" (the state). Raises `Violation` and whatever the product does."""
        self.passes += 1
        self.requests, self.salt = 0, step.get("salt", 0)
        self._events = [(at, action) for at, action in step.get("events", ())]
        self._faults = [(at, fault) for at, fault in step.get("faults", ())]
        accounts = {name: remote.account for name, remote in self.remotes.items()}
        if self.tell:
            self._show(step, accounts)
        self.oracle.begin(self.watch, accounts)
        outcome = "failed"
        try:
            if step.get("restart"):
                self.stop()
            self._arm(step)
            state = self.start()
            with effects_module.of(self.effects):
                report = self.loop.carry(self._pass(state, step.get("only")), lambda: self.effects.dead)
            self.said.append(json.dumps(sync_json(report)))
            outcome = "done"
        except Died:
            outcome = "crashed"
            self.crashes.append(self.effects.died_at)
            self.lost_answers = True
        except (StateError, sqlite3.DatabaseError) as error:  # the latter becomes the former in `house.writing`
            self.said.append(str(error))
            self.lost_answers = True
        finally:
            self.effects.calm()
            if outcome != "done":
                self.stop()
        for late in self.late:
            late()
        self.late.clear()
        if self.tell:
            self.tell(f"    {outcome}: {self.said[-1] if self.said else ''}")
        undisturbed = self.undisturbed() and not self.fault_hits and not self.crashes and "only" not in step
        self.oracle.end(self.watch, accounts, completed=outcome == "done", undisturbed=undisturbed)
        return outcome

    def _show(self, step: dict[str, Any], accounts: dict[str, Account]) -> None:
        assert self.tell is not None
        self.tell(f"pass of {self.name} {json.dumps(step)} at {self.clock.now():.1f}")
        for name, account in accounts.items():
            for row in account.look().values():
                owner = account.origins[row.seq].owner
                self.tell(
                    f"    at {name}: {row.requestid} {row.cid[-8:]} {row.status} {row.name!r} {row.mark} of {owner}"
                )

    def _arm(self, step: dict[str, Any]) -> None:
        if step.get("crash"):
            self.effects.crash_at(*step["crash"])
        if step.get("full"):
            self.effects.disk_full_at(*step["full"])

    async def _pass(self, state: house.State, only: str | None) -> PassReport:
        nodes = {node.name: node for node in self.wishes.nodes}
        settings = self.settings()
        world = World(
            settings, self.clock, lambda node: SimNode(nodes[node.name], self), self.client, state.mirror_id  # type: ignore[arg-type,return-value]
        )  # fmt: skip
        world.machine = f"the machine of {self.name}"
        named = {remote.name for remote in settings.remotes}
        return await house.run_pass(world, state, trigger="history", only=only if only in named else None)

    def happens(self) -> None:
        """Before each request of a pass: what the rest of the world does at this moment."""
        while self._events and self._events[0][0] <= self.requests:
            action = self._events.pop(0)[1]
            self.act(action)
        if self.late and self.requests % 5 == 0:
            self.late.pop(0)()
        self.oracle.look(self.watch, {name: remote.account for name, remote in self.remotes.items()})

    def fault(self, method: str) -> str:
        """What the network does to this request; "" for nothing."""
        if not self._faults or self._faults[0][0] > self.requests:
            return ""
        fault = self._faults.pop(0)[1]
        self.fault_hits.append(fault)
        if method != "GET":
            self.lost_answers = True
        return fault

    # -- people and the disk ----------------------------------------------------------------------------------------

    def backup(self) -> None:
        """A copy of the database, as a person makes one."""
        self.stop()
        if self.database.exists():
            shutil.copyfile(self.database, self.directory / "backup.db")
            self._then = dict(self.watch.unwanted_seen)

    def restore(self) -> bool:
        copy = self.directory / "backup.db"
        if not copy.exists():
            return False
        self.lose()
        self.watch.unwanted_seen = dict(self._then)
        shutil.copyfile(copy, self.database)
        return True

    def lose(self, *, memory_too: bool = False, id_too: bool = False) -> None:
        """The database is gone, with what was noted beside it, or with the whole directory."""
        self.stop()
        for path in self.database.parent.glob("*" if id_too else "pinsync.db*"):
            if id_too or memory_too or not path.name.endswith(".remembered"):
                path.unlink()
        self.lost_ledger = True
        self.lost_id = self.lost_id or id_too
        self.oracle.forget(self.watch, {})
        for remote, seq in self.watch.adopted:
            for account in self.remotes[remote].accounts:
                if seq in account.origins:
                    account.origins[seq].unsure = self.name
        self.watch.adopted.clear()

    def check_secret(self, heard: list[str]) -> None:
        """Raises `Violation` where the token is in what was said, logged or kept."""
        for text in (*self.said, *heard):
            if TOKEN in text:
                raise Violation(7, f"the token is in {text[:300]!r}")
        for path in self.database.parent.glob("*"):
            if TOKEN.encode() in path.read_bytes():
                raise Violation(7, f"the token is in {path.name}")
        if self.state is not None:
            shown = status(self.state.ledger, self.settings(), self.clock.now(), {"running": False})
            if TOKEN in json.dumps(shown):
                raise Violation(7, "the token is in the status")


@contextmanager
def listening() -> Iterator[Heard]:
    """What everybody logs, at every level, while inside."""
    heard, root = Heard(), logging.getLogger()
    level = root.level
    root.addHandler(heard)
    root.setLevel(logging.DEBUG)
    try:
        yield heard
    finally:
        root.removeHandler(heard)
        root.setLevel(level)


_SECRET = SecretStr(TOKEN)
