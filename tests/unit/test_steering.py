"""What people say to a mirror: try again, give away, pause, resume. What is asserted is what happens at the remote."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from pinsync.cid import parse_cid
from pinsync.errors import Paused, UsageError
from pinsync.history import cid_history, history
from pinsync.house import reading, writing
from pinsync.ledger.ledger import Ledger
from pinsync.ledger.pauses import fresh_since, pauses
from pinsync.model import PinStatus, Rate, Safety
from pinsync.people import adopt
from pinsync.planning.plan import Kind, PinState, Shut, State
from pinsync.reconcile import reconcile
from pinsync.service.between import FollowUps
from pinsync.settings.model import NodeSettings
from pinsync.spool import Spool
from pinsync.status import exit_code, status
from pinsync.steering import check_paused, disown, pause, resume, retry, words
from tests.mirror import MadeNode, Mirror, cid

DAY = 86400.0


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    return Mirror(tmp_path)


@contextmanager
def ledger_of(mirror: Mirror) -> Iterator[Ledger]:
    with writing(mirror.settings, "test") as state:
        yield state.ledger


def say_retry(mirror: Mirror, *names: object) -> list[str]:
    with ledger_of(mirror) as ledger:
        at = mirror.clock.now()
        done = retry(ledger, ["there"], [parse_cid(cid(name)) for name in names], at=at, by="alice")
        return [entry.cid for _, entry in done.pins] + [what for _, what in done.opened]


def say_disown(mirror: Mirror, *names: object) -> int:
    with ledger_of(mirror) as ledger:
        cids = [parse_cid(cid(name)) for name in names]
        return len(disown(ledger, ["there"], cids, at=mirror.clock.now(), by="alice"))


def say_pause(mirror: Mirror, remote: str | None = None, seconds: float | None = None, reason: str = "") -> None:
    with ledger_of(mirror) as ledger:
        now = mirror.clock.now()
        until = None if seconds is None else now + seconds
        pause(ledger, remote, until=until, reason=reason, at=now, by="alice")


def say_resume(mirror: Mirror, remote: str | None = None) -> int:
    with ledger_of(mirror) as ledger:
        return len(resume(ledger, remote, at=mirror.clock.now(), by="alice"))


def life(mirror: Mirror, name: object) -> list[dict[str, Any]]:
    with reading(mirror.settings) as ledger:
        found: list[dict[str, Any]] = cid_history(ledger, parse_cid(cid(name)))["history"]
        return found


def kinds(mirror: Mirror) -> list[str]:
    with reading(mirror.settings) as ledger:
        assert ledger is not None
        return [one.kind for one in reversed(ledger.events())]


# -- retry


def test_a_pin_whose_id_is_its_cid_is_posted_again_and_never_deleted(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, "nft.storage")
    mirror.pin("a", "b")
    mirror.sync()
    mirror.settle("a", PinStatus.FAILED, "no provider")
    mirror.sync()
    say_retry(mirror, "a")
    mirror.emulator.requests.clear()
    assert mirror.done(mirror.sync()) == {"retried": 1}
    mirror.sync()
    assert "DELETE" not in {request.method for request in mirror.emulator.requests}
    assert len(mirror.there()[cid("a")]) == 1


def test_a_failed_pin_is_due_at_once_and_never_removed(mirror: Mirror) -> None:
    mirror.pin("a", "b")
    mirror.sync()
    mirror.settle("a", PinStatus.FAILED, "no provider")
    assert mirror.done(mirror.sync()) == {"waiting": 1}
    assert say_retry(mirror, "a") == [cid("a")]
    assert mirror.done(mirror.sync()) == {"retried": 1}
    assert len(mirror.there()[cid("a")]) == 2, "ours is put beside the failed one, which goes when it is pinned"
    assert mirror.done(mirror.sync()) == {"updated": 1}
    assert mirror.there() == {cid("a"): ["pinned"], cid("b"): ["pinned"]}
    assert kinds(mirror) == ["retry-asked"]


def test_the_count_of_attempts_goes_on(mirror: Mirror) -> None:
    mirror.pin("a")
    mirror.sync()
    mirror.settle("a", PinStatus.FAILED)
    mirror.sync()
    say_retry(mirror)
    with ledger_of(mirror) as ledger:
        entry = ledger.entry("there", parse_cid(cid("a")).key)
        assert entry is not None
        assert (entry.attempts, entry.next_try, entry.state) == (1, None, PinState.FAILED)


def test_a_remote_that_takes_no_pins_is_asked_again(mirror: Mirror) -> None:
    mirror.pin("a")
    mirror.sync()
    with ledger_of(mirror) as ledger:
        now = mirror.clock.now()
        ledger.put_remote(replace(ledger.remote("there"), closed=Shut("it is full", now, now + DAY)), now)
    mirror.pin("b", "c")
    assert mirror.done(mirror.sync()) == {"waiting": 2}
    assert say_retry(mirror, "b") == [cid("b"), "pins"], "that is what it waits for"
    assert mirror.done(mirror.sync()) == {"added": 2}


def test_everything_that_failed_or_was_refused_is_meant_by_none(mirror: Mirror) -> None:
    mirror.pin("a", "b", "c", "d", "e")
    mirror.sync()
    for name in "ab":
        mirror.settle(name, PinStatus.FAILED)
    mirror.sync()
    assert sorted(say_retry(mirror)) == sorted([cid("a"), cid("b")])
    assert mirror.done(mirror.sync()) == {"retried": 2}


def test_a_pin_with_nothing_to_try_again_is_an_error_that_says_how_it_stands(mirror: Mirror) -> None:
    mirror.pin("a", "b")
    mirror.sync()
    mirror.settle("b", PinStatus.FAILED)
    mirror.sync()
    for names, said in ((["b", "a"], "it is pinned"), (["nobody"], "not known here")):
        with pytest.raises(UsageError, match=said):
            say_retry(mirror, *names)
    assert mirror.done(mirror.sync()) == {"waiting": 1}, "nothing was done, not for the other either"
    assert kinds(mirror) == []


def test_what_is_held_is_not_released_by_trying_again(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, safety=Safety(grace=DAY))
    mirror.pin("a", "b")
    mirror.sync()
    mirror.unpin("a")
    assert mirror.done(mirror.sync()) == {"waiting": 1}
    with pytest.raises(UsageError, match="grace"):
        say_retry(mirror, "a")
    assert say_retry(mirror) == []
    assert mirror.done(mirror.sync()) == {"waiting": 1}


# -- disown


@pytest.mark.parametrize("profile", ["spec", "nft.storage", "pinata", "cluster"])
def test_a_pin_that_was_disowned_stays_whatever_its_mark_says(tmp_path: Path, profile: str) -> None:
    mirror = Mirror(tmp_path, profile)
    mirror.pin("a", "b", called="old")
    mirror.sync()
    assert say_disown(mirror, "a") == 1
    mirror.node.pins[cid("a")] = "new"
    mirror.sync()
    assert mirror.names()[cid("a")] != "new", "not renamed"
    assert mirror.status()["remotes"][0]["foreign"] == 1
    assert mirror.status()["remotes"][0]["pinned"] == 2, "it satisfies the want"
    mirror.unpin("a", "b")
    mirror.pin("c")
    for _ in range(3):
        mirror.sync()
    assert set(mirror.there()) == {cid("a"), cid("c")}, "b was ours and went"


def test_a_removal_that_waits_or_was_approved_is_void(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, safety=Safety(grace=DAY))
    mirror.pin("a", "b")
    mirror.sync()
    mirror.unpin("a")
    mirror.sync()
    say_disown(mirror, "a")
    assert mirror.status()["remotes"][0]["waiting_removal"] == 0
    mirror.later(2 * DAY)
    assert mirror.done(mirror.sync()) == {}
    assert cid("a") in mirror.there()


def test_a_pin_that_was_disowned_stays_so_when_the_ledger_is_lost(tmp_path: Path) -> None:
    """At once, not after the next pass alone: what is noted beside the ledger is written with the word."""
    mirror = Mirror(tmp_path)
    mirror.pin("a", "b")
    mirror.sync()
    say_disown(mirror, "a")
    for path in tmp_path.glob("pinsync.db*"):
        if path.suffix != ".remembered":
            path.unlink()
    mirror.unpin("a", "b")
    mirror.pin("c")
    for _ in range(4):
        mirror.sync()
        mirror.later(DAY)
    assert set(mirror.there()) == {cid("a"), cid("c")}, "b was ours by its mark, and went"


def test_adopting_takes_it_back(mirror: Mirror) -> None:
    mirror.pin("a", "b")
    mirror.sync()
    say_disown(mirror, "a")
    mirror.sync()
    with writing(mirror.settings, "test") as state:
        client = mirror._client(mirror.settings.remotes[0], state.ledger.remote("there"))
        ids = (state.mirror_id,)
        taken = asyncio.run(adopt(state.ledger, client, ids, [parse_cid(cid("a"))], mirror.clock, "alice"))
    assert [pin.cid for pin in taken.pins] == [cid("a")]
    mirror.unpin("a")
    assert mirror.done(mirror.sync()) == {"removed": 1}
    assert kinds(mirror) == ["disowned", "adopted"]


def test_only_what_is_ours_can_be_disowned(mirror: Mirror) -> None:
    mirror.seed("theirs")
    mirror.pin("theirs", "a")
    mirror.sync()
    for name in ("theirs", "nobody"):
        with pytest.raises(UsageError, match="nothing was disowned"):
            say_disown(mirror, "a", name)
    mirror.unpin("a")
    assert mirror.done(mirror.sync()) == {"removed": 1}


def test_what_is_disowned_while_a_pass_is_under_way_is_neither_removed_nor_written_over(tmp_path: Path) -> None:
    """The word comes between planning and the request: `progress` is called right before intents are carried out."""
    mirror = Mirror(tmp_path, "nft.storage")
    mirror.pin("renamed", "gone", "stays", called="old")
    mirror.sync()
    mirror.node.pins[cid("renamed")] = "new"
    mirror.unpin("gone")
    said: list[str] = []

    with writing(mirror.settings, "test") as state:
        world = mirror._world(state.mirror_id)

        def disown_now(remote: str, done: int, of: int) -> None:
            if not said:
                cids = [parse_cid(cid(name)) for name in ("renamed", "gone")]
                said.extend(one.cid for _, one in disown(state.ledger, ["there"], cids, at=world.clock.now(), by="me"))

        world.applying = disown_now

        async def one_pass() -> None:
            with Spool() as spool:
                async with AsyncExitStack() as stack:
                    await reconcile(world, state.ledger, spool, stack, reader=state.reader)

        asyncio.run(one_pass())
    assert len(said) == 2
    assert set(mirror.there()) == {cid("renamed"), cid("gone"), cid("stays")}
    assert mirror.names()[cid("renamed")] == "old"


# -- pause


def requests(mirror: Mirror) -> int:
    return len(mirror.emulator.requests)


class Stopping(httpx.AsyncBaseTransport):
    """Has somebody want nothing new to be begun right after a request of this method was answered."""

    def __init__(self, inner: httpx.AsyncBaseTransport, mirror: Mirror, method: str) -> None:
        self.inner, self.mirror, self.method = inner, mirror, method

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self.inner.handle_async_request(request)
        if request.method == self.method and self.mirror.world is not None:
            self.mirror.world.stop.set()
        return answer


def test_what_waits_for_the_rate_is_not_sent_after_a_pause(mirror: Mirror) -> None:
    mirror.change(rate=Rate(3, 60.0), concurrency=8)
    mirror.pin(*range(20))
    mirror.transports["there"] = lambda inner: Stopping(inner, mirror, "POST")
    mirror.sync()
    assert 1 <= len(mirror.there()) <= 3, "those that were on their way already"
    [last] = [one for one in (life(mirror, name)[-1] for name in range(20)) if one["state"] == "moot"][-1:]
    assert (last["outcome"], last["requests"]) == ("not begun", [])
    del mirror.transports["there"]
    mirror.sync()
    assert len(mirror.there()) == 20


def test_what_a_deletion_took_along_is_put_back_in_spite_of_a_pause(tmp_path: Path) -> None:
    """A service that deletes both pins of a CID: the one that is to stay must not wait for the end of a pause."""
    mirror = Mirror(tmp_path, "rb")
    mirror.pin("a", called="old")
    mirror.sync()
    mirror.node.pins[cid("a")] = "new"
    for _ in range(3):  # added beside the old one, which is deleted once the new one is pinned
        mirror.transports["there"] = lambda inner: Stopping(inner, mirror, "DELETE")
        mirror.later(60)
        mirror.sync()
    assert "DELETE" in {request.method for request in mirror.emulator.requests}
    assert mirror.there()[cid("a")]


def test_nothing_is_asked_of_a_remote_that_is_paused_and_the_others_go_on(mirror: Mirror) -> None:
    other = mirror.add_remote("other")
    mirror.pin("a")
    mirror.sync()
    say_pause(mirror, "there", reason="their maintenance")
    mirror.pin("b")
    mirror.unpin("a")
    before = requests(mirror)
    report = mirror.sync()
    assert requests(mirror) == before
    assert set(mirror.there()) == {cid("a")}
    assert {pin.cid for pin in other.pins()} == {cid("b")}
    assert (report.paused, report.exit_code()) == (["there"], 4)
    assert say_resume(mirror, "there") == 1
    mirror.sync()
    assert set(mirror.there()) == {cid("b")}
    assert kinds(mirror) == ["paused", "resumed"]


def test_pins_on_their_way_are_not_looked_at_meanwhile(mirror: Mirror) -> None:
    mirror.emulator.become(settle=1e9)
    mirror.pin("a")
    mirror.sync()
    with ledger_of(mirror) as ledger:
        follows = FollowUps(ledger, mirror.clock, logging.getLogger("test"))
        house: Any = SimpleNamespace(settings=mirror.settings)
        assert follows.due_at(house) is not None
        pause(ledger, "there", until=None, reason="", at=mirror.clock.now(), by="alice")
        assert follows.due_at(house) is None


def test_a_pause_of_everything_is_for_every_remote(mirror: Mirror) -> None:
    mirror.add_remote("other")
    mirror.pin("a")
    say_pause(mirror)
    report = mirror.sync()
    assert report.paused == ["other", "there"]
    assert mirror.there() == mirror.there("other") == {}
    assert requests(mirror) == 0
    with ledger_of(mirror) as ledger, pytest.raises(Paused, match="everything is paused by alice") as raised:
        check_paused(ledger, mirror.clock.now(), ["there"])
    assert raised.value.exit_code == 4


@pytest.mark.parametrize("how", ["damaged", "lost", "an older copy"])
def test_a_pause_outlasts_the_ledger(mirror: Mirror, how: str) -> None:
    mirror.pin("a")
    mirror.sync()
    ledger = mirror.settings.state.path
    before = ledger.read_bytes()
    mirror.pin("b")
    say_pause(mirror, reason="new disk")
    if how == "damaged":
        ledger.write_bytes(b"SQLite format 3\0" + bytes(3000))
    elif how == "lost":
        ledger.unlink()
    else:
        ledger.write_bytes(before)
    assert mirror.sync().paused == ["there"]
    assert set(mirror.there()) == {cid("a")}
    with ledger_of(mirror) as found:
        assert [(one.who, one.reason) for one in pauses(found, mirror.clock.now())] == [("alice", "new disk")]


def test_it_ends_by_itself(mirror: Mirror) -> None:
    mirror.pin("a")
    say_pause(mirror, seconds=3600.0)
    mirror.later(3500.0)
    mirror.sync()
    assert mirror.there() == {}
    mirror.later(101.0)
    mirror.sync()
    assert set(mirror.there()) == {cid("a")}
    assert kinds(mirror) == ["paused", "resumed"]
    with ledger_of(mirror) as ledger:
        [end] = [one for one in ledger.events() if one.kind == "resumed"]
        assert (end.who, end.details) == ("", "its time was over")


def test_a_dry_pass_looks_all_the_same(mirror: Mirror) -> None:
    mirror.sync()
    say_pause(mirror)
    mirror.pin("a")
    report, actions = mirror.plan()
    assert [(action.cid, action.state) for action in actions] == [(cid("a"), State.HELD)]
    assert "paused by alice until" in actions[0].reason
    assert (report.exit_code(), report.paused) == (4, ["there"])


def test_a_dry_pass_holds_what_a_pause_of_one_remote_keeps_from_being_done(mirror: Mirror) -> None:
    mirror.add_remote("other")
    mirror.sync()
    say_pause(mirror, "there")
    mirror.pin("a")
    report, _ = mirror.plan()
    counts = {plan.view.settings.name: plan.counts for plan in report.remotes}
    assert counts == {"there": {(Kind.ADD, State.HELD): 1}, "other": {(Kind.ADD, State.DO): 1}}
    assert report.exit_code() == 4


def test_what_a_configuration_change_makes_unwanted_is_still_held_after_a_pause(mirror: Mirror) -> None:
    """A node that was taken out while the remote was paused must not be forgotten by the passes at the others."""
    mirror.add_remote("other")
    mirror.nodes["second"] = second = MadeNode({cid("a"): ""}, "12D3KooWAnother", name="second")
    mirror.settings = replace(mirror.settings, nodes=(*mirror.settings.nodes, NodeSettings("second", retry_for=0)))
    mirror.pin("b")
    mirror.sync()
    say_pause(mirror, "there")
    mirror.settings = replace(mirror.settings, nodes=mirror.settings.nodes[:1])
    assert second.pins
    mirror.sync()
    mirror.sync()
    say_resume(mirror)
    assert mirror.done(mirror.sync()) == {"held": 1}
    assert set(mirror.there()) == {cid("a"), cid("b")}


def test_status_says_who_paused_what_until_when_and_why_and_raises_no_other_alarm(mirror: Mirror) -> None:
    mirror.pin("a")
    mirror.sync()
    mirror.settle("a", PinStatus.FAILED)
    mirror.sync()
    assert mirror.status()["verdict"] == "failing"
    say_pause(mirror, "there", 7 * DAY, "new disk")
    shown = mirror.status()
    assert (shown["verdict"], exit_code(shown)) == ("held", 4)
    [one] = shown["paused"]
    assert (one["remote"], one["by"], one["reason"]) == ("there", "alice", "new disk")
    say_pause(mirror, None, 7 * DAY)
    mirror.later(6 * DAY)
    assert mirror.status()["verdict"] == "held", "not stale"
    mirror.later(DAY + 60)
    say_retry(mirror)
    assert mirror.status()["verdict"] == "failing"
    mirror.sync()
    mirror.sync()
    assert mirror.status()["verdict"] == "in-sync"


def test_stale_is_measured_from_the_end_of_a_pause(mirror: Mirror) -> None:
    mirror.sync()
    say_pause(mirror, None, DAY)
    mirror.later(DAY + 60)
    assert mirror.status()["verdict"] == "in-sync", "the end by itself"
    mirror.later(2700)
    assert mirror.status()["verdict"] == "stale"
    mirror.sync()
    say_pause(mirror)
    mirror.later(DAY)
    say_resume(mirror)
    assert mirror.status()["verdict"] == "in-sync", "the end by a word"
    mirror.later(2701)
    assert mirror.status()["verdict"] == "stale"


def test_another_pause_takes_the_place_of_the_first(mirror: Mirror) -> None:
    mirror.sync()
    say_pause(mirror, None, 60)
    say_pause(mirror, None, 3600, "longer")
    with ledger_of(mirror) as ledger:
        [one] = pauses(ledger, mirror.clock.now() + 100)
        assert "longer" in words(one)


def test_a_pause_that_cannot_be_is_refused(mirror: Mirror) -> None:
    mirror.sync()
    with ledger_of(mirror) as ledger:
        now = mirror.clock.now()
        with pytest.raises(UsageError, match="over already"):
            pause(ledger, None, until=now - 1, reason="", at=now, by="alice")
        pause(ledger, None, until=None, reason="", at=now, by="alice")
        with pytest.raises(UsageError, match="everything is paused"):
            resume(ledger, "there", at=now, by="alice")
    assert say_resume(mirror) == 1
    assert say_resume(mirror) == 0


def test_a_ledger_of_before_knows_no_pauses(tmp_path: Path) -> None:
    """`status` may read a file that the new daemon has not brought to this version yet."""
    mirror = Mirror(tmp_path)
    mirror.pin("a")
    mirror.sync()
    with writing(mirror.settings, "test") as state:
        for name in ("events", "pauses"):
            state.ledger.store.execute(f"DROP TABLE {name}")
        state.ledger.store.execute("ALTER TABLE journal DROP COLUMN requests")
        state.ledger.store.execute("PRAGMA user_version = 1")
    with reading(mirror.settings) as ledger:
        assert status(ledger, mirror.settings, mirror.clock.now(), {"running": False})["paused"] == []
        assert len(history(ledger, now=mirror.clock.now())["passes"]) == 1
        assert [one["kind"] for one in cid_history(ledger, parse_cid(cid("a")))["history"]] == ["add"]
    assert mirror.sync().good, "and a pass brings it here"


def test_all_who_watch_for_silence_measure_it_alike(mirror: Mirror) -> None:
    """`status`, readiness, those who tell people and the doctor ask the same."""
    say_pause(mirror, None, DAY)
    with ledger_of(mirror) as ledger:
        assert fresh_since(ledger, mirror.clock.now()) is None, "no pass has gone well yet, pause or not"
    say_resume(mirror)
    mirror.sync()
    done = mirror.clock.now()
    mirror.later(3600)
    say_pause(mirror, None, DAY)
    mirror.later(3600)
    with ledger_of(mirror) as ledger:
        now = mirror.clock.now()
        assert fresh_since(ledger, now) == now > done
        assert fresh_since(ledger, now + 2 * DAY) == pytest.approx(now - 3600 + DAY)
        resume(ledger, None, at=now, by="alice")
        assert fresh_since(ledger, now + 2 * DAY) == pytest.approx(now)
