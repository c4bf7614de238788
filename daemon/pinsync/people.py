"""What a person may say to a mirror: that something held may go on (approve), that a pin becomes ours (adopt).

Both only record; the next pass acts (semantics: *Approve*, *Adopt*).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from .cid import Cid
from .clock import Clock
from .errors import Doubted, PinsyncError, UsageError
from .inventory import take
from .ledger.ledger import Ledger
from .ledger.records import Pending
from .ledger.remembered import advance
from .model import RemotePin
from .planning.plan import How, Kind, Owned, State
from .planning.rules import is_ours
from .remote.client import RemoteClient
from .spool import Spool


@dataclass(frozen=True, slots=True)
class Released:
    """What an approval released: what was held (or, with `--now`, waited for grace), and doubts as a whole."""

    pins: tuple[Pending, ...]
    doubts: tuple[tuple[str, str], ...]

    def digest(self) -> str:
        """32 hexadecimal digits that are the same while what is held, where and why are."""
        pins = [(one.remote, one.kind, one.key.hex(), one.requestid, one.code, one.reason) for one in self.pins]
        return hashlib.sha256(json.dumps([pins, self.doubts]).encode()).hexdigest()[:32]


def held(ledger: Ledger, remote: str | None) -> Released:
    """What the last recorded pass held: what `approve --all` would release."""
    pins = tuple(one for one in ledger.pending(remote) if one.state is State.HELD)
    codes = {one.code for one in pins}
    doubts = tuple(
        doubt
        for doubt in ledger.standing_doubts()
        if remote is None or doubt[0] in codes or doubt[0].endswith(f"@{remote}")
    )
    return Released(pins, doubts)


def approve(
    ledger: Ledger, remote: str | None, cids: Sequence[Cid], *, now_too: bool, at: float, by: str,
    shown: str | None = None,
) -> Released:  # fmt: skip
    """Release what is held: everything when `cids` is empty, else these; `now_too` shortens grace for these.

    An approval is bound to remote, requestid, CID and the reason for the hold, as the last pass recorded them. `shown`:
    `Released.digest` of what the person saw. Raises `UsageError` for a CID of which nothing is held, `PinsyncError`
    when what is held is not what was shown any more, `Doubted` for a CID that would stay held by another doubt; nothing
    is released then.
    """
    if now_too and not cids:
        raise UsageError("--now needs the CIDs that are to go before their grace is over")
    with ledger.store.transaction():
        released = Released(_named(ledger, remote, cids, now_too), ()) if cids else held(ledger, remote)
        for one in released.pins if cids else ():
            _undoubted(ledger, one)
        if shown is not None and released.digest() != shown:
            raise PinsyncError("what is held changed while you were reading; nothing was released. Look again")
        for one in released.pins:
            ledger.put_approval(one, now_too, at, by)
            ledger.happened(
                "approved", at, who=by, remote=one.remote, key=one.key, cid=one.cid,
                details=f"{one.kind.value}{', before its grace is over' if now_too else ''}: {one.reason}",
            )  # fmt: skip
        for code, reason in released.doubts:
            ledger.accept_doubt(code, remote, at, by)
            ledger.happened("approved", at, who=by, remote=remote or "", details=f"doubt: {reason}")
    if released.pins or released.doubts:
        advance(ledger)
    return released


def _undoubted(ledger: Ledger, one: Pending) -> None:
    """Raise `Doubted` where the approval of a single pin would leave another doubt standing: it is bound to one."""
    standing = dict(ledger.standing_doubts())
    given = ledger.approvals(one.remote).get((one.kind, one.key, one.requestid))
    others = [
        reason
        for code, reason in standing.items()
        if code != one.code
        and one.code in standing
        and _rank(code) >= _rank(one.code)
        and ("@" not in code or code.endswith(f"@{one.remote}"))
    ]
    if given is not None and given.code != one.code and given.code in standing:
        others.append(standing[given.code])
    if one.kind is Kind.REMOVE and others:
        raise Doubted(
            f"{one.cid} at {one.remote!r} was not released: a doubt stands before it ({'; '.join(others)}). "
            "Nothing was released; `pinsync approve --all` releases that too"
        )


def _rank(code: str) -> int:
    """Which doubts a pass asks first: about itself, the nodes, the manifest, the remote. It names the first."""
    ranks = (("old-ledger:", "clone:machine:", "clone:copy:"), ("peer:", "emptied:node:"), ("emptied:",))
    return next((rank for rank, codes in enumerate(ranks) if code.startswith(codes)), len(ranks))


def _named(ledger: Ledger, remote: str | None, cids: Sequence[Cid], now_too: bool) -> tuple[Pending, ...]:
    """What of these CIDs is held, or with `now_too` waits for grace. Raises `UsageError` where nothing is."""
    released: list[Pending] = []
    for cid in cids:
        waiting = ledger.pending(remote, cid.key)
        mine = [
            one
            for one in waiting
            if one.state is State.HELD or (now_too and one.kind is Kind.REMOVE and one.code == "grace")
        ]
        if not mine:
            waits = f" (it waits: {waiting[0].reason})" if waiting else ""
            raise UsageError(f"nothing is held for {cid}{waits}; nothing was released")
        released += mine
    return tuple(released)


@dataclass(frozen=True, slots=True)
class Adopted:
    """What became ours. `skipped`: pins that carry another mirror's mark and were not named."""

    pins: tuple[RemotePin, ...]
    skipped: tuple[RemotePin, ...]


async def adopt(
    ledger: Ledger, client: RemoteClient, mirror_ids: tuple[str, ...], cids: Collection[Cid], clock: Clock,
    by: str = "",
) -> Adopted:  # fmt: skip
    """Take pins that are at the remote into our ownership: all wanted ones, or the named ones, wanted or not.

    `by`: who said so, for the record.

    Raises `RemoteError`, and `PinsyncError` when the list is not complete or a named CID is not there: nothing is
    adopted then.
    """
    names = {cid.key: cid for cid in cids}
    with Spool() as spool:
        reading = await take(client, ledger, spool)
        if not reading.complete:
            raise PinsyncError(
                f"the list of remote {client.name!r} is not complete ({reading.reason}); nothing was adopted"
            )
        rows = [row for row in spool.observed(0) if not names or row.key in names]
    missing = names.keys() - {row.key for row in rows}
    if missing:
        told = ", ".join(str(names[key]) for key in missing)
        raise PinsyncError(f"remote {client.name!r} has no pin of {told}; nothing was adopted")
    now, kept = clock.now(), ledger.remote(client.name).traits.meta_kept
    taken, skipped = [], []
    with ledger.store.transaction():
        ledger.not_quiet(client.name)
        for row in rows:
            owned = {one.requestid: one for one in ledger.owned_of(client.name, row.key)}
            entry = ledger.entry(client.name, row.key)
            if is_ours(row, owned, mirror_ids, kept) or not (names or (entry and entry.wanted)):
                continue
            if row.mark is not None and not names:
                skipped.append(row)
                continue
            taken.append(row)
            ledger.own(client.name, Owned(row.requestid, row.key, row.cid, How.ADOPTED, row.created), now)
            if entry is not None:
                entry = replace(entry, was_there="ours", requestid=row.requestid)
                ledger.put_entry(client.name, entry)
            ledger.happened(
                "adopted", now, who=by, remote=client.name, key=row.key, cid=row.cid, details=f"pin {row.requestid}"
            )
    if taken:
        advance(ledger)
    return Adopted(tuple(taken), tuple(skipped))
