"""A few thousand histories keep every promise, and every planted bug is found. More of both: `make simulate`."""

from __future__ import annotations

import pytest

from .planted import BUGS, Bug
from .runner import theatre, write

CHUNK = 25
CHUNKS = 24
NEEDED = 600  # histories in which each planted bug is found: fewer than the default run has


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_histories_keep_every_promise(chunk: int) -> None:
    with theatre() as place:
        for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK):
            result = place.run(write(seed))
            assert result.error is None, f"make simulate SEED={seed}: {result.error}"


def test_the_same_seed_is_the_same_history() -> None:
    with theatre() as place:
        for seed in (3, 1003, 2003):
            one, other = place.run(write(seed)), place.run(write(seed))
            assert (one.effects, one.crashes, one.faults) == (other.effects, other.crashes, other.faults)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    with theatre() as place, bug.planted():
        assert any(place.run(write(seed)).error for seed in range(NEEDED)), "the simulation does not notice"
