"""What should change at a remote: a merge of what is wanted, what is there and what the ledger knows.

`diff` is pure and streams: three iterators sorted by key go in, one `Decision` a key comes out. It owns the rules of
`docs/semantics.md`; what must not be done *yet* for reasons that need the whole plan is the guard's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from pinsync.model import MARK, DesiredPin, Excluded, Mode, PinBody, PinStatus, RemotePin, Removals

from .plan import STATE_OF, STRANGE, Action, Decision, Entry, How, Kind, Known, Owned, PinState, State, Step, View
from .rules import RETRY_CAP, backoff, drift, due, fingerprint, follow_pause, is_ours

UPDATE_LOOKS = 8  # looks (20 min, with their pauses) at an update's new pin that is not pinned as the old one is
BEFORE = "from before this ledger"
MISSING_SIGHTINGS = 2  # complete listings without a pin of ours before it is added again


def diff(
    desired: Iterable[DesiredPin], observed: Iterable[RemotePin], known: Iterable[Known], view: View
) -> Iterator[Decision]:
    """One decision for every key that any of the three streams names and about which there is something to say.

    Each stream must be sorted by `key`; `observed` may repeat a key, the others may not.
    """
    wants, rows, books = iter(desired), iter(observed), iter(known)
    want, row, book = next(wants, None), next(rows, None), next(books, None)
    while want is not None or row is not None or book is not None:
        key = min([head.key for head in (want, row, book) if head is not None])
        here_want = here_book = None
        here_rows = []
        if want is not None and want.key == key:
            here_want, want = want, next(wants, None)
        while row is not None and row.key == key:
            here_rows.append(row)
            row = next(rows, None)
        if book is not None and book.key == key:
            here_book, book = book, next(books, None)
        decision = decide(key, here_want, here_rows, here_book, view)
        if decision is not None:
            yield decision


def decide(
    key: bytes, want: DesiredPin | None, rows: list[RemotePin], known: Known | None, view: View
) -> Decision | None:
    """The decision for one key; None when it concerns us in no way (a foreign pin that nobody wants)."""
    if at_rest(want, rows, known, view):
        assert known is not None
        return Decision(key, known.entry, known.entry, ours=1, marked=int(known.owned[0].how is How.MARK))
    return decide_at_length(key, want, rows, known, view)


def at_rest(want: DesiredPin | None, rows: list[RemotePin], known: Known | None, view: View) -> bool:
    """Whether a key is and was as it should be: wanted, and one pinned pin of ours, of which all is known.

    In most passes that is so for nearly every key. `decide_at_length` would come to the same, in four times the time.
    """
    if want is None or known is None or known.entry is None or len(rows) != 1 or len(known.owned) != 1:
        return False
    (row,), (one,), entry = rows, known.owned, known.entry
    return (
        entry.requestid == row.requestid == one.requestid
        and row.status is PinStatus.PINNED
        and entry.state is PinState.PINNED
        and entry.was_there == "ours"
        and not (entry.missing or entry.unclear)
        and entry.wanted
        and entry.unwanted_since is None
        and entry.cid == want.cid
        and entry.sources == " ".join(want.sources)
        and want.excluded is Excluded.NOT
        and one.gone_at is None
        and is_ours(row, {one.requestid: one}, view.mirror_ids, view.traits.meta_kept)
        and not drift(want, row, view)
    )


def decide_at_length(
    key: bytes, want: DesiredPin | None, rows: list[RemotePin], known: Known | None, view: View
) -> Decision | None:
    """`decide` without the short way."""
    entry = known.entry if known else None
    owned = {one.requestid: one for one in known.owned} if known else {}
    ours = [row for row in rows if is_ours(row, owned, view.mirror_ids, view.traits.meta_kept)]
    found: tuple[Owned, ...] = ()
    gone: tuple[str, ...] = ()
    if ours:
        found = tuple(
            [
                Owned(row.requestid, key, row.cid, _how(row, owned.get(row.requestid)), row.created)
                for row in ours
                if row.requestid not in owned or owned[row.requestid].gone_at is not None
            ]
        )
    if owned and view.listed == "complete":
        there = {row.requestid for row in rows}
        gone = tuple(
            [
                one.requestid
                for one in owned.values()
                if one.requestid not in there and one.gone_at is None and one.how is not How.FOREIGN
            ]
        )
    after: Entry | None
    if want is not None and want.excluded is Excluded.NOT:
        after, actions = _wanted(want, rows, ours, entry, view, bool(owned))
    elif entry is not None or ours:
        if entry is not None and entry.wanted and not view.sources_whole:
            after, actions = _unsure(rows, ours, entry, view)
        else:
            told = any(one.how is How.ADOPTED for one in owned.values())
            after, actions = _unwanted(key, want, rows, ours, entry, view, told)
    else:
        return None
    how = {one.requestid: one.how for one in (*owned.values(), *found)}
    marked = {row.requestid for row in ours if how[row.requestid] is How.MARK}
    strange = 0
    if marked and (after is None or not after.wanted) and (entry is None or entry.since is None):
        strange = len(marked)
        actions = tuple(
            [replace(one, why=STRANGE) if one.requestid in marked and not one.why else one for one in actions]
        )
    return Decision(key, entry, after, actions, found, gone, len(ours), len(marked), strange)


def _how(row: RemotePin, before: Owned | None) -> How:
    """How a pin that a list shows is ours: by its mark, unless it is one of ours that was thought to be gone."""
    return before.how if before is not None and before.created == row.created else How.MARK


# -- wanted ------------------------------------------------------------------------------------------------------------


def _wanted(
    want: DesiredPin, rows: list[RemotePin], ours: list[RemotePin], entry: Entry | None, view: View, known: bool
) -> tuple[Entry, tuple[Action, ...]]:
    sources = " ".join(want.sources)
    if entry is None:
        # One that we had before may still be there, though the list does not show it: it is looked up first.
        entry = Entry(want.key, want.cid, True, PinState.MISSING, since=view.now, sources=sources, unclear=known)
    elif not entry.wanted or entry.cid != want.cid or entry.sources != sources or entry.unwanted_since is not None:
        entry = replace(
            entry,
            cid=want.cid,
            wanted=True,
            sources=sources,
            since=entry.since if entry.wanted else view.now,
            unwanted_since=None,
            unwanted_why="",
        )
    if not rows:
        return _absent(want, entry, view)
    live = [row for row in ours if row.status.live]
    if not live and any(row.status.live and row not in ours for row in rows):
        best = _best([row for row in rows if row.status.live and row not in ours])
        return _sighted(entry, best, "foreign", view), ()
    if not live and not ours:
        best = _best(rows)
        entry = _sighted(entry, best, "foreign", view)
        if view.traits.id_is_cid is not False:
            return replace(entry, error=_failure(best, "the pin is not ours, so it is not posted again")), ()
        reason = f"a pin that is not ours ({best.requestid}) failed; ours is put beside it"
        if entry.attempts and not due(entry.next_try, view.now, RETRY_CAP):
            return entry, _add(want, view, reason, State.WAITING, "backoff", entry.next_try)
        return entry, _add(want, view, reason, lookup=True)
    if not live:
        return _failed(want, ours, entry, view)
    return _live(want, live, rows, ours, entry, view)


def _absent(want: DesiredPin, entry: Entry, view: View) -> tuple[Entry, tuple[Action, ...]]:
    if view.listed == "failed":
        return entry, ()
    if view.listed == "incomplete":
        if entry.was_there == "ours":
            reason = f"not seen, but the list is not complete ({view.listed_reason}); nothing is added again"
            return entry, _add(want, view, reason, State.WAITING, "incomplete")
        return _refusable(want, entry, view, "not seen at the remote", lookup=True)
    if entry.was_there == "ours":
        entry = replace(entry, missing=min(entry.missing + 1, MISSING_SIGHTINGS), requestid=None, follow_at=None)
        entry = _state(entry, PinState.MISSING)
        if entry.missing < MISSING_SIGHTINGS:
            reason = "was there and is gone; added again when the next complete list does not show it either"
            return entry, _add(want, view, reason, State.WAITING, "missing-once")
        if entry.attempts and not due(entry.next_try, view.now, RETRY_CAP):
            reason = f"was there, failed ({entry.error or 'without a reason'}) and is gone"
            return entry, _add(want, view, reason, State.WAITING, "backoff", entry.next_try)
        return _refusable(want, entry, view, "was there and is gone, by two complete lists in a row", lookup=True)
    if entry.was_there == "foreign":
        entry = replace(entry, was_there="", requestid=None, created=None, follow_at=None, unclear=True)
        return _refusable(want, entry, view, "a pin that was not ours held it and is gone", lookup=True)
    return _refusable(want, entry, view, "not at the remote", lookup=entry.unclear)


def _refusable(
    want: DesiredPin, entry: Entry, view: View, reason: str, lookup: bool = False
) -> tuple[Entry, tuple[Action, ...]]:
    entry = entry if entry.state is PinState.REFUSED else _state(entry, PinState.MISSING)
    if entry.state is PinState.REFUSED and not due(entry.next_try, view.now, RETRY_CAP):
        reason = f"the remote refused it: {entry.error or 'without a reason'}"
        return entry, _add(want, view, reason, State.WAITING, "refused", entry.next_try)
    return entry, _add(want, view, reason, lookup=lookup)


def _add(
    want: DesiredPin,
    view: View,
    reason: str,
    state: State = State.DO,
    code: str = "",
    until: float | None = None,
    *,
    kind: Kind = Kind.ADD,
    requestid: str | None = None,
    cid: str | None = None,
    lookup: bool = False,
) -> tuple[Action, ...]:
    if view.mode is Mode.READ_ONLY:
        return ()
    body = _body(want, view, cid)
    return (Action(kind, Step.POST, want.key, body.cid, state, code, reason, until, requestid, body, lookup),)


def _body(want: DesiredPin, view: View, cid: str | None = None) -> PinBody:
    meta = {**want.meta, MARK: view.mirror_ids[0]}
    return PinBody(cid or want.cid, want.name or None, meta, want.origins or view.origins)


def _failed(want: DesiredPin, ours: list[RemotePin], entry: Entry, view: View) -> tuple[Entry, tuple[Action, ...]]:
    newest = max(ours, key=lambda row: row.created)
    first_seen = entry.state is not PinState.FAILED
    entry = _sighted(entry, newest, "ours", view)
    if first_seen:
        entry = replace(entry, attempts=entry.attempts + 1, next_try=view.now + backoff(entry.attempts + 1))
    said = _failure(newest, "")
    entry = replace(entry, error=said)
    reason = f"the remote says failed: {said}"
    now = due(entry.next_try, view.now, RETRY_CAP)
    if view.listed != "complete" and view.traits.id_is_cid is not True:
        reason += f"; not tried again on a list that is not complete ({view.listed_reason})"
        return entry, _add(want, view, reason, State.WAITING, "incomplete", kind=Kind.RETRY, requestid=newest.requestid)
    return entry, _add(
        want,
        view,
        reason,
        State.DO if now else State.WAITING,
        "" if now else "backoff",
        None if now else entry.next_try,
        kind=Kind.RETRY,
        requestid=newest.requestid,
        cid=newest.cid if view.traits.id_is_cid is not False else None,
        lookup=view.traits.id_is_cid is not True,
    )


def _live(
    want: DesiredPin, live: list[RemotePin], rows: list[RemotePin], ours: list[RemotePin], entry: Entry, view: View
) -> tuple[Entry, tuple[Action, ...]]:
    accepted = [row for row in live if not drift(want, row, view)]
    asked = fingerprint(want.name, want.meta)
    declined = entry.declined == asked
    if not accepted and not declined and any(not row.status.live and not drift(want, row, view) for row in ours):
        entry, declined = replace(entry, declined=asked), True  # the update's new pin failed, and would again
    if not accepted and declined:
        accepted = live
    if accepted and _waits(accepted, live) and (declined or _stuck(accepted, entry)):
        entry = replace(entry, declined=asked)
        accepted = [row for row in live if row.status is PinStatus.PINNED]
    survivor = _best(accepted or live)
    entry = _sighted(entry, survivor, "ours", view)
    if view.mode is Mode.READ_ONLY:
        return entry, ()
    together = _together(rows, ours, view)
    if not accepted and together and view.traits.id_is_cid is False:
        accepted = live  # the pair of an update could not be taken apart again: what differs stays
    if not accepted and len(live) > 1 and view.traits.id_is_cid is False:
        accepted = [survivor]  # the pair of an update that was changed meanwhile: one goes before another is made
    if not accepted:
        what = ", ".join(drift(want, survivor, view))
        where = survivor.requestid if view.traits.id_is_cid is not False else None
        if view.listed != "complete" and where is None:
            reason = f"{what} differs; not updated on a list that is not complete ({view.listed_reason})"
            return entry, _add(want, view, reason, State.WAITING, "incomplete", kind=Kind.UPDATE)
        cid = survivor.cid if where is not None else None
        return entry, _add(
            want, view, f"{what} differs", kind=Kind.UPDATE, requestid=survivor.requestid, cid=cid,
            lookup=view.traits.id_is_cid is not True,  # a list that lags behind would have it made again in each pass
        )  # fmt: skip
    extra = [row for row in ours if row.requestid != survivor.requestid]
    if together:
        extra = []  # deleting one would delete the survivor too
    if view.traits.id_is_cid is not False:
        extra = [row for row in extra if row.requestid != row.cid]  # another spelling is a record of its own: leave it
    return entry, tuple(_supersede(want, row, survivor, view) for row in extra)


def _together(rows: list[RemotePin], ours: list[RemotePin], view: View) -> bool:
    """Whether deleting one pin of a CID would delete the others too, or might, and one of these is not ours."""
    others = len(ours) < len(rows) and view.traits.id_is_cid is not True
    return view.traits.lone_delete is False or (others and view.traits.lone_delete is None)


def _stuck(accepted: list[RemotePin], entry: Entry) -> bool:
    """Whether an update does not come to its end: Helia leaves a second request for what it has pinned in its queue.

    The new request is then deleted in place of the old one, and the update counts as declined.
    """
    return entry.follows >= UPDATE_LOOKS and any(row.requestid == entry.requestid for row in accepted)


def _waits(accepted: list[RemotePin], live: list[RemotePin]) -> bool:
    """Whether an update's new pin is on its way while the old one is pinned."""
    waiting = all(row.status is not PinStatus.PINNED for row in accepted)
    return waiting and any(row.status is PinStatus.PINNED for row in live)


