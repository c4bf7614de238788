"""The query of `GET /pins`: read and checked as the specification has it, then matched as the behaviour has it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal
from urllib.parse import parse_qsl

from pinsync.cid import CidError, key_of, text_of
from pinsync.emulator.behaviour import SECOND, Behaviour
from pinsync.emulator.store import Row
from pinsync.emulator.wire import Refusal, parse_time
from pinsync.model import PinStatus

Match = Literal["exact", "iexact", "partial", "ipartial"]
_MATCHES: dict[str, Match] = {"exact": "exact", "iexact": "iexact", "partial": "partial", "ipartial": "ipartial"}
_ALL = tuple(PinStatus)


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What a list is asked for. `lowest <= created < below` in ns; `limit` None is everything."""

    statuses: tuple[PinStatus, ...]
    lowest: int = 0
    below: int | None = None
    limit: int | None = None
    cids: frozenset[str] | None = None
    name: str | None = None
    match: Match = "exact"
    meta: dict[str, str] | None = None

    def keep(self, behaviour: Behaviour) -> Callable[[Row], bool] | None:
        """The test for what cannot be found by sorting (CID, name, meta); None when nothing of it is asked."""
        tests: list[Callable[[Row], bool]] = []
        if self.cids is not None:
            cids = self.cids
            tests.append(lambda row: row.cid in cids)
        if self.name is not None:
            fits = _name_test(self.name, self.match, behaviour.name_filter == "like")
            echo = behaviour.absent_name == "cid"
            tests.append(lambda row: fits((row.cid if echo else None) if row.name is None else row.name))
        if self.meta is not None:
            wanted = self.meta.items()
            tests.append(lambda row: row.meta is not None and wanted <= row.meta.items())
        if len(tests) < 2:
            return tests[0] if tests else None
        return lambda row: all(test(row) for test in tests)


def parse_query(raw: bytes, behaviour: Behaviour, now: int) -> ListQuery:
    """The query string of a list, with what this behaviour ignores left out. `now` in ns. Raises `Refusal`."""
    b = behaviour
    try:
        # A "+" is a space here, as everywhere: a client that does not escape "+00:00" is refused.
        given = dict(parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100))
    except ValueError as error:
        raise Refusal("bad-query", "the query string cannot be decoded") from error
    cids = _cids(given.get("cid"), b)
    if cids is not None and b.cid_filter == "alone":
        return ListQuery(_ALL, cids=cids, limit=_limit(given.get("limit"), b))
    lowest, below = _bounds(given, b)
    if b.list_delay:
        hidden = now - int(b.list_delay * SECOND)
        below = hidden if below is None else min(below, hidden)
    return ListQuery(
        statuses=_statuses(given.get("status"), b),
        lowest=lowest,
        below=below,
        limit=_limit(given.get("limit"), b),
        cids=cids,
        name=_name(given.get("name"), b),
        match=_match(given.get("match"), b),
        meta=_meta(given.get("meta"), b),
    )


def without_status(query: ListQuery) -> ListQuery:
    """`query` over every status: for services that cut the page before they look at the status."""
    return replace(query, statuses=_ALL)


def decoded(cid: str, behaviour: Behaviour) -> str:
    """`cid` as this service spells it. Raises `CidError` where the service checks and it is none."""
    if not behaviour.cid_checked:
        return cid
    key = key_of(cid)
    if behaviour.cid_spelling == "as-sent" or cid.startswith("Qm"):
        return cid
    return text_of(key)


def _statuses(text: str | None, b: Behaviour) -> tuple[PinStatus, ...]:
    if text is None or text == "":
        return _ALL if b.status_default == "all" else (PinStatus.PINNED,)
    try:
        return tuple(dict.fromkeys(PinStatus(each) for each in text.split(",")))
    except ValueError as error:
        raise Refusal("bad-query", f"status: {text!r} is not a list of queued, pinning, pinned, failed") from error


def _bounds(given: dict[str, str], b: Behaviour) -> tuple[int, int | None]:
    moments: dict[str, int | None] = {}
    for name in ("after", "before"):
        text = given.get(name)
        moments[name] = parse_time(text) if text else None
        if text and moments[name] is None:
            raise Refusal("bad-query", f"{name}: {text!r} is not an RFC 3339 time")
    after, before = moments["after"], moments["before"]
    if b.bounds == "inclusive":
        return after or 0, None if before is None else before + 1
    return 0 if after is None else after + 1, before


def _limit(text: str | None, b: Behaviour) -> int | None:
    if text is None or text == "":
        limit = b.default_limit
    elif not re.fullmatch(r"\d{1,9}", text, re.ASCII) or int(text) < 1:
        raise Refusal("bad-query", f"limit: {text!r} is not a number from 1 on")
    else:
        limit = int(text)
        if b.max_limit is not None and limit > b.max_limit:
            if b.over_limit == "refuse":
                raise Refusal("bad-query", f"limit: {limit} is more than {b.max_limit}")
            limit = b.max_limit
    return limit if b.limit_honoured else b.default_limit


def _cids(text: str | None, b: Behaviour) -> frozenset[str] | None:
    if not text or b.cid_filter == "ignored":
        return None
    cids = text.split(",")
    if b.cid_filter == "first-10":
        cids = cids[:10]
    if b.max_cids is not None and len(cids) > b.max_cids:
        raise Refusal("bad-query", f"cid: {len(cids)} are more than {b.max_cids}")
    try:
        return frozenset(decoded(cid, b) for cid in cids)
    except CidError as error:
        raise Refusal("bad-cid-filter", f"cid: {error}") from error


def _name(text: str | None, b: Behaviour) -> str | None:
    if text is None or b.name_filter == "ignored":
        return None
    if b.name_filter == "like":
        return text or None
    if b.max_name is not None and len(text) > b.max_name:
        raise Refusal("bad-query", f"name: longer than {b.max_name}")
    return text


def _match(text: str | None, b: Behaviour) -> Match:
    if not text:
        return "exact"
    if text not in _MATCHES:
        raise Refusal("bad-query", f"match: {text!r} is not one of {', '.join(_MATCHES)}")
    return "exact" if b.name_filter == "exact-only" else _MATCHES[text]


def _meta(text: str | None, b: Behaviour) -> dict[str, str] | None:
    if not text:
        return None
    if b.meta_filter == "error":
        raise Refusal("meta-filter")
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refusal("bad-meta-filter", "meta: is not JSON") from error
    if not isinstance(meta, dict):
        raise Refusal("bad-query", "meta: is not an object")
    if b.meta_filter == "ignored":
        return None
    if not all(isinstance(value, str) for value in meta.values()):
        raise Refusal("bad-query", "meta: has a value that is no text")
    return meta


def _name_test(name: str, match: Match, like: bool) -> Callable[[str | None], bool]:
    caseless = match in ("iexact", "ipartial")
    partly = match in ("partial", "ipartial")
    if like:
        pattern = "".join({"%": ".*", "_": "."}.get(char) or re.escape(char) for char in name)
        if partly:
            pattern = f".*{pattern}.*"
        full = re.compile(pattern, re.DOTALL | (re.IGNORECASE if caseless else 0)).fullmatch
        return lambda text: text is not None and full(text) is not None
    sought = name.casefold() if caseless else name
    return partial(_plain_test, sought, caseless, partly)


def _plain_test(sought: str, caseless: bool, partly: bool, text: str | None) -> bool:
    if text is None:
        return False
    seen = text.casefold() if caseless else text
    return sought in seen if partly else sought == seen
