"""A pause that waits for the step under way goes before the next step, however slow its turn at the processor is."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator

import pytest
from sqlalchemy import text
from support import counting_action
from support.counting_action import CountingAction, Gate
from support.job_driver import JobDriver
from support.polling import poll_until
from support.postgres_cluster import OwnServer, PostgresServer
from support.seeded_installation import Installation

from notifier.db.engine import Database
from notifier.jobs import job_control
from notifier.states import JobState

WAITING = text(
    "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database() ORDER BY pid"
)


async def _list_waiting(database: Database) -> list[int]:
    """List the server's processes that wait for a lock."""
    async with database.read() as connection:
        return list((await connection.execute(WAITING)).scalars())


@contextlib.contextmanager
def _freeze(pid: int) -> Iterator[None]:
    """Stop a process of the server where it is until the block ends."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_pause_that_waits_is_not_overtaken_by_the_next_step(
    postgres_server: PostgresServer, postgres_installation: Installation
) -> None:
    """The server's process of the pause is frozen while the step under way commits: the next step waits for it."""
    if not isinstance(postgres_server, OwnServer):
        pytest.skip("processes of another server cannot be frozen")
    gate = Gate(10)
    action = CountingAction(inside=gate)
    async with postgres_installation.open_parts() as parts:
        await counting_action.create_table(parts.database)
        driver = JobDriver(parts.database, {action.kind: action})
        run = await driver.create_run()
        (entry,) = await driver.claim()
        working = asyncio.create_task(driver.process(entry))
        await gate.reached.wait()

        async def pause() -> JobState:
            async with parts.database.write() as connection:
                paused = await job_control.pause_run(
                    connection, run.id, None, driver.actions, actor=driver.build_actor()
                )
            return paused.state

        pausing = asyncio.create_task(pause())
        (waiting,) = await poll_until(lambda: _list_waiting(parts.database))
        with _freeze(waiting):
            gate.open.set()

            async def has_gone_on() -> bool:
                return working.done() or await _list_waiting(parts.database) not in ([], [waiting])

            await poll_until(has_gone_on)
            numbers = await counting_action.list_numbers(parts.database, run.id)
        assert numbers == list(range(20))
        assert await pausing is JobState.PAUSED
        await working
        assert await counting_action.list_numbers(parts.database, run.id) == list(range(20))
