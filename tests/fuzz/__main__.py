"""`python -m tests.fuzz`."""

from __future__ import annotations

import sys

from tests.fuzz.run import main

if __name__ == "__main__":  # the processes that it starts import this module too
    sys.exit(main())
