"""PATCH and batch cancel while a sender works: each mail leaves at most once, and as the API shows it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import httpx2
import pytest
from chaos.size import size
from support import api_caller
from support.polling import wait_until
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import WELCOME, Installation

from notifier.runtime import wiring

RACES = size(100, 1000)
BATCH = size(200, 1000)
AT_ONCE = 12


@pytest.fixture
async def client(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """An HTTP client with the shop's key."""
    async with installation.open_client(parts) as made:
        yield made


@pytest.mark.timeout(600)
async def test_a_changed_mail_leaves_once_and_as_was_told(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """After 200 the new content is sent, after 409 the old content, and each mail exactly once."""
    statuses: dict[str, int] = {}
    paths: dict[str, str] = {}

    async def race(number: int) -> None:
        to = f"user{number}@example.com"
        paths[to] = path = await api_caller.submit_mail(client, to)
        match number % 3:
            case 1:  # being handed over; the mark is near
                await relay.wait_for_commands(f"RCPT TO:<{to}>", 1)
            case 2:  # the relay has it, and the sender may not have written that down yet
                await wait_until(lambda: any(mail.recipient == to for mail in relay.received))
        new = {"name": "Grace", "product": "Larkspur"}
        reply = await client.patch(path, json={"variables": new})
        assert reply.status_code == 200 or reply.json()["code"] in {
            "already_under_way",
            "already_attempted",
            "already_ended",
        }, reply.text
        statuses[to] = reply.status_code

    waiting = iter(range(RACES))

    async def racer() -> None:
        for number in waiting:
            await race(number)

    async with wiring.run_sender(parts):
        await asyncio.gather(*(racer() for _ in range(AT_ONCE)))
        for path in paths.values():
            await api_caller.wait_for_status(client, path, "sent")
    assert Counter(mail.recipient for mail in relay.received) == Counter(list(paths))
    names = {mail.recipient: str(mail.message["Subject"]).rpartition(", ")[2] for mail in relay.received}
    assert names == {to: "Grace" if status == 200 else "Ada" for to, status in statuses.items()}
    assert min(Counter(statuses.values())[status] for status in (200, 409)) >= RACES // 20
    assert await api_caller.count_entries(parts.database) == 0


@pytest.mark.timeout(600)
async def test_a_batch_is_cancelled_while_a_sender_works(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """A18: each mail of a batch is cancelled or sent, none waits, and `cancelled` counts those stopped."""
    bodies = [WELCOME | {"to": f"user{number}@example.com"} for number in range(BATCH)]
    async with wiring.run_sender(parts):
        statuses = (await client.post("/v1/notifications/batch", json={"notifications": bodies})).json()
        await relay.wait_for(5)
        reply = await client.post(f"/v1/batches/{statuses['batch_id']}/cancel")
        assert reply.status_code == 200, reply.text
        ends = [
            await api_caller.wait_for_status(client, f"/v1/notifications/{item['id']}", "sent", "cancelled")
            for item in statuses["results"]
        ]
    sent = {item["to"] for item in ends if item["status"] == "sent"}
    assert Counter(mail.recipient for mail in relay.received) == Counter(sent)
    assert reply.json()["cancelled"] == BATCH - len(sent)
    assert 0 < len(sent) < BATCH
    assert await api_caller.count_entries(parts.database) == 0
    after = (await client.get(f"/v1/batches/{statuses['batch_id']}")).json()
    assert after["statuses"] == {"sent": len(sent), "cancelled": BATCH - len(sent)}
    assert (after["ended"], after["progress"]) == (BATCH, 100)