def _supersede(want: DesiredPin, row: RemotePin, survivor: RemotePin, view: View) -> Action:
    what = "failed" if not row.status.live else "superseded"
    reason = f"{what}: {survivor.requestid} holds the same content"
    state, code = State.DO, ""
    if view.listed != "complete":
        state, code = State.WAITING, "incomplete"
        reason += f"; deleted once a list is complete ({view.listed_reason})"
    elif survivor.status is not PinStatus.PINNED:
        state, code = State.WAITING, "successor"
        reason += f", is {survivor.status} and must be pinned first"
    return Action(
        Kind.UPDATE, Step.DELETE, want.key, row.cid, state, code, reason,
        requestid=row.requestid, body=_body(want, view), survivor=survivor.requestid, confirm=False,
    )  # fmt: skip


_ORDER = {PinStatus.PINNED: 0, PinStatus.PINNING: 1, PinStatus.QUEUED: 2, PinStatus.FAILED: 3}


def _best(rows: list[RemotePin]) -> RemotePin:
    return rows[0] if len(rows) == 1 else min(rows, key=lambda row: (_ORDER[row.status], row.created, row.requestid))


def _sighted(entry: Entry, row: RemotePin, whose: str, view: View) -> Entry:
    """The entry after this row was seen; the same object when nothing changed, so that nothing is written."""
    state = STATE_OF[row.status]
    if entry.state is state and entry.requestid == row.requestid and entry.was_there == whose and not entry.missing:
        return replace(entry, unclear=False) if entry.unclear else entry
    follow_at, follows = entry.follow_at, entry.follows
    if state in (PinState.QUEUED, PinState.PINNING):
        if follow_at is None or entry.state is not state:
            follow_at, follows = view.now + follow_pause(0), 0
    else:
        follow_at, follows = None, 0
    entry = replace(
        entry, requestid=row.requestid, created=row.created, was_there=whose, missing=0, unclear=False,
        follow_at=follow_at, follows=follows,
    )  # fmt: skip
    return _state(entry, state)


