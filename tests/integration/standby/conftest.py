"""An installation that reads from a real standby of a PostgreSQL of its own."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import httpx2
import pytest
from pydantic import SecretStr
from support import template_editor
from support.postgres_cluster import OwnServer
from support.seeded_installation import Installation, PostgresSeed
from support.standby_server import StandbyServer

from notifier.auth.authenticated_key import KeyScope
from notifier.runtime import wiring


@pytest.fixture(scope="module")
def primary() -> Iterator[OwnServer]:
    server = OwnServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def seed(primary: OwnServer) -> Iterator[PostgresSeed]:
    seed = PostgresSeed(primary)
    yield seed
    seed.close()


@pytest.fixture(scope="module")
def standby(primary: OwnServer, seed: PostgresSeed) -> Iterator[StandbyServer]:
    """A standby that has the seeded database from its first copy on."""
    with StandbyServer(primary) as running:
        yield running


@pytest.fixture
def database_name(primary: OwnServer, seed: PostgresSeed, standby: StandbyServer) -> Iterator[str]:
    """A database of the test's own, which is on the standby, too."""
    name = seed.create()
    standby.wait_until_replayed()
    yield name
    if standby.is_running:
        standby.resume_replay()
    else:
        standby.start()
    seed.drop(name)


@pytest.fixture
def installation(
    postgres_installation: Installation,
    primary: OwnServer,
    seed: PostgresSeed,
    standby: StandbyServer,
    database_name: str,
) -> Installation:
    """An installation that reads from the standby."""
    with_standby = postgres_installation.with_settings(
        database_url=SecretStr(primary.url(database_name)), database_read_url=SecretStr(standby.url(database_name))
    )
    return replace(with_standby, keys=seed.keys)


@pytest.fixture
async def parts(installation: Installation) -> AsyncIterator[wiring.ProcessParts]:
    async with installation.open_parts() as opened:
        yield opened


@pytest.fixture
async def shop(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    async with installation.open_client(parts) as client:
        yield client


@pytest.fixture
async def admin(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    key = await template_editor.create_admin_key(parts, KeyScope.ADMIN, KeyScope.READ, KeyScope.SUPPRESSIONS)
    async with installation.open_client(parts, key) as client:
        yield client
