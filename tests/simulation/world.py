"""The world of a history: mirrors, nodes, remotes and people, and everything that can be done to them by name.

An action is a list: its name and numbers. Numbers are taken modulo what there is, so that an action keeps its meaning
when others before it are dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pinsync.cid import parse_cid
from pinsync.emulator.behaviour import Behaviour
from pinsync.emulator.profiles import profile
from pinsync.errors import PinsyncError
from pinsync.ledger.ledger import mirror_ids
from pinsync.model import PinStatus
from pinsync.people import adopt, approve

from .at_remotes import AtRemotes
from .at_sources import AtSources
from .loop import SimClock, SimulatedLoop
from .mirror import SimMirror
from .oracle import Oracle
from .records import OTHERS
from .service import SimRemote
from .truth import ManifestTruth, NodeTruth, Policy, Wishes

_SLOW = (
    "closed", "full", "refuses", "fails", "mass-fail", "status", "knob", "jump", "restore", "lose-ledger", "account",
    "list-garbles", "away", "cut", "invalid", "missing", "id", "drop-remote", "foreign-add",
)  # fmt: skip
"""Actions after which it may take until a next try, a day at most, or until a person's word."""
_QUIET = ("later",)  # actions that change nothing


class World(AtSources, AtRemotes):
    """A world by its description (see `script`). `directory` must not exist."""

    def __init__(
        self, spec: dict[str, Any], directory: Path, loop: SimulatedLoop, tell: Callable[[str], None] | None = None
    ) -> None:
        self.tell = tell
        self.spec = spec
        self.loop = loop
        self.clock = SimClock(loop)
        self.oracle = Oracle()
        self.done: Counter[str] = Counter()  # actions by name
        self.remotes = {
            one["name"]: SimRemote(one["name"], _behaviour(one), self.clock, spec["salt"], dated=one.get("dated", True))
            for one in spec["remotes"]
        }
        self.mirrors: list[SimMirror] = []
        for number, one in enumerate(spec["mirrors"]):
            nodes = [
                NodeTruth(f"n{at}", mirror=one["mirror"], peer=f"12D3KooWNode{number}{at}")
                for at in range(one["nodes"])
            ]
            policies = {policy["name"]: Policy(**policy) for policy in one["policies"]}
            wishes = Wishes(nodes, ManifestTruth(configured=one["manifest"], include=one["include"]), policies)
            directory_of = directory / f"m{number}"
            mirror = SimMirror(f"m{number}", directory_of, loop, self.oracle, wishes, self.remotes, one, self.act)
            mirror.tell, mirror.undisturbed = tell, self.undisturbed
            self.mirrors.append(mirror)
            self._write(mirror)
        self._actions: dict[str, Callable[..., None]] = {
            name.removeprefix("do_").replace("_", "-"): getattr(self, name) for name in dir(self) if name[:3] == "do_"
        }

    def act(self, action: list[Any]) -> None:
        """Do what an action says."""
        name, *numbers = action
        self.done[name] += 1
        for remote in self.remotes.values() if name not in _QUIET else ():
            for account in remote.accounts:
                account.stirred = self.oracle.tick()
        if self.tell:
            self.tell(f"  {name} {' '.join(map(str, numbers))}")
        self._actions[name](*numbers)

    def close(self) -> None:
        for mirror in self.mirrors:
            mirror.stop()

    # -- time, people, configuration, disk --------------------------------------------------------------------------

    def do_later(self, seconds: float) -> None:
        self.loop.mono += seconds

    def do_jump(self, m: int, seconds: float) -> None:
        self._mirror(m).clock.ahead += seconds
        self._mirror(m).jumped = True

    def do_approve(self, m: int, r: int) -> None:
        """`r` −1: at all remotes."""
        self._approve(self._mirror(m), None if r < 0 else self._remote(r).name, [], False)

    def do_approve_now(self, m: int, r: int, c: int) -> None:
        cid = parse_cid(self._cid(c))
        self._approve(self._mirror(m), self._remote(r).name, [cid], True)

    def _approve(self, mirror: SimMirror, remote: str | None, cids: list[Any], now_too: bool) -> int:
        state = mirror.start()
        try:
            released = approve(state.ledger, remote, cids, now_too=now_too, at=mirror.clock.now(), by="somebody")
        except PinsyncError:
            return 0
        for one in released.pins:
            if one.kind == "remove":
                mirror.watch.approved[one.remote, one.requestid, one.key[1:]] = (one.code, now_too)
        mirror.watch.accepted.update((code, remote or "") for code, _ in released.doubts)
        dropped = {name for name, policy in mirror.wishes.policies.items() if policy.dropped}
        return sum(one.remote not in dropped for one in released.pins) + len(released.doubts)

    def release(self, mirror: SimMirror) -> int:
        """A person releases all that is held; how much that was."""
        return self._approve(mirror, None, [], False)

    def do_adopt(self, m: int, r: int, c: int) -> None:
        """`c` −1: all that is wanted."""
        mirror, remote = self._mirror(m), self._remote(r)
        if mirror.wishes.policies[remote.name].dropped:
            return
        state = mirror.start()
        settings = next(one for one in mirror.settings().remotes if one.name == remote.name)
        ids = mirror_ids(state.mirror_id, state.ledger)
        cids = [] if c < 0 else [parse_cid(self._cid(c))]

        async def work() -> None:
            async with mirror.client(settings, state.ledger.remote(remote.name)) as client:
                taken = await adopt(state.ledger, client, ids, cids, mirror.clock)
                given = {pin.requestid for pin in taken.pins}
                mirror.watch.adopted |= {
                    (remote.name, row.seq) for row in remote.emulator.store if row.requestid in given
                }

        mirror.requests = 0
        with suppress(PinsyncError):
            self.loop.carry(work(), lambda: False)

    def _configured(self, mirror: SimMirror) -> None:
        if mirror.wishes.readable:
            mirror.wishes.manifest.last_good = mirror.wishes.manifest.written()
        self.oracle.changed(mirror.watch, config=True, source="config")

    def do_takes_nodes(self, m: int, r: int) -> None:
        mirror, name = self._mirror(m), self._remote(r).name
        policy = mirror.wishes.policies[name]
        policy.nodes = not policy.nodes
        self._configured(mirror)

    def do_mode(self, m: int, r: int, mode: int) -> None:
        mirror, name = self._mirror(m), self._remote(r).name
        mirror.wishes.policies[name].mode = ("mirror", "add-only", "mirror", "read-only")[mode % 4]
        self._configured(mirror)

    def do_removals(self, m: int, r: int, kind: int) -> None:
        mirror, name = self._mirror(m), self._remote(r).name
        mirror.wishes.policies[name].removals = ("auto", "approve", "auto", "never")[kind % 4]
        self._configured(mirror)

    def do_grace(self, m: int, r: int, seconds: float) -> None:
        mirror, name = self._mirror(m), self._remote(r).name
        mirror.wishes.policies[name].grace = seconds
        self._configured(mirror)

    def do_skip(self, m: int, n: int) -> None:
        mirror, node = self._node(m, n)
        node.skip = () if node.skip else ("tmp-*",)
        self._configured(mirror)

    def do_mirrors_node(self, m: int, n: int) -> None:
        mirror, node = self._node(m, n)
        node.mirror = not node.mirror
        self._configured(mirror)

    def do_drop_remote(self, m: int, r: int) -> None:
        mirror, name = self._mirror(m), self._remote(r).name
        mirror.wishes.policies[name].dropped = not mirror.wishes.policies[name].dropped
        self._configured(mirror)

    def do_id(self, m: int, number: int) -> None:
        mirror = self._mirror(m)
        mirror.stop()
        mirror.id = None if number % 3 == 0 else f"named-{number % 3}-{m % len(self.mirrors)}"
        self.oracle.tick()

    def do_restart(self, m: int) -> None:
        self._mirror(m).stop()

    def do_backup(self, m: int) -> None:
        self._mirror(m).backup()

    def do_restore(self, m: int) -> None:
        self._mirror(m).restore()

    def do_lose_ledger(self, m: int, what: int) -> None:
        self._mirror(m).lose(memory_too=what % 5 == 3, id_too=what % 5 == 4)

    # -- the end of all trouble -------------------------------------------------------------------------------------

    def calm(self) -> None:
        """All faults end: what is broken is mended, what is closed opens, what lies is honest."""
        for remote in self.remotes.values():
            self._to_account(remote, 0)
            remote.hide(None)
            remote.lag(0.0)
            remote.garbled = set()
            remote.become(closed="", capacity=None, refuses=(), fails=(), settle=0.0)
            b = remote.emulator.behaviour
            rows = list(remote.emulator.store)
            failed = [row for row in rows if row.status is PinStatus.FAILED]
            requeues = b.repost == "new-row" or b.repost_requeues_failed
            mass = len(failed) > 3 and 2 * len(failed) > len(rows)
            lost = any(mirror.lost_ledger for mirror in self.mirrors)
            for row in rows:
                foreign = b.requestid == "cid" and (lost or remote.account.origins[row.seq].owner == OTHERS)
                if row in failed and requeues and not mass and not foreign:
                    continue
                stuck = b.repost_stuck and row.status is PinStatus.QUEUED and row.settles_at is None
                alike = [one for one in rows if one.cid == row.cid and one.status is PinStatus.PINNED]
                if not (stuck and alike):
                    remote.emulator.set_status(row.requestid, PinStatus.PINNED)
        for mirror in self.mirrors:
            for node in mirror.wishes.nodes:
                node.away, node.cut, node.silent, node.hidden = False, None, None, set()
            if mirror.wishes.manifest.configured:
                self._edited(mirror)
                for policy in mirror.wishes.policies.values():
                    policy.dropped = policy.dropped and mirror.wishes.readable
                self._edited(mirror)
            self.oracle.changed(mirror.watch, source="all")

    def undisturbed(self) -> bool:
        """Whether nothing was done that could keep a remote from taking pins, or anyone from seeing them."""
        return not any(self.done[name] for name in _SLOW)


def _behaviour(one: dict[str, Any]) -> Behaviour:
    return profile(one["profile"], **one["knobs"])
