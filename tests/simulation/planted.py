"""Bugs put into the product on purpose: each breaks a promise, and the simulation must notice.

A simulation that cannot fail proves nothing. Every bug is a few lines in place of the right ones; `number` is the
invariant of architecture.md that it is meant to break, 8 for convergence. It is found when any promise is broken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from pinsync.ledger.ledger import Ledger
from pinsync.model import PinStatus
from pinsync.planning import diff, guard, rules
from pinsync.planning.plan import Kind, State
from pinsync.remote import classify, client
from pinsync.remote.errors import RemoteError
from pinsync.steps import adding, observe, plan, removing

LIMIT = 3000  # histories, as many as the default run of `make simulate` has, after which a bug counts as not found


@dataclass(frozen=True)
class Bug:
    """What is done wrong, and how: patches of (object, attribute, what stands there instead)."""

    name: str
    number: int
    seed: int  # of the first history that shows it (`make simulate-planted`)
    patches: Callable[[], list[tuple[Any, str, Any]]]

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The product with this bug."""
        with ExitStack() as stack:
            for where, name, instead in self.patches():
                stack.enter_context(patch.object(where, name, instead))
            yield


def _everything_is_ours() -> list[tuple[Any, str, Any]]:
    def ours(*_: Any) -> bool:
        return True

    return [(module, "is_ours", ours) for module in (diff, adding, removing)]


def _any_mark_is_ours() -> list[tuple[Any, str, Any]]:
    def ours(row: Any, owned: Any, mirror_ids: Any, meta_kept: Any = None) -> bool:
        return row.mark is not None or rules.is_ours(row, owned, mirror_ids, meta_kept)

    return [(module, "is_ours", ours) for module in (diff, adding, removing)]


def _an_id_is_ours_for_ever() -> list[tuple[Any, str, Any]]:
    right = rules.is_ours

    def ours(row: Any, owned: Any, mirror_ids: Any, meta_kept: Any = None) -> bool:
        return right(row, owned, mirror_ids, None)

    return [(module, "is_ours", ours) for module in (diff, adding, removing)]


def _posts_over_others() -> list[tuple[Any, str, Any]]:
    right = diff.decide_at_length

    def decide(key: Any, want: Any, rows: Any, known: Any, view: Any) -> Any:
        owned = {one.requestid for one in known.owned} if known else set()
        return right(key, want, [row for row in rows if row.requestid in owned], known, view)

    return [(diff, "decide_at_length", decide)]


def _deletes_before_the_new_one_is_pinned() -> list[tuple[Any, str, Any]]:
    right = diff._supersede

    def supersede(*args: Any) -> Any:
        return replace(right(*args), state=State.DO, code="", survivor=None)

    return [(diff, "_supersede", supersede)]


def _deletes_the_best_of_a_pair() -> list[tuple[Any, str, Any]]:
    right = diff._supersede

    def supersede(want: Any, row: Any, survivor: Any, view: Any) -> Any:
        return replace(right(want, survivor, row, view), state=State.DO, survivor=None)

    return [(diff, "_supersede", supersede)]


def _wanted_is_what_the_first_node_has() -> list[tuple[Any, str, Any]]:
    right = observe.Sources.wanted

    def wanted(self: Any, remote: Any, spool: Any) -> Any:
        return (pin for pin in right(self, remote, spool) if pin.sources[:1] != ("node:n1",))

    async def absent(*_: Any) -> None:
        pass

    return [(observe.Sources, "wanted", wanted), (removing.AbsenceProof, "absent", absent)]


async def _nothing(*_: Any) -> None:
    return None


def _no_objection() -> list[tuple[Any, str, Any]]:
    return [(removing.Remover, "_objection", _nothing)]


def _no_proof_of_absence() -> list[tuple[Any, str, Any]]:
    return [(removing.AbsenceProof, "absent", _nothing)]


def _broken_manifest_is_empty() -> list[tuple[Any, str, Any]]:
    def last_good(ledger: Any) -> None:
        return None

    def not_whole(self: Any, remote: Any) -> None:
        return None

    whole = property(lambda self: {"manifest", *(node.label for node in self.mirrored)})
    return [
        (observe, "last_good_manifest", last_good),
        (observe.Sources, "not_whole", not_whole),
        (observe.Sources, "whole", whole),
    ]


def _cut_lists_are_whole() -> list[tuple[Any, str, Any]]:
    return [
        (observe.Sources, "not_whole", lambda self, remote: None),
        (removing.AbsenceProof, "absent", _nothing),
    ]


