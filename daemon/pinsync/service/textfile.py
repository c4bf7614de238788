"""Metrics as a file, for node_exporter's textfile collector."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

_MODE = 0o644  # node_exporter is another user


def write_textfile(path: Path, text: bytes) -> str:
    """Put `text` in the place of the file at once, readable by all; "" or why it could not be done.

    The directory must be there. The collector takes `*.prom` alone, so it never sees the half-written file beside it.
    """
    try:
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(text)
                os.fchmod(number, _MODE)
            Path(name).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        return (
            f"the metrics cannot be written to {path}: {error.strerror or error}. Nothing else suffers; let this user "
            f"write {path.parent} (under systemd: ReadWritePaths=), or take [metrics] textfile out"
        )
    return ""
