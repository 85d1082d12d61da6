"""Retries of failed webhook deliveries, on both databases."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from integration.webhooks.conftest import Shop
from sqlalchemy import update
from support import api_caller
from support.crashed_sender import CrashedSender
from support.polling import poll_until
from support.seeded_installation import Installation
from support.webhook_receiver import build_reply

from notifier.db.tables import WebhookEndpoint, get_columns
from notifier.ids import generate_id
from notifier.outbox.entry_handler import ClaimedEntry, LostClaim
from notifier.runtime import wiring
from notifier.states import EntryKind, Priority
from notifier.webhooks.endpoint_client import HIDDEN_REPLY
from notifier.webhooks.webhook_handler import MAX_TRIES

_endpoint = get_columns(WebhookEndpoint)
BUSY = build_reply("500 Internal Server Error", b"out of order")


async def _until(shop: Shop, endpoint: dict[str, Any], *, state: str = "", tries: int = 0) -> dict[str, Any]:
    """Return the only delivery of the endpoint, once it has this state or this number of tries."""

    async def get_delivery() -> dict[str, Any] | None:
        deliveries = await shop.deliveries(endpoint)
        if not deliveries or (deliveries[0]["state"] != state and not 0 < tries <= deliveries[0]["tries"]):
            return None
        detail = await shop.client.get(f"/v1/webhooks/{endpoint['id']}/deliveries/{deliveries[0]['id']}")
        delivery: dict[str, Any] = detail.json()
        return delivery

    return await poll_until(get_delivery)


async def _endpoint_now(shop: Shop, endpoint: dict[str, Any]) -> dict[str, Any]:
    current: dict[str, Any] = (await shop.client.get(f"/v1/webhooks/{endpoint['id']}")).json()
    return current


async def test_down_and_up_again(shop: Shop) -> None:
    """A delivery waits while the receiver is away; every try has the same id and bytes, and a new signature."""
    endpoint = await shop.endpoint()
    shop.receiver.script(BUSY)
    async with wiring.run_sender(shop.parts):
        await api_caller.submit_mail(shop.client)
        first = await _until(shop, endpoint, tries=1)
        assert (first["state"], first["next_attempt_at"] > first["created_at"]) == ("pending", True)
        assert (await _endpoint_now(shop, endpoint))["failing_since"] is not None
        await shop.receiver.stop()
        await api_caller.make_due(shop.parts.database)
        await _until(shop, endpoint, tries=2)
        await shop.receiver.start()
        await api_caller.make_due(shop.parts.database)
        delivery = await _until(shop, endpoint, state="delivered")
    tries = [(attempt["number"], attempt["code"], attempt["detail"]) for attempt in delivery["attempts"]]
    assert tries == [(1, 500, HIDDEN_REPLY), (2, None, "no connection: ConnectionRefusedError"), (3, 204, HIDDEN_REPLY)]
    assert (delivery["ended_at"] is not None, delivery["next_attempt_at"]) == (True, None)
    original, repeated = shop.receiver.heard
    assert (
        (original.id, original.body)
        == (repeated.id, repeated.body)
        == (delivery["event_id"], delivery["body"].encode())
    )
    for request in (original, repeated):
        request.verified(endpoint["secret"])
    assert (await _endpoint_now(shop, endpoint))["failing_since"] is None


async def test_an_absurd_wish_does_not_change_what_was_replied(shop: Shop) -> None:
    """An invalid Retry-After changes nothing: a refused delivery is retried, and a successful one is not repeated."""
    endpoint = await shop.endpoint()
    absurd = "Fri, 31 Dec 9999 23:59:59 -99999999999999999999"
    shop.receiver.script(build_reply("503 Busy", Retry_After=absurd))
    shop.receiver.script(build_reply("200 OK", Retry_After=absurd))
    async with wiring.run_sender(shop.parts):
        await api_caller.submit_mail(shop.client)
        await _until(shop, endpoint, tries=1)
        await api_caller.make_due(shop.parts.database)
        delivery = await _until(shop, endpoint, state="delivered")
    assert [attempt["code"] for attempt in delivery["attempts"]] == [503, 200]


@pytest.mark.parametrize("status", ["301 Moved Permanently", "404 Not Found", "503 Busy"])
async def test_everything_but_success_is_tried_again(shop: Shop, status: str) -> None:
    """Redirects and refusals are retried, after the time in Retry-After."""
    endpoint = await shop.endpoint()
    shop.receiver.script(build_reply(status, Retry_After="3600", Location="http://127.0.0.1/"))
    async with wiring.run_sender(shop.parts):
        await api_caller.submit_mail(shop.client)
        await _until(shop, endpoint, tries=1)
        entries = await api_caller.count_entries(shop.parts.database)
    (delivery,) = await shop.deliveries(endpoint)
    later = shop.parts.clock.now() + timedelta(minutes=50)
    assert (entries, delivery["state"]) == (1, "pending")
    assert delivery["next_attempt_at"] > later.isoformat()


async def test_the_tenth_failure_is_the_end(shop: Shop) -> None:
    """After ten failed tries the delivery is `failed`; the endpoint stays enabled, as it has not failed for long."""
    endpoint = await shop.endpoint()
    shop.receiver.always["/hook"] = BUSY
    async with wiring.run_sender(shop.parts):
        await api_caller.submit_mail(shop.client)
        for tries in range(1, MAX_TRIES):
            await _until(shop, endpoint, tries=tries)
            await api_caller.make_due(shop.parts.database)
        delivery = await _until(shop, endpoint, state="failed")
    assert [attempt["number"] for attempt in delivery["attempts"]] == list(range(1, MAX_TRIES + 1))
    assert await api_caller.count_entries(shop.parts.database) == 0
    assert (await _endpoint_now(shop, endpoint))["disabled_at"] is None


async def test_gone_disables_at_once(shop: Shop) -> None:
    """A 410 fails the delivery and disables the endpoint with the reason; later events are not written."""
    endpoint = await shop.endpoint()
    shop.receiver.script(build_reply("410 Gone"))
    async with wiring.run_sender(shop.parts) as running:
        await api_caller.submit_mail(shop.client)
        await _until(shop, endpoint, state="failed")
        await api_caller.submit_mail(shop.client)
        await running.drain()
    current = await _endpoint_now(shop, endpoint)
    assert (current["disabled_because"], current["disabled_at"] is not None) == ("the endpoint replied 410 Gone", True)
    assert len(shop.receiver.heard) == 1


async def test_five_days_of_failures_disable(shop: Shop) -> None:
    """When five days of failures disable an endpoint, its pending deliveries fail, so that they can be replayed."""
    endpoint = await shop.endpoint()
    shop.receiver.always["/hook"] = BUSY
    async with wiring.run_sender(shop.parts):
        await api_caller.submit_mail(shop.client)
        await _until(shop, endpoint, tries=1)
        long_ago = shop.parts.clock.now() - timedelta(days=5, minutes=1)
        async with shop.parts.database.write() as connection:
            changed = update(WebhookEndpoint).where(_endpoint.id == UUID(endpoint["id"]))
            await connection.execute(changed.values(failing_since=long_ago))
        await api_caller.make_due(shop.parts.database)
        await _until(shop, endpoint, tries=2)
        await api_caller.make_due(shop.parts.database)
        await _until(shop, endpoint, state="failed")
    assert (await _endpoint_now(shop, endpoint))["disabled_because"] == "every try has failed for 5 days"
    assert len(shop.receiver.heard) == 2


async def test_the_dead_are_found_for_both_kinds(shop: Shop, installation: Installation) -> None:
    """Events that a dead process had claimed are not lost: whoever recovers its journal delivers them at once."""
    await shop.endpoint()
    for _ in range(2):
        path = await api_caller.submit_mail(shop.client)
        assert (await shop.client.post(f"{path}/cancel")).status_code == 200
    crashed_sender = CrashedSender(shop.parts.database, installation.settings.data_dir / "journal")
    assert len(await crashed_sender.claim(kind=EntryKind.WEBHOOK)) == 2
    crashed_sender.die()
    async with wiring.run_sender(shop.parts):
        requests = await shop.receiver.wait_for(2)
    assert {request.json["type"] for request in requests} == {"notification.cancelled"}


async def test_lost_too_often_is_a_failed_try(shop: Shop) -> None:
    """A webhook entry whose holders died repeatedly is not quarantined: it uses up one try and continues."""
    endpoint = await shop.endpoint()
    shop.receiver.always["/hook"] = BUSY
    async with wiring.run_sender(shop.parts) as running:
        await api_caller.submit_mail(shop.client)
        delivery = await _until(shop, endpoint, tries=1)
        teller = running.side_workers[0]._handler
        entry = ClaimedEntry(
            id=generate_id(),
            lease_no=7,
            subject_id=UUID(delivery["id"]),
            service_id=generate_id(),
            priority=Priority.NORMAL,
            due_at=shop.parts.clock.now(),
            attempts=3,
            lost=4,
            faults=0,
            fault=None,
        )
        async with shop.parts.database.direct_transaction() as connection:
            (again,) = await teller.recover_lost(connection, [LostClaim(entry=entry, marked_at=None)])
            await teller.record(connection, [again])
        async with shop.parts.database.direct_transaction() as connection:
            gone = LostClaim(entry=ClaimedEntry(**{**_fields(entry), "subject_id": generate_id()}), marked_at=None)
            assert len(await teller.recover_lost(connection, [gone])) == 1
    detail = await _until(shop, endpoint, tries=2)
    assert [attempt["detail"] for attempt in detail["attempts"]] == [
        HIDDEN_REPLY,
        "the sender process died during this attempt",
    ]
    assert again.action.attempts == 4  # type: ignore[union-attr]


def _fields(entry: ClaimedEntry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in entry.__struct_fields__}
