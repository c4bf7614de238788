"""Two thousand histories keep every promise, and every planted bug is found. More of both: `make simulate`."""

from __future__ import annotations

from itertools import chain

import pytest

from .planted import BUGS, LIMIT, Bug
from .runner import theatre, write

CHUNK = 100
CHUNKS = 20


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_brief_histories_keep_every_promise(chunk: int) -> None:
    with theatre() as place:
        for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK):
            result = place.run(write(seed, brief=True))
            assert result.error is None, f"make simulate BRIEF={seed}: {result.error}"


def test_histories_keep_every_promise() -> None:
    with theatre() as place:
        for seed in range(100):
            result = place.run(write(seed))
            assert result.error is None, f"make simulate SEED={seed}: {result.error}"


def test_the_same_seed_is_the_same_history() -> None:
    with theatre() as place:
        for seed in (3, 1003, 2003):
            one, other = place.run(write(seed)), place.run(write(seed))
            assert (one.effects, one.crashes, one.faults) == (other.effects, other.crashes, other.faults)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    """In the history in which it was found before; when histories have changed, in the first of the default run."""
    with theatre() as place, bug.planted():
        assert any(place.run(write(seed)).error for seed in chain([bug.seed], range(LIMIT))), "it is not noticed"
