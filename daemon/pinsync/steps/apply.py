"""The fourth step of a pass: carry a remote's actions out, each journalled before it is requested and settled after.

The journal's order is what makes a crash harmless: an intent without an outcome makes the next pass look the CID up
before it posts anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import islice

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
        rate = view.client.limiter.rate if view.client else None
        # Intents are written together, so that a disk's flush is not paid for each; under a rate limit only as many as
        # can go out soon.
        self._batch = self._concurrency * 16 if rate is None else max(self._concurrency, min(rate.count, 128))
        self._broken: Exception | None = None
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
            while not self._stop.is_set() and (batch := list(islice(stream, self._batch))):
                batch = [action for action in batch if self._may(action)]
                desk.flush()
                ids = desk.ledger.intend(desk.run, desk.remote, batch, desk.clock.now())
                for item in zip(ids, batch, strict=True):
                    await queue.put(item)
                self._progress(desk.done)
                if self._broken is not None:
                    break
            await queue.join()
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            if self._broken is None:
                desk.flush()
            self._progress(desk.done)
        if self._broken is not None:
            raise self._broken
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
                if self._broken is not None:
                    continue  # its intent stays open for the next pass
                if self._stop.is_set() or not self._may(action):
                    desk.later(Settled(id_, "moot", "not begun"), None)
                elif action.step is Step.POST:
                    await self._adder.post(id_, action)
                else:
                    await self._remover.delete(id_, action)
                if desk.overdue:
                    desk.flush()
                    self._progress(desk.done)
            except Exception as error:
                self._broken = self._broken or error  # the ledger failed, or a bug: raised when all is quiet
            finally:
                queue.task_done()
