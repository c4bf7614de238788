"""Runs histories: from a script to what came of it, with the epilogue in which all faults have ended.

    seed → script.write → Script → run → Result

`run` is deterministic: the same script gives the same result, requests and effects included.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from pinsync.emulator.behaviour import SECOND

from . import effects
from .loop import SimulatedLoop
from .mirror import Heard, SimMirror, listening
from .records import Violation
from .script import Script, write
from .world import World

ROUNDS = 26  # passes that each mirror gets to put everything right after the faults have ended
PAUSES = (10.0, 1000.0, 90000.0, 4000.0, 90000.0, 90000.0)


@dataclass
class Result:
    """What came of a history. `error` None: every promise was kept."""

    script: Script
    error: str | None = None
    number: int | None = None  # of the invariant that was broken; None for a crash of the product itself
    passes: int = 0
    requests: int = 0
    judged: int = 0  # requests that changed something
    effects: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)


class Theatre:
    """Where histories are played: a directory in memory where there is one, a loop, patched connections."""

    def __init__(self, directory: Path, heard: Heard) -> None:
        self._directory = directory
        self._heard = heard
        self._numbers = itertools.count()
        self.chance = Random(0)

    def run(self, script: Script, tell: Callable[[str], None] | None = None) -> Result:
        """Play one history; `tell` hears what happens. Never raises for what the product does."""
        place = self._directory / str(next(self._numbers))
        loop = SimulatedLoop()
        asyncio.set_event_loop(loop)
        self._heard.lines.clear()
        self.chance.seed(script.spec["salt"])
        result = Result(script)
        world = World(script.spec, place, loop, tell)
        try:
            _play(world, script)
            _epilogue(world)
            for mirror in world.mirrors:
                mirror.check_secret(self._heard.lines)
        except Violation as violation:
            result.error, result.number = str(violation), violation.number
        except Exception as error:
            result.error = "".join(traceback.format_exception(error)[-6:])
        finally:
            world.close()
            loop.close()
            asyncio.set_event_loop(None)
            shutil.rmtree(place, ignore_errors=True)
        for mirror in world.mirrors:
            result.passes += mirror.passes
            result.effects.update(mirror.effects.counts)
            result.crashes.update(mirror.crashes)
            result.faults.update(fault.partition(":")[0] for fault in mirror.fault_hits)
            result.faults["disk-full"] += mirror.effects.full_hits
        result.judged = world.oracle.judged
        result.requests = result.effects["answer"]
        result.actions = world.done
        return result


@contextmanager
def theatre() -> Iterator[Theatre]:
    """A place to run histories in; everything is undone at the end."""
    memory = Path("/dev/shm")
    base = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    directory = Path(tempfile.mkdtemp(prefix="pinsync-simulation-", dir=base))
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        with listening() as heard:
            place = Theatre(directory, heard)
            with effects.installed(lambda: f"{place.chance.getrandbits(24):06x}"):
                yield place
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
        shutil.rmtree(directory, ignore_errors=True)


def _play(world: World, script: Script) -> None:
    for step in script.steps:
        if step[0] == "pass":
            _pass(world, world.mirrors[step[1]["m"] % len(world.mirrors)], step[1])
        else:
            world.act(step)


def _pass(world: World, mirror: SimMirror, step: dict[str, Any]) -> None:
    try:
        mirror.make_pass(step)
    finally:
        if world.oracle.broken is not None:
            raise world.oracle.broken
    world.loop.mono += 5.0


def _epilogue(world: World) -> None:
    """Everything is well again, and a person releases what is held: then all must come right, and stay so."""
    world.calm()
    left: str | None = None
    forgiven = False  # one broken silence: a request may have become due meanwhile
    for number in range(ROUNDS):
        sent = 0
        for mirror in world.mirrors:
            if not number:
                mirror.stop()
            _pass(world, mirror, {"salt": number})
            sent += mirror.watch.mutations
            if number:
                sent += world.release(mirror)
        left = _left(world)
        if number and not sent and left is None:
            stirring = _stirring(world)
            if stirring is None:
                return
            if forgiven:
                raise stirring
            forgiven = True
        world.loop.mono += PAUSES[number % len(PAUSES)]
    raise Violation(8, left or f"requests that change something are sent on and on, {ROUNDS} passes after all faults")


def _stirring(world: World) -> Violation | None:
    """What is wrong with a pass in which nothing is due, since nothing changed."""
    for mirror in world.mirrors:
        _pass(world, mirror, {"salt": 0})
        if mirror.watch.mutations:
            return Violation(6, f"{mirror.name} sent {mirror.watch.mutations} requests that change something")
    return None


def _left(world: World) -> str | None:
    for mirror in world.mirrors:
        for name, remote in world.remotes.items():
            account = remote.account
            b = remote.emulator.behaviour
            ties = b.created_resolution >= SECOND or b.order == "shuffled" or b.status_after_limit
            if ties and b.max_limit == 10 and len(remote.emulator.store) >= 10:
                continue  # such a list cannot be read whole, so there is much that must wait for ever
            lost = mirror.lost_answers or mirror.lost_ledger
            times = b.created_revived or (mirror.jumped and account.id_is_cid)  # `created` tells whose a record is
            unsure = mirror.lost_ledger or (mirror.lost_answers and account.lies)
            forgotten = mirror.lost_id or (unsure and world.done["id"] > 0)
            forgetful = forgotten or (lost and (not account.keeps_meta or times))
            left = world.oracle.unfinished(mirror.watch, name, account, forgetful=forgetful, jumped=mirror.jumped)
            if left is not None:
                return f"{mirror.name} at {left}"
    return None


def smaller(script: Script, fails: Callable[[Script], bool]) -> Script:
    """The same failure with fewer steps: what can be left out, and it still fails, is left out."""
    steps = script.steps
    size = max(1, len(steps) // 2)
    while size:
        at = 0
        while at < len(steps):
            fewer = steps[:at] + steps[at + size :]
            if fails(replace(script, seed=None, steps=fewer)):
                steps = fewer
            else:
                at += size
        size //= 2
    for at, step in enumerate(steps):
        for part in ("crash", "faults", "events", "full", "restart", "only") if step[0] == "pass" else ():
            if part in step[1]:
                less = [step[0], {key: value for key, value in step[1].items() if key != part}]
                fewer = [*steps[:at], less, *steps[at + 1 :]]
                if fails(replace(script, seed=None, steps=fewer)):
                    steps, step = fewer, less
    return replace(script, seed=script.seed, steps=steps)


__all__ = ["Result", "Script", "Theatre", "smaller", "theatre", "write"]
