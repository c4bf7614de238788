"""Passes that are wanted and have not begun, and those who wait for what comes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

_BACKLOG = 100  # lines that a reader may lag behind before progress is left out


@dataclass(slots=True)
class Listener:
    """Somebody who waits for a pass: gets progress as it comes, if `verbose` each request too, then one last line."""

    verbose: bool = False
    _lines: asyncio.Queue[tuple[dict[str, Any], bool]] = field(default_factory=asyncio.Queue)

    def progress(self, what: dict[str, Any]) -> None:
        """Something is under way. Left out for a reader who does not keep up."""
        if self._lines.qsize() < _BACKLOG:
            self._lines.put_nowait(({"progress": what}, False))

    def request(self, words: str) -> None:
        """A request to a remote was answered, or given up."""
        if self.verbose and self._lines.qsize() < _BACKLOG:
            self._lines.put_nowait(({"request": words}, False))

    def result(self, report: dict[str, Any], exit_code: int) -> None:
        """The pass is over."""
        self._lines.put_nowait(({"result": report, "exit_code": exit_code}, True))

    def error(self, exit_code: int, message: str) -> None:
        """There is no result."""
        self._lines.put_nowait(({"error": {"exit_code": exit_code, "message": message}}, True))

    async def lines(self) -> AsyncIterator[dict[str, Any]]:
        """Everything told, until the last."""
        last = False
        while not last:
            line, last = await self._lines.get()
            yield line


@dataclass(slots=True)
class Wish:
    """A pass that is wanted. `only`: for this remote alone."""

    only: str | None
    triggers: list[str] = field(default_factory=list)
    listeners: list[Listener] = field(default_factory=list)

    @property
    def trigger(self) -> str:
        """What it is for, for the record."""
        return ", ".join(self.triggers)


class Wishes:
    """At most one wish for a whole pass and one for each remote: the same wish twice is one pass."""

    def __init__(self) -> None:
        self._wishes: dict[str | None, Wish] = {}

    def __bool__(self) -> bool:
        return bool(self._wishes)

    def add(self, trigger: str, only: str | None = None, listener: Listener | None = None) -> None:
        """Want a pass that has not begun yet."""
        wish = self._wishes.setdefault(only, Wish(only))
        if trigger not in wish.triggers:
            wish.triggers.append(trigger)
        if listener is not None:
            wish.listeners.append(listener)

    def take(self) -> Wish | None:
        """The next one, a whole pass first."""
        only = None if None in self._wishes else next(iter(self._wishes), None)
        return self._wishes.pop(only, None)
