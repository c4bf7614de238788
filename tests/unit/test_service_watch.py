"""What is noticed: contents by their digests, changes by events and by looking, the service manager by datagrams."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinsync.service import contents as contents_module
from pinsync.service import watch as watch_module
from pinsync.service.contents import Contents, survey
from pinsync.service.logs import configure
from pinsync.service.notify import Notifier
from pinsync.service.watch import Watch
from pinsync.service.wishes import Listener, Wishes
from pinsync.sources.manifest import read_manifest
from tests.unit.service_kit import Lines, cid, manifest, save

# -- contents --------------------------------------------------------------------------------------------------------


def test_a_touch_stirs_and_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("text")
    contents = Contents.of([file])
    os.utime(file, (1, 1))
    assert contents.stirred()
    assert not contents.changed()
    assert not contents.stirred()


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text("texts"),
        lambda path: save(path, "tent"),
        lambda path: path.unlink(),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), path.symlink_to("nowhere")),
    ],
)
def test_other_content_is_a_change(tmp_path: Path, change: Callable[[Path], object]) -> None:
    file = tmp_path / "file"
    file.write_text("text")
    contents = Contents.of([file])
    change(file)
    assert contents.stirred()
    assert contents.changed()


def test_what_is_written_again_within_the_grain_of_its_time_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system's clock ticks every few milliseconds: two writes in one tick leave the same time."""
    file = tmp_path / "file"
    file.write_text("text")
    same = contents_module.stat_of(file)
    monkeypatch.setattr(contents_module, "stat_of", lambda path: same)
    contents = Contents.of([file])
    file.write_text("tent")
    assert contents.changed()


def test_a_file_that_comes_to_be_and_a_directory_that_gains_one(tmp_path: Path) -> None:
    contents = Contents.of([tmp_path / "file"])
    listing = Contents.of([tmp_path])
    assert not contents.stirred()
    (tmp_path / ".hidden").touch()
    assert not listing.changed()
    (tmp_path / "file").touch()
    assert contents.stirred() and contents.changed() and listing.changed()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert not Contents.of([tmp_path / "pipe"]).changed()


