"""The rate limiter uses what is allowed, and no server that counts arrivals ever sees more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinsync.remote.limits import Rate, RateLimiter
from pinsync.remote.profiles import default_rate
from tests.unit.remote_servers import VirtualClock


def run(scenario: Callable[[VirtualClock], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario(VirtualClock())

    asyncio.run(main())


async def load(
    clock: VirtualClock, limiter: RateLimiter, number: int, latencies: list[tuple[float, float]]
) -> list[float]:
    """Send as fast as slots come; each request takes its time to the server and back. Returns the arrivals."""
    arrivals: list[float] = []
    left = iter(range(number))

    async def worker() -> None:
        for n in left:
            there, back = latencies[n % len(latencies)]
            async with limiter.slot():
                await clock.sleep(there)
                arrivals.append(clock.monotonic())
                await clock.sleep(back)

    await asyncio.gather(*(worker() for _ in range(limiter.concurrency)))
    return sorted(arrivals)


def most_in_any_window(arrivals: list[float], seconds: float) -> int:
    most = first = 0
    for last, at in enumerate(arrivals):
        while arrivals[first] <= at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 40),
    seconds=st.sampled_from([1.0, 10.0, 60.0]),
    concurrency=st.integers(1, 12),
    latencies=st.lists(st.tuples(st.floats(0.001, 3), st.floats(0.001, 3)), min_size=1, max_size=5),
)
def test_no_window_ever_holds_more_arrivals_than_the_rate(
    count: int, seconds: float, concurrency: int, latencies: list[tuple[float, float]]
) -> None:
    async def scenario(clock: VirtualClock) -> None:
        limiter = RateLimiter(clock, Rate(count, seconds), concurrency)
        arrivals = await load(clock, limiter, 3 * count + 5, latencies)
        assert len(arrivals) == 3 * count + 5
        assert most_in_any_window(arrivals, seconds) <= count

    run(scenario)


@pytest.mark.parametrize(("count", "seconds"), [(30, 10.0), (180, 60.0), (100, 1.0)])
def test_a_long_run_uses_at_least_95_per_cent_of_the_rate(count: int, seconds: float) -> None:
    async def scenario(clock: VirtualClock) -> None:
        limiter = RateLimiter(clock, Rate(count, seconds), 8)
        began = clock.monotonic()
        arrivals = await load(clock, limiter, 40 * count, [(0.01, 0.01), (0.015, 0.005)])
        used = len(arrivals) / ((clock.monotonic() - began) / seconds * count)
        assert used >= 0.95
        assert most_in_any_window(arrivals, seconds) <= count

    run(scenario)


def test_what_could_go_at_once_is_sent_apart() -> None:
    async def scenario(clock: VirtualClock) -> None:
        limiter = RateLimiter(clock, None, 8)
        arrivals = await load(clock, limiter, 400, [(0.01, 0.01)])
        later = arrivals[40:]
        gaps = [second - first for first, second in pairwise(later)]
        assert min(gaps) >= 0.001
        assert later[-1] - later[0] == pytest.approx(len(later) * 0.02 / 8, rel=0.15), "and none the fewer for it"

    run(scenario)


def test_without_a_rate_only_the_concurrency_binds() -> None:
    async def scenario(clock: VirtualClock) -> None:
        limiter = RateLimiter(clock, None, 3)
        began = clock.monotonic()
        await load(clock, limiter, 30, [(0.5, 0.5)])
        assert clock.monotonic() - began == pytest.approx(10, rel=0.002)

    run(scenario)


def test_slots_go_to_whoever_came_first_and_a_cancelled_waiter_holds_nobody_up() -> None:
    async def scenario(clock: VirtualClock) -> None:
        limiter = RateLimiter(clock, Rate(1, 10), 4)
        order: list[int] = []

        async def one(number: int) -> None:
            async with limiter.slot():
                order.append(number)

        tasks = [asyncio.ensure_future(one(number)) for number in range(5)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        tasks[3].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert order == [0, 2, 4]

    run(scenario)


def test_a_request_cancelled_in_flight_frees_its_place_and_still_counts() -> None:
    async def scenario(clock: VirtualClock) -> None:
        limiter = RateLimiter(clock, Rate(5, 10), 1)

        async def hang() -> None:
            async with limiter.slot():
                await asyncio.Event().wait()

        task = asyncio.ensure_future(hang())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with limiter.slot():
            assert len(limiter.recent()) == 1

    run(scenario)


def test_a_pause_holds_every_slot_and_only_grows() -> None:
    async def scenario(clock: VirtualClock) -> None:
        limiter = RateLimiter(clock, None, 2)
        limiter.pause_until(clock.now() + 35)
        limiter.pause_until(clock.now() + 5)
        began = clock.monotonic()
        assert limiter.paused_for() == pytest.approx(35)
        async with limiter.slot():
            assert clock.monotonic() - began >= 35
        assert limiter.paused_for() == 0

    run(scenario)


def test_a_following_process_does_not_exceed_the_rate() -> None:
    async def scenario(clock: VirtualClock) -> None:
        first = RateLimiter(clock, Rate(5, 10), 5)
        arrivals = await load(clock, first, 5, [(0.1, 0.1)])
        second = RateLimiter(clock, Rate(5, 10), 5)
        second.restore(first.recent())
        arrivals += await load(clock, second, 5, [(0.1, 0.1)])
        assert most_in_any_window(arrivals, 10) <= 5
        await clock.sleep(11)
        assert second.recent() == []

    run(scenario)


def test_what_is_restored_survives_a_clock_that_was_set_back_and_too_many_of_them() -> None:
    async def scenario(clock: VirtualClock) -> None:
        limiter = RateLimiter(clock, Rate(2, 10), 5)
        limiter.restore([clock.now() + 9_999, clock.now() - 1, clock.now() - 2, clock.now() - 50])
        began = clock.monotonic()
        async with limiter.slot():
            assert 9 <= clock.monotonic() - began <= 11

    run(scenario)


@pytest.mark.parametrize(
    ("endpoint", "rate"),
    [
        ("https://api.nft.storage/pins", Rate(30, 10)),
        ("https://nft.storage/api", Rate(30, 10)),
        ("https://API.Pinata.cloud/psa", Rate(180, 60)),
        ("https://api.filebase.io/v1/ipfs", Rate(100, 1)),
        ("http://127.0.0.1:9097", None),
        ("https://evilnft.storage.example/", None),
        ("https://not-nft.storage/", None),
        ("http://[", None),
    ],
)
def test_known_hosts_start_with_their_documented_rate(endpoint: str, rate: Rate | None) -> None:
    assert default_rate(endpoint) == rate
