"""Transactions in SQLite's writer thread: all or nothing, the usual errors, and none is left open."""

import asyncio
import sqlite3
import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from notifier.errors import DatabaseUnavailableError
from notifier.runtime import wiring

pytestmark = pytest.mark.parametrize("installation", ["sqlite"], indirect=True)


def _insert(connection: sqlite3.Connection, *words: str) -> int:
    return connection.executemany("INSERT INTO word VALUES (?)", [(word,) for word in words]).rowcount


async def _words(parts: wiring.ProcessParts) -> list[str]:
    async with parts.database.read() as connection:
        return sorted((await connection.execute(text("SELECT word FROM word"))).scalars())


@pytest.fixture
async def words(parts: wiring.ProcessParts) -> wiring.ProcessParts:
    """A table of words, none of them twice."""
    async with parts.database.write() as connection:
        await connection.execute(text("CREATE TABLE word (word text UNIQUE)"))
    return parts


async def test_it_commits_and_hands_back_the_result(words: wiring.ProcessParts) -> None:
    """The function's result is returned after the commit."""
    assert await words.database.run_in_writer(lambda connection: _insert(connection, "a", "b")) == 2
    assert await _words(words) == ["a", "b"]


async def test_an_error_undoes_all_of_it(words: wiring.ProcessParts) -> None:
    """An error has the usual type, nothing is written, and the next transaction works."""
    with pytest.raises(IntegrityError):
        await words.database.run_in_writer(lambda connection: _insert(connection, "a", "b", "a"))
    with pytest.raises(DatabaseUnavailableError):
        await words.database.run_in_writer(lambda connection: connection.execute("SELECT no_such_column"))
    with pytest.raises(ZeroDivisionError):
        await words.database.run_in_writer(lambda connection: _insert(connection, "c") // 0)
    assert await _words(words) == []
    assert await words.database.run_in_writer(lambda connection: _insert(connection, "a")) == 1


async def test_a_cancelled_caller_leaves_no_transaction_open(words: wiring.ProcessParts) -> None:
    """A cancelled transaction still ends in the thread, and later ones work."""
    begun, go_on = threading.Event(), threading.Event()

    def work(connection: sqlite3.Connection) -> None:
        _insert(connection, "a")
        begun.set()
        go_on.wait(5)

    task = asyncio.create_task(words.database.run_in_writer(work))
    await asyncio.to_thread(begun.wait, 5)
    task.cancel()
    asyncio.get_running_loop().call_later(0.05, go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await words.database.run_in_writer(lambda connection: _insert(connection, "b")) == 1
    async with words.database.write() as connection:
        await connection.execute(text("INSERT INTO word VALUES ('c')"))
    assert await _words(words) == ["a", "b", "c"]
