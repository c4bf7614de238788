"""The one place that says what an HTTP answer means: `failure` turns it into an error of `pinsync.remote.errors`.

Every message says what, where, the server's own words, and what to do, in a sentence or two. The server's words are
shortened, freed of control characters and of our token, should the server echo it.
"""

from __future__ import annotations

import email.utils
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit

from pinsync.clock import rfc3339
from pinsync.remote.errors import (
    BadAnswer,
    NotFound,
    OutKind,
    OutOfService,
    PinRefused,
    RateLimited,
    Redirected,
    RemoteError,
    Unreachable,
)
from pinsync.secrecy import hidden

Call = Literal["list", "add", "get", "replace", "delete"]

READ_OF_ERRORS = 64 * 1024
"""Bytes of an error's body; more is not read for words."""

_WORDS = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
_TITLE = re.compile(r"<(title|h1)[^>]*>(.*?)</\1", re.IGNORECASE | re.DOTALL)
_CLOSED = re.compile(
    r"no longer (accept|support|allow|tak|possible|available)|not accepting|discontinued|decommission|sunset"
    r"|(closed to|disabled for|not allow(ing)?) new|new (pins?|uploads?|requests?) "
    r"(are|is|have been) (disabled|closed|not)",
    re.IGNORECASE,
)
_MAINTENANCE = re.compile(r"maintenance", re.IGNORECASE)
_FULL = re.compile(
    r"insufficient.?funds|quota|storage.?limit|(plan|account|pin).?limit|payment|over.?limit", re.IGNORECASE
)
_CONFLICT = re.compile(r"already|duplicate|conflict", re.IGNORECASE)
_PAUSE_UNKNOWN = 10.0  # seconds, after a 429 that does not say how long
_PAUSE_LONGEST = 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer as far as it matters. Header names are in lower case; `now` is our clock's when it had come."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    now: float


def failure(remote: str, call: Call, url: str, answer: Answer, secrets: tuple[str, ...] = ()) -> RemoteError | None:
    """What is wrong with an answer by status, headers and body; None when the status says success.

    `url` is the request's without its query; `secrets` are texts that no message may hold.
    """
    status = answer.status
    if status in (200, 201, 202, 204):
        return None
    reason, details = words(answer.body, secrets)
    said = _said(status, reason, details)
    what = f"{remote}: {_DOING[call]}"
    text = f"{reason or ''} {details or ''}"
    why: dict[str, Any] = {"status": status, "reason": reason, "details": details}
    writes = call in ("add", "replace", "delete")

    def out(kind: OutKind, meaning: str) -> OutOfService:
        return OutOfService(remote, f"{what} was refused{said}. {meaning}", kind=kind, **why)

    if status < 200 or 300 <= status < 400:
        return _redirected(remote, what, url, answer, secrets)
    if status == 429:
        told = retry_at(answer)
        at = min(answer.now + _PAUSE_UNKNOWN if told is None else told, answer.now + _PAUSE_LONGEST)
        return RateLimited(
            remote,
            f"{what} was put off by the rate limit{said}. It may be tried again at {rfc3339(at)}.",
            retry_at=at,
            **why,
        )
    if reason == "ERROR_PINNING_UNAUTHORIZED":
        return out(
            "rights", "The token is valid but may not pin: ask the service for pinning rights, or use another token."
        )
    if status == 401 or (status == 400 and reason == "KEYS_MUST_BE_STRINGS"):
        return out("auth", f"The token is missing, wrong or expired: check `token_file` and `auth` of {remote!r}.")
    if call in ("add", "replace") and status in (400, 403, 410, 451, 501, 503) and _CLOSED.search(text):
        return out("closed", "The service takes no new pins; those that are there stay, and are still followed.")
    if status in (402, 507) or (status in (400, 403, 409) and call in ("add", "replace") and _FULL.search(text)):
        return out("funds", "The account is full or unpaid: see the service's own pages; nothing is added until then.")
    if status == 409 and call != "delete":
        if _CONFLICT.search(text):
            return PinRefused(remote, f"{what} was refused{said}. The service has this pin in another form.", **why)
        return out("funds", "By the specification 409 means insufficient funds: see the account at the service.")
    if status == 403:
        return out(
            "forbidden",
            "The account or the token may not do this: a lapsed plan, a restricted account or missing rights.",
        )
    if status == 503 and (reason == "ERROR_MAINTENANCE" or _MAINTENANCE.search(text)):
        return out("maintenance", "The service has switched this off for now; it is tried again now and then.")
    if status == 404:
        if call in ("list", "add") or _is_html(answer):
            return BadAnswer(
                remote, f"{what} found no pinning service at {url}{said}. Check `endpoint` of {remote!r}.", **why
            )
        return NotFound(remote, f"{what} found nothing: the service has no pin request of this id{said}.", **why)
    if status >= 500 or status in (408, 425):
        return Unreachable(
            remote, f"{what} failed at the service{said}. It is tried again later.", maybe_applied=writes, **why
        )
    field = text.lower()
    return PinRefused(
        remote,
        f"{what} was refused{said}. " + ("The request has to change to be taken." if writes else "Check `endpoint`."),
        origins="origin" in field,
        meta="meta" in field,
        name=bool(re.search(r"\bname\b|name.?too|_name\b", field)),
        **why,
    )


