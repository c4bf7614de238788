"""What stands in the machine: a pinning service, a real Kubo of another user, three people, and pinsync installed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.systemd.machine import PROJECT, Machine, Ran
from tests.unit.service_kit import cid

T = TypeVar("T")
UNIT = "pinsync.service"
DROPINS = f"/etc/systemd/system/{UNIT}.d"
HOME_UNITS = "/home/alice/.config/systemd/user"
RUN = "/run/pinsync"
STATE = "/var/lib/pinsync"
TOKEN = "first-token-that-nobody-may-see"
SERVICE = "http://127.0.0.1:5055/pins"

CONFIG = f"""[[remote]]
name = "nftstorage"
endpoint = "{SERVICE}"
timeout = "2s"
retry_for = "0s"
TOKEN_FILE
[kubo]
api = "KUBO"
retry_for = "0s"
[manifest]
path = "MANIFEST"
[schedule]
every = "1h"
[safety]
grace = "0s"
max_removal_share = 100
"""

EMULATOR = """[Service]
EnvironmentFile=/etc/emulator.env
ExecStart=/opt/pinsync/bin/pinsync emulator --port 5055 --settle 0s --db /var/lib/emulator/pins.db
DynamicUser=yes
StateDirectory=emulator
"""

KUBO = """[Unit]
Description=A node that belongs to another user
[Service]
User=ipfs
Environment=IPFS_PATH=/var/lib/ipfs IPFS_TELEMETRY=off
RuntimeDirectory=ipfs
UMask=0007
ExecStart=/usr/local/bin/ipfs daemon --offline
"""

QUICK = "[Service]\nRestartSec=300ms\n"  # nothing else of the unit is changed for the tests

_SEND = """
import json, sys, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Authorization": "Bearer " + sys.argv[2]})
print(json.dumps([row["pin"]["cid"] for row in json.load(urllib.request.urlopen(request))["results"]]))
"""


class Transcript:
    """What was done and seen, with times; for people."""

    def __init__(self, path: Path) -> None:
        self.lines: list[str] = []
        self._path = path
        self._begun = time.monotonic()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step: its title, what is told in it, how long it took."""
        begun = time.monotonic()
        self._add(f"\n[{begun - self._begun:6.2f} s] {title}")
        ended = "FAILED after"
        try:
            yield
            ended = "done in"
        finally:
            self._add(f"           {ended} {time.monotonic() - begun:.2f} s")

    def tell(self, *texts: str) -> None:
        """Lines below a step."""
        for text in texts:
            for line in text.splitlines() or [""]:
                self._add(f"           {line}")

    def show(self, ran: Ran, *, who: str = "root", most: int = 14) -> Ran:
        """A command with its answer."""
        lines = ran.text.splitlines()
        cut = [*lines[:most], "…"] if len(lines) > most else lines
        self.tell(f"{who}$ {ran.command}{f'      (exit code {ran.code})' if ran.code else ''}", *cut)
        return ran

    def _add(self, line: str) -> None:
        self.lines.append(line)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text("\n".join(self.lines).lstrip("\n") + "\n")


