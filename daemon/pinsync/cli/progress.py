"""What a pass is busy with, while it is: now and then a line with `--verbose`, bars on a terminal, else nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from .text import number
from .ui import Ui

PATIENCE = 0.4  # seconds before anything is shown: most passes are over by then
LINE_EVERY = 10.0


class Meter:
    """Takes a pass's progress; this one keeps it to itself."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def reading(self, what: str, count: int, of: int | None) -> None:
        """As `World.progress`."""
        self.at(f"reading {what}", count, of)

    def applying(self, remote: str, done: int, todo: int) -> None:
        """As `World.applying`."""
        self.read()
        self.at(f"mirroring to {remote}", done, todo)

    def told(self, progress: Mapping[str, Any]) -> None:
        """A line of progress from the daemon, as `DaemonClient.sync` hands it on."""
        of = progress.get("of")
        if progress.get("step") == "apply":
            self.read()
        self.at(
            str(progress.get("what") or "working"),
            int(progress.get("count") or 0),
            of if isinstance(of, int) else None,
        )

    def read(self) -> None:
        """Reading is over."""

    def at(self, what: str, count: int, of: int | None) -> None:
        """So far `count` of `of`, where that is known."""


class Lines(Meter):
    """A plain line on standard error every ten seconds."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def at(self, what: str, count: int, of: int | None) -> None:
        if time.monotonic() - self._last >= LINE_EVERY:
            self._last = time.monotonic()
            sys.stderr.write(f"{what}: {number(count)}{f' of {number(of)}' if of else ''}\n")
            sys.stderr.flush()


class Bars(Meter):
    """A bar for each thing under way, on standard error; gone when it is over."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._begin = time.monotonic() + patience
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def read(self) -> None:
        for what in [what for what in self._tasks if not what.startswith("mirroring ")]:
            self._bars.remove_task(self._tasks.pop(what))

    def at(self, what: str, count: int, of: int | None) -> None:
        if self._bars is None:
            if time.monotonic() < self._begin:
                return
            self._bars = _bars()
            self._bars.start()
        told = f"{number(count)} of {number(of)}" if of else number(count) if count else ""
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=of, told=told)
        self._bars.update(self._tasks[what], completed=count, total=of, told=told)


def meter(ui: Ui, patience: float = PATIENCE) -> Meter:
    """The one that fits: lines with `--verbose`, else bars on a terminal; none with `--quiet`."""
    if ui.quiet:
        return Meter()
    if ui.verbose:  # bars would be torn by the lines of the requests
        return Lines()
    return Bars(patience) if sys.stderr.isatty() else Meter()


def _bars() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[told]}", markup=False),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