def _state(entry: Entry, state: PinState) -> Entry:
    if entry.state is state:
        return entry
    if state is PinState.PINNED:
        return replace(entry, state=state, attempts=0, next_try=None, error=None)
    if entry.state is PinState.REFUSED:
        return replace(entry, state=state, next_try=None, error=None)
    return replace(entry, state=state)


def _failure(row: RemotePin, otherwise: str) -> str:
    return row.info.get("status_details") or otherwise or "without a reason"


# -- not wanted --------------------------------------------------------------------------------------------------------


def _unsure(rows: list[RemotePin], ours: list[RemotePin], entry: Entry, view: View) -> tuple[Entry, tuple[Action, ...]]:
    """A source that might want it could not be read whole: it counts as wanted, and nothing happens to it."""
    if rows:
        best = _best([row for row in ours if row.status.live] or [row for row in rows if row.status.live] or rows)
        entry = _sighted(entry, best, "ours" if best in ours else "foreign", view)
    elif view.listed == "complete" and entry.was_there:
        entry = _state(replace(entry, requestid=None, follow_at=None), PinState.MISSING)
    return entry, ()


def _unwanted(
    key: bytes,
    want: DesiredPin | None,
    rows: list[RemotePin],
    ours: list[RemotePin],
    entry: Entry | None,
    view: View,
    told: bool,
) -> tuple[Entry | None, tuple[Action, ...]]:
    if entry is None:
        entry = Entry(key, want.cid if want else ours[0].cid, False, STATE_OF[_best(ours).status])
    before, why = entry, entry.unwanted_why
    if view.sources_whole and not why:
        why = _cause(want, before, view, told)  # also where nothing is removed yet: the next pass cannot tell
    if ours:
        entry = _sighted(entry, _best(ours), "ours", view)
    elif view.listed == "complete" and (not why or not (entry.was_there == "ours" or entry.unclear)):
        return None, ()  # kept otherwise: a list may lag, or a request be under way whose answer nobody noted
    if entry.wanted or entry.follow_at is not None:
        entry = replace(entry, wanted=False, follow_at=None, attempts=0, next_try=None, error=None)
    if why != entry.unwanted_why:
        entry = replace(entry, unwanted_why=why)
    if view.mode is not Mode.MIRROR or view.safety.removals is Removals.NEVER:
        return entry, ()
    if not view.sources_whole:
        if before.unwanted_since is None:
            return entry, ()
        reason = f"nothing is removed while a source cannot be read whole ({view.sources_reason})"
        return entry, tuple(_remove(row, entry, want, State.WAITING, "sources", reason) for row in ours)
    begins = entry.unwanted_since
    if view.clock_sure and (begins is None or begins > view.now):  # in the future: by a clock that was wrong then
        entry = replace(entry, unwanted_since=view.now)
        begins = view.now
    ends = None if begins is None else begins + view.safety.grace
    state, code, until = State.DO, "", None
    reason = "no source wants it any more"
    if want is not None:
        reason = {
            Excluded.FILTER: "the node has it, but only_names or skip_names leave it out",
            Excluded.ROUTING: "it is wanted elsewhere, but not routed to this remote",
            Excluded.IGNORED: "the manifest ignores it",
        }[want.excluded]
    if view.listed != "complete":
        state, code = State.WAITING, "incomplete"
        reason = f"nothing is removed on a list that is not complete ({view.listed_reason})"
    elif view.first_listing and before.since is None and before.unwanted_since is None:
        state, code = State.WAITING, "first-listing"
        reason = "carries our mark, but this ledger is new; nothing is removed in the first pass"
    elif ends is None or ends > view.now:
        state, code, until = State.WAITING, "grace", ends
        reason += "; removed when its grace is over"
    if _together(rows, ours, view) and len(ours) < len(rows) and code in ("", "grace"):
        # Without a word nobody's pin but ours is put at risk; where both would go for certain, none releases it.
        state = State.HELD if state is State.DO and view.traits.lone_delete is None else State.WAITING
        code, reason = "shared", f"{reason}; another's pin of it is there, which this service might delete along"
    return entry, tuple(_remove(row, entry, want, state, code, reason, until) for row in ours)


