"""Fixtures of the producer outbox: a caller on each driver, and the API it forwards to."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support import postgres_cluster
from support.producer.caller_database import DRIVERS, CallerDatabase
from support.producer.scripted_api import ScriptedApi


@pytest.fixture
def empty_postgres(postgres_server: postgres_cluster.PostgresServer) -> Iterator[str]:
    """The URL of an empty database, without a driver."""
    name = postgres_cluster.make_database_name()
    postgres_cluster.execute_statements(postgres_server.url("postgres"), f"CREATE DATABASE {name}")
    yield postgres_server.url(name)
    postgres_cluster.execute_statements(postgres_server.url("postgres"), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=DRIVERS)
def caller_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database that belongs to the caller."""
    driver = str(request.param)
    if driver.startswith("sqlite"):
        return f"{driver}:///{tmp_path / 'caller.sqlite3'}"
    return f"{driver}:{str(request.getfixturevalue('empty_postgres')).partition(':')[2]}"


@pytest.fixture
async def caller(caller_url: str) -> AsyncIterator[CallerDatabase]:
    """A caller with its tables."""
    database = await CallerDatabase(caller_url).create()
    yield database
    await database.close()


@pytest.fixture
async def api() -> AsyncIterator[ScriptedApi]:
    """An API that accepts every request unless the test scripts another reply."""
    async with ScriptedApi() as started:
        yield started
