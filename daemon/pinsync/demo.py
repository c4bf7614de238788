"""`pinsync demo`: a mirror at work in a few seconds, with nothing of the visitor's changed.

Everything happens in a temporary directory, against an emulated NFT.Storage, by the code that `pinsync sync`, `plan`
and `status` run. The visitor's own Kubo, when one answers, is asked for its pins once; what is then mirrored is a
stand-in that holds the first fifty of them, so that the demo can unpin one.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pinsync.cid import text_of
from pinsync.cli.progress import Meter, meter
from pinsync.cli.render_plan import PlanView, plan_lines
from pinsync.cli.render_status import status_lines
from pinsync.cli.render_sync import sync_lines
from pinsync.cli.text import Line, counted, line
from pinsync.cli.ui import Ui, write
from pinsync.clock import SystemClock
from pinsync.emulator.kubo import KuboStandIn
from pinsync.emulator.profiles import profile
from pinsync.emulator.server import EmulatorServer
from pinsync.errors import NodeError, PinsyncError
from pinsync.house import House, mirror_id, reading, run_pass, run_plan, writing
from pinsync.settings.load import load
from pinsync.settings.model import Settings
from pinsync.sources.kubo import KuboClient, PinRow
from pinsync.sources.kubo_api import ApiAddress, resolve_api
from pinsync.status import status
from pinsync.steps.report import PassReport, plan_json, sync_json

MOST = 50  # pins of the visitor's own node
LISTED = 60  # made-up CIDs in the text list: enough for a first mirror that can be watched
LATENCY = 0.1  # seconds that the emulated service takes for an answer
SETTLE = 0.8  # seconds until it has a pin
PAUSE = 0.9  # seconds for reading, between two scenes, on a terminal
TOKEN = "demo"  # noqa: S105 - of the emulator
ASKING = 2.0  # seconds that the visitor's node has to answer in
_NAMES = ("website", "docs v3", "papers", "photos 2026", "dataset a", "dataset b", "release 1.0", "release 1.1",
          "nft collection", "backup", "podcast", "maps")  # fmt: skip

CONFIG = """\
[kubo]
api = "{kubo}"

[safety]
grace = "7d"

[[remote]]
name = "nftstorage"
endpoint = "{endpoint}"
"""

MANIFEST = """\
include = ["archive.txt"]

[[pin]]
cid = "{first}"
name = "front page"

[[pin]]
cid = "{second}"
name = "handbook"
meta = {{ team = "web" }}
"""


class _EnoughError(Exception):
    """More pins than the demo wants were read."""


def demo(ui: Ui) -> int:
    """`pinsync demo`; exit code 0, within 20 s. With `--json` the story goes to standard error."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pinsync-demo-")))
        story = _Story(ui, home)
        pins, said = visitors_pins(os.environ)
        node = stack.enter_context(KuboStandIn(pins))
        behaviour = profile("nft.storage", latency=LATENCY, settle=SETTLE, list_lag=0.1)
        remote = stack.enter_context(EmulatorServer(behaviour, token=TOKEN))
        found = story.tell(node, remote, said)
    story.say("", ("That was all, and nothing of it is left. To mirror a node of yours:", "bold yellow"), *_GOING_ON)
    if ui.json:
        ui.emit(found)
    return 0


_GOING_ON = (
    "  1. copy config.example.toml to ~/.config/pinsync/config.toml; name your service in [[remote]]",
    "  2. export PINSYNC_TOKEN_NFTSTORAGE=…           its API token (or a file: token_file)",
    "  3. pinsync check, then pinsync plan            what it would do; changes nothing",
    "  4. pinsync sync once, or pinsync run for ever  pinsync service install has systemd run it",
)