def _remove(
    row: RemotePin,
    entry: Entry,
    want: DesiredPin | None,
    state: State,
    code: str,
    reason: str,
    until: float | None = None,
) -> Action:
    return Action(
        Kind.REMOVE, Step.DELETE, row.key, row.cid, state, code, reason, until,
        requestid=row.requestid, confirm=want is None, why=entry.unwanted_why,
    )  # fmt: skip


def _cause(want: DesiredPin | None, before: Entry, view: View, told: bool) -> str:
    """The changed parts of the configuration that made it unwanted, or "" where the sources themselves did.

    `told`: a person made it ours, and knew that it was not wanted.
    """
    about: tuple[str, ...] = ()
    here, otherwise = f"remote {view.remote}: ", ""
    if before.since is None and "mirror.id" in view.config_change:  # the new id made it ours
        about = ("mirror.id",)
    elif want is None:
        wanted_by = set(before.sources.split())
        if view.gone_sources & wanted_by or (view.gone_sources and before.since is None):
            about = ("node ", "manifest.path")
        if lost := wanted_by - view.whole_sources:  # a source that was not read may have it still
            about += (here,)
            otherwise = f"{min(lost)} is not mirrored any more"
        if any(label.startswith("node:") for label in wanted_by):
            about += (f"{here}nodes",)  # no node is asked any more whether it really lacks it
    elif want.excluded is Excluded.FILTER:
        about = ("node ", f"{here}mode")
    elif want.excluded is Excluded.ROUTING:
        about = (here,)
    if about and not told and want is not None and before.since is None:
        otherwise = BEFORE  # a source has it, and we pinned it once: the rules were others
    return ", ".join(part for part in view.config_change if part.startswith(about)) or otherwise if about else ""
