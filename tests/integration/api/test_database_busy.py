"""A database that answers but is busy: pools, locks, concurrent keys, conflicts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx2
import pytest
from integration.api.foreign_transaction import open_foreign_transaction
from integration.api.refusal import NOTHING, Written, outcome
from sqlalchemy import text
from support.seeded_installation import WELCOME, Installation

from notifier.runtime import wiring

KEY = {"Idempotency-Key": "order-4711"}
MODEL = {"Idempotency-Key": "model"}
"""Of the row that a foreign transaction copies."""
UNAVAILABLE = (503, "database_unavailable")
_FULL_AT_COMMIT = """
CREATE FUNCTION full_at_commit() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$;
CREATE CONSTRAINT TRIGGER full_at_commit AFTER INSERT ON notification
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION full_at_commit()
"""
PROMISED = 5.0
"""Seconds within which a caller hears that the database is away."""


async def _post(client: httpx2.AsyncClient, key: dict[str, str] | None = None) -> httpx2.Response:
    return await client.post("/v1/notifications", json=WELCOME, headers=key)


async def _assert_refused_in_time(client: httpx2.AsyncClient, key: dict[str, str] | None = None) -> None:
    """503 with a Retry-After, within five seconds."""
    async with asyncio.timeout(10 * PROMISED):
        reply = await _post(client, key)
    assert outcome(reply) == UNAVAILABLE
    assert int(reply.headers["retry-after"]) >= 1


@pytest.fixture
async def caller(postgres_installation: Installation) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the shop, with an API on PostgreSQL."""
    async with postgres_installation.open_parts() as parts, postgres_installation.open_client(parts) as client:
        yield client


async def test_an_exhausted_pool_is_503_and_then_over(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, written: Written
) -> None:
    """While all read connections are in use, requests get 503 in time; with a free one, 202."""
    async with AsyncExitStack() as connections:
        for _ in range(4 if parts.database.is_sqlite else parts.database.shares.ordinary):
            await connections.enter_async_context(parts.database.read())
        await _assert_refused_in_time(client)
    assert await written() == NOTHING
    assert (await _post(client)).status_code == 202


async def test_a_writer_that_is_busy_is_503_and_then_over(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, written: Written
) -> None:
    """While all write connections are in use, requests get 503 in time, and nothing is written later."""
    async with AsyncExitStack() as connections:
        assert (await client.get("/v1/notifications")).status_code == 200
        for _ in range(1 if parts.database.is_sqlite else parts.database.shares.direct):
            await connections.enter_async_context(parts.database.direct_transaction())
        await _assert_refused_in_time(client)
    assert await written() == NOTHING
    assert (await _post(client)).status_code == 202


async def test_a_key_that_is_being_written_is_409(
    caller: httpx2.AsyncClient, postgres_installation: Installation
) -> None:
    """While another transaction holds the key, the request gets 409 and Retry-After."""
    await _post(caller, MODEL)
    async with open_foreign_transaction(postgres_installation.settings) as holder:
        await holder.take_key(KEY["Idempotency-Key"])
        async with asyncio.timeout(10 * PROMISED):
            reply = await _post(caller, KEY)
        assert outcome(reply) == (409, "idempotency_in_progress")
        assert reply.headers["retry-after"] == "1"
        await holder.release()
    reply = await _post(caller, KEY)
    assert (reply.status_code, reply.headers.get("idempotent-replayed")) == (202, None)


async def test_a_key_that_is_committed_while_one_waits_is_answered_from_the_winner(
    caller: httpx2.AsyncClient, postgres_installation: Installation
) -> None:
    """If the other transaction commits in time, the request is compared with its row."""
    await _post(caller, MODEL)
    async with open_foreign_transaction(postgres_installation.settings) as holder:
        await holder.take_key(KEY["Idempotency-Key"])
        waiting = asyncio.create_task(_post(caller, KEY))
        await holder.wait_for_waiters()
        await holder.commit()
        reply = await waiting
    assert (reply.status_code, reply.headers.get("idempotent-replayed")) == (202, "true")


async def test_a_key_that_is_released_while_one_waits_is_taken(
    caller: httpx2.AsyncClient, postgres_installation: Installation
) -> None:
    """If the other transaction rolls back in time, the request is accepted."""
    await _post(caller, MODEL)
    async with open_foreign_transaction(postgres_installation.settings) as holder:
        await holder.take_key(KEY["Idempotency-Key"])
        waiting = asyncio.create_task(_post(caller, KEY))
        await holder.wait_for_waiters()
        await holder.release()
        reply = await waiting
    assert (reply.status_code, reply.headers.get("idempotent-replayed")) == (202, None)


