"""NOTIFIER_DATABASE_READ_URL with a real standby: what is read there, what never is, and what happens without it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from support import api_caller, template_editor
from support.console_client import open_console
from support.fresh_probes import fetch_fresh
from support.pgbouncer import PgBouncer
from support.polling import poll_until
from support.postgres_cluster import OwnServer, PostgresServer
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import WELCOME, Installation, PostgresSeed
from support.staff_people import StaffScene
from support.standby_server import StandbyServer

from notifier.auth.authenticated_key import KeyScope
from notifier.auth.staff_roles import StaffRole
from notifier.db.database_url import DatabaseUrlError, parse_database_url, parse_read_url
from notifier.errors import DatabaseUnavailableError
from notifier.health.standby_check import check_standby
from notifier.lookup.standby_reader import StandbyReader
from notifier.runtime import wiring
from notifier.settings import IsolatedSettings

TOMORROW = {"send_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
_WHERE = text("SELECT pg_is_in_recovery()")
# On the standby it holds the table until it is cancelled; on the primary it answers at once.
_HOLD_ON_STANDBY = text(
    "SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() THEN pg_sleep(100) END FROM service LIMIT 1"
)
_IS_HELD = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
_TAKE_TABLE = "DO $$ BEGIN LOCK TABLE service IN ACCESS EXCLUSIVE MODE; END $$"


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


async def _list_ids(client: httpx2.AsyncClient, query: str = "") -> list[str]:
    reply = await client.get(f"/v1/notifications{query}")
    assert reply.status_code == 200, reply.text
    return [each["id"] for each in reply.json()["notifications"]]


async def _post(client: httpx2.AsyncClient, key: str, **fields: Any) -> httpx2.Response:
    reply = await client.post("/v1/notifications", json=WELCOME | fields, headers={"Idempotency-Key": key})
    assert reply.status_code == 202, reply.text
    return reply


async def _pause(standby: StandbyServer) -> None:
    await asyncio.to_thread(standby.wait_until_replayed)
    await asyncio.to_thread(standby.pause_replay)


async def _is_on_standby(connection: AsyncConnection) -> bool:
    return bool((await connection.execute(_WHERE)).scalar_one())


async def test_no_decision_reads_from_the_standby(
    parts: wiring.ProcessParts,
    shop: httpx2.AsyncClient,
    admin: httpx2.AsyncClient,
    standby: StandbyServer,
    relay: ScriptedRelay,
) -> None:
    """While the standby shows nothing new, the whole story works: submit, get, send, list, repeat, cancel, suppress."""
    await _pause(standby)
    async with wiring.run_sender(parts):
        sent = await _post(shop, "order-1")
        path, id_ = sent.headers["location"], sent.json()["id"]
        assert (await shop.get(path)).json()["id"] == id_
        assert (await api_caller.wait_for_status(shop, path, "sent"))["attempts"]
        again = await _post(shop, "order-1")
        assert (again.json()["id"], again.headers["idempotent-replayed"]) == (id_, "true")
        later = await _post(shop, "order-2", **TOMORROW)
        assert (await shop.post(f"{later.headers['location']}/cancel")).json()["status"] == "cancelled"
        assert (await shop.get(later.headers["location"])).json()["status"] == "cancelled"
        assert await _list_ids(shop) == [later.json()["id"], id_]
        assert await _list_ids(admin, "?idempotency_key=order-2") == [later.json()["id"]]
        assert await _list_ids(admin, f"?id_prefix={id_[:8]}") != []
        barred = await admin.post("/v1/suppressions", json={"address": "gone@example.com", "scope": "all"})
        assert barred.status_code == 201, barred.text
        assert (await _post(shop, "order-3", to="gone@example.com")).json()["status"] == "suppressed"
        assert await _list_ids(admin) == []  # so it was read from the standby, which did not show any of this
    assert [mail.recipient for mail in relay.received] == [WELCOME["to"]]


async def test_search_and_statistics_are_read_from_the_standby(
    shop: httpx2.AsyncClient, admin: httpx2.AsyncClient, standby: StandbyServer
) -> None:
    """What was replayed is found by an admin key; the statistics answer; the metrics say that the standby is read."""
    id_ = (await _post(shop, "order-1")).json()["id"]
    await asyncio.to_thread(standby.wait_until_replayed)
    assert await _list_ids(admin) == [id_]
    assert (await admin.get("/v1/stats")).status_code == 200
    shown = (await fetch_fresh(admin, "/metrics")).text
    assert "notifier_standby_usable 1.0" in shown
    assert "notifier_standby_lag_seconds 0.0" in shown


async def test_the_console_searches_on_the_standby_and_shows_a_mail_from_the_primary(
    parts: wiring.ProcessParts, shop: httpx2.AsyncClient, standby: StandbyServer
) -> None:
    """The list is that of the standby, except on the page after a change; a mail itself is always up to date."""
    _, signed_in = await StaffScene(parts.database, parts.clock).create_signed_in("Sam", StaffRole.SUPPORT)
    await _pause(standby)
    id_ = (await _post(shop, "order-1", **TOMORROW)).json()["id"]
    async with open_console(parts, signed_in.token) as browser:
        assert id_ not in (await browser.get("/console/mail?q=status:scheduled")).text
        assert (await browser.get(f"/console/mail/{id_}")).status_code == 200
        form = {"id": id_, "q": "status:cancelled"}
        changed = await browser.post("/console/mail/cancel", data=form, headers={"Sec-Fetch-Site": "same-origin"})
        assert changed.status_code == 303
        assert id_ in (await browser.get(changed.headers["location"])).text


async def test_a_standby_that_is_away_is_replaced_by_the_primary(
    parts: wiring.ProcessParts, shop: httpx2.AsyncClient, admin: httpx2.AsyncClient, standby: StandbyServer
) -> None:
    """A standby that stops and comes back costs no request: lists are read from the primary meanwhile."""
    assert await _list_ids(admin) == []  # so there are connections to it
    await asyncio.to_thread(standby.halt)
    id_ = (await _post(shop, "order-1")).json()["id"]
    assert await _list_ids(admin) == [id_]
    parts.standby.invalidate()
    assert await _list_ids(admin) == [id_]
    (finding,) = await check_standby(parts.standby)
    assert (finding.ok, finding.warning) == (True, True)
    assert "NOTIFIER_DATABASE_READ_URL" in finding.detail
    assert "notifier_standby_usable 0.0" in (await fetch_fresh(admin, "/metrics")).text
    await asyncio.to_thread(standby.start)
    parts.standby.invalidate()
    assert await parts.standby.read(_is_on_standby, parts.database.read)
    (finding,) = await check_standby(parts.standby)
    assert "is read" in finding.detail


async def test_a_standby_that_is_far_behind_is_not_read(
    installation: Installation, parts: wiring.ProcessParts, shop: httpx2.AsyncClient, standby: StandbyServer
) -> None:
    """Beyond the largest lag the primary is read, and the reason says how far behind the standby is."""
    await _pause(standby)
    await _post(shop, "order-1")
    read_url = installation.settings.database_read_url
    assert read_url is not None
    reader = StandbyReader(parts.database, read_url.get_secret_value(), max_lag=0.0)
    state = await reader.get_state()
    assert state.lag is not None
    assert state.lag > 0
    assert state.fault is not None
    assert "behind" in state.fault
    assert not await reader.read(_is_on_standby, parts.database.read)
    await asyncio.to_thread(standby.resume_replay)
    await asyncio.to_thread(standby.wait_until_replayed)
    reader.invalidate()
    assert await reader.read(_is_on_standby, parts.database.read)
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
        calls.append(await _is_on_standby(connection))
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
        assert await reader.read(_is_on_standby, parts.database.read)
        await asyncio.to_thread(promoted.promote)
        reader.invalidate()
        assert "takes writes itself" in ((await reader.get_state()).fault or "")
        assert not await reader.read(_is_on_standby, parts.database.read)
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
            assert await asyncio.gather(*(parts.standby.read(_is_on_standby, parts.database.read) for _ in range(6)))
            assert (await parts.standby.get_state()).fault is None


async def test_a_sender_opens_no_connection_to_the_standby(installation: Installation, standby: StandbyServer) -> None:
    """A process without the API reads nothing that may be late."""
    async with wiring.open_process_parts(installation.settings, has_api=False) as parts:
        assert parts.standby.address is None
        assert not await parts.standby.read(_is_on_standby, parts.database.read)


def test_the_url_of_a_standby_is_refused_on_sqlite() -> None:
    """SQLite has no standby, and a standby is no SQLite file."""
    with pytest.raises(ValidationError, match="NOTIFIER_DATABASE_READ_URL needs PostgreSQL"):
        IsolatedSettings(database_read_url=SecretStr("postgresql://db/notifier"))
    with pytest.raises(DatabaseUrlError, match="SQLite has no standby"):
        parse_read_url("sqlite:///file.sqlite3")


def test_only_the_url_of_a_standby_may_ask_for_one() -> None:
    """`target_session_attrs=standby` is for NOTIFIER_DATABASE_READ_URL only."""
    url = "postgresql://one,two/notifier?target_session_attrs=standby"
    assert parse_read_url(url).parameters.session == "standby"
    with pytest.raises(DatabaseUrlError, match="target_session_attrs"):
        parse_database_url(url)
