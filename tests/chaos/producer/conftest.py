"""Fixtures of the producer's chaos tests: a caller's database on each driver, and a real Notifier with durable data."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from chaos.producer.shop import Notifier
from support import notifier_process, postgres_cluster
from support.producer.caller_database import DRIVERS, CallerDatabase


@pytest.fixture(params=DRIVERS)
def caller_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The caller's database, which on PostgreSQL survives any kill."""
    driver = str(request.param)
    if driver.startswith("sqlite"):
        yield f"{driver}:///{tmp_path / 'caller.sqlite3'}"
        return
    server = request.getfixturevalue("durable_server")
    name = postgres_cluster.make_database_name()
    postgres_cluster.execute_statements(server.url("postgres"), f"CREATE DATABASE {name}")
    yield f"{driver}:{server.url(name).partition(':')[2]}"
    postgres_cluster.execute_statements(server.url("postgres"), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def caller(caller_url: str) -> AsyncIterator[CallerDatabase]:
    """A caller with its tables."""
    made = await CallerDatabase(caller_url).create()
    yield made
    await made.close()


@pytest.fixture
def notifier(request: pytest.FixtureRequest, caller_url: str, tmp_path: Path) -> Iterator[Notifier]:
    """A Notifier on the caller's kind of database, without a relay, so that accepted mails stay queued."""
    kind = "sqlite_database" if caller_url.startswith("sqlite") else "durable_database"
    url, keys = request.getfixturevalue(kind)
    env = notifier_process.build_environment(
        tmp_path / "notifier", DATABASE_URL=url, SMTP__PORT=str(notifier_process.find_free_port())
    )
    with Notifier(url, keys.shop, notifier_process.without_coverage(env)) as running:
        yield running
