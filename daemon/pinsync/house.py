"""Putting the parts together: from settings to a pass over real clients and the real ledger."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pinsync.paths import present

from .clock import Clock, SystemClock
from .errors import ConfigError, LedgerDamaged, Problem, StateError
from .ledger.copies import set_aside
from .ledger.ledger import Ledger
from .ledger.lock import StateLock
from .ledger.owner import entrust
from .ledger.place import GONE, Place
from .ledger.records import RemoteRecord
from .ledger.recovery import MADE_ID, open_ledger, sense
from .ledger.remembered import remembered
from .ledger.store import Store, damaged, explained, guarded
from .machine import machine_of
from .remote.calls import RequestRecord
from .remote.client import RemoteClient
from .remote.errors import RemoteError
from .remote.limits import RateLimiter
from .remote.profiles import default_rate
from .settings.credentials import CredentialError, Token, load_authorization, load_token
from .settings.model import NodeSettings, RemoteSettings, Settings
from .spool import Spool
from .world import World

if TYPE_CHECKING:
    from .sources.kubo import KuboClient
    from .steps.report import PassReport

ID_FILE = "mirror-id"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")


@dataclass(slots=True)
class House:
    """Settings, secrets and what outlives a single pass: the limiters, the clock, the wish to stop."""

    settings: Settings
    env: Mapping[str, str] = field(repr=False)  # may hold tokens
    clock: Clock = field(default_factory=SystemClock)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    tokens: dict[str, Token | None] = field(default_factory=dict)
    limiters: dict[str, RateLimiter] = field(default_factory=dict)
    locked: dict[str, CredentialError] = field(default_factory=dict)
    observer: Callable[[str, RequestRecord], None] | None = None  # told of each request, with the remote's name

    def unlock(self, only: str | None = None, *, strict: bool = False) -> list[str]:
        """Read every token; returns warnings. Raises `ConfigError` with every problem at once.

        Where a token cannot be had for some remotes of several, these alone fail, each in its part of a pass, unless
        `strict`. What is missing or closed to this user raises `CredentialError` with `elsewhere`: the daemon may have
        it.
        """
        remotes = [remote for remote in self.settings.remotes if only in (None, remote.name)]
        self.locked = {}
        for remote in remotes:
            try:
                self.tokens[remote.name] = load_token(remote, self.env)
            except CredentialError as error:
                self.locked[remote.name] = error
        for node in self.settings.nodes if not self.locked else ():
            load_authorization(node, self.env)
        if self.locked and (strict or len(self.locked) == len(remotes)):
            raise CredentialError.all_of(self.locked.values())
        return [
            *(warning for token in self.tokens.values() if token for warning in token.warnings),
            *(f"{error}; the other remotes are served" for error in self.locked.values()),
        ]

    def node(self, settings: NodeSettings) -> KuboClient:
        """A client of one node. Raises `NodeError` where its address makes no sense."""
        from .sources.kubo import KuboClient, resolve_api

        return KuboClient(
            settings.name,
            resolve_api(settings.api, self.env, name=settings.name),
            authorization=load_authorization(settings, self.env),
            timeout=settings.timeout,
            retry_for=settings.retry_for,
            clock=self.clock,
        )

    def remote(self, settings: RemoteSettings, record: RemoteRecord | None = None) -> RemoteClient:
        """A client of one remote, whose limiter goes on from where the last client, or process, was.

        Raises `RemoteError` where its token cannot be had.
        """
        if settings.name in self.locked:
            raise RemoteError(settings.name, str(self.locked[settings.name]))
        limiter = self.limiters.get(settings.name)
        rate = default_rate(settings.endpoint) if settings.rate == "default" else settings.rate
        if limiter is None or limiter.rate != rate or limiter.concurrency != settings.concurrency:
            limiter = RateLimiter(self.clock, rate, settings.concurrency)
            limiter.restore(record.recent if record else ())
            self.limiters[settings.name] = limiter
        token = self.tokens.get(settings.name)
        return RemoteClient(
            settings.name,
            settings.endpoint,
            auth=settings.auth,
            token=token.secret if token else None,
            clock=self.clock,
            limiter=limiter,
            timeout=settings.timeout,
            retry_for=settings.retry_for,
            ca_file=settings.ca_file,
            observer=partial(self.observer, settings.name) if self.observer else None,
        )

    def world(
        self,
        mirror_id: str,
        progress: Callable[[str, int, int | None], None] | None = None,
        applying: Callable[[str, int, int], None] | None = None,
    ) -> World:
        """What a pass needs."""
        world = World(self.settings, self.clock, self.node, self.remote, mirror_id, self.stop)
        world.machine = machine_of(self.env)
        if progress is not None:
            world.progress = progress
        if applying is not None:
            world.applying = applying
        return world


@dataclass(slots=True)
class State:
    """The state directory while we are the one who writes it. `notes`: what opening it had to mend, for people."""

    ledger: Ledger
    reader: Ledger
    mirror_id: str
    notes: tuple[str, ...] = ()
    place: Place = field(init=False)
    _aside: tuple[Path, str] | None = None

    def __post_init__(self) -> None:
        self.place = Place.of(self.ledger)

    def renew(self, error: LedgerDamaged, now: float) -> StateError:
        """Damage showed while the ledger was in use: set it aside and go on with a new one; returns what to say.

        Where the file turns out to be sound, the damage was to our temporary tables, and everything stays as it is.
        Raises `StateError` when there can be no new one; `ready` tries again.
        """
        path = self.ledger.store.path
        if not error.certain:
            try:
                self.ledger.store.check()
            except LedgerDamaged:
                pass
            else:
                what = f"temporary data of this pass was damaged ({error.cause}), the ledger {path} is sound"
                return StateError(f"{what}; nothing more was done")
        self._aside = set_aside(path, now), error.cause  # while it is open: closing it then changes nothing any more
        self.close()
        self.ready(now)
        return StateError(f"{self.notes[0]}. What was under way is given up")

    def ready(self, now: float) -> tuple[str, ...]:
        """Have a ledger, and the one that is at its path; returns what was done for that, in words.

        Begins the new one that could not be begun when the old one was set aside, and opens anew what was deleted or
        replaced since it was opened. Raises `StateError` when there is nothing to go on with.
        """
        path = self.ledger.store.path
        if self._aside is not None:
            self._open(now, *self._aside)
            return self.notes
        with guarded(path):
            why = self.place.lost(self.ledger)
            if not why:
                return ()
            self.place.leave(self.ledger)
        old = self.ledger, self.reader
        self._open(now)
        for ledger in old:
            ledger.store.close()
        said = f"the ledger {path} was {'deleted' if why == GONE else 'replaced'} while it was in use ({why})"
        return (f"{said}; it was opened anew", *self.notes)

    def _open(self, now: float, *aside: Any) -> None:
        path = self.ledger.store.path
        with guarded(path):
            opened = open_ledger(path, now, *aside)
        self.ledger, self.reader = _ledgers(opened.store)
        self.place, self.notes, self._aside = Place.of(self.ledger), opened.notes, None

    def close(self) -> None:
        """Close both connections; into a file that took the ledger's place nothing is written."""
        with suppress(OSError):
            if self.place.lost(self.ledger):
                self.place.leave(self.ledger)
        self.reader.store.close()
        self.ledger.store.close()


