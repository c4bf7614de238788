"""What the service manager is told: systemd's notification protocol (sd_notify(3)), one datagram a message."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress


class Notifier:
    """Speaks to `$NOTIFY_SOCKET`; without one it says nothing. Never raises: a deaf manager is no reason to stop."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._address = env.get("NOTIFY_SOCKET", "")
        self.watchdog = _watchdog(env)
        """Seconds within which the manager wants to hear from us; None when it does not wait."""

    def tell(self, **fields: str) -> None:
        """Send variables in one message: `tell(READY="1", STATUS="in sync")`."""
        if not self._address.startswith(("/", "@")):
            return
        text = "\n".join(f"{name}={' '.join(value.split())}" for name, value in fields.items())
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(text.encode(), address)


def _watchdog(env: Mapping[str, str]) -> float | None:
    if env.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    with suppress(ValueError):
        seconds = int(env.get("WATCHDOG_USEC", "")) / 1e6
        return seconds if seconds > 0 else None
    return None
