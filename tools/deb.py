"""A Debian package from a wheel: `python -m tools.deb WHEEL DIRECTORY`, by dpkg-deb alone.

pinsync and all that it depends on lie in /usr/lib/pinsync, where nothing of the distribution's Python meets them. Some
of it is compiled for one version of Python and one architecture, so the package is for those of this machine's
/usr/bin/python3. It starts nothing: `pinsync service install` does, which finds the package's unit.
"""

from __future__ import annotations

import gzip
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "daemon"))

from pinsync.setup.layout import with_program  # noqa: E402

LIBRARY = "usr/lib/pinsync"
PROGRAM = Path("/usr/bin/pinsync")

COMMAND = f"""#!/usr/bin/python3 -I
import sys
sys.path.insert(0, "/{LIBRARY}")
from pinsync.__main__ import main
sys.exit(main())
"""

CONTROL = """Package: pinsync
Version: {version}
Architecture: {architecture}
Maintainer: The pinsync authors <pinsync@localhost>
Installed-Size: {size}
Depends: python3 (>= {python}), python3 (<< {next}), systemd
Recommends: ca-certificates
Section: net
Priority: optional
Homepage: https://github.com/pinsync/pinsync
Description: mirrors IPFS pins onto remote pinning services
 Mirrors the pins of a Kubo node and a pin manifest onto remote IPFS pinning
 services, as a daemon that never loses a pin.
 .
 After the installation, `pinsync service install` asks for the service and
 its token, and starts the daemon.
"""

POSTINST = """#!/bin/sh
set -e
if [ "$1" = configure ]; then
    systemd-sysusers pinsync.conf
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload || true
        if [ -n "$2" ]; then systemctl try-restart pinsync.service || true; fi
    fi
fi
"""

PRERM = """#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl disable --now pinsync.service || true
fi
# What Python made of its modules when root was the first to run them.
find /usr/lib/pinsync -name __pycache__ -type d -prune -exec rm -rf {} +
"""

POSTRM = """#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
if [ "$1" = purge ]; then
    rm -f /etc/pinsync/config.toml /etc/pinsync/*.token
    rm -f /etc/systemd/system/pinsync.service.d/credentials.conf
    rmdir --ignore-fail-on-non-empty /etc/pinsync /etc/systemd/system/pinsync.service.d 2>/dev/null || true
    if [ -d /var/lib/pinsync ]; then echo 'The ledger stays in /var/lib/pinsync.'; fi
fi
"""


def build(wheel: Path, directory: Path, pip: tuple[str, ...] = ()) -> Path:
    """The package, in `directory`. `pip` are more options for pip. Raises `CalledProcessError`."""
    version = wheel.name.split("-")[1]
    python = _output("/usr/bin/python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    architecture = _output("dpkg", "--print-architecture")
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pinsync-deb-") as made:
        tree = Path(made)
        tree.chmod(0o755)
        _fill(tree, wheel, python, pip)
        control = tree / "DEBIAN"
        control.mkdir()
        size = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file()) // 1024
        major, minor = python.split(".")
        text = CONTROL.format(
            version=version, architecture=architecture, size=size, python=python, next=f"{major}.{int(minor) + 1}"
        )
        _put(control / "control", text)
        for name, script in (("postinst", POSTINST), ("prerm", PRERM), ("postrm", POSTRM)):
            _put(control / name, script, 0o755)
        package = directory / f"pinsync_{version}_{architecture}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, package], check=True, stdout=sys.stderr)  # noqa: S603, S607
    return package


def _fill(tree: Path, wheel: Path, python: str, pip: tuple[str, ...]) -> None:
    library = tree / LIBRARY
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    only = ["--only-binary=:all:", f"--python-version={python}", "--implementation=cp", f"--target={library}"]
    subprocess.run([*command, *only, *pip, wheel], check=True, stdout=sys.stderr)  # noqa: S603
    shutil.rmtree(library / "bin", ignore_errors=True)
    man = library / "share/man"
    for page in sorted(man.rglob("*.[15]")):
        where = tree / "usr/share/man" / page.parent.name / f"{page.name}.gz"
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_bytes(gzip.compress(page.read_bytes(), mtime=0))
    shutil.rmtree(library / "share", ignore_errors=True)
    shipped = library / "pinsync/systemd"
    _put(tree / PROGRAM.relative_to("/"), COMMAND, 0o755)
    _put(
        tree / "usr/lib/systemd/system/pinsync.service",
        with_program((shipped / "pinsync.service").read_text(), PROGRAM),
    )
    _put(tree / "usr/lib/systemd/user/pinsync.service",
         with_program((shipped / "user/pinsync.service").read_text(), PROGRAM))  # fmt: skip
    _put(tree / "usr/lib/sysusers.d/pinsync.conf", (shipped / "pinsync.sysusers").read_text())
    doc = tree / "usr/share/doc/pinsync"
    _put(doc / "copyright", "\n\n".join((ROOT / name).read_text() for name in ("LICENSE-MIT", "LICENSE-APACHE")))
    for name in ("README.md", "CHANGELOG.md", "config.example.toml"):
        _put(doc / name, (ROOT / name).read_text())
    shutil.copytree(ROOT / "docs", doc / "docs")
    for path in tree.rglob("*"):
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)


def _put(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603


if __name__ == "__main__":
    if platform.system() != "Linux" or shutil.which("dpkg-deb") is None:
        sys.exit("a Debian package is made on Debian or what comes from it: dpkg-deb is not here")
    print(build(Path(sys.argv[1]), Path(sys.argv[2])))  # noqa: T201
