"""Slots of editors: one request of each person at a time, and a wait after many refusals."""

import asyncio

import pytest
from parts.time import HandClock

from notifier.throttle.turns import (
    BURST_SECONDS,
    FREE_SECONDS,
    PATIENCE_SECONDS,
    SHARE,
    TooMuchRefusedError,
    Turn,
    Turns,
)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def naps() -> list[float]:
    """How long each turn was waited for; nobody really waits."""
    return []


@pytest.fixture
def turns(clock: HandClock, naps: list[float]) -> Turns:
    async def sleep(seconds: float) -> None:
        naps.append(seconds)

    return Turns(clock, clock.monotonic, sleep)


@pytest.mark.parametrize(
    ("seconds", "refused", "burnt"),
    [
        (0.05, False, 0.0),
        (FREE_SECONDS, False, 0.0),
        (FREE_SECONDS + 0.5, False, 0.5),
        (0.01, True, 0.01),
        (2.0, True, 2.0),
    ],
)
def test_wasted_seconds(clock: HandClock, seconds: float, refused: bool, burnt: float) -> None:  # noqa: FBT001
    """What is sound is free for a quarter of a second; what is refused is not."""
    turn = Turn(clock.monotonic)
    turn.begin()
    clock.later(seconds)
    turn.refused = refused
    assert turn.burnt() == pytest.approx(burnt)


def test_waiting_costs_nothing(clock: HandClock) -> None:
    """Whoever gave up before their turn is charged nothing."""
    turn = Turn(clock.monotonic, refused=True)
    clock.later(100)
    assert turn.burnt() == 0


async def test_one_person_does_one_thing_at_a_time_in_order(turns: Turns) -> None:
    """However many they ask for at once."""
    order = []

    async def act(number: int) -> None:
        async with turns.of("ada"):
            order.append(("begin", number))
            await asyncio.sleep(0)
            order.append(("end", number))

    await asyncio.gather(*(act(number) for number in range(5)))
    assert order == [(what, number) for number in range(5) for what in ("begin", "end")]


async def test_people_do_not_wait_for_each_other(turns: Turns) -> None:
    """While one person's request runs, another one's begins and ends."""
    async with turns.of("eve"):
        await _take(turns, "ada")


async def test_human_mistakes_never_wait(turns: Turns, clock: HandClock, naps: list[float]) -> None:
    """A person whose template is refused every seven seconds, for an hour."""
    for _ in range(500):
        await _burn(turns, clock, "ada", 0.06)
        clock.later(7)
    assert set(naps) == {0}


async def test_too_many_refusals_get_a_retry_after(turns: Turns, clock: HandClock, naps: list[float]) -> None:
    """Only after a wait, so that trying again and again gains nothing; a colleague is not affected."""
    await _burn(turns, clock, "eve", BURST_SECONDS + 1.0)
    with pytest.raises(TooMuchRefusedError) as refused:
        await _take(turns, "eve")
    assert naps == [0, PATIENCE_SECONDS]
    assert refused.value.retry_after == pytest.approx(1.0 / SHARE - PATIENCE_SECONDS, abs=1)
    await _take(turns, "ada")
    clock.later(1.0 / SHARE)
    await _take(turns, "eve")
    assert naps == [0, PATIENCE_SECONDS, 0, 0]


async def test_a_short_wait_is_not_refused(turns: Turns, clock: HandClock, naps: list[float]) -> None:
    """A request waits a few seconds instead of being refused."""
    await _burn(turns, clock, "ada", BURST_SECONDS + 0.05)
    await _take(turns, "ada")
    assert naps == [0, pytest.approx(0.05 / SHARE)]


async def test_a_cancelled_request_blocks_no_other(turns: Turns) -> None:
    """A request that is cancelled while it waits leaves the slot to the next one."""
    async with turns.of("eve"):
        waiting = [asyncio.create_task(_take(turns, "eve")) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
    async with asyncio.timeout(5):
        await waiting[1]
    assert turns.remembered == 0


async def _take(turns: Turns, who: str) -> None:
    async with turns.of(who):
        pass


async def _burn(turns: Turns, clock: HandClock, who: str, seconds: float) -> None:
    async with turns.of(who) as turn:
        turn.begin()
        clock.later(seconds)
        turn.refused = True
