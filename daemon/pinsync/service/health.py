"""A health check for containers: `python -m pinsync.service.health` exits 0 while the daemon's loop turns.

It asks `/healthz` on the control socket. A node or a service that is away is no reason to start pinsync anew, so this
does not look at the mirror. The standard library alone, because it is run every minute.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping

TIMEOUT = 5.0  # seconds
_REQUEST = b"GET /healthz HTTP/1.0\r\nHost: pinsync\r\n\r\n"


def trouble(path: str) -> str:
    """Why the daemon at the control socket `path` is not well; "" when it is."""
    try:
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(TIMEOUT)
            asked.connect(path)
            asked.sendall(_REQUEST)
            answer = asked.recv(1024)
    except OSError as error:
        return f"no daemon answers at {path}: {error.strerror or error}"
    status = answer.split(b"\r\n")[0]
    return "" if b" 200 " in status + b" " else f"{path}: {status.decode('ascii', 'replace')}"


def main(env: Mapping[str, str] = os.environ) -> int:
    """Exit code 0 or 1, as builders' `HEALTHCHECK` wants it."""
    found = trouble(f"{env.get('RUNTIME_DIRECTORY', '/run/pinsync').split(':')[0]}/pinsync.sock")
    sys.stdout.write(f"{found or 'ok'}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
