"""From a status change to the request at an endpoint, on both databases, over real HTTP."""

import asyncio

from integration.webhooks.conftest import Shop
from sqlalchemy import func, select
from support import api_caller
from support.scripted_relay import ScriptedRelay
from support.webhook_receiver import silence

from notifier.db.tables import WebhookDelivery, WebhookEvent
from notifier.runtime import wiring


async def _count(shop: Shop, table: type[WebhookEvent] | type[WebhookDelivery]) -> int:
    async with shop.parts.database.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())


async def test_a_sent_mail_is_told(shop: Shop) -> None:
    """A sent mail causes one signed request with its facts, without variables or content."""
    endpoint = await shop.endpoint()
    async with wiring.run_sender(shop.parts):
        path = await api_caller.submit_mail(shop.client, tags=["spring"], metadata={"order": "4711"})
        (heard,) = await shop.receiver.wait_for(1)
    event = heard.verified(endpoint["secret"])
    notification = (await shop.client.get(path)).json()
    assert event["type"] == "notification.sent"
    assert event["data"] == {
        "id": path.rpartition("/")[2],
        "sequence": 1,
        "status": "sent",
        "reason": None,
        "detail": event["data"]["detail"],
        "to": "ada@example.com",
        "role": "to",
        "parent_id": None,
        "batch_id": None,
        "template": "welcome",
        "template_version": 1,
        "tags": ["spring"],
        "metadata": {"order": "4711"},
        "message_id": notification["message_id"],
        "created_at": event["data"]["created_at"],
        "attempt": {"number": 1, "code": 250, "enhanced_code": "2.0.0", "reply": "queued"},
    }
    assert b"Larkspur" not in heard.body
    assert heard.headers["content-type"] == "application/json"
    assert heard.headers["host"] == f"127.0.0.1:{shop.receiver.port}"


async def test_events_have_an_order(shop: Shop, relay: ScriptedRelay) -> None:
    """A mail that is deferred twice and then sent causes three events, ordered by their sequence."""
    await shop.endpoint()
    relay.say("ada@example.com", "RCPT", "451 4.3.0 later", times=2)
    async with wiring.run_sender(shop.parts):
        path = await api_caller.submit_mail(shop.client)
        for count in (1, 2):
            await api_caller.wait_for_attempts(shop.client, path, count)
            await api_caller.make_due(shop.parts.database)
        requests = await shop.receiver.wait_for(3)
    changes = sorted((request.json["data"] for request in requests), key=lambda data: data["sequence"])
    assert [(data["sequence"], data["status"]) for data in changes] == [(1, "deferred"), (2, "deferred"), (3, "sent")]
    assert [data["attempt"]["code"] for data in changes] == [451, 451, 250]


async def test_each_endpoint_hears_what_it_asked_for(shop: Shop) -> None:
    """An endpoint gets only the types that it subscribes to; an event without a subscriber is not stored."""
    await shop.endpoint("/all")
    await shop.endpoint("/sent", events=["notification.sent"])
    await shop.endpoint("/bounced", events=["notification.bounced"])
    async with wiring.run_sender(shop.parts):
        await api_caller.submit_mail(shop.client)
        await shop.receiver.wait_for(2)
        await api_caller.wait_until_drained(shop.parts.database)
    assert sorted(request.path for request in shop.receiver.heard) == ["/all", "/sent"]
    assert len({request.id for request in shop.receiver.heard}) == 1


async def test_an_event_that_nobody_wants_is_not_even_written(shop: Shop) -> None:
    """Without a sender, `suppressed` and `cancelled` events are written only for endpoints that subscribe to them."""
    types = ("notification.bounced", "notification.cancelled", "notification.suppressed")
    for count, type_ in enumerate(types):
        await shop.endpoint(events=[type_, "notification.complained"])
        barred = {"address": f"{count}@example.com", "scope": "all"}
        assert (await shop.client.post("/v1/suppressions", json=barred)).status_code == 201
        await api_caller.submit_mail(shop.client, barred["address"])
        path = await api_caller.submit_mail(shop.client, send_at="2027-01-01T00:00:00Z")
        assert (await shop.client.post(f"{path}/cancel")).status_code == 200
        assert await _count(shop, WebhookEvent) == (0, 1, 3)[count]


async def test_an_event_that_nobody_wants_is_not_kept(shop: Shop) -> None:
    """When the endpoint subscribes to another type, neither the event nor a delivery is stored."""
    await shop.endpoint("/bounced", events=["notification.bounced"])
    async with wiring.run_sender(shop.parts):
        path = await api_caller.submit_mail(shop.client)
        await api_caller.wait_for_status(shop.client, path, "sent")
        await api_caller.wait_until_drained(shop.parts.database)
    assert (await _count(shop, WebhookEvent), await _count(shop, WebhookDelivery)) == (0, 0)


async def test_without_an_endpoint_nothing_is_written(shop: Shop) -> None:
    """A disabled endpoint, or one of another service, causes no event."""
    endpoint = await shop.endpoint()
    await shop.client.patch(f"/v1/webhooks/{endpoint['id']}", json={"disabled": True})
    async with wiring.run_sender(shop.parts) as running:
        path = await api_caller.submit_mail(shop.client)
        await api_caller.wait_for_status(shop.client, path, "sent")
        await running.drain()
    assert await _count(shop, WebhookEvent) == 0
    assert shop.receiver.heard == []


async def test_a_slow_endpoint_holds_up_no_mail(shop: Shop, relay: ScriptedRelay) -> None:
    """While one endpoint never replies, fifty mails and all deliveries to another endpoint are sent."""
    await shop.endpoint("/slow")
    await shop.endpoint("/quick")
    shop.receiver.always["/slow"] = silence
    async with wiring.run_sender(shop.parts):
        for _ in range(50):
            await api_caller.submit_mail(shop.client)
        await relay.wait_for(50)
        await shop.receiver.wait_for(50, path="/quick")
    assert len({request.id for request in shop.receiver.heard if request.path == "/quick"}) == 50


async def test_draining_waits_for_what_there_is_to_tell(shop: Shop) -> None:
    """Draining ends after the mails are sent and their webhooks are delivered."""
    await shop.endpoint()
    await asyncio.gather(*(api_caller.submit_mail(shop.client) for _ in range(5)))
    async with wiring.run_sender(shop.parts) as running:
        async with asyncio.timeout(50):
            await running.drain()
        assert len(shop.receiver.heard) == 5
        assert await api_caller.count_entries(shop.parts.database) == 0
