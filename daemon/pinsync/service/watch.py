"""Noticing that a watched file may have changed. What is heard here only raises a flag; contents decide.

Directories are watched, never files: a watch on a file is lost with the first atomic save. A directory that vanished
and came back leaves a watch that hears nothing, so watches are looked after: at every event, and every two seconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from pinsync.paths import is_folder

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver, ObservedWatch

MOST = 128  # directories that are watched; each takes a thread. Beyond, looking every two seconds has to do
_OURS = ("opened", "closed_no_write")  # what our own reading causes

Identity = tuple[int, int]


class Watch:
    """Calls `changed` on the running loop when something happened in a directory that holds one of the covered paths.

    Events on names that begin with `ignore` (the ledger's, which may lie in the same directory) are not passed on.
    """

    def __init__(self, changed: Callable[[], None], *, ignore: Path, log: logging.Logger) -> None:
        self._handler = _Handler(asyncio.get_running_loop(), changed, str(ignore.parent.resolve() / ignore.name))
        self._log = log
        self._directories: tuple[Path, ...] = ()
        self._armed: dict[Path, tuple[Identity, ObservedWatch]] = {}
        self._complained = False
        self._observer: BaseObserver = Observer()
        self._start()

    def close(self) -> None:
        """Stop listening."""
        self._observer.stop()
        self._observer.join()

    def cover(self, paths: Iterable[Path]) -> None:
        """Watch what these paths depend on, and nothing else."""
        self._directories = tuple(_directories(paths))[:MOST]
        self.tend()

    def tend(self) -> None:
        """Put right every watch whose directory is gone, is another one now, or came to be."""
        if not self._observer.is_alive():
            self._armed.clear()
            self._observer = Observer()
            self._start()
        alive = {emitter.watch for emitter in self._observer.emitters if emitter.is_alive()}
        wanted = {path: identity for path in self._directories if (identity := _identity(path)) is not None}
        for path, (identity, watch) in list(self._armed.items()):
            if wanted.get(path) != identity or watch not in alive:
                del self._armed[path]
                self._observer.unschedule(watch)
        for path, identity in wanted.items():
            if path not in self._armed:
                try:
                    self._armed[path] = identity, self._observer.schedule(self._handler, str(path))
                except OSError as error:
                    self._complain(path, error)

    def _start(self) -> None:
        self._observer.daemon = True
        self._observer.start()

    def _complain(self, path: Path, error: OSError) -> None:
        if isinstance(error, FileNotFoundError):  # gone since it was looked at; the next look settles it
            return
        if not self._complained:
            self._complained = True
            self._log.warning(
                "%s cannot be watched (%s): changes are noticed within two seconds instead of one. "
                "On Linux the number of watches is set by sysctl fs.inotify.max_user_instances and max_user_watches",
                path,
                error.strerror or error,
            )


class _Handler(FileSystemEventHandler):
    """Runs in watchdog's threads, where an exception would end all watching."""

    def __init__(self, loop: asyncio.AbstractEventLoop, changed: Callable[[], None], ignore: str) -> None:
        self._loop, self._changed, self._ignore = loop, changed, ignore

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in _OURS:
            return
        names = [name for name in (event.src_path, event.dest_path) if name]
        if event.is_directory and event.event_type == "modified":
            return  # comes with every event on a name inside it
        if names and all(str(name).startswith(self._ignore) for name in names):
            return
        with suppress(RuntimeError):  # the loop has ended: nobody wants to know
            self._loop.call_soon_threadsafe(self._changed)


def _directories(paths: Iterable[Path]) -> dict[Path, None]:
    """The directories whose entries decide what these paths lead to.

    For each path the directory that holds it (itself, if it is one) where links lead to, and the one above, in which a
    link is switched or a vanished directory comes back; where these are missing, the nearest that is there.
    """
    found: dict[Path, None] = {}
    for path in paths:
        here = path if is_folder(path) else path.parent
        for directory in (here, here.parent):
            there = directory
            while not is_folder(there) and there != there.parent:
                there = there.parent
            found.setdefault(there.resolve())
    return found


def _identity(path: Path) -> Identity | None:
    try:
        of = path.stat()
    except OSError:
        return None
    return of.st_dev, of.st_ino
