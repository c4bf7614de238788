"""A TCP way to a node that can be held up in the middle of an answer, so that the node can be killed there."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Cutter:
    """Forwards 127.0.0.1:PORT to `target`, as a context manager. It takes little at a time, so a long answer is for the
    most part still in the node when the way is held.
    """

    _PIECE = 2048

    def __init__(self, target: str) -> None:
        where = urlsplit(target)
        assert where.hostname is not None and where.port is not None
        self._target = (where.hostname, where.port)
        self._left: int | None = None
        self._open = threading.Event()
        self._open.set()
        self.held = False

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        self._listener.close()

    def hold_after(self, size: int) -> None:
        """Hold the way back once so many more bytes have come from the node; `held` is then true."""
        self._open.clear()
        self.held, self._left = False, size

    def release(self) -> None:
        """Let through what there is again."""
        self._left, self.held = None, False
        self._open.set()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        far = socket.socket()
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._PIECE)  # before it connects, or it does not count
        with near, far:
            try:
                far.connect(self._target)
            except OSError:
                return
            there = threading.Thread(target=self._forward, args=(near, far, False), daemon=True)
            there.start()
            self._forward(far, near, True)
            for each in (near, far):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            there.join()

    def _forward(self, source: socket.socket, target: socket.socket, back: bool) -> None:
        with suppress(OSError):
            while data := source.recv(self._PIECE):
                if back and self._left is not None:
                    self._left -= len(data)
                    if self._left <= 0:
                        self.held = True
                        self._open.wait()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
