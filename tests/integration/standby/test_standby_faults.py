"""A standby that is away, late, promoted, in conflict, or none of this database: the primary is read instead."""

import asyncio

import httpx2
import pytest
from integration.standby.standby_story import is_on_standby, list_ids, pause, post
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from support.fresh_probes import fetch_fresh
from support.pgbouncer import PgBouncer
from support.polling import poll_until
from support.postgres_cluster import OwnServer, PostgresServer
from support.seeded_installation import Installation
from support.standby_server import StandbyServer

from notifier.errors import DatabaseUnavailableError
from notifier.health.standby_check import check_standby
from notifier.lookup.standby_reader import StandbyReader
from notifier.runtime import wiring

# On the standby it holds the table until it is cancelled; on the primary it answers at once.
_HOLD_ON_STANDBY = text(
    "SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() THEN pg_sleep(100) END FROM service LIMIT 1"
)
_IS_HELD = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
_TAKE_TABLE = "DO $$ BEGIN LOCK TABLE service IN ACCESS EXCLUSIVE MODE; END $$"


async def test_a_standby_that_is_away_is_replaced_by_the_primary(
    parts: wiring.ProcessParts, shop: httpx2.AsyncClient, admin: httpx2.AsyncClient, standby: StandbyServer
) -> None:
    """A standby that stops and comes back costs no request: lists are read from the primary meanwhile."""
    assert await list_ids(admin) == []  # so there are connections to it
    await asyncio.to_thread(standby.halt)
    id_ = (await post(shop, "order-1")).json()["id"]
    assert await list_ids(admin) == [id_]
    parts.standby.invalidate()
    assert await list_ids(admin) == [id_]
    (finding,) = await check_standby(parts.standby)
    assert (finding.ok, finding.warning) == (True, True)
    assert "NOTIFIER_DATABASE_READ_URL" in finding.detail
    assert "notifier_standby_usable 0.0" in (await fetch_fresh(admin, "/metrics")).text
    await asyncio.to_thread(standby.start)
    parts.standby.invalidate()
    assert await parts.standby.read(is_on_standby, parts.database.read)
    (finding,) = await check_standby(parts.standby)
    assert "is read" in finding.detail


async def test_a_standby_that_is_far_behind_is_not_read(
    installation: Installation, parts: wiring.ProcessParts, shop: httpx2.AsyncClient, standby: StandbyServer
) -> None:
    """Beyond the largest lag the primary is read, and the reason says how far behind the standby is."""
    await pause(standby)
    await post(shop, "order-1")
    read_url = installation.settings.database_read_url
    assert read_url is not None
    reader = StandbyReader(parts.database, read_url.get_secret_value(), max_lag=0.0)

    async def find_fault() -> str | None:
        reader.invalidate()
        return (await reader.get_state()).fault

    assert "behind" in await poll_until(find_fault)  # the tests' server writes a commit a little later
    assert not await reader.read(is_on_standby, parts.database.read)
    await asyncio.to_thread(standby.resume_replay)
    await asyncio.to_thread(standby.wait_until_replayed)
    reader.invalidate()
    assert await reader.read(is_on_standby, parts.database.read)
    await reader.close()


async def test_a_recovery_conflict_is_answered_by_the_primary(
    parts: wiring.ProcessParts, primary: OwnServer, standby: StandbyServer, database_name: str
) -> None:
    """A search that replay cancels on the standby (40001) runs again on the primary."""
    await asyncio.to_thread(standby.set_parameter, "max_standby_streaming_delay", "0")

    async def search(connection: AsyncConnection) -> bool:
        return bool((await connection.execute(_HOLD_ON_STANDBY)).first()[0])  # type: ignore[index]

    searching = asyncio.create_task(parts.standby.read(search, parts.database.read))

    async def is_held() -> bool:
        return bool(await asyncio.to_thread(standby.execute, _IS_HELD))

    await poll_until(is_held)
    await asyncio.to_thread(primary.execute_in, database_name, _TAKE_TABLE)
    assert await searching is False


async def test_a_search_that_is_too_slow_on_the_standby_does_not_burden_the_primary(
    parts: wiring.ProcessParts,
) -> None:
    """After a timeout the caller gets an error at once; the same search would be as slow on the primary."""
    calls = []

    async def search(connection: AsyncConnection) -> None:
        calls.append(await is_on_standby(connection))
        raise TimeoutError

    with pytest.raises(DatabaseUnavailableError):
        await parts.standby.read(search, parts.database.read)
    assert calls == [True]


async def test_a_server_that_is_no_standby_of_ours_is_not_read(
    parts: wiring.ProcessParts, postgres_server: PostgresServer, primary: OwnServer, database_name: str
) -> None:
    """Neither a server of another cluster nor another database is read; the primary itself may be."""
    faults = []
    for url in (postgres_server.url("postgres"), primary.url("postgres"), primary.url(database_name)):
        reader = StandbyReader(parts.database, url)
        faults.append((await reader.get_state()).fault)
        await reader.close()
    assert [fault is None for fault in faults] == [False, False, True]
    assert "no standby of this database" in (faults[0] or "")


async def test_a_promoted_standby_is_not_read(
    parts: wiring.ProcessParts, primary: OwnServer, database_name: str
) -> None:
    """A standby that was promoted goes its own way, so it is not read any more."""
    promoted = await asyncio.to_thread(StandbyServer(primary).__enter__)
    try:
        reader = StandbyReader(parts.database, promoted.url(database_name))
        assert await reader.read(is_on_standby, parts.database.read)
        await asyncio.to_thread(promoted.promote)
        reader.invalidate()
        assert "takes writes itself" in ((await reader.get_state()).fault or "")
        assert not await reader.read(is_on_standby, parts.database.read)
        await reader.close()
    finally:
        await asyncio.to_thread(promoted.stop)


async def test_a_standby_behind_a_pooler_is_read(
    installation: Installation, standby: StandbyServer, database_name: str
) -> None:
    """PgBouncer in transaction mode in front of the standby is recognised, as in front of the primary."""
    with PgBouncer(standby, "transaction", 3) as pooler:
        url = SecretStr(pooler.url(standby.url(database_name)))
        async with installation.with_settings(database_read_url=url).open_parts() as parts:
            assert await asyncio.gather(*(parts.standby.read(is_on_standby, parts.database.read) for _ in range(6)))
            assert (await parts.standby.get_state()).fault is None


async def test_a_sender_opens_no_connection_to_the_standby(installation: Installation, standby: StandbyServer) -> None:
    """A process without the API reads nothing that may be late."""
    async with wiring.open_process_parts(installation.settings, has_api=False) as parts:
        assert parts.standby.address is None
        assert not await parts.standby.read(is_on_standby, parts.database.read)
