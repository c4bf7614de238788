"""The judgement over each request that changes something (see `oracle`)."""

from __future__ import annotations

from .records import Account, Origin, Violation, Watch, accepted, concerns
from .truth import Row, Rows

DAY = 86400.0
SHARE_FLOOR = 5  # "The share never holds five removals or fewer"
AGAIN = 55.0  # seconds in which the same is not asked for twice: the first pause after a failure is a minute
LOOK = 30.0  # seconds from a look to the request that it leads to
Posted = tuple[bytes, str | None]


class Judge:
    """What may be written over, made and removed. `stamp` counts everything that happens."""

    stamp = 0

    def _foreign(self, watch: Watch, remote: str, seq: int, origin: Origin) -> bool:
        return not watch.owns(remote, seq, origin) and origin.unsure != watch.name

    def _written_over(self, watch: Watch, remote: str, row: Row, origin: Origin) -> None:
        # One that came after the last look at it cannot be known.
        if self._foreign(watch, remote, row.seq, origin) and watch.shown(remote, row.requestid):
            raise Violation(1, f"{remote}: {row.requestid} of {origin.owner} was written over by {watch.name}")

    def _made(
        self, watch: Watch, remote: str, account: Account, row: Row, before: Rows, origins: dict[int, Origin]
    ) -> None:
        same = [one for one in before.values() if one.key == row.key and one.live and not origins[one.seq].echo]
        mine = [one for one in same if watch.owns(remote, one.seq, origins[one.seq])]
        if any(not origins[one.seq].unclaimed for one in mine):  # an update beside one that nobody can know to be ours
            mine = [one for one in mine if not origins[one.seq].unclaimed]
        # One that had failed, and came to life after the last look, is made anew with reason.
        mine = [one for one in mine if self._could_see(watch, remote, account, origins[one.seq])]
        if account.blind or (account.lies and watch.forgot):
            young = account.time() - account.lag - LOOK if account.lag else account.time()  # shown in the last wink
            mine = [one for one in mine if watch.shown(remote, one.requestid) and origins[one.seq].at <= young]
        if any(one.name == row.name for one in mine):
            raise Violation(5, f"{remote}: {row.requestid} was made beside {mine[0].requestid}, which holds the same")
        if len(mine) > 1:
            raise Violation(5, f"{remote}: a third pin of ours of the same content, {row.requestid}, was made")

    def _again(self, watch: Watch, remote: str, account: Account, posted: Posted) -> None:
        """The same was asked for a moment ago, and answered; nothing that others did since can be the reason."""
        asked, now = watch.asked.get((remote, posted[0])), account.time()
        watch.asking[remote, posted[0]] = (now, posted[1], self.stamp)
        if asked is None or account.deletes_all or account.blind or now - asked[0] > AGAIN or asked[1] != posted[1]:
            return
        if account.stirred < asked[2] and not watch.forgot and (account.keeps_meta or not account.lies):
            raise Violation(6, f"{remote}: {posted[0].hex()[-8:]} was asked for again after {now - asked[0]:.0f} s")

    def _gone(
        self, watch: Watch, remote: str, account: Account, row: Row, origin: Origin, requestid: str | None,
        before: Rows, after: Rows, origins: dict[int, Origin],
    ) -> None:  # fmt: skip
        along = row.requestid != requestid
        if self._foreign(watch, remote, row.seq, origin):
            told = any(one[:2] == (remote, requestid) for one in watch.approved)
            if along and (told or not watch.shown(remote, row.requestid)):
                return  # a person knew the risk; or it came after the last look
            raise Violation(1, f"{remote}: {row.requestid} of {origin.owner} was removed by {watch.name}")
        if along:
            return  # judged with the row that was asked for
        alike = {seq: one for seq, one in before.items() if one.key == row.key}
        # rb-pinning-service removes both pins of a pair; which it shows only once, and is then put right.
        left = [one for seq, one in alike.items() if seq in after or (account.deletes_all and seq != row.seq)]
        if row.requestid not in watch.got.get(remote, ()):
            raise Violation(3, f"{remote}: {row.requestid} was deleted without a look at it")
        since = watch.wanted[remote].get(row.key)
        if since is None and watch.left.get((remote, row.key), 0) > watch.began:
            # It was wanted when this pass began, and may be a superseded one; or this pass has seen that it is not.
            if not any(one.status == "pinned" for one in left):
                self._removal(watch, remote, account, row, before, origins)
        elif since is None and any(
            watch.owns(remote, one.seq, origins[one.seq]) and one.status == "pinned" for one in left
        ):
            return  # one of two of ours, by a manifest that is doubted: the content stays
        elif since is None:
            self._removal(watch, remote, account, row, before, origins)
        elif max(since, account.stirred) < self._last_chance(watch, remote):
            if any(one.live for one in alike.values()) and not any(one.live for one in left):
                raise Violation(2, f"{remote}: {row.requestid} was deleted, and with it the last pin of what is wanted")
            if not any(one.status == "pinned" for one in left):
                raise Violation(2, f"{remote}: {row.requestid} was deleted before its successor was pinned")

    def _could_see(self, watch: Watch, remote: str, account: Account, origin: Origin) -> bool:
        return origin.turned < self._last_chance(watch, remote) and origin.told < account.time() - LOOK

    def _last_chance(self, watch: Watch, remote: str) -> int:
        """What was so before this stamp could be known to whoever sends a DELETE now.

        With one request at a time the sources are asked after the last request about something else was answered; with
        more, all that is certain is the beginning of the pass.
        """
        return watch.previous.get(remote, ("", 0))[1] if watch.serial else watch.began

    def _removal(
        self, watch: Watch, remote: str, account: Account, row: Row, before: Rows, origins: dict[int, Origin]
    ) -> None:
        policy = watch.wishes.policies[remote]
        what = f"{remote}: {row.requestid} was removed by {watch.name}"
        word = watch.approved.get((remote, row.requestid, row.key))
        if policy.mode != "mirror" or policy.removals == "never":
            raise Violation(4, f"{what}, where nothing is to be removed")
        for label in sorted(watch.doubts):
            about = word is not None and word[0].startswith(label)
            if concerns(label, policy.nodes) and not about and not accepted(watch, label, remote):
                raise Violation(3, f"{what}, though a source was in doubt all through the pass: {label}")
        seen = watch.listed.get(remote, set())
        unseen = [one for one in before.values() if origins[one.seq].since < watch.began and one.requestid not in seen]
        if unseen and not account.lies:
            raise Violation(3, f"{what}, though the list did not show {unseen[0].requestid}")
        told = (remote, row.seq) in watch.adopted or row.key in watch.hidden
        held = row.key in watch.wishes.held_by_a_source(configured=watch.forgot)
        if (remote, row.key) in watch.by_config and word is None and held and not told:
            raise Violation(3, f"{what}, which a source has and a change of the configuration left out")
        if policy.removals == "approve" and word is None:
            raise Violation(4, f"{what} without approval")
        elsewhere = watch.wishes.routed(row.key)
        if elsewhere and not any(row.key in watch.accounts[name].contents for name in elsewhere):
            raise Violation(2, f"{what}, though it never was at {' or '.join(elsewhere)}, where it is to be instead")
        begun = watch.unwanted_seen.get((remote, row.key))
        if policy.grace and not (word and word[1]) and (begun is None or watch.now() - begun < policy.grace - 1.0):
            raise Violation(4, f"{what} before its grace was over")
        if word is None:
            self._limits(watch, remote, what)

    def _limits(self, watch: Watch, remote: str, what: str) -> None:
        policy, now = watch.wishes.policies[remote], watch.now()
        # A minute less than a day, since the ledger notes a removal a little later than it happens.
        today = [at for at in watch.removed.get(remote, ()) if at > now - DAY + 60.0]
        watch.removed[remote] = [*today, now]
        total = len(today) + 1
        if total > policy.max_removals:
            raise Violation(4, f"{what}: the {total}th in a day, more than {policy.max_removals}")
        there = watch.most[remote] + len(today)
        if total > SHARE_FLOOR and 100.0 * total > policy.share * there:
            raise Violation(4, f"{what}: the {total}th of {there} in a day, more than {policy.share} %")

    def _ours(self, watch: Watch, remote: str, account: Account) -> int:
        return sum(watch.owns(remote, seq, origin) for seq, origin in account.origins.items())
