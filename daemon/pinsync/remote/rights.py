"""Whether a token may write, found out without leaving a trace: by requests that can have no effect.

*Removing* is asked for an id that nobody has: the CID of random bytes, since some services take nothing but a CID for
an id, and else a random UUID. "No such pin" is said to those who may remove; others hear 401 or 403.

*Adding* is asked for with half a JSON object. A service that refuses it for what it is has not refused the token; but
some read the body before they look at the token, so a 400 is no more than a good sign, and the list has shown that the
token is known. An invalid CID in place of it would be taken by services that do not look at CIDs.
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from typing import Literal

from pinsync.cid import shorten, text_of
from pinsync.remote.client import RemoteClient
from pinsync.remote.errors import NotFound, OutOfService, PinRefused, RemoteError, Unreachable

_SHA256_RAW = b"\x01\x55\x12\x20"  # CIDv1, raw, sha2-256


@dataclass(frozen=True, slots=True)
class Right:
    """`may`: "yes", "no" (the token is refused this), "closed" (nobody may at present), "unclear". `said`: in words."""

    may: Literal["yes", "no", "closed", "unclear"]
    said: str


async def may_remove(client: RemoteClient) -> Right:
    """Ask to remove a pin that cannot be there."""
    found = Right("unclear", "")
    for requestid in (text_of(_SHA256_RAW + secrets.token_bytes(32)), str(uuid.uuid4())):
        try:
            await client.delete(requestid)
        except NotFound as error:
            return Right("yes", f"an id that is not there is answered with {_words(error)}")
        except RemoteError as error:
            found = _refused(error)
            if not isinstance(error, PinRefused):
                return found
        else:
            return Right("yes", "an id that is not there is answered with success")
    return found


async def may_add(client: RemoteClient) -> Right:
    """Ask to add what is no pin."""
    try:
        await client.try_add()
    except PinRefused as error:
        return Right("yes", f"a request without content is answered with {_words(error)}")
    except Unreachable as error:
        if error.status == 500:  # a body that cannot be read is no fault of the sender's to some
            return Right("yes", f"a request without content is answered with {_words(error)}")
        return _refused(error)
    except RemoteError as error:
        return _refused(error)
    return Right("unclear", "a request without content is answered with success")


def _refused(error: RemoteError) -> Right:
    if isinstance(error, OutOfService):
        return Right("no" if error.kind in ("auth", "forbidden", "rights") else "closed", str(error))
    return Right("unclear", str(error))


def _words(error: RemoteError) -> str:
    """The status, and the beginning of what the server says to it."""
    said = ": ".join(part for part in (error.reason, error.details) if part)
    return f"HTTP {error.status}{f' ({shorten(said, 80)})' if said else ''}"
