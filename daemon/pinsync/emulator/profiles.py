"""Services that exist, as settings of `Behaviour`.

Sources: recorded traffic and servers' own code, as `docs/services.md` tells. No profile limits the rate by itself, so
that thousands of pins can be tried quickly: `DOCUMENTED_RATES` has what is known, for whoever wants it enforced.
"""

from __future__ import annotations

from dataclasses import replace

from pinsync.emulator.behaviour import SECOND, Behaviour, ErrorAnswer, Rate
from pinsync.errors import UsageError

SPEC = Behaviour()

NFT_STORAGE = Behaviour(
    profile="nft.storage",
    requestid="cid",
    created_format="ms-trimmed",
    created_unique=False,
    created_revived=True,
    count="page",
    bounds="inclusive",
    status_after_limit=True,
    max_cids=None,
    name_filter="like",
    meta_filter="ignored",
    list_lag=60.0,  # a cron job; GET by id asks the cluster
    cid_spelling="decoded",
    max_name=None,
    absent_name="null",
    meta_values="drop",
    absent_meta="null",
    origins="any",
    shown_origins="echo",
    delegates=(),
    repost="upsert-clearing",  # its SQL sets name, meta and origins to what came, null included
    replace_same="refuse",
    post_code=200,
    replace_code=200,
    content_type="application/json;charset=UTF-8",
    errors={
        "no-token": ErrorAnswer(
            401,
            "ok-false",
            "EXPECTED_BEARER_STRING",
            "API Key is missing, make sure the "
            "`Authorization` header has a value in the following format `Bearer {api key}`.",
        ),
        "wrong-token": ErrorAnswer(
            401, "ok-false", "ERROR_MALFORMED_TOKEN", "API Key is malformed or failed to parse."
        ),
        "bad-query": ErrorAnswer(400, "bare-list", "VALIDATION_ERROR"),
        "bad-cid-filter": ErrorAnswer(400, "bare", "INVALID_CID"),
        "bad-meta-filter": ErrorAnswer(400, "bare", "INVALID_META", 'Invalid json in the "meta" query parameter.'),
        "bad-body": ErrorAnswer(500, "ok-false", "SyntaxError"),
        "bad-pin": ErrorAnswer(400, "spec", "INVALID_PIN_DATA"),
        "no-cid": ErrorAnswer(400, "spec", "INVALID_PIN_DATA", "Invalid request id: undefined"),
        "bad-id": ErrorAnswer(400, "spec", "ERROR_INVALID_REQUEST_ID"),
        "missing": ErrorAnswer(404, "spec", "NOT_FOUND", "pin not found"),
        "delete-missing": ErrorAnswer(404, "reason", "The specified resource was not found"),
        "same-cid": ErrorAnswer(400, "spec", "INVALID_PIN_DATA", "exiting and replacement CID are the same"),
        "rate": ErrorAnswer(429, "text", "error code: 1015"),
        "maintenance": ErrorAnswer(
            503,
            "ok-false",
            "ERROR_MAINTENANCE",
            "API undergoing maintenance, check https://status.nft.storage for more info",
        ),
        "restricted": ErrorAnswer(403, "ok-false", "ERROR_ACCOUNT_RESTRICTED", "Account restricted."),
        "delete-restricted": ErrorAnswer(403, "ok-false", "ERROR_DELETE_RESTRICTED", "Delete operations restricted."),
        "no-pinning-rights": ErrorAnswer(
            401, "ok-false", "ERROR_PINNING_UNAUTHORIZED", "Pinning not authorized for this user."
        ),
    },
    settle=1.0,
)

PINATA = Behaviour(
    profile="pinata",
    created_unique=False,
    count="total+1",
    default_limit=None,
    shown_origins="empty",
    origins="public",
    info={"pinata_pinjob_status": "prechecking"},
    post_code=200,
    replace_code=200,
    delete_code=200,
    delete_body="ok-text",
    content_type="application/json; charset=utf-8",
    errors={
        "no-token": ErrorAnswer(400, "spec", "KEYS_MUST_BE_STRINGS", "both API keys must be strings"),
        "wrong-token": ErrorAnswer(401, "spec", "INVALID_CREDENTIALS", "Invalid/expired credentials"),
        "missing": ErrorAnswer(404, "spec", "OBJECT_NOT_FOUND", "No record of this account has this ID"),
        "delete-missing": ErrorAnswer(404, "spec", "OBJECT_NOT_FOUND", "No record of this account has this ID"),
    },
    settle=1.0,
)

FILEBASE = Behaviour(
    profile="filebase",
    requestid="opaque",
    created_format="s-minus-5",
    created_resolution=SECOND,
    created_unique=False,
    status_default="all",
    absent_name="cid",
    shown_origins="empty",
    info={"size": "0"},
    replace_code=200,
    content_type="application/json; charset=utf-8",
    errors={
        "no-token": ErrorAnswer(401, "spec", "ERR_INVALID_TOKEN", "api key does not exist"),
        "wrong-token": ErrorAnswer(401, "spec", "ERR_INVALID_TOKEN", "api key does not exist"),
    },
    settle=1.0,
)

