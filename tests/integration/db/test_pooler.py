"""Through a real PgBouncer: nothing depends on server state between transactions, and every mail is sent once."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from configparser import ConfigParser

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url, text
from support import api_caller
from support.document_blocks import ROOT
from support.pgbouncer import PgBouncer
from support.postgres_cluster import PostgresServer, execute_statements, make_database_name
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import WELCOME, Installation

from notifier.db import migrations
from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError
from notifier.runtime import wiring
from notifier.settings import DEFAULT_DATABASE_CONNECTIONS

CALLERS, MAILS = 8, 25
COMPOSE = ROOT / "deploy/compose"
MODES = {"transaction": 5, "session": 2 * (DEFAULT_DATABASE_CONNECTIONS + 1)}
"""How many connections the pooler has; with session pooling each of ours keeps one, and there are two processes."""


@pytest.fixture(params=MODES)
def pooler(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> Iterator[PgBouncer]:
    with PgBouncer(postgres_server, request.param, MODES[request.param]) as running:
        yield running


async def _submit(installation: Installation, parts: wiring.ProcessParts, number: int) -> None:
    """Submit mails one after the other."""
    async with installation.open_client(parts) as client:
        for count in range(MAILS):
            reply = await client.post("/v1/notifications", json=WELCOME | {"to": f"{number}-{count}@example.com"})
            assert reply.status_code == 202, reply.text


async def test_every_mail_is_sent_once(
    postgres_installation: Installation, pooler: PgBouncer, relay: ScriptedRelay
) -> None:
    """Eight concurrent callers; API and sender both connect through the pooler."""
    url = pooler.url(postgres_installation.settings.effective_database_url)
    installation = postgres_installation.with_settings(database_url=SecretStr(url))
    async with installation.open_parts() as api, installation.open_parts() as other, wiring.run_sender(other):
        await asyncio.gather(*(_submit(installation, api, number) for number in range(CALLERS)))
        received = await relay.wait_for(CALLERS * MAILS)
        await api_caller.wait_until_drained(api.database)
        assert await api.database.is_pooled()
    counted = Counter(mail.recipient for mail in received)
    assert (len(counted), set(counted.values())) == (CALLERS * MAILS, {1})


async def test_migrations_take_turns(postgres_server: PostgresServer, pooler: PgBouncer) -> None:
    """Several processes start on an empty database: it is migrated once, and none fails."""
    name = make_database_name()
    await asyncio.to_thread(execute_statements, postgres_server.url("postgres"), f"CREATE DATABASE {name}")
    databases = [Database(pooler.url(postgres_server.url(name))) for _ in range(3)]
    await asyncio.gather(*(migrations.upgrade_schema(database) for database in databases))
    assert {await migrations.get_current_revision(database) for database in databases} == {
        migrations.get_head_revision()
    }
    for database in databases:
        await database.close()
    await asyncio.to_thread(execute_statements, postgres_server.url("postgres"), f"DROP DATABASE {name} WITH (FORCE)")


async def test_nothing_is_left_on_the_server(postgres_installation: Installation, pooler: PgBouncer) -> None:
    """There are no prepared statements, session settings or listeners on the server."""
    database = Database(pooler.url(postgres_installation.settings.effective_database_url))
    leftovers = text(
        "SELECT (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_listening_channels()),"
        " current_setting('enable_seqscan'), current_setting('jit')"
    )
    async with database.write_statement() as connection:
        await connection.execute(text("SELECT CAST(:one AS int) AS one"), {"one": 1})
    async with database.write() as transaction:
        assert tuple((await transaction.execute(leftovers)).one()) == (0, 0, "on", "on")
    await database.close()


async def test_the_first_of_two_poolers_is_away(postgres_installation: Installation, pooler: PgBouncer) -> None:
    """With two poolers in the URL, the one that answers is used, and is known to be one."""
    url = pooler.url(postgres_installation.settings.effective_database_url)
    database = Database(url.replace("@", "@127.0.0.1:1,"))
    async with database.write_statement() as connection:
        await connection.execute(text("SELECT CAST(:one AS int) AS one"), {"one": 1})
    assert await database.is_pooled()
    await database.close()


@pytest.mark.parametrize("parameter", ["", "&pgbouncer=true", "&pgbouncer=false"])
async def test_without_a_pooler_statements_stay_prepared(postgres_installation: Installation, parameter: str) -> None:
    """Without a pooler, statements are prepared, unless the URL says that there is one."""
    database = Database(postgres_installation.settings.effective_database_url + parameter)
    is_pooled = parameter == "&pgbouncer=true"
    assert await database.is_pooled() is is_pooled
    async with database.write_statement() as connection:
        await connection.execute(text("SELECT CAST(:one AS int) AS one"), {"one": 1})
        prepared = (await connection.execute(text("SELECT count(*) AS count FROM pg_prepared_statements"))).first()
        planning = (await connection.execute(text("SELECT current_setting('enable_seqscan') AS seqscan"))).first()
    assert (prepared.count > 0, planning.seqscan) == (not is_pooled, "on" if is_pooled else "off")
    await database.close()


async def test_the_pooler_of_the_compose_profile(
    postgres_installation: Installation, postgres_server: PostgresServer
) -> None:
    """Its configuration lets in its one user, who has a password, and runs transactions."""
    configuration = ConfigParser()
    configuration.read(COMPOSE / "pgbouncer.ini")
    ours = dict(configuration["pgbouncer"]) | {"auth_file": str(COMPOSE / "pgbouncer-users.txt")}
    assert ours["pool_mode"] == "transaction"
    lines = "\n".join(f"{name} = {value}" for name, value in ours.items() if not name.startswith("listen_"))
    with PgBouncer(postgres_server, ours["pool_mode"], int(ours["default_pool_size"]), more=lines) as pooler:
        url = make_url(pooler.url(postgres_installation.settings.effective_database_url))
        for password in ("notifier", "another"):
            database = Database(url.set(username="notifier", password=password).render_as_string(hide_password=False))
            with contextlib.nullcontext() if password == "notifier" else pytest.raises(DatabaseUnavailableError):
                async with database.write() as connection:
                    assert (await connection.execute(text("SELECT count(*) FROM service"))).scalar_one() == 2
            await database.close()
