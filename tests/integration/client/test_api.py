"""Against the real API on both databases: send, replay, batches, get, list, change, and each kind of refusal."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from integration.client.both_clients import Client, Connect
from support import api_caller
from support.polling import poll_until
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import Installation

from notifier.client import (
    AuthenticationError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    Notification,
    PermissionDeniedError,
    Status,
)
from notifier.ids import generate_id
from notifier.runtime import wiring
from notifier.states import Status as Stored

WELCOME: dict[str, Any] = {"template": "welcome", "variables": {"name": "Ada", "product": "Larkspur"}}


@pytest.fixture
def shop(connect: Connect, api: str, installation: Installation) -> Client:
    """The shop's client."""
    return connect(api, installation.keys.shop)


async def _stored(parts: wiring.ProcessParts, shop: Client, status: Stored) -> str:
    """Return the id of a notification that has reached this status."""
    sent = await shop("send", to="ada@example.com", **WELCOME)
    await api_caller.set_notification(parts.database, sent.id, status=status)
    return str(sent.id)


async def test_a_mail_is_sent_and_looked_at(
    shop: Client, relay: ScriptedRelay, parts: wiring.ProcessParts, api: str
) -> None:
    """A mail can be followed from `send` to the relay's reply, with its events in order."""
    begun = datetime.now(UTC)
    sent = await shop("send", to="ada@example.com", locale="fr", priority="high", reply_to=None, **WELCOME)
    assert (sent.status, sent.replayed) == (Status.QUEUED, False)
    assert begun - timedelta(seconds=1) <= sent.created_at <= datetime.now(UTC) + timedelta(seconds=1)
    async with wiring.run_sender(parts):
        await _until(shop, sent.id, Status.SENT)
    notification: Notification = await shop("get", sent.id)
    assert (notification.to, notification.template, notification.locale, notification.priority) == (
        "ada@example.com",
        "welcome",
        "fr",
        "high",
    )
    assert (notification.attempts[0].code, notification.attempts[0].outcome, notification.attempts[0].number) == (
        250,
        "accepted",
        1,
    )
    assert [event.kind for event in await shop("events", sent.id)] == ["accepted", "attempt", "sent"]
    assert relay.bodies == ["ada@example.com"]


async def _until(shop: Client, id_: str, status: Status) -> None:
    """Return once the notification has the status; the API has no way to wait, so this polls."""

    async def has_status() -> bool:
        return bool((await shop("get", id_)).status == status)

    await poll_until(has_status)


async def test_the_same_key_is_the_same_mail(shop: Client) -> None:
    """A repeated key returns the first notification; with another body it is refused."""
    first = await shop("send", to="ada@example.com", idempotency_key="order-1", **WELCOME)
    second = await shop("send", to="ada@example.com", idempotency_key="order-1", **WELCOME)
    assert (second.id, second.replayed, first.replayed) == (first.id, True, False)
    with pytest.raises(InvalidRequestError) as caught:
        await shop("send", to="bob@example.com", idempotency_key="order-1", **WELCOME)
    assert (caught.value.status, caught.value.code) == (422, "idempotency_key_reused")
    third = await shop("send", to="ada@example.com", **WELCOME)
    assert third.id != first.id


async def test_every_fault_is_told_with_its_place(shop: Client) -> None:
    """One error contains all faults with their places and a readable message."""
    with pytest.raises(InvalidRequestError) as caught:
        await shop("send", to="nobody", template="welcome", variables={"name": "Ada"}, colour="red")
    faults = {(fault.pointer, fault.code) for fault in caught.value.errors}
    assert faults == {
        ("/to", "invalid_address"),
        ("/variables/product", "missing_variable"),
        ("/colour", "unknown_field"),
    }
    assert str(caught.value).startswith("422 invalid_request: ")
    assert caught.value.request_id
    assert caught.value.request_id in str(caught.value)


async def test_a_batch_with_defaults(shop: Client) -> None:
    """Each mail has a result, in order; a batch repeated with the same key is replayed."""
    items = [{"to": f"user{number}@example.com", "variables": {"name": str(number)}} for number in range(3)]
    defaults = {"template": "welcome", "variables": {"product": "Larkspur"}, "from_": "shop@shop.example"}
    first = await shop("send_batch", items, defaults=defaults, idempotency_key="newsletter")
    again = await shop("send_batch", items, defaults=defaults, idempotency_key="newsletter")
    assert [result.index for result in first.results] == [0, 1, 2]
    assert [result.id for result in again.accepted] == [result.id for result in first.accepted]
    assert [result.replayed for result in first.results + again.results] == [False] * 3 + [True] * 3
    assert (await shop("get", first.results[2].id)).to == "user2@example.com"


