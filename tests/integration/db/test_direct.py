"""Direct connections: the same errors as with SQLAlchemy, no open transactions, no lost connections."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import insert, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from support.polling import wait_until
from support.seeded_installation import Installation

from notifier.db.direct_connections import StatementConnection
from notifier.db.engine import DEFAULT_SHARES, Database
from notifier.db.tables import INSTANCE, Suppression
from notifier.errors import DatabaseUnavailableError, LockTimeoutError
from notifier.states import SuppressionReason, SuppressionScope

ONE = text("SELECT 1 AS one")
ADD = text("INSERT INTO word VALUES (:word)")
TERMINATE = text("SELECT pg_terminate_backend(:pid)")
BACKEND = text("SELECT pg_backend_pid() AS pid")


@pytest.fixture
async def database(postgres_installation: Installation) -> AsyncIterator[Database]:
    async with postgres_installation.open_parts() as base:
        async with base.database.write() as connection:
            await connection.execute(text("CREATE TABLE word (word text PRIMARY KEY)"))
        yield base.database


async def words(database: Database) -> list[str]:
    async with database.read_statement() as connection:
        return sorted(row.word for row in await connection.execute(text("SELECT word FROM word")))


async def write(database: Database, *new: str, then: Callable[[StatementConnection], object] = bool) -> None:
    """Insert words in one transaction, and call a function before its end."""
    async with database.direct_transaction() as connection:
        for word in new:
            await connection.execute(ADD, {"word": word})
        then(connection)


async def backend(database: Database) -> int:
    async with database.write_statement() as connection:
        return int((await connection.execute(BACKEND)).first().pid)


async def test_rows_are_read_by_name(database: Database) -> None:
    """A column can be read as attribute and by key; an unknown one raises."""
    statement = text("SELECT CAST(:id AS uuid) AS id, CAST(:at AS timestamptz) AS at, :id = :id AS same")
    values = {"id": uuid4(), "at": datetime(2026, 11, 24, tzinfo=UTC)}
    async with database.read_statement() as connection:
        result = await connection.execute(statement, values)
    row = result.first()
    assert (UUID(bytes=row.id.bytes), row["at"], row.same) == (values["id"], values["at"], True)
    assert dict(result.mappings()[0]) == dict(row)
    assert not hasattr(row, "another")


async def test_a_statement_may_bring_its_values(database: Database) -> None:
    """A statement with values of its own is converted by SQLAlchemy's types."""
    values = {
        "id": uuid4(),
        "address": "a@b.org",
        "service_id": INSTANCE,
        "scope": SuppressionScope.ALL,
        "reason": SuppressionReason.REQUESTED,
        "detail": "",
        "created_by": "operator",
        "created_at": datetime.now(UTC),
    }
    async with database.direct_transaction() as connection:
        await connection.execute(insert(Suppression).values(values))
        result = await connection.execute(text("SELECT reason, created_at FROM suppression"))
    assert [tuple(row) for row in result] == [("requested", values["created_at"])]


async def test_an_empty_result_has_no_first_row(database: Database) -> None:
    """`first` of an empty result is None."""
    async with database.read_statement() as connection:
        assert (await connection.execute(text("SELECT word FROM word"))).first() is None


async def test_a_transaction_is_whole_or_nothing(database: Database) -> None:
    """A transaction is rolled back after an error of the database or of ours, and committed otherwise."""
    with pytest.raises(IntegrityError):
        await write(database, "ada", "ada")
    with pytest.raises(ZeroDivisionError):
        await write(database, "bob", then=lambda _: 1 / 0)
    await write(database, "eve")
    assert await words(database) == ["eve"]


async def test_a_connection_is_used_again(database: Database) -> None:
    """A connection is reused after success, and after an error of the server."""
    first = await backend(database)
    with pytest.raises(DBAPIError):
        async with database.write_statement() as connection:
            await connection.execute(text("SELECT 1 / 0"))
    assert await backend(database) == first


