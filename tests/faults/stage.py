"""A whole mirror of real processes: a Kubo node, a pinning service, `pinsync`; and the verdict on what came of it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from pinsync.cid import key_of
from pinsync.model import MARK
from tests.faults.service import ROOT, TOKEN, Service
from tests.mirror import cid as made_up
from tests.real.child import Child
from tests.real.kubo import KuboNode

PATIENCE = 90.0  # seconds; far more than anything takes, on a busy machine too
PASSES = 25  # in which everything must have settled once faults have ended
FOREIGN: list[dict[str, Any]] = [
    {"cid": made_up(f"foreign {n}"), "name": f"theirs {n}", "meta": None} for n in range(20)
]
FOREIGN += [{"cid": made_up(f"other {n}"), "name": None, "meta": {MARK: "another-mirror"}} for n in range(10)]


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has ended. `json` is None where it printed none."""

    code: int
    out: str
    err: str
    json: dict[str, Any] | None


class Stage:
    """A mirror in `directory` of one node to one service; everything is set to be removed at once and without limits.

    `wanted` is what is pinned (CID to name, "" for none), `blocks` the CIDs that the node has. Where one was ever
    unpinned it is in `loose`, and in `renamed` where it was given another name. `shared`: another mirror may have put
    a pin of the same CID beside ours.
    """

    def __init__(
        self, directory: Path, node: KuboNode, service: Service, *, state: Path | None = None, safety: str = "",
        remote: str = 'timeout = "5s"\nretry_for = "2s"', every: str = "15m", clock: Path | None = None,
        mirror_id: str = "", api: str = "",
    ) -> None:  # fmt: skip
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.node, self.service = directory, node, service
        self.state = (state or directory / "state") / "pinsync.db"
        self.config = directory / "config.toml"
        self.pins_file = directory / "pins.toml"
        self.log = directory / "pinsync.log"
        self.wanted: dict[str, str] = {}
        self.blocks: set[str] = set()
        self.loose: set[str] = set()
        self.renamed: set[str] = set()
        self.foreign: list[dict[str, Any]] = []
        self.mirror_id = mirror_id
        self.shared = False
        self.requests_before = service.counts()["requests"]
        safety = safety or 'grace = "0s"\nmax_removals = 1000000\nmax_removal_share = 100'
        self.config.write_text(
            f'[mirror]\nid = "{mirror_id}"\n[kubo]\napi = "{api or node.api_url}"\ntimeout = "5s"\nretry_for = "1s"\n'
            f'[manifest]\npath = "pins.toml"\n[state]\npath = "{self.state}"\n[schedule]\nevery = "{every}"\n'
            f'[safety]\n{safety}\n[[remote]]\nname = "there"\nendpoint = "{service.url}"\nrate = ""\n{remote}\n'
        )
        self.pins_file.write_text("")
        paths = [str(ROOT / "daemon")]
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(directory), "PYTHONUNBUFFERED": "1", "PINSYNC_TOKEN_THERE": TOKEN,
        }  # fmt: skip
        if clock is not None:
            paths.insert(0, str(ROOT / "tests/faults/shift"))
            self.env["PINSYNC_TEST_CLOCK"] = str(clock)
        self.env["PYTHONPATH"] = os.pathsep.join(paths)

    # -- what people do ---------------------------------------------------------------------------------------------

    def fill(self, count: int, *, foreign_too: int = 0, named: int = 0, prefix: str = "pin") -> list[str]:
        """Pin `count` blocks at the node, the first `named` with names; seed foreign pins at the service.

        Of the wanted CIDs the last `foreign_too` are at the service already, as somebody else's.
        """
        cids = self.node.add_pins(count, prefix=prefix, names=[f"name {n}" for n in range(named)])
        self.blocks.update(cids)
        for n, cid in enumerate(cids):
            self.wanted[cid] = f"name {n}" if n < named else ""
        theirs = [{"cid": cid, "name": "theirs before", "meta": None} for cid in cids[count - foreign_too :]]
        self.service.seed(FOREIGN + theirs)
        self.foreign = self.service.pins()
        return cids

    def unpin(self, cids: Iterable[str]) -> None:
        gone = list(cids)
        if gone:
            self.node.rpc("pin/rm", *gone)
        # One that had a name may come back without one while its old pin is still there: that is an update too.
        self.renamed.update(cid for cid in gone if self.wanted.pop(cid))
        self.loose.update(gone)

    def pin(self, cids: Iterable[str]) -> None:
        """Pin blocks that the node has, without names."""
        again = list(cids)
        if again:
            self.node.rpc("pin/add", *again)
        self.wanted.update(dict.fromkeys(again, ""))

    def rename(self, names: Mapping[str, str]) -> None:
        for cid, name in names.items():
            self.node.pin(cid, name)
        self.wanted.update(names)
        self.renamed.update(names)

    def churn(self, random: Random, *, unpin: int, pin: int, rename: int) -> None:
        """Some pins go, some that went come back, some are renamed; those of foreign pins are left alone."""
        theirs = {pin["cid"] for pin in self.foreign}
        away = sorted(self.blocks & self.loose - self.wanted.keys())
        mine = sorted(self.blocks & self.wanted.keys() - theirs)
        back = random.sample(away, min(pin, len(away)))
        out = random.sample(mine, min(unpin, len(mine)))
        self.pin(back)
        self.unpin(out)
        left = sorted(self.blocks & self.wanted.keys() - theirs)
        self.rename({cid: f"renamed {random.randrange(10**6)}" for cid in random.sample(left, min(rename, len(left)))})

    # -- processes --------------------------------------------------------------------------------------------------

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "pinsync", "--config", str(self.config), *words]

    def start(self, *words: str, **env: str) -> Child:
        """A process in the background, its output in `log`."""
        return Child(self.argv(*words), log=self.log, env={**self.env, **env})

    def run(self, *words: str, exits: Sequence[int] = (0, 3), **env: str) -> Ran:
        """A command to its end."""
        ran = subprocess.run(
            self.argv(*words), env={**self.env, **env}, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        with self.log.open("a") as log:
            log.write(f"--- pinsync {' '.join(words)}: exit {ran.returncode}\n{ran.stderr}")
        assert ran.returncode in exits, f"{words} ended with {ran.returncode}:\n{ran.stdout}\n{ran.stderr}"
        assert "Traceback" not in ran.stderr and "bug in pinsync" not in ran.stderr, ran.stderr
        return Ran(ran.returncode, ran.stdout, ran.stderr, json.loads(ran.stdout) if "--json" in words else None)

    def ready(self, daemon: Child) -> Child:
        """Wait until a daemon answers on its socket."""
        daemon.wait_until(lambda: True if self._answers() else None, timeout=PATIENCE)
        return daemon

    def _answers(self) -> bool:
        from pinsync.service.client import DaemonClient
        from pinsync.settings import load

        return DaemonClient.find(load(self.config, env=self.env), self.env) is not None

    # -- looking ----------------------------------------------------------------------------------------------------

    def passes(self) -> int:
        """How many passes were begun."""
        return int(self.ask_ledger("SELECT count(*) FROM runs")) if self.state.exists() else 0

    def ask_ledger(self, sql: str) -> Any:
        """The first value that a query answers."""
        with closing(sqlite3.connect(f"{self.state.as_uri()}?mode=ro", uri=True, timeout=30)) as db:
            return db.execute(sql).fetchone()[0]

    def requests(self) -> int:
        """How many requests arrived at the service since this stage was made."""
        return self.service.counts()["requests"] - self.requests_before

    def until_requests(self, more: int, *, alive: Child, patience: float = PATIENCE) -> None:
        """Wait until so many more requests have arrived, or `alive` has ended, or `patience` (seconds) has."""
        aim, over = self.requests() + more, time.monotonic() + patience
        while alive.running and self.requests() < aim and time.monotonic() < over:
            time.sleep(0.003)

    def there(self) -> set[str]:
        """The CIDs of all live pins at the service."""
        return {pin["cid"] for pin in self.service.pins() if pin["status"] != "failed"}

    # -- the end ----------------------------------------------------------------------------------------------------

    def settle(self) -> int:
        """Passes until one has nothing to do and everything is in sync; how many there were."""
        last = None
        # With an interval of a second everything would be stale by the time that somebody looks.
        self.config.write_text(self.config.read_text().replace('every = "1s"', 'every = "15m"'))
        for number in range(1, PASSES + 1):
            last = self.run("sync", "--json", exits=(0, 1, 3))
            if last.code == 0 and not _did(last):
                return number
            time.sleep(0.2)  # for the service, which takes its time to pin
        raise AssertionError(f"not settled after {PASSES} passes: {last}")

    def verdict(self, *, once: bool = False) -> list[str]:
        """What is wrong now that everything has settled; nothing, if all is well. `once`: no CID was posted twice."""
        wrong = self._wrong_there()
        with closing(sqlite3.connect(f"{self.state.as_uri()}?mode=ro", uri=True, timeout=30)) as db:
            said = db.execute("PRAGMA integrity_check").fetchone()[0]
            still_open = db.execute("SELECT count(*) FROM journal WHERE state IN ('open', 'unclear')").fetchone()[0]
        if said != "ok":
            wrong.append(f"the ledger's integrity: {said}")
        if still_open:
            wrong.append(f"{still_open} intents are open for ever")
        if lost := self.service.bared() - self.loose:
            wrong.append(f"{len(lost)} wanted pins were deleted at some time, among them {min(lost)}")
        if once and (twice := self.service.twice() - self.renamed):
            wrong.append(f"{len(twice)} were posted though they were there, among them {min(twice)}")
        wrong += self._wrong_status()
        sent = self.service.counts()["mutations"]
        again = self.run("sync", "--json", exits=range(7))
        if self.service.counts()["mutations"] != sent or _did(again):
            wrong.append(f"the next pass is not silent: {again.out}")
        if TOKEN in self.log.read_text():
            wrong.append("the token is in the log")
        return wrong

    def _wrong_there(self) -> list[str]:
        pins = self.service.pins()
        theirs = {pin["requestid"]: pin for pin in self.foreign}
        of_others = {pin["cid"] for pin in self.foreign}
        wrong = []
        now = {pin["requestid"]: pin for pin in pins}
        if harmed := [pin for id_, pin in theirs.items() if now.get(id_) != pin]:
            became = now.get(harmed[0]["requestid"])
            wrong.append(f"{len(harmed)} foreign pins were harmed, among them {harmed[0]}: {became}")
        live: dict[str, list[dict[str, Any]]] = {}
        for pin in pins:
            live.setdefault(pin["cid"], []).append(pin)
        for cid, name in self.wanted.items():
            all_of_it = live.get(cid, [])
            mine = [pin for pin in all_of_it if pin["requestid"] not in theirs]
            if len(mine) > 1 or not all_of_it or (len(all_of_it) > 1 and not self.shared):
                wrong.append(f"{cid} is there {len(all_of_it)} times")
            elif mine and ((mine[0]["name"] or "") != name or mine[0]["status"] != "pinned"):
                wrong.append(f"{cid} should be {name!r}, is {mine[0]}")
        if left := live.keys() - self.wanted.keys() - of_others:
            wrong.append(f"{len(left)} that nobody wants are left, among them {min(left)}")
        return wrong[:10]

    def _wrong_status(self) -> list[str]:
        said = self.run("status", "--json", exits=range(7)).json
        assert said is not None
        remote = said["remotes"][0]
        keys = ("wanted", "pinned", "foreign", "missing", "failed", "refused", "waiting_removal", "held")
        found = {key: remote[key] for key in keys} | {"verdict": said["verdict"]}
        wanted = len({key_of(cid) for cid in self.wanted})
        true: dict[str, Any] = dict.fromkeys(keys, 0)
        true |= {"wanted": wanted, "pinned": wanted, "foreign": len(self.foreign), "verdict": "in-sync"}
        return [] if found == true else [f"status says {found}, true is {true}"]


def _did(ran: Ran) -> bool:
    assert ran.json is not None
    kinds = ("added", "updated", "removed", "retried", "refused", "waiting", "held")
    return any(remote[kind] for remote in ran.json["remotes"] for kind in kinds)


def wait_until(ready: Callable[[], object], what: str, *, alive: Child | None = None) -> bool:
    """Wait until `ready` answers something true; False when `alive` has ended before."""
    deadline = time.monotonic() + PATIENCE
    while not ready():
        if alive is not None and not alive.running:
            return False
        assert time.monotonic() < deadline, f"not in {PATIENCE:g} s: {what}"
        time.sleep(0.003)
    return True


def set_clock(path: Path, seconds: float) -> None:
    """Let the clocks that look at `path` be wrong by so much. The file must not be replaced: it is mapped."""
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(struct.pack("d", seconds))


class Mount:
    """A small file system in memory at `path`, as a context manager; only root may make one."""

    def __init__(self, path: Path, kib: int) -> None:
        self.path, self._kib = path, kib

    def __enter__(self) -> Path:
        self.path.mkdir(parents=True)
        _mount("-t", "tmpfs", "-o", f"size={self._kib}k,mode=0750", "pinsync-test", str(self.path))
        return self.path

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "-l", self.path], check=True, capture_output=True)

    def remount(self, options: str) -> None:
        _mount("-o", f"remount,{options}", str(self.path))


def _mount(*words: str) -> None:
    tool = shutil.which("mount")
    done = subprocess.run([tool or "mount", *words], capture_output=True, text=True, check=False) if tool else None
    if done is None or done.returncode:
        said = done.stderr.strip() if done else "there is no `mount`"
        raise AssertionError(f"this test must mount a small file system, which takes root on Linux: {said}")
