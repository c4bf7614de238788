"""A booted systemd to test in: a Debian 12 in a container of its own, made from nothing at every boot.

Its root file system is made once, by mmdebstrap, and kept in the cache; so are the wheels of what pinsync depends on.
It needs root, and the Debian packages of `NEEDED`.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import tomli

from tests.real.child import Child
from tests.real.parts import MissingError, cache_dir, made

T = TypeVar("T")
PROJECT = Path(__file__).parents[2]
SUITE = "bookworm"
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "dbus-user-session", "libpam-systemd", "procps", "python3", "python3-venv",
)  # fmt: skip
NEEDED = {"systemd-nspawn": "systemd-container", "mmdebstrap": "mmdebstrap", "setpriv": "util-linux"}
QUIET = (  # what starts by itself in the middle of a test, or waits for hardware that is not there
    "console-getty.service", "getty@tty1.service", "systemd-networkd-wait-online.service", "apt-daily.timer",
    "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer",
)  # fmt: skip
PATIENCE = 60.0  # seconds that anything in the machine may take, on a busy machine too
_ENV = ("/usr/bin/env", "-i", "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/root", "LANG=C.UTF-8")
_NAMESPACES = ("-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--")
_POWEROFF = 4  # SIGRTMIN+4 (systemd(1))


def check_host() -> None:
    """Raises `MissingError` with what to do where no machine can be booted here."""
    missing = [package for program, package in NEEDED.items() if shutil.which(program) is None]
    if missing:
        raise MissingError(f"booting a systemd needs: apt-get install {' '.join(missing)}")
    if os.geteuid() != 0:
        raise MissingError("booting a systemd needs root: sudo make test-systemd")


def rootfs(cache: Path) -> Path:
    """The root file system, made when there is none: half a minute, 200 MB. Raises `MissingError`."""

    def build(directory: Path) -> None:
        directory.chmod(0o755)
        excluded = [f"--dpkgopt=path-exclude=/usr/share/{what}/*" for what in ("doc", "man", "locale")]
        command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
        if subprocess.run([*command, *excluded, SUITE, directory], stdout=sys.stderr, check=False).returncode:
            raise MissingError("mmdebstrap could not make a Debian 12 (see above): is a Debian mirror in reach?")
        system = directory / "etc/systemd/system"
        for unit in QUIET:
            (system / unit).symlink_to("/dev/null")
        (system / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
        (directory / "etc/hostname").write_text("mirror\n")
        (directory / "etc/hosts").write_text("127.0.0.1 localhost mirror\n::1 localhost\n")

    return made(cache / f"rootfs-{SUITE}-{_recipe((SUITE, PACKAGES, QUIET))}", build)


def wheels(cache: Path) -> Path:
    """A directory with the wheels of all that pinsync depends on, for the machine's Python. Raises `MissingError`."""
    wanted = _dependencies()

    def download(directory: Path) -> None:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        options = ["--only-binary=:all:", "--python-version=3.11", f"--dest={directory}"]
        if subprocess.run([*command, *options, *wanted], stdout=sys.stderr, check=False).returncode:
            raise MissingError("pip could not download what pinsync depends on (see above)")

    return made(cache / f"wheels-3.11-{_recipe(wanted)}", download)


def environment(cache: Path) -> Path:
    """A layer over the root file system: /opt/pinsync, a virtual environment with all that pinsync depends on.

    Installing that takes longer than all the rest of installing pinsync. Raises `MissingError`.
    """
    root, there = rootfs(cache), wheels(cache)

    def build(directory: Path) -> None:
        directory.chmod(0o755)
        with tempfile.TemporaryDirectory(dir=directory.parent, prefix="building-") as scratch:
            script = """
                mkdir "$4/work" "$4/merged"
                mount -t overlay -o "lowerdir=$1,upperdir=$3,workdir=$4/work" pinsync-test "$4/merged"
                mkdir "$4/merged/wheels"
                mount --bind "$2" "$4/merged/wheels"
                chroot "$4/merged" python3 -m venv /opt/pinsync
                shift 3; merged=$1/merged; shift
                chroot "$merged" /opt/pinsync/bin/pip install --quiet --disable-pip-version-check --no-index \\
                    --find-links=/wheels "$@" >&2
                umount "$merged/wheels" && rmdir "$merged/wheels"
            """
            command = ["unshare", "--mount", "--propagation=private", "sh", "-ec", script, "layer"]
            arguments = [str(root), str(there), str(directory), scratch, *_dependencies()]
            env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}  # nothing of the host's
            if subprocess.run([*command, *arguments], env=env, stdout=sys.stderr, check=False).returncode:
                raise MissingError("the virtual environment for the booted systemd could not be made (see above)")

    return made(cache / f"environment-{_recipe([root.name, there.name])}", build)


