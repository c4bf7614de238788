"""What must always hold (architecture.md), judged on the truth of a history at every request that changes something.

Only what can be known is claimed. In a history things also happen in the wink between the product's last look and its
request; what nobody could have seen is no violation, and each claim says what it lets pass on that account.
"""

from __future__ import annotations

from .judge import Judge, Posted
from .records import (
    OTHERS,
    Account,
    Grave,
    Origin,
    Violation,
    Watch,
    about,
    accepted,
    changed,
    concerns,
    doubts,
    states,
    whole,
)
from .truth import Row, Rows

WINK = 10.0  # seconds within which a server's times do not tell what came first


class Oracle(Judge):
    """Watches a history. The world calls it; `Violation` is raised by the methods that judge."""

    def __init__(self) -> None:
        self.stamp = 0
        self.judged = 0
        self.contents: set[bytes] = set()  # all that ever was at a remote
        self.broken: Violation | None = None
        self.watches: dict[str, Watch] = {}

    def tick(self) -> int:
        self.stamp += 1
        return self.stamp

    # -- the world changes ------------------------------------------------------------------------------------------

    def changed(self, watch: Watch, *, config: bool = False, source: str = "") -> None:
        """Something that decides what a mirror wants is not as it was."""
        stamp = self.tick()
        watch.touched.add(source)
        for remote in watch.wishes.policies:
            before = watch.wanted.get(remote, {})
            wanted = watch.wishes.wanted(remote)
            watch.wanted[remote] = {key: before.get(key, stamp) for key in wanted}
            for key in before.keys() - wanted.keys():
                watch.left[remote, key] = stamp
                if config:
                    watch.by_config.add((remote, key))
            for key in wanted:
                watch.by_config.discard((remote, key))
        if watch.running:
            watch.doubts &= doubts(watch)
            now = states(watch.wishes)
            watch.flickered |= {one for one in now.keys() | watch.states if now.get(one) != watch.states.get(one)}

    def others_changed(self, account: Account, owner: str = OTHERS, *, echo: bool = False) -> None:
        """Rows came to an account, or went, by somebody."""
        rows = account.look()
        stamp = self.tick()
        if owner == OTHERS:
            account.stirred = stamp
        for seq in account.origins.keys() - rows.keys():
            origin = account.origins.pop(seq)
            told = [one.name for one in self.watches.values() if (account.name, seq) in one.adopted]
            if origin.owner != OTHERS or told:
                account.graves[origin.requestid] = Grave((*told, origin.owner)[0], stamp)
        for seq, row in rows.items():
            if seq not in account.origins:
                grave = account.graves.get(row.requestid) if owner == OTHERS else None
                unsure = grave.owner if grave and not grave.noticed else ""
                self.contents.add(row.key)
                account.contents.add(row.key)
                account.origins[seq] = Origin(owner, row.requestid, row.key, stamp, account.time(), echo, unsure)

    def forget(self, watch: Watch, unwanted_seen: dict[tuple[str, bytes], float]) -> None:
        """The ledger was lost, or is an old one: what the mirror knew of readings, removals and words may be gone.

        `unwanted_seen` is what the oracle knew when that old one was new.
        """
        watch.forgot = True
        watch.flickered |= watch.believed.keys()
        watch.believed.clear()
        watch.removed.clear()
        watch.unwanted_seen = dict(unwanted_seen)

    # -- a pass -----------------------------------------------------------------------------------------------------

    def begin(self, watch: Watch, accounts: dict[str, Account]) -> None:
        watch.accounts = accounts
        watch.running, watch.began, watch.mutations = True, self.tick(), 0
        watch.doubts = doubts(watch)
        watch.listed, watch.got, watch.told, watch.previous, watch.touched = {}, {}, {}, {}, set()
        watch.states, watch.asking = states(watch.wishes), {}
        for remote, account in accounts.items():
            watch.most[remote] = self._ours(watch, remote, account)
        self.look(watch, accounts)

    def look(self, watch: Watch, accounts: dict[str, Account]) -> None:
        """Whatever the mirror could see now it may have seen: grace may begin here, never earlier."""
        now, standing = watch.now(), doubts(watch)
        for remote in accounts:
            if not whole(standing, watch.wishes.policies[remote].nodes):
                continue
            wanted = watch.wanted[remote]
            if any(node.hidden or node.silent is not None for node in watch.wishes.nodes):
                wanted = dict.fromkeys(watch.wishes.wanted(remote, shown=True), 0)  # a lie that looks whole
                watch.hidden |= watch.wishes.filtered()
            for key in self.contents:
                if key not in wanted:  # a later time was noted by a clock that was set back since
                    watch.unwanted_seen[remote, key] = min(now, watch.unwanted_seen.get((remote, key), now))

    def end(self, watch: Watch, accounts: dict[str, Account], *, completed: bool, undisturbed: bool = False) -> None:
        """The pass is over; not `completed` when it crashed or its state failed: then nobody knows what it noted.

        `undisturbed`: nothing was ever in its way, so that whatever is new is there by now. Raises `Violation`.
        """
        if completed and undisturbed and not watch.touched:
            self._added(watch, accounts)
        watch.running = False
        lies = any(node.hidden or node.silent is not None for node in watch.wishes.nodes)
        standing = doubts(watch)
        for remote, wanted in watch.wanted.items():
            readable = not watch.touched and whole(standing, watch.wishes.policies[remote].nodes)
            for key, since in wanted.items():
                if completed and readable and not lies and since < watch.began:
                    watch.unwanted_seen.pop((remote, key), None)
                    for one in [one for one in watch.approved if one[0] == remote and one[2] == key]:
                        del watch.approved[one]
        if completed:
            watch.asked |= watch.asking
        for remote, account in accounts.items():
            for origin in account.origins.values():
                if completed and origin.requestid in watch.told.get(remote, ()):
                    origin.unclaimed = False
            if completed and remote in watch.listed:
                for grave in account.graves.values():
                    grave.noticed |= grave.owner == watch.name and grave.gone < watch.began
        for source, state in states(watch.wishes).items():
            # A doubt that concerns no remote is nobody's to accept.
            heard = {
                label
                for label in standing
                if about(label, source)
                and any(concerns(label, one.nodes) and not one.dropped for one in watch.wishes.policies.values())
            }
            settled = all(accepted(watch, label, "") for label in heard)
            if not completed and watch.believed.get(source) != state:
                watch.flickered.add(source)
            if source in watch.flickered:
                watch.believed.pop(source, None)  # nobody can say any more what the product believes of it
            elif settled:
                watch.believed[source] = state

    def _added(self, watch: Watch, accounts: dict[str, Account]) -> None:
        """What was never seen at a remote is added at once (semantics: *Missing*)."""
        for remote, account in accounts.items():
            policy = watch.wishes.policies[remote]
            if policy.mode == "read-only" or policy.dropped or account.lies or watch.forgot:
                continue
            shown = watch.wishes.wanted(remote, shown=True)
            for key, since in watch.wanted[remote].items():
                if since < watch.began and key in shown and key not in account.contents:
                    raise Violation(8, f"{remote}: {key.hex()[-8:]} is new and was not added by {watch.name}")

    def answered(self, watch: Watch, remote: str, method: str, requestid: str | None, ids: set[str]) -> None:
        """An answer arrived whole: of a list, of one pin, or of a POST."""
        seen = watch.told if method == "POST" else watch.listed if requestid is None else watch.got
        seen.setdefault(remote, set()).update(ids)

    def sent(self, watch: Watch, remote: str, requestid: str | None) -> None:
        """Any request went out."""
        last, _ = watch.previous.get(remote, ("", 0))
        if requestid is None or requestid != last:
            watch.previous[remote] = (requestid or "", self.tick())

    # -- what a request did -----------------------------------------------------------------------------------------

    def carried_out(
        self, watch: Watch, remote: str, account: Account, method: str, requestid: str | None, before: Rows,
        after: Rows, *, echo: bool = False, posted: Posted | None = None,
    ) -> None:  # fmt: skip
        """A mutating request of a mirror has had its effect. The first `Violation` stays in `broken`.

        `posted`: content and name that were asked for, where it will be answered.
        """
        try:
            self._carried_out(watch, remote, account, method, requestid, before, after, echo, posted)
        except Violation as violation:
            self.broken = self.broken or violation
            raise

    def _carried_out(
        self, watch: Watch, remote: str, account: Account, method: str, requestid: str | None, before: Rows,
        after: Rows, echo: bool, posted: Posted | None,
    ) -> None:  # fmt: skip
        self.judged += 1
        watch.mutations += 1
        policy = watch.wishes.policies[remote]
        if policy.mode == "read-only" or policy.dropped:
            raise Violation(0, f"{method} at {remote}, which is to be read only or is not configured any more")
        origins = {seq: account.origins[seq] for seq in before if seq in account.origins}
        self.others_changed(account, watch.name, echo=echo)
        if echo:
            return  # the network's doing
        for seq, row in before.items():
            if seq not in after:
                self._gone(watch, remote, account, row, origins[seq], requestid, before, after, origins)
            elif changed(row, after[seq]):
                self._written_over(watch, remote, row, origins[seq])
        if posted is not None:
            self._again(watch, remote, account, posted)
        if method == "POST" and after.keys() == before.keys():
            for row in after.values():
                origin = account.origins[row.seq]
                fresh = account.resets or account.time() - origin.at < WINK
                if origin.owner != watch.name and fresh and not watch.shown(remote, row.requestid):
                    origin.unsure = watch.name
        for seq, row in after.items():
            if seq not in before:
                account.origins[seq].unclaimed = not account.keeps_meta
                self._made(watch, remote, account, row, before, origins)
        watch.most[remote] = max(watch.most.get(remote, 0), self._ours(watch, remote, account))

    # -- at the end -------------------------------------------------------------------------------------------------

    def unfinished(self, watch: Watch, remote: str, account: Account, *, forgetful: bool, jumped: bool) -> str | None:
        """What is not yet as it should be at a remote after all faults have ended; None when all is.

        `jumped`: its clock did, so that times do not tell whose a record of a CID is.
        `forgetful`: ownership may have been lost for good (a service without meta, and an answer or a ledger that was
        lost): what nobody can know to be ours may stay.
        """
        rows, policy = account.look(), watch.wishes.policies[remote]
        if policy.mode == "read-only" or policy.dropped:
            return None
        by_key: dict[bytes, list[Row]] = {}
        for row in rows.values():
            by_key.setdefault(row.key, []).append(row)
        for key, name in watch.wishes.wanted(remote).items():
            alike = by_key.get(key, [])
            ours = [row for row in alike if watch.owns(remote, row.seq, account.origins[row.seq])]
            # Another's record of the CID is not written over, and a service may not try a failed one again.
            untouchable = not account.requeues or (account.id_is_cid and (jumped or not ours))
            failed = bool(alike) and untouchable and all(row.status == "failed" for row in alike)
            # Another mirror's person took the pin over and it is gone; a new one may stay queued for ever (at Helia).
            taken = any(row.status == "queued" for row in alike) and any(
                other.adopted for other in self.watches.values() if other is not watch
            )
            if not failed and not taken and not any(row.status == "pinned" for row in alike):
                said = ", ".join(f"{row.requestid} {row.status}" for row in alike) or "nothing"
                return f"{remote}: {key.hex()[-8:]} ({name}) is wanted and not pinned: {said}"
            if account.wobbles:  # what a person had adopted was out of sight, and may be another's since
                ours = [row for row in ours if (remote, row.seq) not in watch.adopted]
            # Else they could not be told apart safely, or are records of two spellings.
            apart = len(ours) == len(alike) and not account.deletes_all and not account.id_is_cid
            if len(ours) > 1 and not forgetful and apart:
                return f"{remote}: {len(ours)} pins of ours of {key.hex()[-8:]} ({name}) remain"
        if policy.mode != "mirror" or policy.removals == "never" or forgetful:
            return None
        for row in rows.values():
            mine = watch.owns(remote, row.seq, account.origins[row.seq])
            alone = len(by_key[row.key]) == 1
            if mine and row.key not in watch.wanted[remote] and not self._may_stay(watch, remote, account, row, alone):
                return f"{remote}: {row.requestid} is ours and unwanted and remains"
        return None

    def _may_stay(self, watch: Watch, remote: str, account: Account, row: Row, alone: bool) -> bool:
        """Whether an unwanted pin of ours is one whose removal nobody could answer for."""
        if account.deletes_all and not alone:  # another's of the same CID would go with it
            return True
        if account.wobbles and (remote, row.seq) in watch.adopted:
            return True
        if any((remote, row.seq) in other.adopted for other in self.watches.values() if other is not watch):
            return True
        # Where the CID is the id and no mark is kept, what was out of sight may be another's since.
        if account.id_is_cid and not account.keeps_meta and account.wobbles:
            return True
        # With the other mirror's record out of sight, ours was written over it: then neither takes it for its own.
        if account.id_is_cid and account.lies and len(self.watches) > 1:
            return True
        elsewhere = watch.wishes.routed(row.key)
        return bool(elsewhere) and not self._pinned(watch, elsewhere, row.key)

    def _pinned(self, watch: Watch, remotes: tuple[str, ...], key: bytes) -> bool:
        rows = (row for name in remotes for row in watch.accounts[name].look().values())
        return any(row.key == key and row.status == "pinned" for row in rows)
