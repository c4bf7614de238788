"""All targets by name."""

from __future__ import annotations

from tests.fuzz.answers import ANSWERS
from tests.fuzz.kit import Target

TARGETS: dict[str, Target] = {target.name: target for target in (ANSWERS,)}