def _ledgers(store: Store) -> tuple[Ledger, Ledger]:
    try:
        reader = Store.read(store.path)
    except BaseException:
        store.close()
        raise
    assert reader is not None
    return Ledger(store), Ledger(reader)


@contextmanager
def writing(settings: Settings, what: str, clock: Clock | None = None) -> Iterator[State]:
    """Hold the state: the lock, the ledger to write and to stream from, and the mirror id.

    A damaged ledger is set aside, now or when the damage shows, and a new one begun (`State.notes`). Raises `StateHeld`
    when another process has it, `StateError` when it cannot be used.
    """
    clock = clock or SystemClock()
    path = settings.state.path
    lock = StateLock(path)
    lock.acquire(what)
    try:
        with guarded(path):
            opened = open_ledger(path, clock.now())
        state = State(*_ledgers(opened.store), "", opened.notes)
        try:
            with explained(path), sense(state.ledger):
                state.mirror_id = mirror_id(settings, state.ledger)
                yield state
        except LedgerDamaged as error:
            raise state.renew(error, clock.now()) from error
        finally:
            state.close()
    finally:
        lock.release()


@contextmanager
def reading(settings: Settings) -> Iterator[Ledger | None]:
    """The ledger to read, while another may write it; None where there is none yet. Raises `StateError`."""
    path = settings.state.path
    store = Store.read(path)
    if store is None and present(path) and remembered(path) is not None:
        raise damaged(path, "the file is empty", certain=True)
    try:
        ledger = Ledger(store) if store else None
        with explained(path), sense(ledger):
            yield ledger
    finally:
        if store:
            store.close()