def _no_doubts() -> list[tuple[Any, str, Any]]:
    return [(observe.Sources, "doubts", lambda self, remote: [])]


def _no_configuration_doubts() -> list[tuple[Any, str, Any]]:
    return [(diff, "_cause", lambda *_: "")]


def _every_list_is_complete() -> list[tuple[Any, str, Any]]:
    right = observe.list_remote

    async def listed(view: Any, *rest: Any) -> None:
        await right(view, *rest)
        view.listed, view.reason = "complete", None

    from pinsync import reconcile

    return [(reconcile, "list_remote", listed)]


def _half_the_grace() -> list[tuple[Any, str, Any]]:
    right = plan.view_of

    def view_of(*args: Any) -> Any:
        view = right(*args)
        return replace(view, safety=replace(view.safety, grace=view.safety.grace / 2))

    return [(plan, "view_of", view_of)]


def _grace_from_when_it_was_wanted() -> list[tuple[Any, str, Any]]:
    right = diff._unwanted

    def unwanted(key: Any, want: Any, rows: Any, ours: Any, entry: Any, *rest: Any) -> Any:
        if entry is not None and entry.unwanted_since is None and entry.since is not None:
            entry = replace(entry, unwanted_since=entry.since)
        return right(key, want, rows, ours, entry, *rest)

    return [(diff, "_unwanted", unwanted)]


def _no_limits() -> list[tuple[Any, str, Any]]:
    return [(guard, "_limit", lambda *_: "")]


def _limits_of_one_pass() -> list[tuple[Any, str, Any]]:
    return [(Ledger, "removed_since", lambda self, remote, since: 0)]


def _approval_of_everything() -> list[tuple[Any, str, Any]]:
    return [(guard, "stands", lambda approval, action, doubts: True)]


def _nothing_is_looked_up() -> list[tuple[Any, str, Any]]:
    async def is_there(*_: Any) -> bool:
        return False

    return [(adding.Adder, "_is_there", is_there)]


def _open_intents_are_forgotten() -> list[tuple[Any, str, Any]]:
    return [(plan, "resolve_intents", lambda *_: 0), (adding.Adder, "_unclear", lambda *_: None)]


def _missing_once_is_missing() -> list[tuple[Any, str, Any]]:
    async def is_there(*_: Any) -> bool:
        return False

    return [(diff, "MISSING_SIGHTINGS", 1), (adding.Adder, "_is_there", is_there)]


def _an_update_is_added_again_and_again() -> list[tuple[Any, str, Any]]:
    right = diff._live

    def live(want: Any, live: Any, rows: Any, ours: Any, entry: Any, view: Any) -> Any:
        oldest = min(live, key=lambda row: (row.created, row.requestid))
        return right(want, [oldest], rows, [oldest], entry, view)

    return [(diff, "_live", live), (diff, "at_rest", lambda *_: False)]


def _drift_that_never_ends() -> list[tuple[Any, str, Any]]:
    def drift(want: Any, row: Any, view: Any) -> tuple[str, ...]:
        return ("the name",) if want.name and "v2" in want.name else rules.drift(want, row, view)

    return [(diff, "drift", drift), (adding, "drift", drift)]


def _no_backoff() -> list[tuple[Any, str, Any]]:
    def failed(want: Any, ours: Any, entry: Any, view: Any) -> Any:
        newest = max(ours, key=lambda row: row.created)
        return entry, diff._add(want, view, "failed", kind=Kind.RETRY, requestid=newest.requestid)

    return [(diff, "_failed", failed)]


def _declined_is_forgotten() -> list[tuple[Any, str, Any]]:
    return [(diff, "fingerprint", lambda name, meta: "never the same"), (adding.Adder, "_declined", lambda *_: "")]


def _error_with_the_header() -> list[tuple[Any, str, Any]]:
    def lost(remote: str, base: str, call: Any, error: Any, secrets: Any) -> RemoteError:
        return RemoteError(remote, f"{remote}: {call} failed with the headers {secrets}")

    return [(client, "lost", lost)]


def _servers_words_as_they_are() -> list[tuple[Any, str, Any]]:
    right = classify.tidy
    return [
        (classify, "tidy", lambda text, secrets=(): right(text)),
        (client, "hidden_bytes", lambda body, secrets: body),
    ]


def _failed_pins_stay() -> list[tuple[Any, str, Any]]:
    return [(diff, "_failed", lambda want, ours, entry, view: (entry, ()))]


