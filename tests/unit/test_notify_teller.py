"""The teller: what it remembers, what it delivers, and that nothing waits for it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from pinsync import steering
from pinsync.clock import Clock
from pinsync.errors import StateError
from pinsync.house import State, reading, writing
from pinsync.model import Safety
from pinsync.service.receivers import Answered, Receiver
from pinsync.service.teller import FACT, LOOK_EVERY, TRIES, Message, Teller
from pinsync.settings.model import NotifySettings
from pinsync.steps.report import PassReport
from tests.mirror import TOKEN, Mirror

EVERY = 900.0
BOTH = NotifySettings(command=("/bin/tell",), webhook=SecretStr("https://h.example/s"))


class Ears:
    """Who is told, in place of the receivers. `deaf` ones answer an error, `slow` ones only when `go` is set."""

    def __init__(self) -> None:
        self.heard: list[tuple[Receiver, Message]] = []
        self.tried: list[Receiver] = []
        self.deaf: set[Receiver] = set()
        self.slow: set[Receiver] = set()
        self.go: asyncio.Event | None = None

    async def tell(
        self, receiver: Receiver, notify: NotifySettings, what: Message, env: Mapping[str, str], clock: Clock
    ) -> Answered:
        self.tried.append(receiver)
        if receiver in self.slow:
            assert self.go is not None
            await self.go.wait()
        if receiver in self.deaf:
            return Answered(receiver, False, "h.example", "HTTP 503")
        self.heard.append((receiver, what))
        return Answered(receiver, True, "h.example", "HTTP 200")

    def events(self, receiver: Receiver = "webhook") -> list[str]:
        found = [what.get("event", "beat") for who, what in self.heard if who == receiver]
        self.heard = [(who, what) for who, what in self.heard if who != receiver]
        return found


class Scene:
    """A mirror, its ears, and a teller for each run of the daemon."""

    def __init__(self, directory: Path, notify: NotifySettings = BOTH) -> None:
        self.mirror = Mirror(directory, safety=Safety(grace=0, max_removals=0, max_removal_share=0))
        self.mirror.settings = replace(self.mirror.settings, notify=notify)
        self.ears = Ears()
        self.log: list[str] = []

    def run(self, work: Callable[[Teller, State], Awaitable[None]]) -> None:
        """One run of a process."""
        log = logging.Logger("test")
        handler = logging.Handler()
        handler.emit = lambda record: self.log.append(record.getMessage())  # type: ignore[method-assign]
        log.addHandler(handler)

        async def main(state: State) -> None:
            self.ears.go = asyncio.Event()
            teller = Teller(state, self.mirror.clock, {}, log, self.ears.tell)
            await work(teller, state)
            await teller.close()

        with writing(self.mirror.settings, "test") as state:
            asyncio.run(main(state))
        assert not [line for line in self.log if "bug" in line], self.log

    def passes(self, *after: float, whole: bool = True) -> None:
        """A process that makes passes, so many seconds after another, with everything delivered in between."""

        async def work(teller: Teller, state: State) -> None:
            for pause in after or (EVERY,):
                self.mirror.later(pause)
                report = await self.mirror._sync(state, None)
                teller.after_pass(self.mirror.settings, report, whole=whole)
                await teller.finish(60)

        self.run(work)

    def memory(self) -> dict[str, Any]:
        with reading(self.mirror.settings) as ledger:
            assert ledger is not None
            kept: dict[str, Any] = json.loads(ledger.fact(FACT) or "{}")
            return kept

    def noted(self, kind: str) -> list[str]:
        with reading(self.mirror.settings) as ledger:
            assert ledger is not None
            return [event.details for event in reversed(ledger.events()) if event.kind == kind]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path)
    made.mirror.pin(*range(10))
    made.passes()
    assert made.ears.heard == []  # all is well, and that is no news
    return made


def test_what_is_held_is_told_to_everybody_once_over_restarts_and_so_is_its_end(scene: Scene) -> None:
    scene.mirror.unpin(*range(8))
    scene.passes(EVERY, EVERY)
    assert scene.ears.events("webhook") == ["held"] == scene.ears.events("command")
    scene.passes()
    assert scene.ears.events() == []
    scene.mirror.pin(*range(8))
    scene.passes(EVERY, EVERY)
    assert scene.ears.events() == ["recovered"]
    assert scene.noted("verdict")[0].startswith("remote there: held: 8 actions are held")
    assert scene.noted("verdict")[1:] == ["remote there: held: over"]
    assert len(scene.noted("notified")) == 4
    assert "webhook h.example: pinsync on" in scene.noted("notified")[1]


def test_a_pause_is_neither_the_end_of_what_was_told_nor_news(scene: Scene) -> None:
    scene.mirror.unpin(*range(8))
    scene.passes(EVERY, EVERY)
    assert scene.ears.events() == ["held"]
    with writing(scene.mirror.settings, "test") as state:
        steering.pause(state.ledger, "there", until=None, reason="", at=scene.mirror.clock.now(), by="alice")
    scene.passes(EVERY, EVERY)
    with writing(scene.mirror.settings, "test") as state:
        steering.resume(state.ledger, "there", at=scene.mirror.clock.now(), by="alice")
    scene.passes(EVERY)
    assert scene.ears.events() == []
    scene.mirror.pin(*range(8))
    scene.passes(EVERY, EVERY)
    assert scene.ears.events() == ["recovered"]


def test_a_node_that_is_away_is_told_after_three_intervals(scene: Scene) -> None:
    scene.mirror.node.away = "no connection"
    scene.passes(EVERY, EVERY)
    scene.passes(EVERY)  # a restart does not begin anew
    assert scene.ears.events() == []
    scene.passes(EVERY)
    assert scene.ears.events() == ["failing"]
    scene.mirror.node.away = None
    scene.passes()
    assert scene.ears.events() == ["recovered"]


def test_how_long_is_long_enough_can_be_said(scene: Scene) -> None:
    scene.mirror.settings = replace(scene.mirror.settings, notify=replace(BOTH, failing_after=0))
    scene.mirror.node.away = "no connection"
    scene.passes()
    assert scene.ears.events() == ["failing"]


def test_no_message_and_no_memory_holds_a_secret(scene: Scene) -> None:
    scene.mirror.settings = replace(scene.mirror.settings, notify=replace(BOTH, failing_after=0))
    scene.mirror.emulator.become(closed="lapsed")
    scene.passes()
    told = json.dumps([what for _, what in scene.ears.heard])
    assert "remote there is failing" in told
    assert TOKEN not in told + json.dumps(scene.memory()) + str(scene.noted("notified")) + str(scene.log)


def test_a_heartbeat_follows_each_good_pass_over_everything_and_no_other(tmp_path: Path) -> None:
    scene = Scene(tmp_path, NotifySettings(heartbeat=SecretStr("https://h.example/s")))
    scene.mirror.pin(1)
    scene.passes(EVERY, EVERY)
    assert scene.ears.events("heartbeat") == ["beat", "beat"]
    scene.passes(whole=False)
    scene.mirror.node.away = "no connection"
    scene.passes()
    assert scene.ears.tried == ["heartbeat"] * 2
    scene.mirror.node.away = None
    scene.ears.deaf = {"heartbeat"}
    scene.passes(EVERY, EVERY)
    assert scene.ears.tried[2:] == ["heartbeat"] * TRIES * 2  # each pass anew
    assert sum("could not be told" in line for line in scene.log) == 1


def test_one_that_is_slow_delays_nobody_and_gets_the_newest_alone(scene: Scene) -> None:
    scene.ears.slow = {"webhook"}

    async def work(teller: Teller, state: State) -> None:
        for names in ((), range(8), ()):  # held, over, held again
            scene.mirror.node.pins.clear()
            scene.mirror.pin(8, 9, *names)
            scene.mirror.later(EVERY)
            for _ in range(2):
                report = await scene.mirror._sync(state, None)
                teller.after_pass(scene.mirror.settings, report, whole=True)
            await asyncio.sleep(0.01)
        assert scene.ears.events("command") == ["held", "recovered", "held"]
        assert scene.ears.events() == []
        assert scene.ears.go is not None
        scene.ears.go.set()
        await teller.finish(5)
        assert scene.ears.events() == ["held", "held"]  # what it was being told, then the newest; nothing between

    scene.run(work)
    assert scene.memory()["undelivered"] == {}


def test_one_that_is_down_is_tried_again_and_hears_it_in_the_end_also_after_a_restart(scene: Scene) -> None:
    scene.ears.deaf = {"webhook"}
    scene.mirror.unpin(*range(8))
    scene.passes()
    assert scene.ears.events("command") == ["held"]
    assert scene.ears.tried.count("webhook") == TRIES
    scene.passes()
    assert scene.ears.tried.count("webhook") == 2 * TRIES
    scene.ears.deaf = set()
    scene.passes()
    assert (scene.ears.events("webhook"), scene.ears.events("command")) == (["held"], [])
    scene.passes()
    assert scene.ears.events("webhook") == []


def test_one_that_is_down_is_not_tried_at_every_pass_that_follows_soon(scene: Scene) -> None:
    scene.ears.deaf = {"webhook"}
    scene.mirror.unpin(*range(8))
    scene.passes(EVERY, 5.0, 10.0, 20.0)
    assert scene.ears.tried.count("webhook") == TRIES
    assert sum("webhook h.example could not be told: HTTP 503" in line for line in scene.log) == 1


def test_the_end_waits_a_moment_and_what_is_left_is_told_by_the_next_run(scene: Scene) -> None:
    scene.ears.slow = {"webhook"}
    scene.mirror.unpin(*range(8))

    async def work(teller: Teller, state: State) -> None:
        teller.after_pass(scene.mirror.settings, await scene.mirror._sync(state, None), whole=True)
        await teller.close(grace=0.05)

    scene.run(work)
    assert scene.ears.events() == []
    scene.ears.slow = set()
    scene.passes()
    assert scene.ears.events() == ["held"]


def test_who_is_named_later_hears_of_what_still_stands(tmp_path: Path) -> None:
    scene = Scene(tmp_path, NotifySettings())
    scene.mirror.pin(*range(10))
    scene.passes()
    scene.mirror.unpin(*range(8))
    scene.passes()
    assert scene.noted("verdict") and scene.ears.heard == []
    scene.mirror.settings = replace(scene.mirror.settings, notify=BOTH)
    scene.passes()
    assert scene.ears.events() == ["held"]


def test_who_is_named_no_more_hears_nothing(scene: Scene) -> None:
    scene.ears.deaf = {"webhook"}
    scene.mirror.unpin(*range(8))
    scene.passes()
    scene.mirror.settings = replace(scene.mirror.settings, notify=replace(BOTH, webhook=None))
    scene.ears.deaf = set()
    scene.passes()
    assert scene.ears.events() == []
    assert scene.memory()["undelivered"] == {}


def test_a_mirror_in_which_passes_make_no_progress_is_told_to_be_stale_until_one_goes_well(scene: Scene) -> None:
    async def hangs(teller: Teller, state: State) -> None:
        for _ in range(6):
            scene.mirror.later(EVERY)
            teller.look(scene.mirror.settings)
            teller.look(scene.mirror.settings)
        await teller.finish(5)

    scene.run(hangs)
    assert scene.ears.events() == ["stale"]
    assert LOOK_EVERY < EVERY
    scene.mirror.node.away = "no connection"  # it fails now, and is no less stale for it
    scene.passes()
    assert scene.ears.events() == []
    scene.mirror.node.away = None
    scene.passes()
    assert scene.ears.events() == ["recovered"]


def test_what_fails_is_not_told_to_be_stale_too(scene: Scene) -> None:
    scene.mirror.node.away = "no connection"

    async def work(teller: Teller, state: State) -> None:
        for _ in range(8):
            scene.mirror.later(EVERY)
            report = await scene.mirror._sync(state, None)
            teller.after_pass(scene.mirror.settings, report, whole=True)
            scene.mirror.later(LOOK_EVERY + 1)
            teller.look(scene.mirror.settings)
            await teller.finish(5)

    scene.run(work)
    assert scene.ears.events() == ["failing"]


def test_people_are_told_that_the_state_fails_though_it_cannot_be_written(scene: Scene) -> None:
    class Broken:
        """A ledger on a disk that fails."""

        def __getattr__(self, name: str) -> Any:
            raise StateError("the disk that holds the ledger is full")

    async def work(teller: Teller, state: State) -> None:
        whole, broken = state.ledger, Broken()
        for ledger, patience in ((broken, 1), (broken, 1), (whole, 0)):
            state.ledger = ledger  # type: ignore[assignment]
            scene.mirror.later(EVERY * 3 * patience)
            report: PassReport | None = None
            if ledger is whole:
                report = await scene.mirror._sync(state, None)
            broke = "" if report else "the disk that holds the ledger is full"
            teller.after_pass(scene.mirror.settings, report, whole=True, broke=broke)
            await teller.finish(5)

    scene.run(work)
    assert scene.ears.events() == ["failing", "recovered"]


def test_a_bug_in_telling_is_logged_and_nothing_else(scene: Scene) -> None:
    async def work(teller: Teller, state: State) -> None:
        teller.after_pass(None, None, whole=True)  # type: ignore[arg-type]
        teller.look(None)  # type: ignore[arg-type]

    with pytest.raises(AssertionError, match="this is a bug in pinsync"):
        scene.run(work)
