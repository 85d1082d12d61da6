"""The lifetime of an idempotency key: seven days by default, then the key can be used again."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from integration.api.refusal import Written, outcome
from sqlalchemy import func, select, update
from support.seeded_installation import WELCOME, Installation

from notifier.db.tables import Notification, get_columns
from notifier.runtime import wiring

KEY = {"Idempotency-Key": "order-4711"}
OTHER = WELCOME | {"to": "bob@example.com"}
_notification = get_columns(Notification)


async def _post(client: httpx2.AsyncClient, body: Any = WELCOME, key: dict[str, str] | None = None) -> httpx2.Response:
    return await client.post("/v1/notifications", json=body, headers=KEY if key is None else key)


async def _age(parts: wiring.ProcessParts, **delta: float) -> None:
    """Move all times of the rows into the past."""
    async with parts.database.write() as connection:
        rows = (await connection.execute(select(_notification.id, _notification.created_at))).all()
        for id_, created_at in rows:
            assert isinstance(id_, UUID)
            assert isinstance(created_at, datetime)
            older = update(Notification).where(_notification.id == id_)
            await connection.execute(older.values(created_at=created_at - timedelta(**delta)))


async def _keyed(parts: wiring.ProcessParts) -> int:
    """Count the rows that have a key."""
    counted = select(func.count()).where(_notification.idempotency_key.is_not(None))
    async with parts.database.read() as connection:
        return int((await connection.execute(counted)).scalar_one())


async def test_a_key_of_six_days_ago_is_replayed(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, written: Written
) -> None:
    """Within its lifetime a key replays, and another body is refused."""
    first = await _post(client)
    await _age(parts, days=6, hours=23)
    again = await _post(client)
    assert (again.json()["id"], again.headers["idempotent-replayed"]) == (first.json()["id"], "true")
    assert outcome(await _post(client, OTHER)) == (422, "idempotency_key_reused")
    assert await written() == (1, 1, 1)


@pytest.mark.parametrize("body", [WELCOME, OTHER], ids=["same", "other"])
async def test_a_key_of_eight_days_ago_makes_a_new_one(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, written: Written, body: dict[str, Any]
) -> None:
    """After its lifetime a key makes a new notification, and the old one is unchanged."""
    first = await _post(client)
    await _age(parts, days=8)
    second = await _post(client, body)
    assert (second.status_code, "idempotent-replayed" in second.headers) == (202, False)
    assert second.json()["id"] != first.json()["id"]
    third = await _post(client, body)
    assert (third.json()["id"], third.headers["idempotent-replayed"]) == (second.json()["id"], "true")
    assert (await client.get(first.headers["location"])).json()["status"] == "queued"
    assert await written() == (2, 2, 2)
    assert await _keyed(parts) == 1


async def test_twenty_at_once_make_one_new_one(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, written: Written
) -> None:
    """Of concurrent requests after the lifetime, one is written and the others are replays."""
    first = await _post(client)
    await _age(parts, days=8)
    replies = await asyncio.gather(*(_post(client) for _ in range(20)))
    assert {reply.status_code for reply in replies} == {202}, [reply.text for reply in replies]
    (id_,) = {reply.json()["id"] for reply in replies}
    assert id_ != first.json()["id"]
    assert sum("idempotent-replayed" not in reply.headers for reply in replies) == 1
    assert await written() == (2, 2, 2)


async def test_two_processes_at_once_make_one_new_one(postgres_installation: Installation) -> None:
    """With two processes the loser gets a replay or is told to retry; there is one row."""
    installation = postgres_installation
    async with installation.open_parts() as item, installation.open_parts() as two:
        async with installation.open_client(item) as first, installation.open_client(two) as second:
            for number in range(10):
                key = {"Idempotency-Key": f"order-{number}"}
                await _post(first, key=key)
                await _age(item, days=8)
                replies = await asyncio.gather(
                    *(_post(client, key=key) for _ in range(5) for client in (first, second))
                )
                outcomes = {outcome(reply) for reply in replies}
                assert outcomes <= {(202, ""), (409, "idempotency_in_progress")}
                assert len({reply.json()["id"] for reply in replies if reply.status_code == 202}) == 1
                assert sum(r.status_code == 202 and "idempotent-replayed" not in r.headers for r in replies) == 1
        async with item.database.read() as connection:
            assert (await connection.execute(select(func.count()).select_from(Notification))).scalar_one() == 20


async def test_a_batch_uses_old_keys_again(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, written: Written
) -> None:
    """Expired item keys are new again, and a key used twice in the batch writes one."""
    bodies = [WELCOME | {"idempotency_key": key} for key in ("a", "b", "c")]
    url = "/v1/notifications/batch"
    old = (await client.post(url, json={"notifications": bodies})).json()["results"]
    await _age(parts, days=8)
    results = (await client.post(url, json={"notifications": [*bodies, bodies[0]]})).json()["results"]
    assert [item["replayed"] for item in results] == [False, False, False, True]
    assert results[3]["id"] == results[0]["id"]
    assert not {item["id"] for item in results} & {item["id"] for item in old}
    assert await written() == (6, 6, 6)


async def test_the_time_is_a_setting(installation: Installation) -> None:
    """The lifetime is the setting `api.idempotency_days`."""
    longer = installation.with_settings(api={"idempotency_days": 10})
    async with longer.open_parts() as parts, longer.open_client(parts) as client:
        first = await _post(client)
        await _age(parts, days=9, hours=23)
        assert (await _post(client)).json()["id"] == first.json()["id"]
        await _age(parts, hours=2)
        assert (await _post(client)).json()["id"] != first.json()["id"]


async def test_an_old_key_replays_nothing_for_a_request_with_faults(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient
) -> None:
    """An invalid repeated request is a replay within the lifetime, and refused after it."""
    bad = WELCOME | {"template": "gone"}
    await _post(client)
    assert outcome(await _post(client, bad)) == (422, "idempotency_key_reused")
    await _age(parts, days=8)
    assert outcome(await _post(client, bad)) == (422, "unknown_template")
