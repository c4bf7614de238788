"""The fourth step of a pass: carry a remote's actions out, each journalled before it is requested and settled after.

The journal's order is what makes a crash harmless: an intent without an outcome makes the next pass look the CID up
before it posts anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from itertools import islice
from typing import Any

from pinsync.clock import Clock
from pinsync.ledger.ledger import Ledger
from pinsync.ledger.records import Settled
from pinsync.planning.plan import Action, Kind, Step, View

from .adding import Adder
from .observe import RemoteView
from .outcomes import Desk, Done
from .removing import AbsenceProof, Remover


class Applier:
    """Carries out the actions of one remote in one pass. `progress` hears of each batch; `dial`: see `Adder`."""

    def __init__(
        self,
        run: int,
        ledger: Ledger,
        view: RemoteView,
        plan: View,
        proof: AbsenceProof,
        clock: Clock,
        stop: asyncio.Event,
        progress: Callable[[Done], None] = lambda done: None,
        dial: Callable[[Iterable[str]], None] = lambda addresses: None,
    ) -> None:
        self._desk = Desk(run, ledger, view, plan, clock)
        self._adder = Adder(self._desk, dial)
        self._remover = Remover(self._desk, proof, self._adder.post)
        self._concurrency = view.settings.concurrency
        self._stop = stop
        self._progress = progress

    async def apply(self, actions: Iterable[Action]) -> Done:
        """Carry them out, in order, some at a time; returns what came of them. Never raises for a remote's failure.

        When `stop` is set nothing new is begun. When cancelled, what is in flight stays an open intent.
        Raises `StateError`.
        """
        desk = self._desk
        queue: asyncio.Queue[tuple[int, Action]] = asyncio.Queue(self._concurrency)
        workers = [asyncio.create_task(self._work(queue)) for _ in range(self._concurrency)]
        try:
            stream = iter(actions)
            while not self._stop.is_set() and (batch := list(islice(stream, self._concurrency * 4))):
                batch = [action for action in batch if self._may(action)]
                desk.flush()
                ids = desk.ledger.intend(desk.run, desk.remote, batch, desk.clock.now())
                for item in zip(ids, batch, strict=True):
                    await _unless_ended(queue.put(item), workers)
                self._progress(desk.done)
            await _unless_ended(queue.join(), workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            desk.flush()
            self._progress(desk.done)
        return desk.done

    def _may(self, action: Action) -> bool:
        desk = self._desk
        if action.step is Step.DELETE:
            return desk.deletes_end is None
        if desk.posts_end is None:
            return True
        if desk.done.closed is not None and action.kind is Kind.ADD:
            desk.later(None, lambda now: self._adder.not_tried(action))
            desk.done.refused += 1
        return False

    async def _work(self, queue: asyncio.Queue[tuple[int, Action]]) -> None:
        desk = self._desk
        while True:
            id_, action = await queue.get()
            try:
                if self._stop.is_set() or not self._may(action):
                    desk.later(Settled(id_, "moot", "not begun"), None)
                elif action.step is Step.POST:
                    await self._adder.post(id_, action)
                else:
                    await self._remover.delete(id_, action)
                if desk.overdue:
                    desk.flush()
                    self._progress(desk.done)
            finally:
                queue.task_done()


async def _unless_ended(waiting: Coroutine[Any, Any, None], workers: Sequence[asyncio.Task[None]]) -> None:
    """Wait for this, or raise what ended a worker: none of them ends by itself."""
    task = asyncio.ensure_future(waiting)
    try:
        await asyncio.wait({task, *workers}, return_when=asyncio.FIRST_COMPLETED)
        for worker in workers:
            if worker.done():
                worker.result()
    finally:
        task.cancel()
