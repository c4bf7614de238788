"""Answers that go wrong on purpose: each is ordered for the next requests that fit, then used up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

_ACTION = re.compile(
    r"hang(-after)?|cut-(before|after|middle)|status(-after)?:[1-5]\d\d|html(:[1-5]\d\d)?|empty|truncate|garbage"
    r"|slow:\d+(\.\d+)?|body:.*",
    re.DOTALL,
)


@dataclass(slots=True)
class Fault:
    """An ordered fault. `left` is how often it will still happen, `hits` how often it did."""

    action: str
    method: str | None
    path: str | None
    left: int
    skip: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    hits: int = 0

    @property
    def carried_out(self) -> bool:
        """Whether the request has its effect all the same."""
        return not self.action.startswith(("cut-before", "status:", "html")) and self.action != "hang"


class Faults:
    """The faults that are still to come, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._pending: list[Fault] = []

    def next(
        self,
        action: str,
        *,
        method: str | None = None,
        path: str | None = None,
        times: int = 1,
        after: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> Fault:
        """Let `action` happen to the next `times` requests of `method` whose decoded path fits the glob `path`.

        The first `after` that fit are spared. Instead of the effect: `hang` (no answer ever), `cut-before` (the
        connection drops), `status:N` (an error in the service's shape), `html` or `html:N` (an error page, 502).
        After the effect: `hang-after`, `cut-after`, `cut-middle` (the connection drops in mid-answer),
        `status-after:N`, `empty` (the right status, no body), `truncate` (half the JSON, as if whole), `garbage`
        (bytes that are no text), `body:TEXT` (that body, status 200), `slow:SECONDS`.
        `headers` are added to the answer. Raises `ValueError` for another action.
        """
        if not _ACTION.fullmatch(action):
            raise ValueError(f"no such fault: {action!r}")
        fault = Fault(action, method and method.upper(), path, times, after, headers or {})
        self._pending.append(fault)
        return fault

    @property
    def pending(self) -> list[Fault]:
        """Those that have not all happened yet."""
        return [fault for fault in self._pending if fault.left > 0]

    def clear(self) -> None:
        """Forget what has not happened yet."""
        self._pending.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that befalls this request, counted as happened."""
        for fault in self._pending:
            if fault.method not in (None, method) or not (fault.path is None or fnmatchcase(path, fault.path)):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.left -= 1
            fault.hits += 1
            if fault.left <= 0:
                self._pending.remove(fault)
            return fault
        return None
