"""A real pinning service that others wrote: mock-ipfs-pinning-service from npm.

It keeps its pins in memory and lists them oldest first; each CID has one request. A pin stays `queued`, unless its name
starts with the status that it is to have from the first moment and a hyphen: `pinned-…`, `failed-…` (`deriveStatus` in
its `service/pins.js`).
"""

from __future__ import annotations

from pathlib import Path

from tests.real.npm_service import NpmService

_SERVER = Path(__file__).resolve().parent / "npm" / "serve-mock.mjs"


class MockService(NpmService):
    """The service, on a free port of loopback, with its output in `directory/mock.log`.

    `packages` is the directory that holds `node_modules` (`tests.real.parts`). As a context manager it starts on entry
    and ends on leaving. A stopped service forgets its pins, and has another address when it is started again.
    """

    def __init__(self, packages: Path, directory: Path) -> None:
        super().__init__(_SERVER, packages, directory / "mock.log", "/_mock", {})
