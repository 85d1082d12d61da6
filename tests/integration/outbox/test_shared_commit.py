"""The shared commit: items are written together, each alone after a failure, and answered only after the commit."""

import asyncio
import sqlite3
from collections.abc import Sequence
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from support.queue_driver import QueueDriver

from notifier.db.direct_connections import StatementConnection
from notifier.db.shared_commit import (
    MAX_COMMIT_BYTES,
    MAX_COMMIT_ROWS,
    MAX_SHARED_BYTES,
    CommitSize,
    CommitWriter,
    SharedCommit,
)
from notifier.errors import DatabaseUnavailableError, LockTimeoutError


def _size(word: str) -> CommitSize:
    """Return the number of rows of a word: one, or three for `3x` at its beginning."""
    rows, mark, _ = word.partition("x")
    return CommitSize(rows=int(rows) if mark and rows.isdecimal() else 1, bytes=len(word))


class Ledger:
    """A writer of words into its own table that counts its transactions."""

    def __init__(self, queue: QueueDriver) -> None:
        self.database = queue.database
        self.transactions: list[list[str]] = []
        self.commits = 0

    async def create(self) -> None:
        async with self.database.write() as connection:
            await connection.execute(text("CREATE TABLE ledger (word text CHECK (word <> 'poison'))"))

    @property
    def writer(self) -> CommitWriter[str, str]:
        """Return a writer that needs one statement on each database."""
        return CommitWriter(
            on_postgres=self._on_postgres, on_sqlite=self._on_sqlite, size_on_postgres=_size, size_on_sqlite=_size
        )

    async def _on_postgres(self, connection: StatementConnection, words: Sequence[str], _lock_ms: int) -> list[str]:
        self.transactions.append(list(words))
        await connection.execute(text("INSERT INTO ledger SELECT unnest(CAST(:words AS text[]))"), {"words": words})
        return [word.upper() for word in words]

    def _on_sqlite(self, connection: sqlite3.Connection, words: Sequence[str]) -> list[str]:
        self.transactions.append(list(words))
        connection.executemany("INSERT INTO ledger VALUES (?)", [(word,) for word in words])
        return [word.upper() for word in words]

    def committed(self) -> None:
        self.commits += 1

    async def words(self) -> list[str]:
        async with self.database.read() as connection:
            return sorted((await connection.execute(text("SELECT word FROM ledger"))).scalars())


@pytest.fixture
async def ledger(queue: QueueDriver) -> Ledger:
    made = Ledger(queue)
    await made.create()
    return made


async def test_items_that_wait_together_share_a_commit(ledger: Ledger) -> None:
    """Fifty items submitted at once take a few transactions, and each gets its own result."""
    intake = SharedCommit(ledger.database, ledger.writer, on_commit=ledger.committed)
    words = [f"word{n:02}" for n in range(50)]
    results = await asyncio.gather(*(intake.submit(word) for word in words))
    assert results == [word.upper() for word in words]
    assert await ledger.words() == words
    assert len(ledger.transactions) <= 3
    assert ledger.commits == len(ledger.transactions)


async def test_one_bad_item_fails_alone(ledger: Ledger) -> None:
    """After a refused shared commit each item is written alone, so only the bad item's caller gets an error."""
    intake = SharedCommit(ledger.database, ledger.writer, on_commit=ledger.committed)
    words = [f"word{n}" for n in range(9)]
    tasks = [asyncio.create_task(intake.submit(word)) for word in [*words[:5], "poison", *words[5:]]]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(r).__name__ for r in results if not isinstance(r, str)] == ["IntegrityError"]
    assert await ledger.words() == words


async def test_an_error_of_the_writer_reaches_every_caller(ledger: Ledger) -> None:
    """An error of the writer is raised to each caller, and the next item is committed."""
    broken = True

    async def on_postgres(connection: StatementConnection, words: Sequence[str], lock_ms: int) -> Sequence[str]:
        if broken:
            raise ZeroDivisionError
        return await ledger.writer.on_postgres(connection, words, lock_ms)

    def on_sqlite(connection: sqlite3.Connection, words: Sequence[str]) -> Sequence[str]:
        if broken:
            raise ZeroDivisionError
        return ledger.writer.on_sqlite(connection, words)

    writer = replace(ledger.writer, on_postgres=on_postgres, on_sqlite=on_sqlite)
    intake = SharedCommit(ledger.database, writer, on_commit=ledger.committed)
    results = await asyncio.gather(intake.submit("a"), intake.submit("b"), return_exceptions=True)
    assert [type(result) for result in results] == [ZeroDivisionError, ZeroDivisionError]
    broken = False
    assert await intake.submit("c") == "C"


