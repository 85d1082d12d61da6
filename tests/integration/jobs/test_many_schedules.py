"""Many schedules, and several tickers that look at once: exactly one run for each time that the policy asks for.

Some looks are cancelled midway. tests/chaos/test_schedules.py has whole processes, which are killed.
"""

import random
from collections.abc import Sequence

from integration.jobs import expected_runs
from integration.jobs.saved_schedule import tick_until_quiet
from support.manual_clock import ManualClock
from support.seeded_installation import Installation

from notifier.db.engine import Database
from notifier.jobs.schedule_ticker import ScheduleTicker
from notifier.outbox.wakeup import Wakeup

SEED = 20
SCHEDULES, LOOKS = 20, 12


async def _run_many(database: Database, tickers: Sequence[ScheduleTicker], clock: ManualClock) -> None:
    """Let tickers race over many schedules, and check the runs that they begin."""
    chance = random.Random(SEED)
    expected = await expected_runs.save_many_schedules(database, clock, SCHEDULES)
    for look in range(LOOKS):
        clock.advance(chance.choice(expected_runs.ADVANCES))
        expected.add_look(clock.now())
        await tick_until_quiet(tickers, chance if look % 2 else None)
    await expected.check(database)
    assert expected.planned >= 200


async def test_four_tickers_on_postgresql(postgres_installation: Installation) -> None:
    """Four tickers with connections of their own begin one run for each wanted time."""
    clock = ManualClock()
    databases = [Database(postgres_installation.settings.effective_database_url) for _ in range(4)]
    try:
        await _run_many(databases[0], [ScheduleTicker(database, clock, Wakeup()) for database in databases], clock)
    finally:
        for database in databases:
            await database.close()


async def test_one_process_on_sqlite(sqlite_installation: Installation) -> None:
    """The same on SQLite, where one process has its ticker, which is stopped and started in the middle."""
    clock = ManualClock()
    async with sqlite_installation.open_parts() as parts:
        tickers = [ScheduleTicker(parts.database, clock, Wakeup()) for _ in range(2)]
        await _run_many(parts.database, tickers, clock)
