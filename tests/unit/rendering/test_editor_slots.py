"""Slots of editors: one request of each person at a time, and a wait after many refusals."""

import asyncio

import pytest
from support.manual_clock import ManualClock

from notifier.rendering.preview_pool import (
    BURST_SECONDS,
    CPU_SHARE,
    FREE_SECONDS,
    MAX_WAIT_SECONDS,
    EditorSlot,
    EditorSlots,
    TooMuchRefusedError,
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def naps() -> list[float]:
    """How long each turn was waited for; nobody really waits."""
    return []


@pytest.fixture
def turns(clock: ManualClock, naps: list[float]) -> EditorSlots:
    async def sleep(seconds: float) -> None:
        naps.append(seconds)

    return EditorSlots(clock, clock.monotonic, sleep)


@pytest.mark.parametrize(
    ("seconds", "refused", "burnt"),
    [
        (0.05, False, 0.0),
        (FREE_SECONDS, False, 0.0),
        (FREE_SECONDS + 0.5, False, 0.5),
        (0.01, True, 0.0),
        (0.11, True, 0.11),
        (2.0, True, 2.0),
    ],
)
def test_wasted_seconds(clock: ManualClock, seconds: float, refused: bool, burnt: float) -> None:  # noqa: FBT001
    """What is sound is free for a quarter of a second; of what is refused only a mistake that is found at once."""
    turn = EditorSlot(clock.monotonic)
    turn.start()
    clock.advance(seconds)
    turn.refused = refused
    assert turn.get_wasted_seconds() == pytest.approx(burnt)


def test_waiting_costs_nothing(clock: ManualClock) -> None:
    """Whoever gave up before their turn is charged nothing."""
    turn = EditorSlot(clock.monotonic, refused=True)
    clock.advance(100)
    assert turn.get_wasted_seconds() == 0


async def test_one_person_does_one_thing_at_a_time_in_order(turns: EditorSlots) -> None:
    """However many they ask for at once."""
    order = []

    async def act(number: int) -> None:
        async with turns.acquire("ada"):
            order.append(("begin", number))
            await asyncio.sleep(0)
            order.append(("end", number))

    await asyncio.gather(*(act(number) for number in range(5)))
    assert order == [(what, number) for number in range(5) for what in ("begin", "end")]


async def test_people_do_not_wait_for_each_other(turns: EditorSlots) -> None:
    """While one person's request runs, another one's begins and ends."""
    async with turns.acquire("eve"):
        await _take(turns, "ada")


async def test_human_mistakes_never_wait(turns: EditorSlots, clock: ManualClock, naps: list[float]) -> None:
    """A person whose template is refused every seven seconds, for an hour."""
    for _ in range(500):
        await _burn(turns, clock, "ada", 0.06)
        clock.advance(7)
    assert set(naps) == {0}


async def test_too_many_refusals_get_a_retry_after(turns: EditorSlots, clock: ManualClock, naps: list[float]) -> None:
    """Only after a wait, so that trying again and again gains nothing; a colleague is not affected."""
    await _burn(turns, clock, "eve", BURST_SECONDS + 1.0)
    with pytest.raises(TooMuchRefusedError) as refused:
        await _take(turns, "eve")
    assert naps == [0, MAX_WAIT_SECONDS]
    assert refused.value.retry_after == pytest.approx(1.0 / CPU_SHARE - MAX_WAIT_SECONDS, abs=1)
    await _take(turns, "ada")
    clock.advance(1.0 / CPU_SHARE)
    await _take(turns, "eve")
    assert naps == [0, MAX_WAIT_SECONDS, 0, 0]


async def test_a_short_wait_is_not_refused(turns: EditorSlots, clock: ManualClock, naps: list[float]) -> None:
    """A request waits a few seconds instead of being refused."""
    await _burn(turns, clock, "ada", BURST_SECONDS + 0.05)
    await _take(turns, "ada")
    assert naps == [0, pytest.approx(0.05 / CPU_SHARE)]


async def test_a_cancelled_request_blocks_no_other(turns: EditorSlots) -> None:
    """A request that is cancelled while it waits leaves the slot to the next one."""
    async with turns.acquire("eve"):
        waiting = [asyncio.create_task(_take(turns, "eve")) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
    async with asyncio.timeout(50):
        await waiting[1]
    assert not turns._queues


async def _take(turns: EditorSlots, who: str) -> None:
    async with turns.acquire(who):
        pass


async def _burn(turns: EditorSlots, clock: ManualClock, who: str, seconds: float) -> None:
    async with turns.acquire(who) as turn:
        turn.start()
        clock.advance(seconds)
        turn.refused = True
