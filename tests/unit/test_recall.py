"""Answers kept for a second: one question at a time, and nothing remembered that is not there."""

import asyncio

import pytest

from notifier.clock import SystemClock
from notifier.ttl_cache import DEFAULT_TTL_SECONDS, MAX_CACHED_VALUES, TtlCache


class StillClock(SystemClock):
    """Monotonic time in the test's hands."""

    second = 0.0

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self.second


class Source:
    """Counts what it is asked; knows all keys but the negative ones."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.clock = StillClock()
        self.recall: TtlCache[int, str] = TtlCache(self.ask, self.clock)

    async def ask(self, key: int) -> str | None:
        self.asked.append(key)
        await asyncio.sleep(0)
        if key == 0:
            raise ZeroDivisionError
        return f"{key} at {self.clock.second:g}" if key > 0 else None


async def test_an_answer_is_kept_for_a_second() -> None:
    """Within it the source is not asked; after it, it is, and the new answer counts."""
    source = Source()
    assert [await source.recall.get(1) for _ in range(3)] == ["1 at 0"] * 3
    source.clock.second = DEFAULT_TTL_SECONDS - 0.01
    assert await source.recall.get(1) == "1 at 0"
    source.clock.second = DEFAULT_TTL_SECONDS
    assert await source.recall.get(1) == "1 at 1"
    assert source.asked == [1, 1]


async def test_a_hundred_at_once_are_one_question() -> None:
    """Each hears the answer, or the error, and an error is not kept."""
    source = Source()
    assert set(await asyncio.gather(*(source.recall.get(2) for _ in range(100)))) == {"2 at 0"}
    failed = await asyncio.gather(*(source.recall.get(0) for _ in range(100)), return_exceptions=True)
    assert {type(one) for one in failed} == {ZeroDivisionError}
    assert source.asked == [2, 0]
    with pytest.raises(ZeroDivisionError):
        await source.recall.get(0)
    assert source.asked == [2, 0, 0]


async def test_that_there_is_nothing_is_asked_each_time() -> None:
    """What appears is found at once."""
    source = Source()
    assert [await source.recall.get(-1) for _ in range(2)] == [None, None]
    assert source.asked == [-1, -1]


async def test_one_who_gives_up_takes_the_answer_from_nobody() -> None:
    """A cancelled caller does not cancel the question of the others."""
    source = Source()
    gone, stays = asyncio.create_task(source.recall.get(3)), asyncio.create_task(source.recall.get(3))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == "3 at 0"
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_the_oldest_are_forgotten_when_there_are_too_many() -> None:
    """Memory is bounded whatever callers ask for."""
    source = Source()
    for key in range(1, MAX_CACHED_VALUES + 2):
        await source.recall.get(key)
    await source.recall.get(MAX_CACHED_VALUES)
    source.asked.clear()
    await source.recall.get(1)
    assert source.asked == [1]


async def test_what_was_forgotten_is_asked_for_again() -> None:
    """At once, by whoever asks from now on; those who asked before hear what they asked for, and that is not kept."""
    source = Source()
    assert await source.recall.get(1) == "1 at 0"
    source.clock.second = 0.5
    source.recall.invalidate((1).__eq__)
    assert await source.recall.get(1) == "1 at 0.5"
    early = asyncio.create_task(source.recall.get(2))
    await asyncio.sleep(0)
    source.recall.invalidate((2).__eq__)
    late = asyncio.create_task(source.recall.get(2))
    assert [await early, await late] == ["2 at 0.5"] * 2
    assert source.asked == [1, 1, 2, 2]
    assert await source.recall.get(2) == "2 at 0.5"
    assert source.asked == [1, 1, 2, 2]


async def test_misses_that_are_remembered_displace_no_answer() -> None:
    """As many as are asked for, the newest, for as long as an answer; what there is stays."""
    source = Source()
    recall = TtlCache(source.ask, source.clock, seconds=5, max_misses=2)
    assert await recall.get(1) == "1 at 0"
    for key in (-1, -2, -3, -3, -2, 1):
        await recall.get(key)
    assert source.asked == [1, -1, -2, -3]
    assert await recall.get(-1) is None
    source.clock.second = 5
    await recall.get(-3)
    await recall.get(1)
    assert source.asked == [1, -1, -2, -3, -1, -3, 1]