CLUSTER = Behaviour(
    profile="cluster",
    requestid="cid",
    created_format="s-z",
    created_format_in_post="ns-z",
    created_resolution=SECOND,
    created_unique=False,
    created_reset_by_repost=True,
    max_limit=None,
    order="shuffled",
    bounds="inclusive",
    status_default="all",
    cid_filter="alone",
    max_cids=None,
    cid_spelling="decoded",
    name_in_bytes=True,
    delegates=(),
    repost="upsert-clearing",
    repost_requeues_failed=True,
    replace_same="unpin",
    replace_keeps_meta=False,
    post_code=200,
    replace_code=200,
    errors={
        "no-token": ErrorAnswer(401, "reason", "Unauthorized"),
        "wrong-token": ErrorAnswer(401, "reason", "Unauthorized"),
        "bad-query": ErrorAnswer(500, "reason", "the query cannot be parsed"),
        "bad-body": ErrorAnswer(400, "reason", "error decoding request body"),
        "bad-pin": ErrorAnswer(400, "reason", "error validating the pin"),
        "no-cid": ErrorAnswer(200, "none"),
        "bad-id": ErrorAnswer(400, "reason", "the request id is no CID"),
        "missing": ErrorAnswer(404, "reason", "not found"),
        "delete-missing": ErrorAnswer(404, "reason", "not found"),
    },
    settle=1.0,
)

HELIA = Behaviour(
    profile="helia",
    created_unique=False,
    status_default="all",
    cid_filter="ignored",
    meta_filter="ignored",
    max_name=None,
    cid_spelling="decoded",
    delegates=(),
    repost_stuck=True,
    replace_same="in-place",
    errors={
        "bad-query": ErrorAnswer(400, "error-text", "Bad Request"),
        "bad-body": ErrorAnswer(400, "html"),
        "bad-pin": ErrorAnswer(400, "error-text", "Bad Request"),
    },
    settle=1.0,
)

MOCK = Behaviour(
    profile="mock",
    requestid="sequence",
    created_unique=False,
    count="page",
    max_limit=None,
    order="oldest",
    status_default="all",
    name_filter="exact-only",
    meta_filter="error",
    cid_checked=False,
    max_cids=None,
    max_name=None,
    repost="keep",
    errors={"bad-body": ErrorAnswer(500, "html"), "bad-query": ErrorAnswer(500, "html")},
    settle=1.0,
)

RB = Behaviour(
    profile="rb",
    requestid="sequence",
    created_resolution=1000,
    created_unique=False,
    cid_filter="first-10",
    max_cids=None,
    meta_kept=False,
    delegates=(),
    delete_takes_all=True,
    post_code=200,
    replace_code=200,
    errors={"bad-pin": ErrorAnswer(422, "spec", "UNPROCESSABLE"), "no-cid": ErrorAnswer(422, "spec", "UNPROCESSABLE")},
    settle=1.0,
)

KUBO_HOSTILE = Behaviour(
    profile="kubo-hostile",
    requestid="awkward",
    created_format="s-minus-5",
    created_format_in_post="ns-z",
    created_resolution=SECOND,
    created_unique=False,
    skew=-90.0,
    count="page+1",
    over_limit="clamp",
    order="shuffled",
    bounds="inclusive",
    status_default="all",
    status_after_limit=True,
    cid_filter="ignored",
    name_filter="ignored",
    meta_filter="error",
    list_lag=30.0,
    list_delay=2.0,
    cid_spelling="decoded",
    max_name=64,
    long_name="cut",
    absent_name="cid",
    meta_kept=False,
    absent_meta="null",
    origins="refused",
    shown_origins="empty",
    delegates=(),
    repost_stuck=True,
    replace_same="unpin",
    post_code=200,
    replace_code=200,
    delete_code=200,
    delete_body="json",
    errors={
        "no-token": ErrorAnswer(400, "text", "no key"),
        "wrong-token": ErrorAnswer(403, "html"),
        "bad-query": ErrorAnswer(500, "html"),
        "bad-pin": ErrorAnswer(400, "bare", "INVALID"),
        "missing": ErrorAnswer(404, "html"),
        "delete-missing": ErrorAnswer(404, "text", "gone"),
        "rate": ErrorAnswer(429, "html"),
    },
    settle=1.0,
)

PROFILES: dict[str, Behaviour] = {
    each.profile: each for each in (SPEC, NFT_STORAGE, PINATA, FILEBASE, CLUSTER, HELIA, MOCK, RB, KUBO_HOSTILE)
}

DOCUMENTED_RATES: dict[str, Rate] = {
    "nft.storage": Rate(30, 10.0, retry_after=35.0),
    "pinata": Rate(5, 60.0, tell="reset", lists_only=True),
    "filebase": Rate(100, 1.0),
}
"""What services are known to allow one token."""


def profile(name: str, **knobs: object) -> Behaviour:
    """The profile `name` with some knobs set otherwise. Raises `UsageError` for an unknown name."""
    try:
        known = PROFILES[name]
    except KeyError:
        raise UsageError(f"there is no profile {name!r}; there are {', '.join(PROFILES)}") from None
    return replace(known, **knobs)  # type: ignore[arg-type]