async def test_a_batch_with_faults(shop: Client) -> None:
    """Partial batches accept the good mails and report the bad ones; whole batches are refused with all places."""
    items = [{"to": "ada@example.com", **WELCOME}, {"to": "nobody", **WELCOME}]
    batch = await shop("send_batch", items, on_error="skip_invalid")
    assert [result.index for result in batch.accepted] == [0]
    refused = batch.refused[0]
    assert (refused.index, refused.id, refused.error.code) == (1, None, "invalid_address")
    assert refused.error.errors[0].pointer == "/notifications/1/to"
    with pytest.raises(InvalidRequestError) as caught:
        await shop("send_batch", items)
    assert caught.value.errors[0].pointer == "/notifications/1/to"


async def test_the_list_goes_over_all_pages(shop: Client) -> None:
    """Every notification is listed once, newest first, for any page size; a page has the cursor of the next."""
    sent = [(await shop("send", to=f"user{number}@example.com", **WELCOME)).id for number in range(5)]
    assert [item.id for item in await shop("list", limit=2)] == sent[::-1]
    page = await shop("page", limit=2)
    assert ([item.id for item in page.items], page.next) == (sent[:2:-1], sent[3])
    assert [item.id for item in await shop("list", before=page.next)] == sent[2::-1]


async def test_a_scheduled_mail_is_cancelled(shop: Client) -> None:
    """Cancelling twice is no error, and the comment is stored."""
    later = datetime.now(UTC) + timedelta(hours=1)
    sent = await shop("send", to="ada@example.com", send_at=later, **WELCOME)
    assert sent.status == Status.SCHEDULED
    for _ in range(2):
        cancelled = await shop("cancel", sent.id, comment="sold out")
        assert (cancelled.status, cancelled.send_at) == (Status.CANCELLED, later)
    last = (await shop("events", sent.id))[-1]
    assert (last.kind, last.detail) == ("cancelled", "sold out")


async def test_retry_and_resolve(shop: Client, parts: wiring.ProcessParts) -> None:
    """A failed mail is retried, and an unknown outcome is resolved."""
    failed = await _stored(parts, shop, Stored.FAILED)
    assert (await shop("retry", failed, comment="again")).status == Status.QUEUED
    unknown = await _stored(parts, shop, Stored.UNKNOWN)
    assert (await shop("resolve", unknown, "sent")).status == Status.SENT


async def test_changes_that_cannot_be_made(shop: Client, parts: wiring.ProcessParts) -> None:
    """An impossible change raises a `ConflictError` with the code of its reason."""
    queued = (await shop("send", to="ada@example.com", **WELCOME)).id
    sent = await _stored(parts, shop, Stored.SENT)
    for call, code in (
        (("retry", queued), "not_retryable"),
        (("resolve", queued, "failed"), "not_unknown"),
        (("cancel", sent), "already_ended"),
    ):
        with pytest.raises(ConflictError) as caught:
            await shop(*call)
        assert (caught.value.status, caught.value.code) == (409, code)
    with pytest.raises(InvalidRequestError):
        await shop("resolve", queued, "delivered")


async def test_what_is_not_yours(connect: Connect, api: str, installation: Installation, shop: Client) -> None:
    """A wrong key, a read-only key, another service's notification and an unknown id each raise their error."""
    sent = (await shop("send", to="ada@example.com", **WELCOME)).id
    with pytest.raises(AuthenticationError) as refused:
        await connect(api, "ntf_live_wrong")("get", sent)
    assert refused.value.code == "unauthenticated"
    reader = connect(api, installation.keys.reader)
    assert (await reader("get", sent)).id == sent
    with pytest.raises(PermissionDeniedError) as denied:
        await reader("cancel", sent)
    assert denied.value.code == "insufficient_scope"
    for client, id_ in ((connect(api, installation.keys.other), sent), (shop, generate_id())):
        with pytest.raises(NotFoundError) as missing:
            await client("get", id_)
        assert missing.value.code == "not_found"
