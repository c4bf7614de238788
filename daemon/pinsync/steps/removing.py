"""Carrying out deletions, each with its proof taken right before it (semantics: *Removal*)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from pinsync.errors import NodeError
from pinsync.ledger.records import Settled
from pinsync.model import PinStatus, RemotePin
from pinsync.planning.plan import Action, How, Kind, Step
from pinsync.planning.rules import is_ours
from pinsync.remote.errors import BadAnswer, NotBegun, NotFound, OutOfService, RemoteError, Unreachable

from .observe import ManifestView, NodeView
from .outcomes import Desk

PUT_BACK = "put-back"
"""The code of an add that puts back what a deletion of ours took along: it is not to wait for anything."""


class Contradiction(Exception):
    """A node still holds a pin that its list did not show: that list was not whole."""


class AbsenceProof:
    """Asks every node, CID by CID, whether it really lacks what is about to be removed (semantics: *Removal*).

    Shared by all remotes of a pass: the first contradiction ends removals everywhere.
    """

    def __init__(self, nodes: Sequence[NodeView], manifest: ManifestView | None = None) -> None:
        self._nodes = nodes
        self._manifest = manifest
        self._absent: set[bytes] = set()
        self.broken: str | None = None

    def current(self) -> None:
        """Return while the manifest is the one that this pass read. Raises `Contradiction`.

        A pass can last for hours under a rate limit, and an entry that was put back meanwhile must not be removed.
        """
        if self._manifest is not None and self._manifest.moved():
            raise Contradiction("the manifest changed during this pass: what is left to remove waits for the next one")

    async def absent(self, key: bytes, cid: str) -> None:
        """Return when every node lacks it. Raises `Contradiction` or `NodeError`."""
        if self.broken is not None:
            raise Contradiction(self.broken)
        if key in self._absent:
            return
        for node in self._nodes:
            if node.client is None:
                raise Contradiction(f"node {node.settings.name!r} was not read")
            if await node.client.is_pinned(cid):
                node.error = self.broken = (
                    f"node {node.settings.name!r} still pins {cid}, which its list did not show: that list was not "
                    "whole, so nothing is removed in this pass"
                )
                raise Contradiction(self.broken)
            if node.reading is not None and (await node.client.identity()).peer_id != node.reading.peer_id:
                node.error = self.broken = (
                    f"node {node.settings.name!r} is another node than a moment ago; nothing is removed in this pass"
                )
                raise Contradiction(self.broken)
        self._absent.add(key)


class Remover:
    """Deletes pins at one remote; `post` puts one back that a service took along with another."""

    def __init__(self, desk: Desk, proof: AbsenceProof, post: Callable[[int, Action], Awaitable[None]]) -> None:
        self._desk = desk
        self._proof = proof
        self._post = post

    async def delete(self, id_: int, action: Action) -> None:
        with self._desk.journalled(id_):
            await self._delete(id_, action)

    async def _delete(self, id_: int, action: Action) -> None:
        assert action.requestid is not None
        requestid = action.requestid
        try:
            wrong = await self._objection(action)
            if wrong is not None:
                self._desk.done.trouble(wrong)
                self._desk.later(Settled(id_, "moot", wrong), None)
                return
            await self._desk.client.delete(requestid)
        except NotBegun:
            self._desk.later(Settled(id_, "moot", "not begun"), None)
        except NotFound:
            self._desk.later(Settled(id_, "moot", "was gone already"), lambda now: self._removed(action, now))
        except (Contradiction, NodeError) as error:
            self._desk.deletes_end = str(error)
            self._desk.done.trouble(str(error))
            self._desk.later(Settled(id_, "moot", str(error)), None)
        except RemoteError as error:
            maybe = isinstance(error, Unreachable | BadAnswer) and error.maybe_applied
            self._desk.later(Settled(id_, "unclear" if maybe else "failed", str(error)), None)
            self._desk.whole_remote(error)
            if isinstance(error, OutOfService):
                self._desk.deletes_end = self._desk.done.no_deletes = str(error)
        else:
            self._desk.failures = 0
            self._desk.done.deleted = True
            if action.kind is Kind.REMOVE:
                self._desk.done.removed += 1
            else:
                self._desk.done.updated += 1
            self._desk.later(Settled(id_, "done", "deleted"), lambda now: self._removed(action, now))
            if action.survivor is not None:
                with self._desk.client.limiter.finishing():
                    await self._survived(action)

    async def _survived(self, action: Action) -> None:
        """See that the pin which was to stay did; where this service took it along, put it back at once."""
        assert action.survivor is not None and action.body is not None
        try:
            survivor: RemotePin | None = await self._desk.client.get(action.survivor)
        except NotFound:
            survivor = None
        except RemoteError as error:
            self._desk.done.trouble(str(error))
            return
        lone = survivor is not None and survivor.status.live
        if survivor is None or survivor.cid == action.cid:  # two spellings of a CID may be two pins to the service
            self._desk.done.learned["lone_delete"] = lone
        if lone:
            return
        self._desk.done.trouble(
            f"remote {self._desk.remote!r} deleted {action.survivor} along with {action.requestid}, another pin of "
            f"{action.cid}; it is added again, and no pin is replaced there any more"
        )
        again = replace(
            action, kind=Kind.ADD, step=Step.POST, requestid=None, survivor=None, lookup=False, code=PUT_BACK
        )
        (id_,) = self._desk.ledger.intend(self._desk.run, self._desk.remote, [again], self._desk.clock.now())
        self._desk.later(
            None, lambda now: self._desk.ledger.gone(self._desk.remote, action.key, action.survivor or "", now)
        )
        await self._post(id_, again)

    async def _objection(self, action: Action) -> str | None:
        """The proof that a deletion needs, taken right before it; what speaks against it, or None."""
        assert action.requestid is not None
        if action.kind is Kind.REMOVE:
            self._proof.current()
        if action.confirm:
            await self._proof.absent(action.key, action.cid)
        what = f"remote {self._desk.remote!r}, pin {action.requestid} ({action.cid})"
        if action.survivor is not None:
            try:
                survivor = await self._desk.client.get(action.survivor)
            except NotFound:
                return f"{what} is not deleted: {action.survivor}, which was to take its place, is gone"
            if survivor.key != action.key or survivor.status is not PinStatus.PINNED:
                return f"{what} is not deleted: {action.survivor}, which is to take its place, is {survivor.status}"
        row = await self._desk.client.get(action.requestid)
        if row.key != action.key:
            return f"{what} is not deleted: the remote now shows {row.cid} under this id"
        owned = {one.requestid: one for one in self._desk.ledger.owned_of(self._desk.remote, action.key)}
        plan = self._desk.plan
        if not is_ours(replace(row, requestid=action.requestid), owned, plan.mirror_ids, plan.traits.meta_kept):
            return f"{what} is not deleted: it is not ours any more"
        return None

    def _removed(self, action: Action, now: float) -> None:
        assert action.requestid is not None
        self._desk.ledger.gone(self._desk.remote, action.key, action.requestid, now)
        if action.kind is Kind.REMOVE:
            left = [one for one in self._desk.ledger.owned_of(self._desk.remote, action.key) if one.gone_at is None]
            if not any(one.how is not How.FOREIGN for one in left):
                self._desk.ledger.forget_entry(self._desk.remote, action.key)
            self._desk.ledger.drop_approval(self._desk.remote, action)
