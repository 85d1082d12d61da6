"""`sender --processes N` runs N senders, replaces each that dies, and leaves none behind."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from support import api_caller, notifier_process
from support.notifier_process import NotifierProcess
from support.polling import wait_until
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import Keys

from notifier.db.engine import Database


@pytest.fixture
def env(tmp_path: Path, postgres_database: tuple[str, Keys], relay: ScriptedRelay) -> dict[str, str]:
    """The environment of a sender on PostgreSQL."""
    return notifier_process.without_coverage(
        notifier_process.build_environment(tmp_path, DATABASE_URL=postgres_database[0], SMTP__PORT=str(relay.port))
    )


def children(pid: int) -> list[int]:
    """The child processes of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def senders(pid: int) -> list[int]:
    """The child processes that send."""
    return [child for child in children(pid) if b"sender" in Path(f"/proc/{child}/cmdline").read_bytes()]


def alive(pid: int) -> bool:
    """True while the process exists."""
    return Path(f"/proc/{pid}").exists()


async def test_a_dead_process_is_replaced_and_all_stop_together(env: dict[str, str]) -> None:
    """A killed sender is replaced; SIGTERM ends all senders, and the command with 0."""
    with NotifierProcess("sender", "--processes", "2", env=env, fresh=True) as command:
        for _ in range(2):
            await asyncio.to_thread(command.wait_until_ready)
        before = set(senders(command.pid))
        assert len(before) == 2
        os.kill(min(before), signal.SIGKILL)
        await asyncio.to_thread(command.wait_until_ready)
        after = set(senders(command.pid))
        assert len(after) == 2
        assert len(after & before) == 1
        assert await asyncio.to_thread(command.stop) == 0
    assert not any(map(alive, before | after))


async def test_no_sender_outlives_a_killed_command(env: dict[str, str]) -> None:
    """When the command is killed with -9, its senders notice it and stop."""
    with NotifierProcess("sender", "--processes", "2", env=env, fresh=True) as command:
        for _ in range(2):
            await asyncio.to_thread(command.wait_until_ready)
        left = senders(command.pid)
        command.kill()
        await wait_until(lambda: not any(map(alive, left)))


async def test_processes_that_drain_end_by_themselves(env: dict[str, str], postgres_database: tuple[str, Keys]) -> None:
    """With nothing due the command exits with 0, and no sender is left in the table."""
    ended = await asyncio.to_thread(notifier_process.run_notifier, "sender", "--drain", "--processes", "2", env=env)
    assert (ended.returncode, ended.stdout) == (0, "sender ready\nsender ready\n")
    database = Database(postgres_database[0])
    assert await api_caller.count_entries(database) == 0
    await database.close()
