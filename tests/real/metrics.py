"""`python -m tests.real.metrics`: prints what `/metrics` of a daemon with a node, a manifest and a remote shows."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import httpx

from tests.unit.service_kit import FakeNode, Rig, cid, manifest


def main() -> None:
    with tempfile.TemporaryDirectory() as directory, FakeNode() as node, Rig(Path(directory)) as rig:
        node.pins = {cid(7): ""}
        rig.pins.write_text(manifest(1))
        rig.configure(kubo=f'api = "{node.url}"')
        rig.start()
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(rig.client.path)), base_url="http://x") as http:
            sys.stdout.write(http.get("/metrics").text)


if __name__ == "__main__":
    main()
