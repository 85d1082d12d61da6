"""The Idempotency-Key: equal requests are accepted once, however many come at the same time."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from integration.api.clock import ForwardClock
from integration.api.foreign_transaction import open_foreign_transaction
from integration.api.refusal import NOTHING, Written, outcome
from sqlalchemy import select
from support.seeded_installation import WELCOME, Installation

from notifier.db.tables import Notification, get_columns
from notifier.runtime import wiring

KEY = {"Idempotency-Key": "order-4711"}
OTHER_BODY = WELCOME | {"to": "bob@example.com"}
BAD_KEYS = {
    "empty": b"",
    "256 characters": b"k" * 256,
    "bell": b"order\x07",
    "tab": b"order\t1",
    "delete": b"order\x7f",
    "beyond ASCII": "schlüssel".encode(),
    "leading space": b" order",
    "trailing space": b"order ",
}


async def _post(client: httpx2.AsyncClient, body: Any = WELCOME, key: dict[str, str] | None = None) -> httpx2.Response:
    return await client.post("/v1/notifications", json=body, headers=KEY if key is None else key)


def _replays(replies: list[httpx2.Response]) -> list[str | None]:
    return [reply.headers.get("idempotent-replayed") for reply in replies]


def _assert_one(replies: list[httpx2.Response]) -> None:
    """Assert that every reply is 202 with one id, and that all but the first are replays."""
    assert {reply.status_code for reply in replies} == {202}
    assert len({reply.json()["id"] for reply in replies}) == 1
    assert len({reply.headers["location"] for reply in replies}) == 1
    assert len({reply.json()["created_at"] for reply in replies}) == 1
    assert sorted(_replays(replies), key=str) == [None] + ["true"] * (len(replies) - 1)


async def test_a_repeated_request_is_answered_from_the_first(client: httpx2.AsyncClient, written: Written) -> None:
    """Same key and body: one row, one id, and the later reply is marked as a replay."""
    replies = [await _post(client) for _ in range(3)]
    assert _replays(replies) == [None, "true", "true"]
    _assert_one(replies)
    assert await written() == (1, 1, 1)


async def test_a_hundred_at_once_are_one(client: httpx2.AsyncClient, written: Written) -> None:
    """A hundred concurrent equal requests write one row."""
    _assert_one(await asyncio.gather(*(_post(client) for _ in range(100))))
    assert await written() == (1, 1, 1)


async def test_a_hundred_at_once_over_two_processes_are_one(postgres_installation: Installation) -> None:
    """The same holds for two processes on one database."""
    installation = postgres_installation
    async with installation.open_parts() as item, installation.open_parts() as two:
        async with installation.open_client(item) as first, installation.open_client(two) as second:
            _assert_one(await asyncio.gather(*(_post(client) for _ in range(50) for client in (first, second))))
        async with item.database.read() as connection:
            assert len((await connection.execute(select(get_columns(Notification).id))).all()) == 1


async def test_many_keys_over_two_processes_do_not_deadlock(postgres_installation: Installation) -> None:
    """Two processes lock the same keys in opposite orders, and do not deadlock."""
    installation = postgres_installation
    async with open_foreign_transaction(
        installation.settings
    ) as holder:  # so that a deadlock is noticed before the lock times out
        await holder.execute(f"ALTER DATABASE {holder.database} SET deadlock_timeout = '5ms'")
        await holder.commit()
    async with (
        installation.open_parts() as item,
        installation.open_parts() as two,
        installation.open_client(item) as first,
        installation.open_client(two) as second,
    ):
        await _post(first, key={"Idempotency-Key": "model"})
        for time in range(5):  # what one transaction takes depends on the moment: five moments
            await _assert_no_deadlock(installation, first, second, [f"order-{time}-{n:02}" for n in range(20)])


async def _assert_no_deadlock(
    installation: Installation, first: httpx2.AsyncClient, second: httpx2.AsyncClient, names: list[str]
) -> None:
    keys = [{"Idempotency-Key": name} for name in names]
    async with open_foreign_transaction(installation.settings) as holder:
        await holder.take_key(names[len(names) // 2])
        forth = [asyncio.create_task(_post(first, key=key)) for key in keys]
        back = [asyncio.create_task(_post(second, key=key)) for key in reversed(keys)]
        await holder.wait_for_waiters(2)
        await holder.release()
        replies = await asyncio.gather(*forth, *back)
    assert {outcome(reply) for reply in replies} == {(202, "")}
    assert len({reply.json()["id"] for reply in replies}) == len(keys)
    assert _replays(replies).count("true") == len(keys)


async def test_a_restart_forgets_no_key(installation: Installation) -> None:
    """A key accepted by one process is known to the next one."""
    replies = []
    for _ in range(2):
        async with installation.open_parts() as parts, installation.open_client(parts) as client:
            replies.append(await _post(client))
    assert _replays(replies) == [None, "true"]
    _assert_one(replies)


async def test_order_of_keys_and_white_space_do_not_make_another_body(
    client: httpx2.AsyncClient, written: Written
) -> None:
    """Bodies are compared as values, not as bytes."""
    other = dict(reversed(WELCOME.items()))
    spaced = await client.post(
        "/v1/notifications",
        content=httpx2.Request("POST", "http://x", json=other).content.replace(b":", b" :\n"),
        headers=KEY | {"Content-Type": "application/json"},
    )
    _assert_one([spaced, await _post(client)])
    assert await written() == (1, 1, 1)


async def test_the_same_key_with_another_body_is_refused(client: httpx2.AsyncClient, written: Written) -> None:
    """422 `idempotency_key_reused`, also for an invalid body, and nothing is written."""
    first = await _post(client)
    others: tuple[Any, ...] = (OTHER_BODY, WELCOME | {"locale": "de"}, {}, [], WELCOME | {"to": "nobody"})
    for body in others:
        assert outcome(await _post(client, body)) == (422, "idempotency_key_reused"), body
    assert await written() == (1, 1, 1)
    _assert_one([first, await _post(client)])


async def test_two_bodies_at_once_under_one_key_are_one_and_refusals(
    client: httpx2.AsyncClient, written: Written, parts: wiring.ProcessParts
) -> None:
    """Of two different concurrent bodies with one key, one is accepted and the other refused."""
    bodies = [WELCOME, OTHER_BODY] * 10
    replies = await asyncio.gather(*(_post(client, body) for body in bodies))
    async with parts.database.read() as connection:
        (winner,) = await connection.scalars(select(get_columns(Notification).recipient))
    _assert_one([reply for reply, body in zip(replies, bodies, strict=True) if body["to"] == winner])
    losers = [reply for reply, body in zip(replies, bodies, strict=True) if body["to"] != winner]
    assert [outcome(reply) for reply in losers] == [(422, "idempotency_key_reused")] * 10
    assert await written() == (1, 1, 1)


async def test_a_refused_request_does_not_take_its_key(client: httpx2.AsyncClient) -> None:
    """After a 422 the caller mends the body and uses the same key."""
    assert outcome(await _post(client, WELCOME | {"to": "nobody"})) == (422, "invalid_address")
    assert _replays([await _post(client)]) == [None]


async def test_a_key_belongs_to_its_service(
    installation: Installation, parts: wiring.ProcessParts, written: Written
) -> None:
    """Two services may use the same key independently."""
    async with (
        installation.open_client(parts) as shop,
        installation.open_client(parts, installation.keys.other) as other,
    ):
        replies = [await _post(shop), await _post(other), await _post(other)]
    assert _replays(replies) == [None, None, "true"]
    assert replies[0].json()["id"] != replies[1].json()["id"] == replies[2].json()["id"]
    assert await written() == (2, 2, 2)


async def test_a_key_in_a_batch_belongs_to_its_service(installation: Installation, parts: wiring.ProcessParts) -> None:
    """A batch finds only keys of its own service."""
    async with (
        installation.open_client(parts) as shop,
        installation.open_client(parts, installation.keys.other) as other,
    ):
        first = (await _post(shop)).json()["id"]
        items = [WELCOME | {"idempotency_key": KEY["Idempotency-Key"]}]
        reply = await other.post("/v1/notifications/batch", json={"notifications": items})
    (result,) = reply.json()["results"]
    assert result["replayed"] is False
    assert result["id"] != first


async def test_without_a_key_every_request_is_new(client: httpx2.AsyncClient, written: Written) -> None:
    """Without a key equal bodies are separate notifications."""
    replies = await asyncio.gather(*(_post(client, key={}) for _ in range(5)))
    assert len({reply.json()["id"] for reply in replies}) == 5
    assert _replays(replies) == [None] * 5
    assert await written() == (5, 5, 5)


async def test_a_key_that_is_no_key_is_400(client: httpx2.AsyncClient, written: Written) -> None:
    """An empty key, one over 255 characters or one that is not printable ASCII is refused."""
    for name, key in BAD_KEYS.items():
        reply = await client.post("/v1/notifications", json=WELCOME, headers={b"Idempotency-Key": key})
        assert outcome(reply) == (400, "invalid_idempotency_key"), name
    assert await written() == NOTHING
    for length in (1, 255):
        reply = await _post(client, key={"Idempotency-Key": "~" * length})
        assert reply.status_code == 202


async def test_a_replay_tells_the_present_status(client: httpx2.AsyncClient) -> None:
    """A replay shows the current status, here `scheduled`."""
    tomorrow = WELCOME | {"send_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
    first, again = await _post(client, tomorrow), await _post(client, tomorrow)
    notification = (await client.get(first.headers["location"])).json()
    assert _replays([first, again]) == [None, "true"]
    assert [first.json()["status"], notification["status"], again.json()["status"]] == ["scheduled"] * 3


async def test_a_replay_is_answered_though_it_would_be_refused_now(
    installation: Installation, forward: tuple[wiring.ProcessParts, ForwardClock]
) -> None:
    """A replay is answered after its times have passed; another body is still refused."""
    parts, clock = forward
    soon = WELCOME | {"expires_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
    async with installation.open_client(parts) as client:
        first = await _post(client, soon)
        clock.seconds = 7200
        again = await _post(client, soon)
        assert outcome(await _post(client, soon | {"locale": "de"})) == (422, "idempotency_key_reused")
        assert outcome(await _post(client, soon, {"Idempotency-Key": "new"})) == (422, "time_out_of_range")
    assert _replays([first, again]) == [None, "true"]
    assert first.json()["id"] == again.json()["id"]
