"""`plan` for people: the verdict with its counts first, then what is to be done, remote by remote."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched  # type: ignore[attr-defined,unused-ignore]
from typing import TYPE_CHECKING, Any

from .text import CID_WIDTH, NARROW, Cell, Line, counted, line, listed, local, middle, number, paragraph, parse_time
from .text import relative, table

if TYPE_CHECKING:
    from pinsync.steps.plan import RemotePlan
