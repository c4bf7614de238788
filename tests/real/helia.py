"""A real pinning service that others wrote: Helia's pinning-service-api-server from npm.

Every POST makes a new request; the second one of a CID stays `queued` for ever. Content is fetched from a Kubo node's
RPC: a pin of which that node has not all blocks fails.
"""

from __future__ import annotations

from pathlib import Path

from tests.real.npm_service import NpmService

_SERVER = Path(__file__).resolve().parent / "npm-helia" / "serve-helia.mjs"


class HeliaService(NpmService):
    """The service, on a free port of loopback, with its output in `directory/helia.log`.

    `packages` is the directory that holds `node_modules` (`tests.real.parts`), `content` the URL of the Kubo RPC that
    it takes blocks from. As a context manager it starts on entry and ends on leaving. A stopped service forgets its
    pins, and has another address when it is started again.
    """

    def __init__(self, packages: Path, content: str, directory: Path) -> None:
        super().__init__(_SERVER, packages, directory / "helia.log", "/_helia", {"CONTENT": content})

    def held(self) -> set[str]:
        """The CIDs that Helia itself holds, whatever the requests say."""
        return set(self._state()["blocks"])
