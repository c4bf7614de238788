"""Files of the state directory belong to whoever it belongs to, also where root made them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def entrust(path: Path) -> None:
    """Give a file that root has just made to the owner and the group of its directory.

    Else `sudo pinsync sync` while the service is stopped would leave files that the service may not open. Never raises.
    """
    if os.geteuid() != 0:
        return
    with suppress(OSError):
        directory = path.parent.stat()
        if directory.st_uid != 0:
            os.chown(path, directory.st_uid, directory.st_gid, follow_symlinks=False)
