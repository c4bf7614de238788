"""The daemon as a whole: when it makes a pass, what it goes by, how it lives through trouble, how it ends."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from pinsync import ending
from pinsync.emulator.behaviour import FOREVER
from pinsync.emulator.profiles import profile
from pinsync.errors import ConfigError, StateHeld
from pinsync.house import State, reading, run_pass, writing
from pinsync.model import PinStatus
from pinsync.service import runner
from pinsync.service.daemon import Daemon
from pinsync.status import remote_status
from pinsync.steps.report import PassReport
from pinsync.world import World
from tests.unit.service_kit import TOKEN, FakeNode, HandClock, Rig, cid, manifest, save, until

SOON = 3.0  # seconds in which a change must have reached the remote, on a busy machine; a pass begins within one


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def rig(tmp_path: Path, clock: HandClock) -> Iterator[Rig]:
    """Its time stands still, so that what is noticed is noticed by events, not by looking every two seconds."""
    with Rig(tmp_path, clock=clock) as made:
        made.pins.write_text(manifest(1, 2))
        yield made


def soon(rig: Rig, *numbers: int) -> None:
    """These pins, and no others, are at the remote in a moment."""
    begun = time.monotonic()
    wanted = {cid(number) for number in numbers}
    until(lambda: rig.there() == wanted, f"{numbers} at the remote")
    assert time.monotonic() - begun < SOON


def looked(rig: Rig, change: Callable[[], object]) -> None:
    """Change something that makes no difference, and wait until the daemon has seen that."""
    before = rig.log.count("hold what they held")
    change()
    until(lambda: rig.log.count("hold what they held") > before, "a look at the files")


# -- when ------------------------------------------------------------------------------------------------------------


def test_a_pass_is_made_at_start_and_one_line_tells_of_it(rig: Rig) -> None:
    rig.start()
    assert rig.there() == {cid(1), cid(2)}
    until(lambda: rig.log.count("INFO: pass (start): in sync: 2 added"), "the line")
    assert rig.triggers() == ["start"]


def test_a_manifest_saved_by_an_editor_is_mirrored_soon(rig: Rig) -> None:
    rig.start()
    save(rig.pins, manifest(1, 2, 3))
    soon(rig, 1, 2, 3)
    save(rig.pins, manifest(1, 2, 3, 4))
    soon(rig, 1, 2, 3, 4)
    assert set(rig.triggers()) == {"start", "manifest"}


def test_a_manifest_that_is_put_back_while_a_pass_goes_by_it_is_mirrored(
    rig: Rig, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinsync.service.daemon.QUIET", 1.0)  # enough for what follows to go unnoticed
    monkeypatch.setattr("pinsync.service.daemon.MOST_NOISE", 2.0)
    rig.start()
    save(rig.pins, manifest(1, 2, 3))
    rig.client.sync()  # begins before the change is noticed, and goes by it
    save(rig.pins, manifest(1, 2))  # to noticing nothing has changed then

    assert rig.there() == {cid(1), cid(2), cid(3)}
    end = clock.now() + 800  # the next pass by schedule is after 900

    def caught_up() -> bool:
        if clock.now() < end:
            clock.advance(0.5)
        return rig.there() == {cid(1), cid(2)}

    until(caught_up, "the manifest as it is")


def test_a_manifest_written_in_place_is_mirrored_soon(rig: Rig) -> None:
    rig.start()
    with rig.pins.open("a") as file:
        file.write(manifest(3))
    soon(rig, 1, 2, 3)


def test_a_manifest_behind_links_is_followed_when_they_are_switched(rig: Rig) -> None:
    """As Kubernetes mounts a ConfigMap: the file's link stays, a directory's link is renamed over."""
    mount = rig.directory / "mount"
    for version, text in (("v1", manifest(1)), ("v2", manifest(1, 2)), ("v3", manifest(1, 2, 3))):
        (mount / version).mkdir(parents=True)
        (mount / version / "pins.toml").write_text(text)
    (mount / "..data").symlink_to("v1")
    (mount / "pins.toml").symlink_to("..data/pins.toml")
    rig.pins.unlink()
    rig.pins.symlink_to(mount / "pins.toml")
    rig.start()
    for version, numbers in (("v2", (1, 2)), ("v3", (1, 2, 3))):
        (mount / "..new").symlink_to(version)
        (mount / "..new").rename(mount / "..data")
        soon(rig, *numbers)


def test_a_directory_that_vanishes_and_returns_is_watched_again(rig: Rig) -> None:
    home = rig.directory / "lists"
    rig.config.write_text(rig.config.read_text().replace('"pins.toml"', '"lists/pins.toml"'))
    home.mkdir()
    (home / "pins.toml").write_text(manifest(1))
    rig.start()
    for numbers in ((1, 2), (1, 2, 3)):
        wrong = rig.log.count("ERROR: manifest")
        shutil.rmtree(home)
        rig.log.wait("ERROR: manifest", wrong + 1)
        home.mkdir()
        (home / "pins.toml").write_text(manifest(*numbers))
        soon(rig, *numbers)
        save(home / "pins.toml", manifest(*numbers, 9))  # the new directory is watched, not just looked at
        soon(rig, *numbers, 9)


def test_what_no_event_tells_of_is_found_by_looking_every_two_seconds(
    rig: Rig, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a network file system, or when the system has no watches to spare."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr("watchdog.observers.api.BaseObserver.schedule", refuse)
    rig.start()
    rig.log.wait("cannot be watched")
    save(rig.pins, manifest(1, 2, 3))
    clock.advance(2.1)
    soon(rig, 1, 2, 3)
    save(rig.config, "nonsense = 1")
    clock.advance(2.1)
    until(lambda: "nonsense" in (rig.fact("config_error") or ""))


def test_a_file_that_comes_to_match_an_include_is_mirrored_soon(rig: Rig) -> None:
    (rig.directory / "lists").mkdir()
    rig.pins.write_text('include = ["lists/*.txt"]\n' + manifest(1))
    rig.start()
    assert rig.there() == {cid(1)}
    (rig.directory / "lists/more.txt").write_text(f"{cid(2)}\n{cid(3)}\n")
    soon(rig, 1, 2, 3)
    (rig.directory / "lists/more.txt").write_text(f"{cid(2)}\n{cid(3)}\n{cid(4)}\n")
    soon(rig, 1, 2, 3, 4)


def test_what_changes_nothing_makes_no_pass(rig: Rig) -> None:
    rig.start()
    looked(rig, lambda: os.utime(rig.pins))
    looked(rig, lambda: save(rig.pins, rig.pins.read_text()))
    (rig.directory / "notes.md").write_text("not ours")
    looked(rig, lambda: rig.config.write_text(rig.config.read_text() + "# a comment\n"))
    save(rig.pins, manifest(1, 2, 3))
    soon(rig, 1, 2, 3)
    until(lambda: rig.passes() == 2)
    assert rig.triggers() == ["start", "manifest"]


def test_a_change_during_a_pass_makes_another_one_right_after(rig: Rig) -> None:
    rig.start()
    slow = rig.emulator.faults.next("slow:0.8", method="GET")
    save(rig.pins, manifest(1, 2, 3))
    until(lambda: slow.hits, "the pass to be under way")
    save(rig.pins, manifest(1, 2, 3, 4))
    until(lambda: rig.there() == {cid(1), cid(2), cid(3), cid(4)})
    until(lambda: rig.passes() == 3)
    assert rig.triggers() == ["start", "manifest", "manifest"]


def test_never_two_passes_at_once(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:  # with true time, by which overlaps would show
        rig.pins.write_text(manifest(1, 2))
        rig.start()
        rig.emulator.become(latency=0.05)
        for number in range(3, 8):
            before = rig.log.count("INFO: pass (")
            save(rig.pins, manifest(*range(1, number + 1)))
            rig.call(lambda daemon: daemon.reload())
            rig.log.wait("INFO: pass (", before + 1)
        until(lambda: len(rig.there()) == 7)
        rig.stop()
        with reading(rig.load_state()) as ledger:
            assert ledger is not None
            runs = ledger.store.execute("SELECT started_at, finished_at FROM runs ORDER BY id").fetchall()
    assert len(runs) >= 6
    assert all(before[0] < before[1] <= after[0] for before, after in pairwise(runs))


def test_a_pass_is_made_on_schedule(rig: Rig, clock: HandClock) -> None:
    rig.start()
    assert float(rig.fact("next_pass_at") or 0) == clock.now() + 900
    rig.emulator.remove_pins([rig.emulator.pins()[0].requestid])
    clock.advance(899)
    looked(rig, lambda: os.utime(rig.pins))
    assert rig.triggers() == ["start"]
    clock.advance(2)
    until(lambda: rig.triggers() == ["start", "schedule"])


def test_a_pass_longer_than_the_interval_is_not_followed_by_another_at_once(rig: Rig, clock: HandClock) -> None:
    rig.start()
    slow = rig.emulator.faults.next("slow:0.5", method="GET")
    rig.call(lambda daemon: daemon.reload())
    until(lambda: slow.hits, "a pass under way")
    clock.advance(10_000)
    until(lambda: rig.passes() == 2)
    until(lambda: float(rig.fact("next_pass_at") or 0) == clock.now() + 900)
    looked(rig, lambda: os.utime(rig.pins))
    assert rig.triggers() == ["start", "reload"]


def test_the_schedule_ticks_by_itself(tmp_path: Path) -> None:
    with Rig(tmp_path, every="1s") as rig:
        rig.pins.write_text(manifest(1))
        rig.start()
        until(lambda: rig.triggers()[:3] == ["start", "schedule", "schedule"])


def test_a_changed_interval_is_taken_over(rig: Rig, clock: HandClock) -> None:
    rig.start()
    rig.every = "1h"
    rig.configure()
    until(lambda: rig.triggers() == ["start", "configuration"])
    until(lambda: float(rig.fact("next_pass_at") or 0) == clock.now() + 3600)


# -- what it goes by -------------------------------------------------------------------------------------------------


def test_an_invalid_manifest_leaves_the_last_good_one_in_force(rig: Rig) -> None:
    rig.start()
    save(rig.pins, manifest(1) + "[[pin]]\ncid = 'nonsense'\n")
    rig.log.wait("pass (manifest): the manifest cannot be read")
    assert rig.log.count("ERROR: manifest: ") == rig.log.count("pins.toml:4: ") == 1
    assert rig.there() == {cid(1), cid(2)}
    assert rig.client.status()["sources"]["manifest"]["ok"] is False
    save(rig.pins, manifest(1, 2, 3))
    soon(rig, 1, 2, 3)
    until(lambda: rig.log.count("manifest: well again"))


def test_an_invalid_configuration_leaves_the_last_good_one_in_force(rig: Rig) -> None:
    rig.start()
    good = rig.config.read_text()
    save(rig.config, good + "[kubbo]\n[safety2]\n")
    until(lambda: rig.log.count("the last good one stays in force"))
    said = next(line for line in rig.log.lines if "stays in force" in line)
    assert said.startswith("ERROR") and "kubbo" in said and "safety2" in said
    until(lambda: "kubbo" in (rig.fact("config_error") or ""))
    save(rig.pins, manifest(1, 2, 3))
    soon(rig, 1, 2, 3)
    save(rig.config, good)
    until(lambda: rig.fact("config_error") == "")
    assert rig.log.count("right again") == 1
    assert set(rig.triggers()) == {"start", "manifest"}  # what is in force has not changed


def test_a_vanished_configuration_leaves_the_last_good_one_in_force(rig: Rig) -> None:
    rig.start()
    good = rig.config.read_text()
    rig.config.unlink()
    until(lambda: "is not there" in (rig.fact("config_error") or ""))
    rig.config.write_text(good)
    until(lambda: rig.fact("config_error") == "")


def test_a_changed_configuration_is_taken_over_without_a_restart(rig: Rig) -> None:
    rig.start()
    save(rig.directory / "others.toml", manifest(1, 2, 5))
    save(rig.config, rig.config.read_text().replace('"pins.toml"', '"others.toml"'))
    soon(rig, 1, 2, 5)
    save(rig.directory / "others.toml", manifest(1, 2, 5, 6))  # what is watched has changed with it
    soon(rig, 1, 2, 5, 6)
    assert rig.triggers()[:2] == ["start", "configuration, manifest"]


def test_another_ledger_needs_a_restart_and_the_rest_is_taken_over(rig: Rig, clock: HandClock) -> None:
    rig.start()
    text = rig.config.read_text().replace("state/pinsync.db", "elsewhere/pinsync.db")
    save(rig.config, text.replace('"15m"', '"1h"'))
    until(lambda: rig.log.count("until pinsync is restarted"))
    until(lambda: rig.triggers() == ["start", "configuration"])
    assert not (rig.directory / "elsewhere").exists()
    until(lambda: rig.log.count("next at") == 2)
    assert float(rig.fact("next_pass_at") or 0) == clock.now() + 3600


def test_a_rotated_token_is_taken_over(rig: Rig) -> None:
    rig.token.write_text("no-good-any-more")
    rig.start()
    assert rig.there() == set()
    save(rig.token, TOKEN)
    soon(rig, 1, 2)
    assert not rig.log.count(TOKEN) and not rig.log.count("no-good-any-more")


def test_a_token_that_is_missing_for_a_moment_leaves_the_old_one_in_force(rig: Rig) -> None:
    rig.start()
    rig.token.unlink()
    until(lambda: "token" in (rig.fact("config_error") or ""))
    save(rig.pins, manifest(1, 2, 3))
    soon(rig, 1, 2, 3)


def test_a_token_file_that_is_named_before_it_is_there_is_waited_for(rig: Rig) -> None:
    rig.start()
    save(rig.config, rig.config.read_text().replace('"token"', '"new-token"'))
    until(lambda: "new-token" in (rig.fact("config_error") or ""))
    (rig.directory / "new-token").write_text(TOKEN)
    until(lambda: rig.fact("config_error") == "")
    save(rig.pins, manifest(1, 2, 3))
    soon(rig, 1, 2, 3)


def test_a_reload_makes_a_pass_though_nothing_changed(rig: Rig) -> None:
    rig.start()
    rig.call(lambda daemon: daemon.reload())
    until(lambda: rig.triggers() == ["start", "reload"])


# -- trouble ---------------------------------------------------------------------------------------------------------


def test_a_node_that_is_away_is_lived_through_with_growing_pauses(rig: Rig, clock: HandClock) -> None:
    with FakeNode() as node:
        node.pins = {cid(7): "seven"}
        rig.configure(kubo=f'api = "{node.url}"')
        rig.start()
        assert rig.there() == {cid(1), cid(2), cid(7)}
        node.leave()
        rig.call(lambda daemon: daemon.reload())
        pauses = []
        for passes in range(2, 8):
            rig.log.wait("INFO: pass (", passes)
            pauses.append(float(rig.fact("next_pass_at") or 0) - clock.now())
            clock.advance(pauses[-1])
        assert pauses == [5, 10, 20, 40, 80, 160]
        assert rig.log.count("ERROR: node kubo") == 1  # once, not at every try
        assert rig.there() == {cid(1), cid(2), cid(7)}
        until(lambda: rig.log.count("INFO: pass (") == 8)
        node.pins[cid(8)] = "eight"
        node.arrive()
        clock.advance(320)
        until(lambda: rig.there() == {cid(1), cid(2), cid(7), cid(8)})
        until(lambda: rig.log.count("node kubo: well again"))
        until(lambda: float(rig.fact("next_pass_at") or 0) == clock.now() + 900)  # planned right after that is said


def test_pauses_grow_no_longer_than_the_schedule(tmp_path: Path, clock: HandClock) -> None:
    with Rig(tmp_path, clock=clock, every="12s") as rig:
        rig.emulator.become(closed="lapsed")
        rig.begin()
        pauses = []
        for passes in range(1, 5):
            rig.log.wait("INFO: pass (", passes)
            pauses.append(float(rig.fact("next_pass_at") or 0) - clock.now())
            clock.advance(pauses[-1])
        assert pauses == [5, 10, 12, 12]


def test_a_full_disk_is_lived_through(rig: Rig, clock: HandClock) -> None:
    rig.start()

    def pages(most: str) -> None:
        def limit(daemon: Daemon) -> None:
            assert daemon._runner is not None
            daemon._runner._state.ledger.store.execute(f"PRAGMA max_page_count = {most}")

        rig.call(limit)

    pages("1")  # SQLite then allows what is used and no more
    save(rig.pins, manifest(*range(1, 400)))
    until(lambda: rig.log.count("is full"))
    assert rig.alive
    pages("1000000")
    until(lambda: rig.log.count("could not be finished"))
    clock.advance(5)
    until(lambda: len(rig.there()) == 399)
    until(lambda: rig.log.count("pass: well again"))


def test_a_bug_in_a_pass_does_not_end_the_daemon(rig: Rig, clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> None:

    async def broken(world: World, state: State, **rest: object) -> PassReport:
        raise RuntimeError("oops")

    monkeypatch.setattr(runner, "run_pass", broken)
    rig.begin()
    until(lambda: rig.log.count("oops"))
    monkeypatch.setattr(runner, "run_pass", run_pass)
    until(lambda: rig.fact("next_pass_at"))
    clock.advance(5)
    until(lambda: rig.there() == {cid(1), cid(2)})


def test_a_bug_in_looking_for_changes_does_not_end_the_daemon(
    rig: Rig, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.start()

    def broken(*_: object) -> None:
        raise RuntimeError("oops")

    monkeypatch.setattr("pinsync.service.daemon.survey", broken)
    save(rig.pins, manifest(1, 2, 3))
    rig.log.wait("looking for changes failed")
    clock.advance(901)
    until(lambda: rig.there() == {cid(1), cid(2), cid(3)})


# -- between passes --------------------------------------------------------------------------------------------------


def test_pins_on_their_way_are_followed_between_passes(tmp_path: Path, clock: HandClock) -> None:
    with Rig(tmp_path, clock=clock, behaviour=profile("spec", settle=FOREVER)) as rig:
        rig.pins.write_text(manifest(1, 2))
        rig.start()
        assert status_of(rig)["queued"] == 2
        for pin, status in zip(rig.emulator.pins(), (PinStatus.PINNED, PinStatus.FAILED), strict=True):
            rig.emulator.set_status(pin.requestid, status, "no providers")
        clock.advance(6)
        until(lambda: (status_of(rig)["pinned"], status_of(rig)["failed"]) == (1, 1))
        until(lambda: rig.log.count("no providers"))
        assert rig.triggers() == ["start"]


def test_an_update_is_finished_soon_after_its_successor_is_pinned(tmp_path: Path, clock: HandClock) -> None:
    with Rig(tmp_path, clock=clock) as rig:
        rig.pins.write_text(f'[[pin]]\ncid = "{cid(1)}"\nname = "before"\n')
        rig.start()
        rig.emulator.become(settle=FOREVER)
        save(rig.pins, f'[[pin]]\ncid = "{cid(1)}"\nname = "after"\n')
        until(lambda: rig.passes() == 2)
        # The old row waits for the new one, which an unfinished pass may be needed to see.
        rig.call(lambda daemon: daemon.reload())
        until(lambda: rig.passes() == 3)
        assert [pin.name for pin in rig.emulator.pins()] == ["before", "after"]
        rig.emulator.set_status(rig.emulator.pins()[1].requestid, PinStatus.PINNED)
        clock.advance(6)
        until(lambda: status_of(rig)["pinned"] == 1)
        clock.advance(11)
        until(lambda: [pin.name for pin in rig.emulator.pins()] == ["after"])
        until(lambda: "follow-up" in rig.triggers(), "a pass for the follow-up")


def test_following_gives_way_to_a_pass(tmp_path: Path, clock: HandClock) -> None:
    with Rig(tmp_path, clock=clock, behaviour=profile("spec", settle=FOREVER)) as rig:
        rig.pins.write_text(manifest(1))
        rig.start()
        hanging = rig.emulator.faults.next("hang", method="GET", path="/pins/*")
        clock.advance(6)
        until(lambda: hanging.hits, "a look that takes for ever")
        save(rig.pins, manifest(1, 2))
        soon(rig, 1, 2)


def test_a_remote_that_fails_is_not_asked_about_pins_all_the_time(tmp_path: Path, clock: HandClock) -> None:
    with Rig(tmp_path, clock=clock, behaviour=profile("spec", settle=FOREVER)) as rig:
        rig.pins.write_text(manifest(1))
        rig.start()
        failing = rig.emulator.faults.next("status:500", method="GET", path="/pins/*", times=3)
        for hits in (1, 2, 3):
            clock.advance(5.0 * 2**hits)
            rig.log.wait("are looked at again in", hits)
            assert failing.hits == hits
        assert [line.split(" s: ")[0].rsplit(" ", 1)[1] for line in rig.log.lines if "looked at again in" in line] == [
            "5", "10", "20",
        ]  # fmt: skip


# -- the end ---------------------------------------------------------------------------------------------------------


def test_a_remote_that_fails_is_named_once_in_the_log_in_the_status_and_in_what_a_pass_came_to(rig: Rig) -> None:
    rig.emulator.faults.next("status:500", method="GET", times=1000)
    rig.start()
    (error,) = rig.client.sync()[0]["errors"]
    (remote,) = rig.client.status()["remotes"]
    assert error["where"] == "remote there" and error["message"].startswith("listing")
    assert remote["error"] == error["message"]
    rig.log.wait("ERROR: remote there: listing")


def test_it_ends_quickly_when_idle(rig: Rig) -> None:
    rig.start()
    assert rig.stop() < 1.5
    assert rig.exit_code == 0
    assert not (rig.directory / "state/pinsync.sock").exists()


def test_it_ends_in_the_middle_of_a_slow_first_mirror_and_makes_no_duplicates_later(tmp_path: Path) -> None:
    with Rig(tmp_path, behaviour=profile("spec", latency=0.2)) as rig:
        rig.pins.write_text(manifest(*range(1, 121)))
        rig.begin()
        until(lambda: len(rig.there()) > 10)
        assert rig.stop() < 5
        assert rig.exit_code == 0
        before = len(rig.there())
        assert before < 120
        rig.emulator.become(latency=0.0)
        rig.start()
        pins = [pin.cid for pin in rig.emulator.pins()]
        assert len(pins) == len(set(pins)) == 120


def test_it_ends_though_the_remote_hangs_and_what_was_in_flight_is_found_later(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.pins.write_text(manifest(*range(1, 31)))
        hanging = rig.emulator.faults.next("hang-after", method="POST", times=3)
        rig.begin()
        until(lambda: hanging.hits == 3)
        assert rig.stop() < 5
        assert rig.exit_code == 0
        rig.start()
        pins = [pin.cid for pin in rig.emulator.pins()]
        assert len(pins) == len(set(pins)) == 30


def test_it_ends_at_once_when_it_only_waits_for_another_try_at_a_remote_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Rig(tmp_path, clock=HandClock()) as rig:  # its time stands still: the next try never comes
        save(rig.config, rig.config.read_text().replace('rate = ""\nretry_for = "0s"', 'rate = ""\nretry_for = "1h"'))
        failing = rig.emulator.faults.next("status:503", method="GET", times=1000)
        rig.begin()
        until(lambda: failing.hits >= 1, f"{failing.hits}")
        monkeypatch.setattr(ending, "GRACE", 60.0)  # it would be far more than until() has patience
        rig.stop()
        assert rig.exit_code == 0
        assert rig.triggers() == []
        with reading(rig.load_state()) as ledger:  # that it was ended is nothing to hold against the remote
            assert ledger is not None and ledger.remote("there").ok is not False


def test_a_second_one_is_refused(rig: Rig) -> None:
    rig.start()
    with pytest.raises(StateHeld, match="pinsync run, process"), writing(rig.load(), "a second one"):
        pass
    second = Rig(rig.directory)
    second.server = rig.server
    second.begin()
    until(lambda: second.raised)
    assert isinstance(second.raised, StateHeld) and second.raised.exit_code == 6
    assert rig.client.status()["daemon"]["running"]


def test_a_wrong_configuration_at_start_is_said_and_nothing_is_begun(rig: Rig) -> None:
    save(rig.config, "[[remote]]\n")
    rig.begin()
    until(lambda: rig.raised)
    assert isinstance(rig.raised, ConfigError) and rig.raised.exit_code == 2
    assert not (rig.directory / "state").exists()


def status_of(rig: Rig) -> dict[str, int]:
    with reading(rig.load_state()) as ledger:
        found: dict[str, int] = remote_status(ledger, rig.load().remotes[0])
        return found