def _outcomes_are_lost() -> list[tuple[Any, str, Any]]:
    def settle(self: Any, outcomes: Any, *_: Any) -> None:
        list(outcomes)

    return [(Ledger, "settle", settle), (Ledger, "own", lambda *_: None)]


def _quiet_whatever_is_wanted() -> list[tuple[Any, str, Any]]:
    from pinsync import reconcile

    return [(reconcile, "same_wants", lambda *_: True)]


def _closed_for_ever() -> list[tuple[Any, str, Any]]:
    return [(guard, "due", lambda *_: False)]


def _queued_counts_as_gone() -> list[tuple[Any, str, Any]]:
    right = diff.decide_at_length

    def decide(key: Any, want: Any, rows: Any, known: Any, view: Any) -> Any:
        return right(key, want, [row for row in rows if row.status is not PinStatus.QUEUED], known, view)

    return [(diff, "decide_at_length", decide)]


def _the_journal_comes_after() -> list[tuple[Any, str, Any]]:
    right_post = adding.Adder.post
    right = Ledger.intend

    async def post(self: Any, id_: int, action: Any) -> None:
        await right_post(self, id_, action)
        (made,) = right(self._desk.ledger, self._desk.run, self._desk.remote, [action], 0.0)
        self._desk.ledger.store.execute("DELETE FROM journal WHERE id = ?", (made,))

    def intend(self: Any, run: int, remote: str, actions: Any, now: float) -> list[int]:
        return list(range(10**9, 10**9 + len(actions)))

    return [(Ledger, "intend", intend), (adding.Adder, "post", post)]


BUGS = (
    Bug("every pin there is ours", 1, 0, _everything_is_ours),
    Bug("another mirror's mark is ours", 1, 7, _any_mark_is_ours),
    Bug("what was ours under an id is ours for ever", 1, 2642, _an_id_is_ours_for_ever),
    Bug("others' pins are not seen", 1, 7, _posts_over_others),
    Bug("an update deletes before the new one is pinned", 2, 12, _deletes_before_the_new_one_is_pinned),
    Bug("an update deletes the better one", 2, 12, _deletes_the_best_of_a_pair),
    Bug("no objection to a deletion", 2, 0, _no_objection),
    Bug("what only the second node has is not wanted", 2, 0, _wanted_is_what_the_first_node_has),
    Bug("absence is not proved", 2, 18, _no_proof_of_absence),
    Bug("a broken manifest is an empty one", 3, 166, _broken_manifest_is_empty),
    Bug("a list that was cut is whole", 3, 18, _cut_lists_are_whole),
    Bug("an emptied source is believed", 3, 11, _no_doubts),
    Bug("a changed configuration holds nothing", 3, 74, _no_configuration_doubts),
    Bug("every list of a remote is complete", 3, 254, _every_list_is_complete),
    Bug("half the grace", 4, 19, _half_the_grace),
    Bug("grace from when it was first wanted", 4, 128, _grace_from_when_it_was_wanted),
    Bug("no limits", 4, 66, _no_limits),
    Bug("limits count one pass alone", 4, 266, _limits_of_one_pass),
    Bug("all is approved", 4, 66, _approval_of_everything),
    Bug("nothing is looked up before it is posted again", 5, 14, _nothing_is_looked_up),
    Bug("an interrupted request is forgotten", 5, 316, _open_intents_are_forgotten),
    Bug("missing once is missing", 5, 6, _missing_once_is_missing),
    Bug("the intent is not written before the request", 5, 266, _the_journal_comes_after),
    Bug("an update is made again in each pass", 5, 12, _an_update_is_added_again_and_again),
    Bug("a queued pin does not count", 5, 73, _queued_counts_as_gone),
    Bug("a name that always differs", 6, 254, _drift_that_never_ends),
    Bug("failed pins are tried in every pass", 6, 32, _no_backoff),
    Bug("what a service does not take is forgotten", 6, 112, _declined_is_forgotten),
    Bug("an error tells the header", 7, 2, _error_with_the_header),
    Bug("a server's words are shown as they are", 7, 44, _servers_words_as_they_are),
    Bug("failed pins stay failed", 8, 47, _failed_pins_stay),
    Bug("outcomes are not written", 8, 48, _outcomes_are_lost),
    Bug("quiet, whatever is wanted", 8, 415, _quiet_whatever_is_wanted),
    Bug("closed once is closed for ever", 8, 36, _closed_for_ever),
)