@dataclass(slots=True)
class _Story:
    """The scenes, and what their telling needs."""

    ui: Ui
    home: Path
    env: dict[str, str] = field(default_factory=dict)

    def tell(self, node: KuboStandIn, remote: EmulatorServer, whose: str) -> dict[str, Any]:
        """Every scene; returns what `--json` shows of them."""
        self.env = {"HOME": str(self.home), "PINSYNC_TOKEN_NFTSTORAGE": TOKEN}
        archive = [made_up(f"archive {number}") for number in range(LISTED)]
        self.scene("What is there")
        self.say(whose, f"A service that behaves as NFT.Storage does: {remote.url} (embedded, holds no content).")
        self.write("config.toml", CONFIG.format(kubo=node.url, endpoint=f"{remote.url}/pins"))
        self.write("archive.txt", "".join(f"{cid} archive {place}\n" for place, cid in enumerate(archive)))
        manifest = MANIFEST.format(first=made_up("front page"), second=made_up("handbook"))
        self.write("pins.toml", manifest)
        self.say(f"And a manifest, pins.toml, which includes a list of {LISTED} CIDs:", "")
        self.show([line(("  " + text, "cyan")) for text in manifest.splitlines()])

        self.scene("The first mirror", "pinsync sync")
        first, seconds = self.sync()
        added = first["remotes"][0]["added"]
        self.say(f"{counted(added, 'pin')} in {seconds:.1f} s, eight requests at a time.")

        self.scene("An edit: one name changes, one entry is new; and the node unpins something")
        gone = next(iter(node.pins))
        name = node.pins.pop(gone)
        edited = manifest.replace('"handbook"', '"handbook, second edition"')
        self.write("pins.toml", f'{edited}\n[[pin]]\ncid = "{made_up("news")}"\nname = "news"\n')
        self.say('pins.toml: "handbook" → "handbook, second edition"; new: "news"', f"node: unpinned {name or gone}")

        self.scene("What that changes", "pinsync plan")
        plan = self.plan()

        self.scene("Doing it", "pinsync sync")
        second, _ = self.sync()
        self.say(
            "The removal is held back: for 7 days (safety.grace) the pin stays where it is, in case it was a slip."
        )

        self.scene("Where things stand", "pinsync status")
        self.settle(remote)
        last = self.status()
        return {"first": first, "plan": plan, "second": second, "status": last}

    # -- the commands, as the command line runs them ------------------------------------------------------------------

    def settings(self) -> Settings:
        return load(self.home / "config.toml", env=self.env)

    def sync(self, *, quietly: bool = False) -> tuple[dict[str, Any], float]:
        settings = self.settings()
        house = House(settings, self.env)
        house.unlock()
        busy: Meter = Meter() if quietly else meter(self.ui, patience=0.0)
        with writing(settings, "demo") as state, busy:
            world = house.world(state.mirror_id, busy.reading, busy.applying)
            report: PassReport = asyncio.run(run_pass(world, state, trigger="demo"))
        found: dict[str, Any] = sync_json(report)
        if found["errors"]:
            raise PinsyncError(f"the demo went wrong: {found['errors'][0]['message']}")
        if not quietly:
            self.show(list(sync_lines(found, report.exit_code(), width=self.ui.width)))
        return found, report.seconds

    def plan(self) -> dict[str, Any]:
        settings = self.settings()
        house = House(settings, self.env)
        house.unlock()
        kept: list[dict[str, Any]] = []

        def use(report: PassReport) -> None:
            kept.append(plan_json(report))

        with reading(settings) as ledger:
            asyncio.run(run_plan(house.world(mirror_id(settings, None)), ledger, use=use))
        views = [PlanView.of_json(one) for one in kept[0]["remotes"]]
        self.show(list(plan_lines(views, False, width=self.ui.width, verbose=False)))
        return kept[0]

    def status(self) -> dict[str, Any]:
        settings = self.settings()
        with reading(settings) as ledger:
            found = status(ledger, settings, time.time(), {"running": False})
        self.show(list(status_lines(found, width=self.ui.width, now=time.time(), verbose=False)))
        return found

    def settle(self, remote: EmulatorServer) -> None:
        """The service takes a moment to fetch what it was told; a pass afterwards sees it pinned."""
        deadline = time.monotonic() + 3 * SETTLE
        while time.monotonic() < deadline and any(pin.status != "pinned" for pin in remote.emulator.pins()):
            time.sleep(0.05)
        time.sleep(0.15)  # until its lists say so too
        self.sync(quietly=True)

    # -- telling ------------------------------------------------------------------------------------------------------

    def scene(self, title: str, command: str = "") -> None:
        if self.paced:
            time.sleep(PAUSE)
        self.say("", (f"── {title}", "bold yellow"), *([(f"$ {command}", "bold")] if command else []))

    def say(self, *texts: str | tuple[str, str]) -> None:
        self.show([line(text) for text in texts])

    def show(self, lines: Sequence[Line]) -> None:
        write(sys.stderr if self.ui.json else sys.stdout, lines)
        sys.stdout.flush()

    @property
    def paced(self) -> bool:
        """Somebody watches."""
        return sys.stdout.isatty() and not self.ui.json

    def write(self, name: str, text: str) -> None:
        (self.home / name).write_text(text, encoding="utf-8")


def made_up(what: str) -> str:
    """A CID of content that is nowhere: a raw block, by the hash of its description."""
    return text_of(b"\x01\x55\x12\x20" + hashlib.sha256(f"pinsync demo: {what}".encode()).digest())


def visitors_pins(env: os._Environ[str] | dict[str, str]) -> tuple[dict[str, str], str]:
    """CID → name of at most 50 pins of the visitor's own node, read once, or of a made-up one; and which, in words."""
    made = {made_up(name): name for name in _NAMES}
    try:
        address = resolve_api("auto", env)
        pins, more = asyncio.run(_read(address))
    except (NodeError, TimeoutError):
        return made, f"No Kubo node answers here, so an embedded stand-in takes its place, with {len(made)} pins."
    if not pins:
        return made, (
            f"Your Kubo node at {address} has no pins yet, so an embedded stand-in takes its place, with {len(made)}."
        )
    some = f"the first {len(pins)} of its pins" if more else f"its {counted(len(pins), 'pin')}"
    return pins, f"Your Kubo node at {address}: {some}, read once. Nothing on it is changed."


async def _read(address: ApiAddress) -> tuple[dict[str, str], bool]:
    found: dict[str, str] = {}

    def keep(batch: Sequence[PinRow]) -> None:
        for _, cid, name in batch:
            if len(found) == MOST:
                raise _EnoughError
            found[cid] = name or ""

    async with (
        asyncio.timeout(ASKING),
        KuboClient("kubo", address, timeout=ASKING / 2, retry_for=0, clock=SystemClock()) as client,
    ):
        try:
            await client.read_pins(keep)
        except _EnoughError:
            return found, True
    return found, False
