"""All targets by name."""

from __future__ import annotations

from tests.fuzz.answers import ANSWERS
from tests.fuzz.config import CONFIG
from tests.fuzz.control import CONTROL
from tests.fuzz.kit import Target
from tests.fuzz.kubo import KUBO
from tests.fuzz.ledgers import LEDGER
from tests.fuzz.manifests import MANIFEST

TARGETS: dict[str, Target] = {target.name: target for target in (ANSWERS, CONFIG, CONTROL, KUBO, LEDGER, MANIFEST)}