@given(st.lists(st.sampled_from(["same", "rewrite", "touch", "more", "gone"]), max_size=8))
def test_changed_says_whether_the_bytes_are_others(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    file = tmp_path_factory.mktemp("contents") / "file"
    file.write_bytes(b"0")
    held: bytes | None = b"0"
    contents = Contents.of([file])
    for step in steps:
        if step == "gone":
            file.unlink(missing_ok=True)
        elif step == "more":
            file.write_bytes((held or b"") + b"1")
        elif step == "rewrite":
            file.write_bytes(held or b"0")
        elif step == "touch" and held is not None:
            os.utime(file)
        now = file.read_bytes() if file.exists() else None
        assert contents.changed() == (now != held)
        if now != held:
            contents, held = Contents.of([file]), now


def test_a_survey_knows_what_was_read_and_not_what_came_a_moment_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins = tmp_path / "pins.toml"
    pins.write_text(manifest(1))

    def late(*args: Any, **rest: Any) -> Any:
        found = read_manifest(*args, **rest)
        save(pins, manifest(1, 2))
        return found

    monkeypatch.setattr("pinsync.service.contents.read_manifest", late)
    first = survey(pins, ["there"])
    assert first.contents.changed()
    monkeypatch.undo()
    second = survey(pins, ["there"])
    assert not second.says_the_same(first)
    assert not second.contents.changed()


def test_surveys_differ_by_what_the_manifest_says_also_when_it_is_wrong(tmp_path: Path) -> None:
    pins, more = tmp_path / "pins.toml", tmp_path / "more.txt"
    pins.write_text('include = ["more.txt"]')
    missing = survey(pins, [])
    assert missing.problems and more in missing.contents.seen
    more.write_text(cid(1))
    whole = survey(pins, [])
    assert not whole.problems and not whole.says_the_same(missing)
    assert whole.says_the_same(survey(pins, []))
    more.write_text("nonsense")
    assert not survey(pins, []).says_the_same(missing)
    assert survey(None, []).says_the_same(survey(None, []))


# -- watching --------------------------------------------------------------------------------------------------------


def watching(use: Callable[[Watch, asyncio.Event], Coroutine[Any, Any, None]], ignore: Path, log: Lines) -> None:
    async def main() -> None:
        changed = asyncio.Event()
        logger = logging.Logger("test")
        logger.addHandler(log)
        watch = Watch(changed.set, ignore=ignore, log=logger)
        try:
            async with asyncio.timeout(15):
                await use(watch, changed)
        finally:
            watch.close()

    asyncio.run(main())


async def notices(changed: asyncio.Event, act: Callable[[], object]) -> None:
    changed.clear()
    act()
    await changed.wait()


async def silence(changed: asyncio.Event, act: Callable[[], object], loud: Callable[[], object]) -> None:
    """`act` goes unnoticed: of it and `loud` after it, only one event arrives, and it comes late enough."""
    await asyncio.sleep(0.05)  # what was before may still be on its way
    changed.clear()
    act()
    await asyncio.sleep(0.1)  # the events of `act` come within milliseconds, if they come
    assert not changed.is_set()
    loud()
    await changed.wait()


async def heard(watch: Watch, changed: asyncio.Event, act: Callable[[], object]) -> bool:
    """Whether `act` is noticed after a tending, as the daemon tends: when it has been quiet for a moment."""
    await asyncio.sleep(0.1)
    watch.tend()
    changed.clear()
    act()
    try:
        async with asyncio.timeout(0.5):
            await changed.wait()
    except TimeoutError:
        return False
    return True


def test_events_in_the_directory_raise_the_flag_and_our_own_reading_does_not(tmp_path: Path) -> None:
    file = tmp_path / "pins.toml"
    file.write_text("")

    async def use(watch: Watch, changed: asyncio.Event) -> None:
        watch.cover([file])
        await notices(changed, lambda: file.write_text("in place"))
        await notices(changed, lambda: save(file, "by rename"))
        await silence(changed, file.read_text, lambda: file.write_text("loud"))
        await silence(changed, (tmp_path / "ledger.db-wal").touch, lambda: file.write_text("loud"))
        await notices(changed, file.unlink)

    watching(use, tmp_path / "ledger.db", Lines())


def test_a_directory_made_again_is_watched_again_once_tended(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    file = home / "pins.toml"

    async def use(watch: Watch, changed: asyncio.Event) -> None:
        watch.cover([file])
        for _ in range(3):
            await notices(changed, home.rmdir)
            await notices(changed, home.mkdir)  # by the directory above
            while not await heard(watch, changed, file.touch):
                file.unlink()  # the old watch had not died yet when it was tended
            file.unlink()

    watching(use, tmp_path / "ledger.db", Lines())


def test_a_directory_that_comes_to_be_far_down_is_watched_once_tended(tmp_path: Path) -> None:
    file = tmp_path / "a/b/c/pins.toml"

    async def use(watch: Watch, changed: asyncio.Event) -> None:
        for directory in (None, tmp_path / "a", tmp_path / "a/b", tmp_path / "a/b/c"):
            if directory is not None:
                await notices(changed, directory.mkdir)
            watch.cover([file])
        await notices(changed, file.touch)

    watching(use, tmp_path / "ledger.db", Lines())


def test_an_observer_that_died_is_replaced(tmp_path: Path) -> None:
    async def use(watch: Watch, changed: asyncio.Event) -> None:
        watch.cover([tmp_path / "file"])
        watch._observer.stop()
        watch._observer.join()
        watch.tend()
        await notices(changed, (tmp_path / "file").touch)

    watching(use, tmp_path / "ledger.db", Lines())


def test_a_system_without_watches_to_spare_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Lines()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    async def use(watch: Watch, changed: asyncio.Event) -> None:
        monkeypatch.setattr(watch._observer, "schedule", refuse)
        watch.cover([tmp_path / "file"])
        watch.tend()

    watching(use, tmp_path / "ledger.db", log)
    assert log.count("cannot be watched") == len(log.lines) == 1


def test_threads_are_not_taken_without_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "MOST", 5)
    paths = [tmp_path / f"{number}/list.txt" for number in range(20)]
    for path in paths:
        path.parent.mkdir()

    async def use(watch: Watch, changed: asyncio.Event) -> None:
        watch.cover(paths)
        assert len(watch._observer.emitters) == 5

    watching(use, tmp_path / "ledger.db", Lines())


# -- the service manager and the log ---------------------------------------------------------------------------------


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_is_told(tmp_path: Path, abstract: bool) -> None:
    name = f"@pinsync-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        manager.settimeout(5)
        Notifier({"NOTIFY_SOCKET": name}).tell(READY="1", STATUS="two\nlines")
        assert manager.recv(1000) == b"READY=1\nSTATUS=two lines"


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "relative", "@nobody"])
def test_a_manager_that_is_not_there_is_no_trouble(address: str) -> None:
    Notifier({"NOTIFY_SOCKET": address} if address else {}).tell(READY="1")


@pytest.mark.parametrize(
    ("env", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_how_often_the_manager_wants_to_hear(env: dict[str, str], seconds: float | None) -> None:
    assert Notifier(env).watchdog == seconds


def test_the_journal_gets_levels_and_people_get_times(tmp_path: Path) -> None:
    log = logging.getLogger("pinsync")
    before = log.handlers[:], log.level, log.propagate
    try:
        with (tmp_path / "journal").open("w+") as journal:
            of = os.fstat(journal.fileno())
            configure({"JOURNAL_STREAM": f"{of.st_dev}:{of.st_ino}"}, stream=journal).error("one\ntwo")
            log.info("fine")
            log.debug("not said")
            journal.seek(0)
            assert journal.read() == "<3>one\n<3>two\n<6>fine\n"
        people = io.StringIO()
        configure({"JOURNAL_STREAM": "1:2"}, verbose=True, stream=people).debug("a request")
        assert people.getvalue().endswith(" DEBUG   a request\n") and people.getvalue()[:2] == "20"
    finally:
        log.handlers[:], log.level, log.propagate = before


# -- wishes ----------------------------------------------------------------------------------------------------------


def test_the_same_wish_twice_is_one_pass_and_a_whole_one_comes_first() -> None:
    wishes = Wishes()
    wishes.add("sync", "there")
    wishes.add("manifest")
    wishes.add("schedule")
    wishes.add("manifest")
    taken = [wishes.take(), wishes.take()]
    assert [(wish.only, wish.trigger) for wish in taken if wish] == [(None, "manifest, schedule"), ("there", "sync")]
    assert not wishes and wishes.take() is None


def test_a_reader_who_does_not_keep_up_misses_progress_and_never_the_result() -> None:
    listener = Listener()
    for number in range(10_000):
        listener.progress({"count": number})
    listener.result({"format": 1}, 3)

    async def read() -> list[dict[str, Any]]:
        return [line async for line in listener.lines()]

    lines = asyncio.run(read())
    assert len(lines) < 200
    assert lines[-1] == {"result": {"format": 1}, "exit_code": 3}
