"""Four processes begin the runs of schedules, and are killed with SIGKILL: one run for each time that is asked for.

The clock is the test's own. It advances when nothing is due any more, so that the expected runs can be calculated.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from chaos.size import SEED, size
from integration.jobs import expected_runs
from sqlalchemy import func, select, text
from support import ticker_processes
from support.polling import poll_until
from support.seeded_installation import Keys
from support.shared_clock import SharedClock
from support.ticker_processes import TickerProcesses

from notifier.db.engine import Database
from notifier.db.tables import Schedule, get_columns

PROCESSES = 4
SCHEDULES, ROUNDS, KILLS_PER_LOOK = size((20, 1, 4), (100, 5, 4))
MIN_PLANNED = size(100, 2000)
IN_TRANSACTION = text(
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = :name"
    " AND (state LIKE 'idle in transaction%' OR state = 'active' AND query NOT LIKE 'BEGIN%')"
)
_schedule = get_columns(Schedule)


@dataclass
class KillCount:
    """How many processes were killed."""

    kills: int = 0
    in_transaction: int = 0


@pytest.fixture
async def database(postgres_database: tuple[str, Keys]) -> AsyncIterator[Database]:
    opened = Database(postgres_database[0])
    yield opened
    await opened.close()


async def _count_due(database: Database, now: datetime) -> int:
    async with database.read() as connection:
        return int((await connection.execute(select(func.count()).where(_schedule.next_at <= now))).scalar_one())


async def _wait_until_few_are_due(database: Database, now: datetime, most: int) -> None:
    """Wait until at most so many schedules are due."""

    async def are_few() -> bool:
        return await _count_due(database, now) <= most

    await poll_until(are_few)


async def _kill_one(database: Database, tickers: TickerProcesses, chance: random.Random, count: KillCount) -> None:
    """Stop a process where it is, look whether it is in a transaction, and kill and replace it."""
    pid = chance.choice(tickers.pids)
    tickers.freeze(pid)
    async with database.read() as connection:
        name = {"name": ticker_processes.get_session_name(pid)}
        count.in_transaction += (await connection.execute(IN_TRANSACTION, name)).scalar_one() > 0
    tickers.replace(pid)
    count.kills += 1


def _shuffle_advances(chance: random.Random) -> list[int]:
    advances = expected_runs.ADVANCES * ROUNDS
    return chance.sample(advances, k=len(advances))


async def test_killed_tickers_begin_each_run_once(database: Database, tmp_path: Path) -> None:
    """Each planned time that the policy asks for has exactly one run with one entry, and no other time has one."""
    chance, clock, count = random.Random(SEED), SharedClock(tmp_path / "clock"), KillCount()
    expected = await expected_runs.save_many_schedules(database, clock, SCHEDULES)
    with (tmp_path / "errors").open("wb") as errors, TickerProcesses(PROCESSES, database.url, clock, errors) as tickers:
        for seconds in _shuffle_advances(chance):
            clock.advance(seconds)
            expected.add_look(clock.now())
            for most in sorted((chance.randrange(SCHEDULES) for _ in range(KILLS_PER_LOOK)), reverse=True):
                await _wait_until_few_are_due(database, clock.now(), most)
                await _kill_one(database, tickers, chance, count)
            await _wait_until_few_are_due(database, clock.now(), 0)
    print(f"\nseed={SEED} schedules={SCHEDULES} planned={expected.planned} {count}")  # noqa: T201 - for who watches
    runs = await expected.check(database)
    print(f"runs={runs}")  # noqa: T201
    assert expected.planned >= MIN_PLANNED
    assert await asyncio.to_thread((tmp_path / "errors").read_text) == ""