async def test_who_is_cancelled_leaves_nothing_under_way(database: Database) -> None:
    """After a cancellation the connection is dropped, and the next transaction gets another."""
    first = await backend(database)
    begun = asyncio.Event()

    async def write_and_wait() -> None:
        async with database.direct_transaction() as connection:
            await connection.execute(ADD, {"word": "ada"})
            begun.set()
            await connection.execute(text("SELECT pg_sleep(60)"))

    writing = asyncio.create_task(write_and_wait())
    await begun.wait()
    writing.cancel()
    assert isinstance((await asyncio.gather(writing, return_exceptions=True))[0], asyncio.CancelledError)
    assert await backend(database) != first
    async with asyncio.timeout(50):  # the row is not locked by anybody
        await write(database, "ada")
    assert await words(database) == ["ada"]


async def test_a_read_that_takes_too_long_is_given_up(database: Database) -> None:
    """A timeout means that the database is unavailable, as with SQLAlchemy."""
    with pytest.raises(DatabaseUnavailableError):
        async with database.read_statement() as connection:
            await connection.execute(text("SELECT pg_sleep(60)"))
    assert await words(database) == []


async def test_a_lock_in_the_way_has_its_own_error(database: Database) -> None:
    """`lock_timeout` has an error of its own."""
    impatient = text(
        "WITH limits AS (SELECT set_config('lock_timeout', '50', true)) INSERT INTO word SELECT :word FROM limits"
    )

    async def meet() -> None:
        async with database.write_statement() as connection:
            await connection.execute(impatient, {"word": "ada"})

    async with database.direct_transaction() as holder:
        await holder.execute(ADD, {"word": "ada"})
        with pytest.raises(LockTimeoutError):
            await meet()


async def test_a_connection_lost_while_idle_is_replaced(database: Database) -> None:
    """A closed idle connection is replaced without an error."""
    pid = await backend(database)
    async with database.write() as other:
        await other.execute(TERMINATE, {"pid": pid})
    (idle,) = database._direct._idle
    await wait_until(idle.driver.is_closed)
    assert await backend(database) != pid


async def test_a_connection_lost_in_a_statement_is_the_database_away(database: Database) -> None:
    """A broken connection raises once, and the next statement gets another."""
    pid = await backend(database)

    async def sleep() -> None:
        async with database.write_statement() as connection:
            sleeping = asyncio.ensure_future(connection.execute(text("SELECT pg_sleep(60)")))
            async with database.write() as other:
                await other.execute(TERMINATE, {"pid": pid})
            await sleeping

    with pytest.raises(DatabaseUnavailableError):
        await sleep()
    assert await backend(database) != pid


async def test_a_lost_commit_is_the_database_away(database: Database) -> None:
    """If the reply to a commit is lost, an error is raised."""
    with pytest.raises(DatabaseUnavailableError):
        await write(database, "ada", then=lambda connection: connection.driver.terminate())  # type: ignore[attr-defined]
    assert await words(database) == []


async def test_who_finds_no_connection_hears_it_soon(database: Database) -> None:
    """If all connections are in use, a caller gets an error after a moment, and later callers are served."""
    uses = [database.write_statement() for _ in range(DEFAULT_SHARES.direct)]
    for use in uses:
        await use.__aenter__()
    with pytest.raises(DatabaseUnavailableError):
        async with database.write_statement():
            pass
    for use in uses:
        await use.__aexit__(None, None, None)
    assert len({await backend(database) for _ in range(3)}) == 1


@pytest.mark.parametrize("name", [None, "nothing"], ids=["no server", "no such database"])
async def test_no_connection_is_the_database_away(postgres_installation: Installation, name: str | None) -> None:
    """A failed connection attempt raises the reason, and frees its slot."""
    url = make_url(postgres_installation.settings.effective_database_url).set(database=name)
    nowhere = Database("postgresql://nobody@127.0.0.1:1/nothing" if name is None else url.render_as_string())
    for _ in range(DEFAULT_SHARES.direct + 1):
        with pytest.raises(DatabaseUnavailableError):
            async with nowhere.write_statement() as connection:
                await connection.execute(ONE)
    await nowhere.close()


async def test_a_parameter_of_the_wrong_type_is_an_error_of_the_statement(database: Database) -> None:
    """A parameter that the driver refuses is a plain error, and the connection is reused."""
    pid = await backend(database)
    with pytest.raises(DBAPIError) as raised:
        async with database.write_statement() as connection:
            await connection.execute(ADD, {"word": 7})
    assert isinstance(raised.value.orig, asyncpg.DataError)
    assert await backend(database) == pid
