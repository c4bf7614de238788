"""The health check of containers: well while somebody answers, whatever the mirror is like."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pinsync.service import health


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[list[bytes]]:
    """A daemon that answers one question, and what it was asked."""
    asked: list[bytes] = []

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            asked.append(connection.recv(4096))
            connection.sendall(answer)

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        try:
            yield asked
        finally:
            thread.join()


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n", 0),
        (b"HTTP/1.1 200\r\n\r\n", 0),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n 200 ", 1),
        (b"", 1),
    ],
)
def test_what_the_daemon_answers_decides(
    tmp_path: Path, answer: bytes, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(tmp_path / "pinsync.sock", answer) as asked:
        assert health.main({"RUNTIME_DIRECTORY": str(tmp_path)}) == code
    assert asked[0].startswith(b"GET /healthz HTTP/")
    assert (capsys.readouterr().out == "ok\n") is (code == 0)


def test_nobody_there_is_not_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert health.main({"RUNTIME_DIRECTORY": f"{tmp_path}:/elsewhere"}) == 1
    assert "no daemon answers" in capsys.readouterr().out


def test_one_that_hangs_is_not_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TIMEOUT", 0.05)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "pinsync.sock"))
        listening.listen()
        assert "no daemon answers" in health.trouble(str(tmp_path / "pinsync.sock"))
