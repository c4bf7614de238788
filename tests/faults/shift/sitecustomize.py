"""Found by Python's start where this directory is on `PYTHONPATH`: a wall clock that can be set from outside.

`$PINSYNC_TEST_CLOCK` names a file of eight bytes, a double: the seconds by which this process's clock is wrong. Time
that only passes (`time.monotonic`) stays as it is, as it does when somebody sets a machine's clock.
"""

import mmap
import os
import struct
import time


def _shift() -> None:
    path = os.environ.get("PINSYNC_TEST_CLOCK")
    if not path:
        return
    with open(path, "rb") as file:
        shared = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
    real, real_ns = time.time, time.time_ns

    def now() -> float:
        return real() + float(struct.unpack_from("d", shared)[0])

    def now_ns() -> int:
        return real_ns() + int(struct.unpack_from("d", shared)[0] * 1e9)

    time.time, time.time_ns = now, now_ns


_shift()
