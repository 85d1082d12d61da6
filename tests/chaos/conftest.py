"""Fixtures of the chaos tests: scenes on a durable PostgreSQL server of their own and on SQLite."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from chaos.chaos_scene import Scene
from support.long_deadlines import use_long_deadlines
from support.postgres_cluster import OwnServer
from support.seeded_installation import Keys, PostgresSeed
from support.standby_server import StandbyServer


@pytest.fixture(autouse=True)
def _long_deadlines() -> Iterator[None]:
    """Give the database longer to answer the test itself; the processes that it watches are as in production."""
    with use_long_deadlines():
        yield


@pytest.fixture(scope="session")
def durable_server() -> Iterator[OwnServer]:
    """A PostgreSQL server that keeps what it has committed, however it is stopped."""
    server = OwnServer(durable=True)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def durable_seed(durable_server: OwnServer) -> Iterator[PostgresSeed]:
    seed = PostgresSeed(durable_server)
    yield seed
    seed.close()


@pytest.fixture
def durable_database(durable_server: OwnServer, durable_seed: PostgresSeed) -> Iterator[tuple[str, Keys]]:
    name = durable_seed.create()
    yield durable_server.url(name), durable_seed.keys
    durable_seed.drop(name)


@pytest.fixture
def standby(durable_server: OwnServer) -> Iterator[StandbyServer]:
    """A synchronous standby; afterwards the old primary runs again, as before."""
    with StandbyServer(durable_server, synchronous=True) as standby:
        yield standby
        if not durable_server.is_running:
            durable_server.start()


@pytest.fixture
async def postgres_scene(
    request: pytest.FixtureRequest, durable_database: tuple[str, Keys], tmp_path: Path
) -> AsyncIterator[Scene]:
    async with Scene(request.node.name, *durable_database, tmp_path) as scene:
        yield scene


@pytest.fixture
async def quick_scene(
    request: pytest.FixtureRequest, postgres_database: tuple[str, Keys], tmp_path: Path
) -> AsyncIterator[Scene]:
    """A scene on the server of all tests, whose commits are quick because they would not survive its crash."""
    async with Scene(request.node.name, *postgres_database, tmp_path) as scene:
        yield scene


@pytest.fixture
async def sqlite_scene(
    request: pytest.FixtureRequest, sqlite_database: tuple[str, Keys], tmp_path: Path
) -> AsyncIterator[Scene]:
    async with Scene(request.node.name, *sqlite_database, tmp_path) as scene:
        yield scene