class Scene:
    """The machine, and what the steps ask of it."""

    def __init__(self, machine: Machine, transcript: Transcript, cache: Path, wheel: Path) -> None:
        self.machine, self.transcript, self.cache, self.wheel = machine, transcript, cache, wheel
        self.project = PROJECT
        self.run, self.put, self.step, self.tell = machine.run, machine.put, transcript.step, transcript.tell
        self.token = TOKEN
        self.secrets = [TOKEN]
        self.node_pins: list[str] = []

    # -- setting up -------------------------------------------------------------------------------------------------

    def people(self) -> None:
        """alice is nobody special, bob will be a member of the group, ipfs has the node."""
        for user in ("alice", "bob"):
            self.run("useradd", "--create-home", "--shell=/bin/sh", user)
        self.run("useradd", "--system", "--create-home", "--home-dir=/var/lib/ipfs", "ipfs")
        self.run("loginctl", "enable-linger", "alice")  # gives her a service manager of her own

    def pinning_service(self) -> None:
        """The emulator, as a unit of its own."""
        self.put("/etc/emulator.env", f"PINSYNC_EMULATOR_TOKEN={self.token}\n", 0o600)
        self.put("/etc/systemd/system/emulator.service", EMULATOR)
        self.run("systemctl", "daemon-reload")
        self.run("systemctl", "restart", "emulator")
        self.until(lambda: self.run("/usr/bin/python3", "-c", _SEND, SERVICE, self.token, check=False).out, "it")

    def kubo(self) -> None:
        """A real Kubo under a user of its own, its API both on TCP and on a Unix socket; three pins."""
        self.ipfs("init", "--profile=test")
        api = ["/ip4/127.0.0.1/tcp/5001", "/unix/run/ipfs/api.sock"]
        for name, value in (("Addresses.API", api), ("Routing.Type", "none"), ("Provide.Enabled", False)):
            self.ipfs("config", "--json", name, json.dumps(value))
        self.put("/etc/systemd/system/ipfs.service", KUBO)
        self.run("systemctl", "daemon-reload")
        self.run("systemctl", "start", "ipfs")
        self.until(lambda: self.ipfs("id", check=False).code == 0, "Kubo")
        self.node_pins = self.ipfs("pin", "ls", "-q", "--type=recursive").out.split()
        for number in range(3):
            self.node_pins.append(self.pin(f"pin {number}"))

    def ipfs(self, command: str, *words: str, text: str = "", check: bool = True) -> Ran:
        """One of Kubo's commands; but for the first ones by its API, never by its repository."""
        by_api = [] if command in ("init", "config") else ["--api=/ip4/127.0.0.1/tcp/5001"]
        env = {"IPFS_PATH": "/var/lib/ipfs", "HOME": "/var/lib/ipfs"}
        return self.run("ipfs", *by_api, command, *words, user="ipfs", env=env, text=text, check=check)

    def pin(self, content: str) -> str:
        """Have the node pin a new file; its CID."""
        return self.ipfs("add", "-Q", "--cid-version=1", text=content).out

    def configure(
        self, *, kubo: str = "auto", manifest: str = "pins.toml", token_file: str = "", extra: str = ""
    ) -> None:
        """/etc/pinsync/config.toml."""
        line = f'token_file = "{token_file}"' if token_file else ""
        text = CONFIG.replace("KUBO", kubo).replace("MANIFEST", manifest).replace("TOKEN_FILE", line)
        self.put("/etc/pinsync/config.toml", text + extra)

    def manifest(self, *numbers: int, path: str = "/etc/pinsync/pins.toml") -> None:
        """The manifest."""
        self.put(path, "".join(f'[[pin]]\ncid = "{cid(number)}"\n' for number in numbers))

    def drop_in(self, name: str, text: str | None) -> None:
        """A drop-in of the unit, or None to take it away again."""
        if text is None:
            self.run("rm", "-f", f"{DROPINS}/{name}.conf")
        else:
            self.put(f"{DROPINS}/{name}.conf", text)
        self.run("systemctl", "daemon-reload")

    def until(self, found: Callable[[], T | None], what: str) -> T:
        """See `Machine.until`; where it is not, the error has what people would look at next."""
        try:
            return self.machine.until(found, what)
        except AssertionError as error:
            for words in (("journalctl", "--no-pager", "--unit", UNIT, "--lines=25"), ("pinsync", "plan", "--verbose")):
                ran = self.run(*words, check=False)
                error.add_note(f"# {ran.command}\n{ran.text}")
            raise

    # -- looking ----------------------------------------------------------------------------------------------------

    def there(self) -> list[str]:
        """The CIDs at the pinning service."""
        found = self.run("/usr/bin/python3", "-c", _SEND, f"{SERVICE}?limit=1000&status=pinned", self.token)
        pins: list[str] = json.loads(found.out)
        return pins

    def arrive(self, wanted: Sequence[str]) -> None:
        """Wait until exactly these are at the service, each once."""
        keys = sorted(wanted)
        self.until(lambda: sorted(self.there()) == keys, f"{len(keys)} pins at the service")

    def mirrored(self, *numbers: int) -> None:
        """Wait until the service has what the node pins and these of the manifest."""
        self.arrive([*self.node_pins, *map(cid, numbers)])

    def shown(self, name: str, unit: str = UNIT) -> str:
        """What `systemctl show` says."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).out

    @property
    def pid(self) -> int:
        return int(self.shown("MainPID"))

    def summary(self) -> dict[str, Any] | None:
        """What every user may read."""
        ran = self.run("cat", f"{RUN}/summary.json", user="alice", check=False)
        found: dict[str, Any] | None = json.loads(ran.out) if ran.code == 0 else None
        return found

    def settled(self, verdict: str = "in-sync") -> dict[str, Any]:
        """Wait until the daemon that runs has ended a pass, has none under way, and the summary has this verdict."""

        def found() -> dict[str, Any] | None:
            told = self.summary()
            if told is None or told["verdict"] != verdict or told["daemon"]["pass"] is not None:
                return None
            last = told["last_pass"]["finished_at"] if told["last_pass"] else None
            return told if last is not None and last > told["daemon"]["since"] else None

        return self.until(found, f"the verdict {verdict}")

    def journal(self) -> list[tuple[int, str]]:
        """(priority, message) of all that the unit logged and systemd said of it."""
        ran = self.run("journalctl", "--no-pager", "--output=json", "--unit", UNIT)
        entries = [json.loads(line) for line in ran.out.splitlines()]
        return [(int(one["PRIORITY"]), str(one["MESSAGE"])) for one in entries]

    def logged(self, pattern: str, since: int = 0) -> list[tuple[int, str]]:
        """The entries that match, from number `since` on."""
        return [one for one in self.journal()[since:] if re.search(pattern, one[1])]

    def wait_logged(self, pattern: str, since: int) -> tuple[int, str]:
        """Wait for such an entry."""
        return self.until(lambda: self.logged(pattern, since), f"{pattern!r} in the journal")[0]

    def reborn(self, pid: int) -> int:
        """Wait until another process than `pid` runs and is ready."""

        def found() -> int:
            return self.pid if self.pid not in (0, pid) and self.shown("ActiveState") == "active" else 0

        return self.until(found, "the service started again")

    def ask(self, *words: str, user: str = "", most: int = 14) -> Ran:
        """A pinsync command as a person gives it, told in the transcript."""
        ran = self.run("pinsync", *words, user=user, check=False)
        return self.transcript.show(ran, who=user or "root", most=most)

    def manager(self, *words: str, check: bool = True) -> Ran:
        """A command of alice's about her own services."""
        uid = self.run("id", "-u", "alice").out
        return self.run(*words, user="alice", env={"XDG_RUNTIME_DIR": f"/run/user/{uid}"}, check=check)
