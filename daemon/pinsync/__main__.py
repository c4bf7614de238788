"""`pinsync`, and `python -m pinsync`."""

from __future__ import annotations

import sys

from pinsync.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
