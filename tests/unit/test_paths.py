"""What lies behind a directory that is closed to this user is asked after without an exception."""

from __future__ import annotations

import grp
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pinsync.paths import to_close

AS_NOBODY = """
import os, sys; sys.path[:0] = eval(sys.argv[2])
from pathlib import Path
from pinsync.paths import is_file, is_folder, present
from pinsync.setup import checks, machine
from pinsync.setup.layout import of_user
from tests.unit.setup_kit import Ran
os.setgroups([]); os.setgid(65534); os.setuid(65534)
closed = Path(sys.argv[1], "closed")
there = closed / "there"
print(present(closed), present(there), present(there, unknown=True), is_file(there), is_folder(there))
try: checks.running(str(there / "pinsync"), closed)
except machine.SetupError: pass  # where the tests' Python has no command of pinsync
try: machine.look(of_user({"HOME": str(closed)}), [], lambda argv: Ran(0, "", ""))
except machine.SetupError as error: print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_closed_directory_is_no_bug() -> None:
    with tempfile.TemporaryDirectory() as open_to_all:  # pytest's own directories are closed to others
        Path(open_to_all).chmod(0o755)
        closed = Path(open_to_all, "closed")
        closed.mkdir(mode=0o700)
        (closed / "there").touch()
        ran = subprocess.run([sys.executable, "-c", AS_NOBODY, open_to_all, repr(sys.path)],
                             capture_output=True, text=True, check=False)  # fmt: skip
    seen, said = ran.stdout.splitlines() or ["", ran.stderr]
    assert seen == "True False True False False", said
    assert said.endswith(f"{closed}/.config/systemd/user/pinsync.service is closed to this user; as root (sudo) "
                         "it is seen; nothing was changed")  # fmt: skip


def test_closing_a_file_of_the_system_leaves_it_open_to_the_service(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.touch()
    of_file = grp.getgrgid(file.stat().st_gid).gr_name
    other = next(one.gr_name for one in grp.getgrall() if one.gr_name != of_file)
    assert to_close(file, system=tmp_path, group=other) == f"chgrp {other} {file} && chmod 0640 {file}"
    plain = f"chmod o-rwx {file}"
    assert to_close(file, system=tmp_path, group=of_file) == plain
    assert to_close(file, system=tmp_path, group="no-such-group") == plain
    assert to_close(file, group=other) == plain  # a user's own
    assert to_close(tmp_path / "gone", system=tmp_path, group=other) == f"chmod o-rwx {tmp_path / 'gone'}"