async def test_blocked_keys_hold_up_no_neighbour(
    caller: httpx2.AsyncClient, postgres_installation: Installation
) -> None:
    """While three keys are locked elsewhere, a request without a key is accepted and theirs are refused."""
    await _post(caller, MODEL)
    keys = [{"Idempotency-Key": f"order-{n}"} for n in range(3)]
    async with open_foreign_transaction(postgres_installation.settings) as holder:
        for key in keys:
            await holder.take_key(key["Idempotency-Key"])
        blocked = [asyncio.create_task(_post(caller, key)) for key in keys]
        await holder.wait_for_waiters()
        assert (await _post(caller)).status_code == 202
        assert [outcome(reply) for reply in await asyncio.gather(*blocked)] == [(409, "idempotency_in_progress")] * 3


async def test_a_table_that_is_locked_is_503(caller: httpx2.AsyncClient, postgres_installation: Installation) -> None:
    """A table locked by a migration gives 503 in time, with a key or without."""
    await _post(caller, MODEL)
    async with open_foreign_transaction(postgres_installation.settings) as holder:
        await holder.execute("LOCK TABLE notification IN ACCESS EXCLUSIVE MODE")
        await asyncio.gather(_assert_refused_in_time(caller), _assert_refused_in_time(caller, KEY))
        await holder.release()
    assert (await _post(caller, KEY)).status_code == 202


async def test_a_commit_that_fails_is_never_202(
    caller: httpx2.AsyncClient, postgres_installation: Installation
) -> None:
    """If only COMMIT fails, as on a full disk (53100), the reply is 503 and nothing is written."""
    async with open_foreign_transaction(postgres_installation.settings) as holder:
        await holder.execute(_FULL_AT_COMMIT)
        await holder.commit()
    replies = await asyncio.gather(*(_post(caller) for _ in range(5)), _post(caller, KEY))
    assert [outcome(reply) for reply in replies] == [UNAVAILABLE] * 6
    assert all(int(reply.headers["retry-after"]) >= 1 for reply in replies)
    assert (await caller.get("/v1/notifications")).json()["notifications"] == []
    async with open_foreign_transaction(postgres_installation.settings) as holder:
        await holder.execute("DROP TRIGGER full_at_commit ON notification")
        await holder.commit()
    reply = await _post(caller, KEY)
    assert (reply.status_code, reply.headers.get("idempotent-replayed")) == (202, None)


async def test_a_serialization_failure_is_503_and_the_retry_is_accepted(postgres_installation: Installation) -> None:
    """A serialization failure (40001) gives 503 and writes nothing; the retry is accepted."""
    settings = postgres_installation.settings
    async with open_foreign_transaction(settings) as holder:
        await holder.execute(f"ALTER DATABASE {holder.database} SET default_transaction_isolation = 'serializable'")
        await holder.commit()
    async with postgres_installation.open_parts() as parts, postgres_installation.open_client(parts) as client:
        await _post(client, MODEL)
        async with open_foreign_transaction(settings) as holder:
            await holder.take_key(KEY["Idempotency-Key"])
            waiting = asyncio.create_task(_post(client, KEY))
            await holder.wait_for_waiters()
            await holder.commit()
            reply = await waiting
        assert outcome(reply) == UNAVAILABLE
        assert int(reply.headers["retry-after"]) >= 1
        assert await _count(parts) == 2
        reply = await _post(client, KEY)
        assert (reply.status_code, reply.headers.get("idempotent-replayed")) == (202, "true")


async def test_a_deadlock_is_503_and_the_retry_is_accepted(postgres_installation: Installation) -> None:
    """The victim of a deadlock (40P01) gets 503 and wrote nothing; the retry is accepted."""
    settings = postgres_installation.settings
    async with open_foreign_transaction(settings) as holder:
        await holder.execute(f"ALTER DATABASE {holder.database} SET deadlock_timeout = '300ms'")
        await holder.commit()
    async with postgres_installation.open_parts() as parts, postgres_installation.open_client(parts) as client:
        await _post(client, MODEL)
        async with open_foreign_transaction(settings) as holder:
            await holder.execute("SET deadlock_timeout = '1h'")
            await holder.take_key(KEY["Idempotency-Key"])
            waiting = asyncio.create_task(_post(client, KEY))
            await holder.wait_for_waiters()
            await holder.execute("LOCK TABLE notification IN SHARE MODE")  # waits for the request, which waits for us
            reply = await waiting
            assert outcome(reply) == UNAVAILABLE
            assert int(reply.headers["retry-after"]) >= 1
            await holder.release()
        assert await _count(parts) == 1
        assert (await _post(client, KEY)).status_code == 202


async def _count(parts: wiring.ProcessParts) -> int:
    async with parts.database.read() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM notification"))).scalar_one())
