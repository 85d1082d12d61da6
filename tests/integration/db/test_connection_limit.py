"""How many connections to PostgreSQL a process opens, and what happens where there are fewer."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from uuid import uuid4

import httpx2
import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import make_url
from support import api_caller
from support.polling import poll_until
from support.postgres_cluster import execute_statements
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import WELCOME, Installation

from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.console.reading import ReadSlots
from notifier.db.connection_pool import divide_connections
from notifier.health.connection_check import check_database_connections
from notifier.runtime import wiring
from notifier.settings import DEFAULT_DATABASE_CONNECTIONS, MIN_DATABASE_CONNECTIONS, IsolatedSettings

CALLERS, MAILS = 6, 8
_CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'"
READS = ("/v1/notifications", "/v1/stats", "/readyz", "/metrics")


class Role:
    """A role of the server that may have only a few connections."""

    def __init__(self, installation: Installation) -> None:
        self._url = make_url(installation.settings.effective_database_url)
        self.name = f"few_{uuid4().hex[:8]}"
        self._execute(f"CREATE ROLE {self.name} LOGIN", f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {self.name}")

    @property
    def url(self) -> SecretStr:
        return SecretStr(self._url.set(username=self.name).render_as_string(hide_password=False))

    def allow(self, connections: int) -> None:
        """Let it have this many connections at a time."""
        self._execute(f"ALTER ROLE {self.name} CONNECTION LIMIT {connections}")

    def drop(self) -> None:
        self._execute(f"DROP OWNED BY {self.name}", f"DROP ROLE {self.name}")

    def _execute(self, *statements: str) -> None:
        asyncio.run(_execute(self._url.render_as_string(hide_password=False), *statements))


async def _execute(url: str, *statements: str) -> None:
    await asyncio.to_thread(execute_statements, url, *statements)


@pytest.fixture
def role(postgres_installation: Installation) -> Iterator[Role]:
    created = Role(postgres_installation)
    yield created
    created.drop()


async def _submit(client: httpx2.AsyncClient, number: int) -> None:
    """Submit mails one after the other, and read between them."""
    for count in range(MAILS):
        path = await api_caller.submit_mail(client, f"{number}-{count}@example.com")
        for read in (path, READS[count % len(READS)]):
            reply = await client.get(read)
            assert reply.status_code == 200, reply.text


async def _read_pages(slots: ReadSlots) -> None:
    for _ in range(MAILS):
        async with slots.open() as connection:
            await connection.exec_driver_sql("SELECT count(*) FROM notification")


async def _save_schedule(installation: Installation, parts: wiring.ProcessParts) -> None:
    """Save a schedule that mails: its template is loaded during the transaction."""
    async with parts.database.write() as connection:
        shop = await service_admin.find_service(connection, "shop")
        scopes = [KeyScope.SEND, KeyScope.SCHEDULES]
        key = await key_admin.create_live_key(connection, shop, scopes=scopes, now=parts.clock.now())
    schedule = {"timing": "0 9 * * *", "action": "notify", "options": WELCOME}
    async with installation.open_client(parts, key) as client:
        reply = await client.put("/v1/schedules/news", json=schedule)
    assert reply.status_code == 200, reply.text


async def test_the_whole_story_with_the_fewest_connections(
    postgres_installation: Installation, role: Role, relay: ScriptedRelay
) -> None:
    """A process with the minimum does everything under load, on a server that refuses it one connection more."""
    await asyncio.to_thread(role.allow, MIN_DATABASE_CONNECTIONS)
    installation = postgres_installation.with_settings(
        database_url=role.url, database_connections=MIN_DATABASE_CONNECTIONS
    )
    async with installation.open_parts() as parts, wiring.run_sender(parts), installation.open_client(parts) as client:
        await _save_schedule(installation, parts)
        slots = ReadSlots(parts.database, parts.standby)
        await asyncio.gather(*(_submit(client, number) for number in range(CALLERS)), _read_pages(slots))
        received = await relay.wait_for(CALLERS * MAILS)
        await api_caller.wait_until_drained(parts.database)
    counted = Counter(mail.recipient for mail in received)
    assert (len(counted), set(counted.values())) == (CALLERS * MAILS, {1})


async def test_a_full_server_is_503_until_there_is_room(
    postgres_installation: Installation, role: Role, relay: ScriptedRelay
) -> None:
    """While the server refuses connections (53300), callers get 503; then 202, and the mail is sent unaided."""
    installation = postgres_installation.with_settings(database_url=role.url)
    async with installation.open_parts() as parts, wiring.run_sender(parts), installation.open_client(parts) as client:
        await asyncio.to_thread(role.allow, 0)
        await _execute(postgres_installation.settings.effective_database_url, _CUT.format(role=role.name))
        refused = await client.post("/v1/notifications", json=WELCOME)
        assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
        await asyncio.to_thread(role.allow, DEFAULT_DATABASE_CONNECTIONS)

        async def post() -> httpx2.Response | None:
            reply = await client.post("/v1/notifications", json=WELCOME)
            return reply if reply.status_code == 202 else None

        path = (await poll_until(post)).headers["location"]
        await api_caller.wait_for_status(client, path, "sent")
    assert len(relay.received) >= 1


async def test_mail_goes_on_with_fewer_connections_than_the_process_wants(
    postgres_installation: Installation, role: Role, relay: ScriptedRelay
) -> None:
    """Idle connections of one pool do not keep the others of the process from the few that the server has."""
    installation = postgres_installation.with_settings(database_url=role.url)
    await asyncio.to_thread(role.allow, 4)
    async with installation.open_parts() as parts, wiring.run_sender(parts), installation.open_client(parts) as client:

        async def submit(number: int) -> None:
            async def post() -> httpx2.Response | None:
                mail = WELCOME | {"to": f"{number}@example.com"}
                reply = await client.post("/v1/notifications", json=mail, headers={"Idempotency-Key": str(number)})
                assert reply.status_code in {202, 503}
                return reply if reply.status_code == 202 else None

            await poll_until(post)

        await asyncio.gather(*(submit(number) for number in range(CALLERS)))
        received = await relay.wait_for(CALLERS)
    assert {mail.recipient for mail in received} == {f"{number}@example.com" for number in range(CALLERS)}


async def test_doctor_compares_with_what_the_server_allows(postgres_installation: Installation) -> None:
    """The check counts the processes that it sees, and warns if they may need more than the server allows."""
    settings = postgres_installation.settings
    async with postgres_installation.open_parts() as parts:
        (fits,) = await check_database_connections(parts.database, settings.database_connections)
        (too_many,) = await check_database_connections(parts.database, 400)
    assert (fits.ok, fits.warning) == (True, False)
    assert f"1 process of up to {DEFAULT_DATABASE_CONNECTIONS}" in fits.detail
    assert (too_many.ok, too_many.warning) == (True, True)
    assert "NOTIFIER_DATABASE_CONNECTIONS" in too_many.detail


@pytest.mark.parametrize("has_console", [True, False])
def test_every_pool_has_a_share(has_console: bool) -> None:  # noqa: FBT001
    """Whatever the number, the shares add up to it, and none but that of an absent console is empty."""
    for total in range(MIN_DATABASE_CONNECTIONS, 101):
        shares = divide_connections(total, has_console=has_console)
        assert shares.ordinary + shares.direct + shares.inspection + shares.staff == total
        assert min(shares.direct, shares.inspection) >= 1
        assert shares.ordinary >= 3  # one listens, and saving a schedule takes two
        assert (shares.staff > 0) is has_console


def test_too_small_a_number_is_refused() -> None:
    """Fewer than the minimum are refused with a reason."""
    with pytest.raises(ValidationError, match="must be at least 6, and is 5"):
        IsolatedSettings(database_connections=5)