def mirror_id(settings: Settings, ledger: Ledger | None) -> str:
    """The mark on our pins: as configured, or as made once and kept beside the ledger.

    Without `ledger` nothing is written: an id that is not there yet is given a passing name. Raises `StateError`,
    `ConfigError`.
    """
    if settings.mirror.id:
        return settings.mirror.id
    path = settings.state.path.with_name(ID_FILE)
    try:
        kept = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        kept = ""
    except (OSError, UnicodeDecodeError) as error:
        raise StateError(
            f"the mirror id in {path} cannot be read ({error}); without it our pins are not known again. "
            "Mend the file, or set [mirror] id"
        ) from error
    if kept:
        if not _ID.fullmatch(kept):
            raise ConfigError([Problem(str(path), 1, "this is no mirror id; mend the file or set [mirror] id")])
        return kept
    if ledger is None:
        return "not-made-yet"
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname().split(".")[0])[:40].strip("-.") or "host"
    made = _last_id(ledger) or f"{host}-{secrets.token_hex(3)}"
    _write_once(path, made)
    if not ledger.store.readonly:
        ledger.set_fact(MADE_ID, made)
    return made


def _last_id(ledger: Ledger) -> str | None:
    ids: list[str] = json.loads(ledger.fact("mirror_ids") or "[]")
    return ids[0] if ids else None


def _write_once(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        entrust(temporary)
        temporary.replace(path)
    except OSError as error:
        raise StateError(f"the mirror id cannot be kept in {path}: {error.strerror}; nothing was done") from error


@asynccontextmanager
async def _scratch() -> AsyncIterator[tuple[Spool, AsyncExitStack]]:
    try:
        with Spool() as spool:
            async with AsyncExitStack() as stack:
                yield spool, stack
    except sqlite3.OperationalError as error:
        # The ledger's own errors are `StateError`s by now. Others are left to it: rows of it are fetched in here too.
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise
        raise StateError(
            "the disk for scratch space is full (SQLite takes $TMPDIR, else /var/tmp or /tmp); nothing more was done. "
            "Make room there, or set TMPDIR to a directory on another disk"
        ) from error


async def run_pass(
    world: World, state: State, *, trigger: str, only: str | None = None,
    use: Callable[[PassReport], None] = lambda report: None,
) -> PassReport:  # fmt: skip
    """One pass that changes things. `use` sees the report while its actions can still be read."""
    from .reconcile import reconcile

    state.ready(world.clock.now())
    ledger = state.ledger
    with explained(ledger.store.path), sense(ledger):
        async with _scratch() as (spool, stack):
            report = await reconcile(world, ledger, spool, stack, trigger=trigger, only=only, reader=state.reader)
            use(report)
        state.place.note(ledger)
        return report


async def run_plan(
    world: World, ledger: Ledger | None, *, only: str | None = None,
    use: Callable[[PassReport], None] = lambda report: None,
) -> PassReport:  # fmt: skip
    """A pass that changes nothing anywhere. `use` sees the report while its actions can still be read."""
    from .reconcile import reconcile

    async with _scratch() as (spool, stack):
        report = await reconcile(world, ledger, spool, stack, only=only, dry=True)
        use(report)
        return report
