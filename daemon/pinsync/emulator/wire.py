"""What goes out over the wire and how times come in: pure functions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import TYPE_CHECKING

from pinsync.emulator.behaviour import SECOND, Behaviour, CreatedFormat, ErrorAnswer

if TYPE_CHECKING:
    from pinsync.emulator.store import Row

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,30}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_MINUS_5 = timezone(timedelta(hours=-5))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_dumps = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, whole. Content length and date are added where it is sent."""

    status: int
    body: bytes = b""
    content_type: str | None = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """The service refuses; `kind` is a key of `SPEC_ERRORS`, `details` our words where the service has none."""

    def __init__(self, kind: str, details: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(kind, details)
        self.kind = kind
        self.details = details
        self.headers = headers or {}


def parse_time(text: str) -> int | None:
    """An RFC 3339 time in nanoseconds since the epoch; None when it is no such time."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    day, clock, fraction, zone = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'Zz' else zone}")
    except ValueError:
        return None
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND + int(((fraction or "") + "0" * 9)[:9])


@lru_cache(maxsize=8192)
def _second(seconds: int, minus_5: bool) -> str:
    zone = _MINUS_5 if minus_5 else UTC
    return (_EPOCH + timedelta(seconds=seconds)).astimezone(zone).isoformat()[:19]


def created_text(created: int, style: CreatedFormat) -> str:
    """`created` (ns) as this service prints it."""
    seconds, ns = divmod(created, SECOND)
    whole = _second(seconds, style == "s-minus-5")
    match style:
        case "s-z":
            return whole + "Z"
        case "s-minus-5":
            return whole + ".000-05:00"
        case "ms-z":
            return f"{whole}.{ns // 1_000_000:03d}Z"
        case "ms-trimmed":
            fraction = f".{ns // 1_000_000:03d}".rstrip("0").rstrip(".")
            return f"{whole}{fraction}+00:00"
        case "us-z":
            return f"{whole}.{ns // 1000:06d}Z"
        case "ns-z":
            return f"{whole}.{ns:09d}Z"


class PinWriter:
    """Writes pins as JSON objects the way one behaviour shows them; what never changes is prepared once."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._b = behaviour
        self._delegates = _dumps(list(behaviour.delegates))

    def text(self, row: Row, created: int | None = None, *, in_post: bool = False) -> str:
        """The `PinStatus` object of `row`; `created` (ns) in place of the stored one."""
        b = self._b
        style = b.created_format_in_post if in_post and b.created_format_in_post else b.created_format
        cid = _dumps(row.cid)
        pin = f'{{"cid":{cid}'
        if row.name is not None:
            pin += f',"name":{_dumps(row.name)}'
        elif b.absent_name != "absent":
            pin += f',"name":{cid if b.absent_name == "cid" else "null"}'
        if row.meta is not None:
            pin += f',"meta":{_dumps(row.meta)}'
        elif b.absent_meta != "absent":
            pin += f',"meta":{"null" if b.absent_meta == "null" else "{}"}'
        if b.shown_origins == "echo":
            pin += f',"origins":{_dumps(list(row.origins)) if row.origins else "null"}'
        elif b.shown_origins == "empty":
            pin += ',"origins":[]'
        info = {**b.info, "status_details": row.details} if row.details else b.info
        return (
            f'{{"requestid":{_dumps(row.requestid)},"status":"{row.status}",'
            f'"created":"{created_text(row.created if created is None else created, style)}",'
            f'"pin":{pin}}},"delegates":{self._delegates}' + (f',"info":{_dumps(dict(info))}}}' if info else "}")
        )


def error_answer(error: ErrorAnswer, details: str, content_type: str, headers: Mapping[str, str]) -> Answer:
    """A refusal in the service's shape; `details` are used where the service has no words of its own."""
    words = details if error.details is None else error.details
    body: object
    match error.shape:
        case "none":
            return Answer(error.status, b"", None, headers)
        case "text":
            return Answer(error.status, error.reason.encode(), "text/plain; charset=utf-8", headers)
        case "html":
            return Answer(error.status, html(error.status), "text/html; charset=utf-8", headers)
        case "spec":
            body = {"error": {"reason": error.reason, "details": words}}
        case "reason":
            body = {"error": {"reason": error.reason}}
        case "bare":
            body = {"reason": error.reason, "details": words}
        case "bare-list":
            body = {"reason": error.reason, "details": [{"keyword": "properties", "error": words}]}
        case "ok-false":
            body = {"ok": False, "error": {"code": error.reason, "message": words}}
        case "error-text":
            body = {"error": error.reason}
    return Answer(error.status, _dumps(body).encode(), content_type, headers)


def html(status: int) -> bytes:
    """An error page such as proxies and frameworks send in place of JSON."""
    return (
        f"<!DOCTYPE html>\n<html><head><title>{status}</title></head>"
        f"<body><h1>{status}</h1><p>Something went wrong.</p></body></html>\n"
    ).encode()
