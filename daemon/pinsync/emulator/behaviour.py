"""How a pinning service behaves: one frozen dataclass of knobs. `profiles` sets them for services that exist.

The defaults are the Pinning Service API 1.0.0 to the letter. Others are made of one with `dataclasses.replace`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from pinsync.errors import UsageError

MILLISECOND = 1_000_000  # in nanoseconds, as every `created` here
SECOND = 1_000_000_000
FOREVER = float("inf")

CreatedFormat = Literal["s-z", "s-minus-5", "ms-z", "ms-trimmed", "us-z", "ns-z"]
Shape = Literal["spec", "reason", "bare", "bare-list", "ok-false", "error-text", "html", "text", "none"]
Closed = Literal["", "maintenance", "restricted", "delete-restricted", "refused", "full", "lapsed", "no-pinning-rights"]


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """How one kind of refusal looks on the wire.

    Shapes: `spec` `{error:{reason,details}}` · `reason` the same without details · `bare` `{reason,details}` ·
    `bare-list` with details as a list · `ok-false` `{ok:false,error:{code,message}}` · `error-text` `{error:reason}` ·
    `html` · `text` · `none` no body. `details` None: the emulator's own words.
    """

    status: int
    shape: Shape
    reason: str = ""
    details: str | None = None


SPEC_ERRORS: Mapping[str, ErrorAnswer] = MappingProxyType(
    {
        "no-token": ErrorAnswer(401, "spec", "UNAUTHORIZED", "Access token is missing or invalid"),
        "wrong-token": ErrorAnswer(401, "spec", "UNAUTHORIZED", "Access token is missing or invalid"),
        "bad-query": ErrorAnswer(400, "spec", "BAD_REQUEST"),
        "bad-cid-filter": ErrorAnswer(400, "spec", "BAD_REQUEST"),  # these two look as bad-query unless set
        "bad-meta-filter": ErrorAnswer(400, "spec", "BAD_REQUEST"),
        "bad-body": ErrorAnswer(400, "spec", "BAD_REQUEST"),  # the body is no JSON object
        "bad-pin": ErrorAnswer(400, "spec", "BAD_REQUEST"),  # a field of it is wrong
        "no-cid": ErrorAnswer(400, "spec", "BAD_REQUEST"),
        "bad-origins": ErrorAnswer(400, "spec", "INVALID_ORIGINS"),
        "bad-id": ErrorAnswer(404, "spec", "NOT_FOUND", "The specified resource was not found"),
        "missing": ErrorAnswer(404, "spec", "NOT_FOUND", "The specified resource was not found"),
        "delete-missing": ErrorAnswer(404, "spec", "NOT_FOUND", "The specified resource was not found"),
        "same-cid": ErrorAnswer(400, "spec", "BAD_REQUEST"),  # replace with the CID that it has
        "refused-cid": ErrorAnswer(400, "spec", "CONTENT_REFUSED"),
        "meta-filter": ErrorAnswer(500, "html"),
        "method": ErrorAnswer(405, "spec", "METHOD_NOT_ALLOWED"),
        "rate": ErrorAnswer(429, "spec", "TOO_MANY_REQUESTS", "The rate limit of this token is used up"),
        "maintenance": ErrorAnswer(503, "spec", "MAINTENANCE", "No pins are added or removed at the moment"),
        "restricted": ErrorAnswer(403, "spec", "ACCOUNT_RESTRICTED", "This account may not add pins"),
        "delete-restricted": ErrorAnswer(403, "spec", "DELETE_RESTRICTED", "This account may not remove pins"),
        "refused": ErrorAnswer(400, "spec", "CLOSED", "This service takes no new pins"),
        "full": ErrorAnswer(409, "spec", "INSUFFICIENT_FUNDS", "Unable to process request due to the lack of funds"),
        "lapsed": ErrorAnswer(403, "spec", "PLAN_LAPSED", "The plan of this account has lapsed"),
        "no-pinning-rights": ErrorAnswer(401, "spec", "UNAUTHORIZED", "This token may not use the pinning service"),
    }
)
"""Every kind of refusal, as the specification would have it. A profile overrides some through `Behaviour.errors`."""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` requests in any `window` seconds, counted as they arrive; those refused do not count.

    `lists_only`: only `GET /pins` counts and is refused (Pinata). `tell`: how a refused client learns when to come
    back; `reset` is `x-ratelimit-reset` in epoch seconds, on admitted answers too. `retry_after` overrides the
    seconds that `seconds` and `date` would say.
    """

    count: int
    window: float
    tell: Literal["seconds", "date", "reset", "nothing"] = "seconds"
    lists_only: bool = False
    retry_after: float | None = None

    @classmethod
    def parse(cls, text: str) -> Rate | None:
        """`30/10s` (s, m or h) as a rate; the empty text as none. Raises `UsageError`."""
        if not text.strip():
            return None
        found = re.fullmatch(r"\s*([1-9]\d{0,8})\s*/\s*(\d{1,8}(?:\.\d+)?)?\s*([smh])\s*", text)
        window = float(found[2] or 1) * {"s": 1, "m": 60, "h": 3600}[found[3]] if found else 0.0
        if found is None or window <= 0:
            raise UsageError(f"the rate {text!r} is not understood; write requests per time, as 30/10s or 180/1m")
        return cls(int(found[1]), window)


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """What a pinning service does, one knob a trait. Times are seconds unless said otherwise.

    Raises `ValueError` where two knobs contradict one another.
    """

    profile: str = "spec"

    # ── the id and time of a pin ─────────────────────────────────────────────────────────────────────────────────────
    requestid: Literal["uuid", "cid", "sequence", "opaque", "awkward"] = "uuid"
    """`sequence` is `req-N`; `opaque` base64; `awkward` has slashes, dots, percent signs, a space and a query mark."""
    created_format: CreatedFormat = "ms-z"
    created_format_in_post: CreatedFormat | None = None
    """How the answers to POST print `created` where they differ from lists (Cluster)."""
    created_resolution: int = MILLISECOND
    """What is stored, in ns; finer than what is printed, pages lose pins (rb-pinning-service)."""
    created_unique: bool = True
    """No two pins share a `created`, as the specification asks; False: pins of one moment tie."""
    created_reset_by_repost: bool = False
    created_revived: bool = False
    """A POST after a DELETE revives the old record: its `created`, and the status that it had (NFT.Storage)."""
    skew: float = 0.0
    """How far this server's clock is ahead of the one injected."""

    # ── lists ────────────────────────────────────────────────────────────────────────────────────────────────────────
    count: Literal["total", "page", "total+1", "page+1"] = "total"
    default_limit: int | None = 10
    """None: everything."""
    max_limit: int | None = 1000
    over_limit: Literal["refuse", "clamp"] = "refuse"
    limit_honoured: bool = True
    """False: every page has `default_limit` pins, whatever is asked."""
    order: Literal["newest", "oldest", "shuffled"] = "newest"
    """`shuffled` anew for each call."""
    bounds: Literal["exclusive", "inclusive"] = "exclusive"
    """Whether `before` and `after` take in the moment that they name."""
    status_default: Literal["pinned", "all"] = "pinned"
    status_after_limit: bool = False
    """The page is cut first and filtered by status after: pages are short or empty before the end (NFT.Storage)."""
    cid_filter: Literal["honoured", "ignored", "alone", "first-10"] = "honoured"
    """`alone`: with it, the other filters are skipped (Cluster). `first-10`: further CIDs are forgotten."""
    max_cids: int | None = 10
    name_filter: Literal["spec", "like", "exact-only", "ignored"] = "spec"
    """`like`: `%` and `_` are wildcards (NFT.Storage)."""
    meta_filter: Literal["honoured", "ignored", "error"] = "honoured"
    list_lag: float = 0.0
    """A list learns of a new status this much later; GET by id learns at once and tells the list."""
    list_delay: float = 0.0
    """A new pin is not in lists before it has this age (eventual consistency)."""

    # ── what is kept and shown of a pin ──────────────────────────────────────────────────────────────────────────────
    cid_checked: bool = True
    cid_spelling: Literal["as-sent", "decoded"] = "as-sent"
    """`decoded`: version 1 comes back in base32 whatever was sent."""
    max_name: int | None = 255
    name_in_bytes: bool = False
    long_name: Literal["refuse", "cut"] = "refuse"
    absent_name: Literal["absent", "null", "cid"] = "absent"
    meta_kept: bool = True
    meta_allowed: bool = True
    """False: a POST with `meta` is 400."""
    meta_values: Literal["refuse", "drop"] = "refuse"
    """What becomes of values that are no text."""
    absent_meta: Literal["absent", "null", "empty"] = "absent"
    origins: Literal["checked", "any", "public", "refused"] = "checked"
    """`checked`: at most 20 texts. `public`: each also with `/p2p/` and no private address. `refused`: none."""
    shown_origins: Literal["absent", "empty", "echo"] = "absent"
    """`echo`: as sent, null where none were."""
    delegates: tuple[str, ...] = (
        "/dns4/delegate.example/tcp/4001/p2p/12D3KooWEmuLatorDe1egateEmuLatorDe1egateEmuLatorDe",
    )
    info: Mapping[str, str] = field(default_factory=dict)

    # ── adding, replacing, removing ──────────────────────────────────────────────────────────────────────────────────
    repost: Literal["new-row", "upsert", "upsert-clearing", "keep"] = "new-row"
    """POST of a CID that is there. `upsert-clearing`: name and meta that are left out are cleared. `keep`: dropped."""
    repost_requeues_failed: bool = False
    repost_stuck: bool = False
    """A further row of a CID that is pinned already stays `queued` for ever (Helia)."""
    replace_same: Literal["refuse", "unpin", "new-id", "in-place"] = "new-id"
    """Replace with the CID that the pin has already. `unpin`: answered with success, and the pin is gone (Cluster)."""
    replace_keeps_meta: bool = True
    """Whether replace takes the `meta` and `origins` that it is sent."""
    delete_takes_all: bool = False
    """Deleting one row of a CID removes its other rows too (rb-pinning-service)."""
    post_code: int = 202
    replace_code: int = 202
    delete_code: int = 202
    delete_body: Literal["none", "ok-text", "json"] = "none"
    content_type: str = "application/json"

    # ── refusing ─────────────────────────────────────────────────────────────────────────────────────────────────────
    errors: Mapping[str, ErrorAnswer] = field(default_factory=dict)
    """Refusals that look other than in `SPEC_ERRORS`, by the same keys."""
    rate: Rate | None = None
    closed: Closed = ""
    """`maintenance` 503 on POST and DELETE · `restricted` 403 on POST · `delete-restricted` 403 on DELETE · `refused`
    400 on POST · `full` 409 on POST · `lapsed` 403 and `no-pinning-rights` 401 on everything."""
    capacity: int | None = None
    """More pins than this are 409."""
    refuses: tuple[str, ...] = ()
    """Globs of CIDs that are refused with 400."""

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    latency: float = 0.0
    """Each answer comes this much after the request had its effect."""
    settle: float = 0.0
    """From POST to `pinned`, the first half `queued`, the second `pinning`; 0: pinned at once; `FOREVER`: never."""
    fails: tuple[str, ...] = ()
    """Globs of CIDs that end as `failed`."""
    fail_details: str = "no providers were found for this CID"

    def __post_init__(self) -> None:
        if self.requestid == "cid" and self.repost == "new-row":
            raise ValueError("with requestid='cid' there is one row a CID: repost='new-row' cannot be")
        if unknown := self.errors.keys() - SPEC_ERRORS.keys():
            raise ValueError(f"errors: no such kind as {', '.join(sorted(unknown))}")
        if self.default_limit is None and not self.limit_honoured and self.max_limit is not None:
            raise ValueError("limit_honoured=False without a default_limit lists everything: set max_limit=None too")

    def error(self, kind: str) -> ErrorAnswer:
        """How this service words the refusal `kind` (a key of `SPEC_ERRORS`)."""
        if kind in ("bad-cid-filter", "bad-meta-filter") and kind not in self.errors:
            kind = "bad-query"
        return self.errors.get(kind) or SPEC_ERRORS[kind]
