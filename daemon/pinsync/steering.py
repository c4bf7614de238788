"""What a person may do to steer a mirror: try again, give pins away, pause, resume (semantics: *Retry*, *Disown*,
*Pause*).

All of it only records, as an event with who said it; passes obey.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from .cid import Cid
from .errors import Paused, UsageError
from .ledger.ledger import Ledger
from .ledger.pauses import RESUMED, end_pauses, over, paused, pauses, put_pause
from .ledger.records import Pause
from .ledger.remembered import advance
from .planning.plan import Entry, How, Owned, PinState


@dataclass(frozen=True, slots=True)
class Retried:
    """What is due at the next pass: pins, each with its remote, and remotes that are asked again though they refused.

    `opened`: (remote, "pins" or "deletions").
    """

    pins: tuple[tuple[str, Entry], ...]
    opened: tuple[tuple[str, str], ...]


def retry(ledger: Ledger, remotes: Sequence[str], cids: Sequence[Cid], *, at: float, by: str) -> Retried:
    """Make what failed, was refused or waits for its next try due now: these CIDs, or everything for none.

    A remote that takes no pins, or deletes nothing, is asked again where that is what a pin waits for; for no CIDs in
    any case. How often a pin was tried is still counted. Raises `UsageError` for a CID with nothing to try again;
    nothing was changed then.
    """
    found: list[tuple[str, Entry]] = []
    shut: set[str] = set()
    for cid in cids:
        mine = [
            (remote, entry)
            for remote in remotes
            if (entry := ledger.entry(remote, cid.key)) is not None
            and (_due_later(entry) or any(one.code == "closed" for one in ledger.pending(remote, cid.key)))
        ]
        if not mine:
            raise UsageError(f"nothing of {cid} is to be tried again{_because(ledger, remotes, cid)}; nothing was done")
        found += mine
        shut |= {remote for remote, _ in mine}
    if not cids:
        found = [(remote, entry) for remote in remotes for entry in ledger.to_retry(remote)]
        shut = set(remotes)
    opened: list[tuple[str, str]] = []
    with ledger.store.transaction():
        for remote, entry in found:
            said = f"{entry.state.value}{f': {entry.error}' if entry.error else ''}"
            ledger.happened("retry-asked", at, who=by, remote=remote, key=entry.key, cid=entry.cid, details=said)
        for remote in sorted(shut):
            record = ledger.remote(remote)
            kinds = {"pins": record.closed, "deletions": record.no_deletes}
            opened += [(remote, what) for what, one in kinds.items() if one is not None]
        for remote, what in opened:
            ledger.happened("retry-asked", at, who=by, remote=remote, details=f"the remote is asked for {what} again")
        retried = Retried(tuple(found), tuple(opened))
        due_again(ledger, retried, at)
    return retried


def due_again(ledger: Ledger, retried: Retried, at: float) -> None:
    """Write that these pins are due, and that these remotes may be asked."""
    with ledger.store.transaction():
        for remote, seen in retried.pins:
            entry = ledger.entry(remote, seen.key)
            if entry is not None and entry.next_try is not None:
                ledger.put_entry(remote, replace(entry, next_try=None))
        for remote in {remote for remote, _ in retried.opened}:
            ledger.put_remote(replace(ledger.remote(remote), closed=None, no_deletes=None), at)
        for remote in {remote for remote, _ in (*retried.pins, *retried.opened)}:
            ledger.not_quiet(remote)


def _due_later(entry: Entry) -> bool:
    trying = entry.state in (PinState.FAILED, PinState.REFUSED) or entry.next_try is not None
    return entry.wanted and trying


def _because(ledger: Ledger, remotes: Sequence[str], cid: Cid) -> str:
    """How it stands with a pin that has nothing to try again."""
    told = []
    for remote in remotes:
        entry = ledger.entry(remote, cid.key)
        waits = [one.reason for one in ledger.pending(remote, cid.key)]
        if waits:
            told.append(f"at {remote} it waits: {waits[0]}")
        elif entry is not None:
            told.append(f"at {remote} it is {entry.state.value}{'' if entry.wanted else ' and not wanted'}")
    return f" ({'; '.join(told)})" if told else " (it is not known here)"


def disown(
    ledger: Ledger, remotes: Sequence[str], cids: Sequence[Cid], *, at: float, by: str
) -> tuple[tuple[str, Owned], ...]:
    """Make pins of ours foreign: never removed, renamed or posted over from now on, whatever their meta says.

    Returns (remote, pin) for each. Raises `UsageError` for a CID of which nothing is ours; nothing was changed then.
    """
    found: list[tuple[str, Owned]] = []
    for cid in cids:
        mine = [
            (remote, one)
            for remote in remotes
            for one in ledger.owned_of(remote, cid.key)
            if one.gone_at is None and one.how is not How.FOREIGN
        ]
        if not mine:
            where = f"at {remotes[0]}" if len(remotes) == 1 else "anywhere"
            raise UsageError(f"no pin of {cid} is ours {where}, as far as the ledger knows; nothing was disowned")
        found += mine
    with ledger.store.transaction():
        for remote, one in found:
            ledger.own(remote, replace(one, how=How.FOREIGN), at)
            ledger.drop_pending(remote, one.key, one.requestid)
            entry = ledger.entry(remote, one.key)
            if entry is not None:
                ledger.put_entry(remote, replace(entry, was_there="foreign"))
            ledger.not_quiet(remote)
            said = f"pin {one.requestid} is not ours any more"
            ledger.happened("disowned", at, who=by, remote=remote, key=one.key, cid=one.cid, details=said)
    advance(ledger, {})  # noted beside the ledger too: should it be lost, their marks must not make them ours again
    return tuple(found)


def pause(ledger: Ledger, remote: str | None, *, until: float | None, reason: str, at: float, by: str) -> Pause:
    """Have passes leave a remote alone, or all of them for None, until then or until resumed.

    Raises `UsageError` for an end that is not in the future.
    """
    if until is not None and until <= at:
        raise UsageError(f"the pause would be over already ({_local(until)}); nothing was paused")
    one = Pause(remote or "", at, until, reason, by)
    with ledger.store.transaction():
        put_pause(ledger, one)
        end = f"until {_local(until)}" if until is not None else "until resumed"
        said = f"{end}: {reason}" if reason else end
        ledger.happened("paused", at, who=by, remote=one.remote, details=said)
    advance(ledger)
    return one


def resume(ledger: Ledger, remote: str | None, *, at: float, by: str) -> tuple[Pause, ...]:
    """End the pause of one remote, or all pauses for None; returns those that were ended.

    Raises `UsageError` where everything is paused and one remote was named.
    """
    standing = pauses(ledger, at)
    ended = [one for one in standing if remote is None or one.remote == remote]
    if remote is not None and any(one.remote == "" for one in standing):
        raise UsageError(
            "everything is paused, and one remote alone cannot go on: `pinsync resume` ends all pauses, then pause "
            "the others"
        )
    _end(ledger, ended, at, by, "")
    if ended:
        advance(ledger)
    return tuple(ended)


def note_ends(ledger: Ledger, now: float) -> None:
    """Note the pauses that have ended by themselves."""
    for one in over(ledger, now):
        assert one.until is not None
        _end(ledger, [one], one.until, "", "its time was over")


def _end(ledger: Ledger, ended: Iterable[Pause], at: float, by: str, details: str) -> None:
    with ledger.store.transaction():
        for one in ended:
            end_pauses(ledger, [one])
            ledger.happened("resumed", at, who=by, remote=one.remote, details=details)
            if one.remote == "":
                ledger.set_fact(RESUMED, str(at))


def all_paused(ledger: Ledger | None, now: float, remotes: Sequence[str]) -> Pause | None:
    """What keeps a pass over these remotes from doing anything at all, if every one of them is paused."""
    found = [paused(ledger, now, remote) for remote in remotes]
    return found[0] if found and None not in found else None


def check_paused(ledger: Ledger | None, now: float, remotes: Sequence[str]) -> None:
    """Raise `Paused` where every one of these remotes is paused."""
    one = all_paused(ledger, now, remotes)
    if one is not None:
        raise Paused(words(one))


def words(one: Pause) -> str:
    """A pause as a sentence, with what it means and how it ends."""
    what = f"remote {one.remote}" if one.remote else "everything"
    end = f" until {_local(one.until)}" if one.until is not None else ""
    who = f" by {one.who}" if one.who else ""
    why = f" ({one.reason})" if one.reason else ""
    resume = f"pinsync resume --remote {one.remote}" if one.remote else "pinsync resume"
    return f"{what} is paused{end}{who}{why}: nothing is asked or changed there. `{resume}` ends it"


def held_by(one: Pause) -> str:
    """A pause as the reason why something is not done."""
    end = f" until {_local(one.until)}" if one.until is not None else " until resumed"
    who = f" by {one.who}" if one.who else ""
    why = f" ({one.reason})" if one.reason else ""
    resume = f"pinsync resume --remote {one.remote}" if one.remote else "pinsync resume"
    return f"paused{who}{end}{why}; `{resume}` ends it"


def _local(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M")