def _dependencies() -> list[str]:
    wanted: list[str] = tomli.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    return wanted


def _recipe(parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a command. `out` and `err` without the last newline."""

    command: str
    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All that it said."""
        return "\n".join(part for part in (self.out, self.err) if part)


class Machine:
    """A booted machine over `layers`, the root file system last; a context manager. `options` are systemd-nspawn's."""

    def __init__(self, layers: Sequence[Path], state: Path, *options: str) -> None:
        self.root, self.state = ":".join(map(str, layers)), state
        self._options = options
        self._supervisor: Child | None = None
        self._enter: list[str] = []

    def __enter__(self) -> Self:
        argv = [sys.executable, str(Path(__file__).with_name("supervise.py")), self.root, str(self.state)]
        self._supervisor = Child(
            ["unshare", "--mount", "--propagation", "private", "--", *argv, "pinsync-test", *self._options],
            log=self.state / "console.log", env=dict(os.environ),
        )  # fmt: skip
        leader = self._supervisor.wait_until(self._leader)
        self._enter = ["nsenter", "-t", str(leader), *_NAMESPACES, *_ENV]
        self._supervisor.wait_until(self._booted, timeout=PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        leader, supervisor = self._leader(), self._supervisor
        assert supervisor is not None
        if leader is not None:
            os.kill(leader, signal.SIGRTMIN + _POWEROFF)
            end = time.monotonic() + 15
            while supervisor.running and time.monotonic() < end:
                time.sleep(0.02)
        supervisor.stop()

    def run(
        self, *argv: str, user: str = "", check: bool = True, text: str | None = None, timeout: float = PATIENCE,
        env: Mapping[str, str] | None = None,
    ) -> Ran:  # fmt: skip
        """Run a command in the machine, as root or as `user`, with `text` on its standard input.

        Raises `AssertionError` with all that it said when it fails and `check`.
        """
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        given = [f"{name}={value}" for name, value in ({"HOME": f"/home/{user}"} if user else {}).items()]
        given += [f"{name}={value}" for name, value in (env or {}).items()]
        done = subprocess.run(
            [*self._enter, *become, "/usr/bin/env", *given, *argv],
            input=text or "", capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        ran = Ran(shlex.join(argv), done.returncode, done.stdout.rstrip("\n"), done.stderr.rstrip("\n"))
        assert not check or ran.code == 0, f"{ran.command} exited with {ran.code}:\n{ran.text}"
        return ran

    def put(self, path: str, content: str | bytes, mode: int = 0o644, owner: str = "root:root") -> None:
        """Write a file as `install` does: by another name first, so that nobody reads half of it."""
        data = content.encode() if isinstance(content, str) else content
        user, _, group = owner.partition(":")
        script = 'mkdir -p "${1%/*}" && cat >"$1.new" && chown "$2" "$1.new" && chmod "$3" "$1.new" && mv "$1.new" "$1"'
        argv = [*self._enter, "/bin/sh", "-ec", script, "put", path, f"{user}:{group or user}", f"{mode:o}"]
        subprocess.run(argv, input=data, check=True, timeout=PATIENCE, capture_output=True)

    def until(self, found: Callable[[], T | None], what: str) -> T:
        """What `found` answers as soon as it is something."""
        end = time.monotonic() + PATIENCE
        while not (answer := found()):
            assert time.monotonic() < end, f"not within {PATIENCE:g} s: {what}"
            time.sleep(0.1)
        return answer

    def _leader(self) -> int | None:
        """The machine's process 1, as the host numbers it."""
        try:
            nspawn = (self.state / "nspawn").read_text()
        except FileNotFoundError:
            return None
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                name, _, rest = status.read_text().partition("(")[2].rpartition(")")
            except OSError:
                continue
            if name == "systemd" and rest.split()[1] == nspawn:
                return int(status.parent.name)
        return None

    def _booted(self) -> bool | None:
        there = self.run("test", "-S", "/run/systemd/private", "-a", "-S", "/run/dbus/system_bus_socket", check=False)
        if there.code != 0:
            return None
        state = self.run("systemctl", "is-system-running", "--wait", check=False).out
        assert state in ("running", "starting", ""), self.run("systemctl", "--failed", "--no-legend").out
        return True if state == "running" else None


if __name__ == "__main__":  # what takes long, before any test's time is measured
    try:
        check_host()
        environment(cache_dir())
    except MissingError as problem:
        sys.exit(str(problem))
