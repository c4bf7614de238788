"""What pinning services send, read leniently: JSON to `RemotePin`, and times to nanoseconds and back.

A million rows pass here, so the common spellings take a short way. What cannot be understood raises `ValueError` with a
reason in words; nothing else leaves these functions, whatever the bytes are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from pinsync.cid import CidError, key_of, shorten
from pinsync.model import EMPTY, PinStatus, RemotePin

SECOND = 1_000_000_000
MS = 1_000_000
MICRO = 1_000

_STATUS = {status.value: status for status in PinStatus}
_ERA = 146_097  # days in 400 years
_UNIX = date(1970, 1, 1).toordinal()
_FIRST = (1 - _UNIX) * 86_400 * SECOND  # 0001-01-01
_LAST = (date(9999, 12, 31).toordinal() - _UNIX + 1) * 86_400 * SECOND - 1  # 9999-12-31T23:59:59.999999999
_MAX_COUNT = 1 << 53
_LARGE = 8 << 20  # bytes. Beyond it JSON made of `[],[],…` is refused, which takes thirty times its size in memory
_DIGITS = frozenset("0123456789")


@dataclass(frozen=True, slots=True)
class Page:
    """One answer to a list request.

    `count` is the server's own, None where it sent none or nonsense; what it counts differs from service to service.
    `rows` counts all results, those in `skipped` (why each could not be understood) included. `pins` keeps their order.
    """

    count: int | None
    pins: tuple[RemotePin, ...]
    skipped: tuple[str, ...] = ()
    rows: int = 0


def read_json(body: bytes) -> Any:
    """The JSON of an answer. Raises `ValueError`: empty, a web page, not UTF-8, cut short, or nested beyond reason.

    What it takes of memory is bounded: some ten times the size of the body.
    """
    if not body.strip():
        raise ValueError("an empty answer")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("bytes that are not UTF-8") from None
    if text.lstrip()[:1] == "<":
        raise ValueError("a web page")
    if len(body) > _LARGE and (
        (body.count(b"[") + body.count(b"{")) * 16 > len(body) or body.count(b",") * 8 > len(body)
    ):
        raise ValueError("JSON of a great many values and little in them, which is no list of pins")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        at = (
            f" (it breaks off or goes wrong at character {error.pos})"
            if isinstance(error, json.JSONDecodeError)
            else ""
        )
        raise ValueError(f"something that is not JSON{at}") from None
    # Half a surrogate pair cannot be stored or printed, and only an escape can bring one in.
    return _scrub(value) if "\\u" in text else value


def read_page(value: Any) -> Page:
    """A `PinResults` object. Raises `ValueError` when it is none; single rows that are wrong are in `skipped`."""
    if not isinstance(value, dict) or "results" not in value:
        raise ValueError("JSON that is no list of pins (no `results`)")
    count = value.get("count")
    if type(count) is not int or not 0 <= count <= _MAX_COUNT:
        count = None
    results = value["results"]
    if results is None and not count:
        results = []  # how Go writes an empty list
    if not isinstance(results, list):
        raise ValueError("JSON whose `results` is not a list")
    pins: list[RemotePin] = []
    skipped: list[str] = []
    for number, row in enumerate(results, 1):
        try:
            pins.append(read_pin(row))
        except ValueError as error:
            skipped.append(f"row {number}: {error}")
    return Page(count, tuple(pins), tuple(skipped), len(results))


def read_pin(row: Any) -> RemotePin:
    """A `PinStatus` object. Raises `ValueError` when id, CID, status or time are missing or make no sense."""
    if not isinstance(row, dict):
        raise ValueError("not an object")
    get = row.get
    requestid = get("requestid")
    if requestid is None:
        requestid = get("requestId")  # as web3.storage once spelt it
    if type(requestid) is int:
        requestid = str(requestid)
    if not isinstance(requestid, str) or requestid in ("", ".", ".."):
        raise ValueError(f"no usable `requestid` ({shorten(repr(requestid), 60)})")
    pin = get("pin")
    if not isinstance(pin, dict):
        raise ValueError("no `pin`")
    cid = pin.get("cid")
    if not isinstance(cid, str):
        raise ValueError("no `pin.cid`")
    try:
        key = key_of(cid)
    except CidError as error:
        raise ValueError(str(error)) from None
    status = get("status")
    known = _STATUS.get(status) if isinstance(status, str) else None
    if known is None:
        known = _STATUS.get(status.lower()) if isinstance(status, str) else None
        if known is None:
            raise ValueError(f"unknown `status` {shorten(repr(status), 60)}")
    created = parse_time(get("created"))
    name = pin.get("name")
    delegates = get("delegates")
    info = get("info")
    meta = pin.get("meta")
    return RemotePin(
        requestid,
        cid,
        key,
        known,
        created,
        name if isinstance(name, str) else None,
        _strings(meta) if isinstance(meta, dict) else None,
        tuple(d for d in delegates if isinstance(d, str)) if delegates and isinstance(delegates, list) else (),
        _strings(info) if info and isinstance(info, dict) else EMPTY,
    )


def parse_time(text: Any) -> int:
    """RFC 3339 as nanoseconds since the epoch: any offset, any number of decimals (beyond nine cut), years 0 to 9999.

    Raises `ValueError`.
    """
    try:
        seconds = _days(text[:10]) * 86_400 + int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])
        if text[10] not in "Tt " or text[13] != ":" or text[16] != ":":
            raise ValueError
        rest = text[19:]
        if rest == "Z":
            return seconds * SECOND
        nanos = 0
        if rest[0] in ".,":
            end = 1
            while end < len(rest) and rest[end] in _DIGITS:
                end += 1
            nanos = int(rest[1:end][:9].ljust(9, "0"))
            rest = rest[end:]
        if rest not in ("Z", "z", "+00:00"):
            if len(rest) not in (5, 6) or rest[0] not in "+-":
                raise ValueError
            offset = int(rest[1:3]) * 3600 + int(rest[-2:]) * 60
            seconds += -offset if rest[0] == "+" else offset
        return seconds * SECOND + nanos
    except (ValueError, TypeError, IndexError, KeyError, AttributeError):
        raise ValueError(f"`created` is no time ({shorten(repr(text), 60)})") from None


def format_time(ns: int) -> str:
    """Nanoseconds since the epoch as RFC 3339 in UTC, with three decimals, or six or nine where it needs them.

    Times outside the years 1 to 9999 come out as the nearest that servers can read.
    """
    ns = min(max(ns, _FIRST), _LAST)
    seconds, nanos = divmod(ns, SECOND)
    days, clock = divmod(seconds, 86_400)
    day = date.fromordinal(days + _UNIX)
    if nanos % MS == 0:
        fraction = f"{nanos // MS:03d}"
    else:
        fraction = f"{nanos // MICRO:06d}" if nanos % MICRO == 0 else f"{nanos:09d}"
    return (
        f"{day.year:04d}-{day.month:02d}-{day.day:02d}T"
        f"{clock // 3600:02d}:{clock // 60 % 60:02d}:{clock % 60:02d}.{fraction}Z"
    )


@lru_cache(maxsize=4096)
def _days(text: str) -> int:
    """Days from 1970-01-01 to a `YYYY-MM-DD`; the year 0, which `datetime` does not know, lies before the year 1."""
    if len(text) != 10 or text[4] != "-" or text[7] != "-":
        raise ValueError(text)
    year = int(text[:4])
    if year == 0:
        return date(400, int(text[5:7]), int(text[8:])).toordinal() - _UNIX - _ERA
    return date(year, int(text[5:7]), int(text[8:])).toordinal() - _UNIX


def _strings(given: dict[Any, Any]) -> Mapping[str, str]:
    for value in given.values():
        if type(value) is not str:
            return {key: value for key, value in given.items() if isinstance(value, str)}
    return given


def _scrub(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_scrub(item) for item in value]
    if isinstance(value, dict):
        return {_scrub(key): _scrub(item) for key, item in value.items()}
    return value