async def test_a_cancelled_caller_does_not_affect_the_others(ledger: Ledger) -> None:
    """A cancelled item that was not begun is left out, and the others are written."""
    intake = SharedCommit(ledger.database, ledger.writer, on_commit=ledger.committed)
    first = asyncio.create_task(intake.submit("first"))
    await asyncio.sleep(0)
    gone, stays = asyncio.create_task(intake.submit("gone")), asyncio.create_task(intake.submit("stays"))
    await asyncio.sleep(0)
    gone.cancel()
    assert list(await asyncio.gather(first, stays)) == ["FIRST", "STAYS"]
    assert "stays" in await ledger.words()
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_a_refused_row_raises_the_databases_error(ledger: Ledger) -> None:
    """The database's error for a single bad row is raised without a retry."""
    intake = SharedCommit(ledger.database, ledger.writer, on_commit=ledger.committed)
    with pytest.raises(DBAPIError):
        await intake.submit("poison")
    assert ledger.commits == 0


async def test_several_items_are_submitted_at_once(ledger: Ledger) -> None:
    """Each item gets its own result or error, in order."""
    intake = SharedCommit(ledger.database, ledger.writer, on_commit=ledger.committed)
    results = await intake.submit_all(["a", "poison", "b"])
    assert [getattr(result, "orig", None) is not None or result for result in results] == ["A", True, "B"]
    assert await ledger.words() == ["a", "b"]


# -- what one item may do to the others ------------------------------------------------------------


async def test_a_commit_is_bounded_in_bytes(ledger: Ledger) -> None:
    """Large items are spread over several commits, each within the limit."""
    intake = SharedCommit(ledger.database, ledger.writer, on_commit=ledger.committed)
    words = [str(number).rjust(MAX_SHARED_BYTES, "w") for number in range(40)]
    assert await asyncio.gather(*(intake.submit(word) for word in words)) == [word.upper() for word in words]
    assert max(sum(map(len, written)) for written in ledger.transactions) == MAX_COMMIT_BYTES
    assert sum(map(len, ledger.transactions)) == len(words)


async def test_a_commit_is_bounded_in_rows(ledger: Ledger) -> None:
    """An item with several rows counts as that many."""
    intake = SharedCommit(ledger.database, ledger.writer, on_commit=ledger.committed)
    words = [f"51x{number}" for number in range(20)]
    await asyncio.gather(*(intake.submit(word) for word in words))
    assert max(map(len, ledger.transactions)) == MAX_COMMIT_ROWS // 51


async def test_a_large_item_is_committed_alone(ledger: Ledger) -> None:
    """A large item is committed alone, and the items around it share their commits."""
    intake = SharedCommit(ledger.database, ledger.writer, on_commit=ledger.committed)
    large = "x" * (MAX_SHARED_BYTES + 1)
    results = await asyncio.gather(*(intake.submit(word) for word in ("a", large, "b", large, "c")))
    assert results == ["A", large.upper(), "B", large.upper(), "C"]
    assert [written for written in ledger.transactions if large in written] == [[large], [large]]
    assert ["a", "b", "c"] in ledger.transactions


@pytest.mark.parametrize("error", [TimeoutError, DatabaseUnavailableError, LockTimeoutError, ZeroDivisionError])
async def test_a_bad_item_does_not_affect_the_others(ledger: Ledger, error: type[Exception]) -> None:
    """An item that makes a shared commit fail or time out does not prevent the others."""
    intake = SharedCommit(ledger.database, _failing(ledger, "fault", error), on_commit=ledger.committed)
    results = await asyncio.gather(*(intake.submit(word) for word in ("a", "fault", "b")), return_exceptions=True)
    if ledger.database.is_sqlite and error is TimeoutError:
        assert {type(result) for result in results} == {DatabaseUnavailableError}  # its only writer is blocked
        return
    expected = DatabaseUnavailableError if error is TimeoutError else error
    assert [result if isinstance(result, str) else type(result) for result in results] == ["A", expected, "B"]
    assert await ledger.words() == ["a", "b"]


async def test_an_item_of_unknown_size_fails_alone(ledger: Ledger) -> None:
    """An item that cannot be encoded for the database is refused before it joins the others."""

    def size(word: str) -> CommitSize:
        return CommitSize(rows=1, bytes=1 // (word != "fault"))

    writer = replace(ledger.writer, size_on_postgres=size, size_on_sqlite=size)
    intake = SharedCommit(ledger.database, writer, on_commit=ledger.committed)
    results = await intake.submit_all(["a", "fault", "b"])
    assert [result if isinstance(result, str) else type(result) for result in results] == ["A", ZeroDivisionError, "B"]


def _failing(ledger: Ledger, word: str, error: type[Exception]) -> CommitWriter[str, str]:
    """Return the ledger's writer, which fails for any transaction with this word."""

    async def on_postgres(connection: StatementConnection, words: Sequence[str], lock_ms: int) -> Sequence[str]:
        if word in words:
            raise error
        return await ledger.writer.on_postgres(connection, words, lock_ms)

    def on_sqlite(connection: sqlite3.Connection, words: Sequence[str]) -> Sequence[str]:
        if word in words:
            raise error
        return ledger.writer.on_sqlite(connection, words)

    return replace(ledger.writer, on_postgres=on_postgres, on_sqlite=on_sqlite)