def words(body: bytes, secrets: tuple[str, ...] = ()) -> tuple[str | None, str | None]:
    """A server's (reason, details) in any shape seen: the spec’s, NFT.Storage’s two, text, an HTML title."""
    text = body[:READ_OF_ERRORS].decode("utf-8", "replace").strip()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        title = _TITLE.search(text)
        plain = re.sub(r"<[^>]*>", " ", title.group(2)) if title else "" if text[:1] == "<" else text
        return None, tidy(plain, secrets) or None
    inner = value.get("error", value) if isinstance(value, dict) else value
    if isinstance(inner, dict):
        reason = _first(inner, "reason", "code", "name", "type")
        details = _first(inner, "details", "message", "description")
        if details is None and inner is not value:
            details = _first(value, "details", "message")
    else:
        reason, details = None, inner
    return tidy(_flat(reason), secrets) or None, tidy(_flat(details), secrets) or None


def tidy(text: str, secrets: tuple[str, ...] = ()) -> str:
    """A stranger's text made fit for a message: no secrets, no control characters, at most about 200 characters."""
    text = " ".join(_CONTROL.sub(" ", hidden(text, secrets)).split())
    return text if len(text) <= _WORDS else text[: _WORDS - 1] + "…"


def retry_at(answer: Answer) -> float | None:
    """When the server says that it may be asked again (epoch, our clock): Retry-After, else x-ratelimit-reset."""
    after = answer.headers.get("retry-after", "").strip()
    seconds = _number(after)
    if seconds is not None:
        return answer.now + max(0.0, seconds)
    at = _http_date(after)
    if at is not None:
        return max(answer.now, answer.now + at - (server_date(answer) or answer.now))
    return reset_at(answer)


def reset_at(answer: Answer) -> float | None:
    """`x-ratelimit-reset` (epoch seconds; small numbers are seconds from now, huge ones milliseconds), by our clock."""
    value = _number(answer.headers.get("x-ratelimit-reset", answer.headers.get("ratelimit-reset", "")))
    if value is None or value < 0:
        return None
    if value < 1e8:
        return answer.now + value
    if value > 1e11:
        value /= 1000
    return max(answer.now, answer.now + value - (server_date(answer) or answer.now))


def exhausted(answer: Answer) -> bool:
    """Whether the answer says that the allowance is used up, so that the next request would be refused."""
    return _number(answer.headers.get("x-ratelimit-remaining", "")) == 0


def server_date(answer: Answer) -> float | None:
    """The `Date` header in epoch seconds (the server's clock, whole seconds)."""
    return _http_date(answer.headers.get("date", ""))


_DOING: dict[Call, str] = {
    "list": "listing pins",
    "add": "adding a pin",
    "get": "looking at a pin",
    "replace": "replacing a pin",
    "delete": "removing a pin",
}


def doing(call: Call) -> str:
    """The call in words: "adding a pin"."""
    return _DOING[call]


def _redirected(remote: str, what: str, url: str, answer: Answer, secrets: tuple[str, ...]) -> RemoteError:
    location = answer.headers.get("location", "")
    lower = {secret.lower() for secret in secrets}  # as a host is shown
    forms = tuple(sorted({*secrets, *lower}, key=len, reverse=True))
    try:
        to = urlsplit(urljoin(url, location))
        port = f":{to.port}" if to.port else ""
        place = tidy(f"{to.scheme}://{to.hostname}{port}{to.path}", forms) if to.hostname else ""
    except ValueError:
        place = ""
    if not location or not place:
        return BadAnswer(
            remote,
            f"{what} was answered with HTTP {answer.status}, which leads nowhere. Check `endpoint` of {remote!r}.",
            status=answer.status,
        )
    return Redirected(
        remote,
        f"{what} was redirected to {place} (HTTP {answer.status}), which pinsync does not follow with a token in hand. "
        f"If that is the service, put it into `endpoint` of {remote!r}.",
        location=place,
        status=answer.status,
    )


def _said(status: int, reason: str | None, details: str | None) -> str:
    told = ": ".join(part for part in (reason, details) if part)
    return f" (HTTP {status}: {told})" if told else f" (HTTP {status})"


def _first(value: dict[str, Any], *names: str) -> Any:
    return next((value[name] for name in names if value.get(name)), None)


def _flat(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "; ".join(value)
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return ""


def _is_html(answer: Answer) -> bool:
    return "html" in answer.headers.get("content-type", "").lower() or answer.body.lstrip()[:1] == b"<"


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _http_date(text: str) -> float | None:
    if not text:
        return None
    try:
        parsed = email.utils.parsedate_tz(text)
        return email.utils.mktime_tz(parsed) if parsed else None
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
