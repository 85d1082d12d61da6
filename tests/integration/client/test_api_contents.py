"""Against the real API: dry runs, content, copies, search, changes, whole batches, and suppressions."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from integration.client.both_clients import Client, Connect
from support.seeded_installation import Installation

from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.client import Attachment, InvalidRequestError, NotFoundError, PermissionDeniedError, Status
from notifier.runtime import wiring

WELCOME: dict[str, Any] = {"template": "welcome", "variables": {"name": "Ada", "product": "Larkspur"}}


@pytest.fixture
async def shop(connect: Connect, api: str, installation: Installation, parts: wiring.ProcessParts) -> Client:
    """A client of the shop that may also read content and manage suppressions."""
    scopes = [
        KeyScope.SEND,
        KeyScope.READ,
        KeyScope.CONTENT,
        KeyScope.SUPPRESSIONS,
    ]
    async with parts.database.write() as connection:
        service = await service_admin.find_service(connection, "shop")
        key = await key_admin.create_live_key(connection, service, scopes=scopes, now=parts.clock.now())
    return connect(api, key)


async def test_a_rehearsal_writes_nothing(shop: Client) -> None:
    """A dry run returns the mail and stores nothing; faults are reported as by `send`."""
    dry_run = await shop("dry_run", to="ada@example.com", **WELCOME)
    assert (dry_run.to, "Ada" in dry_run.html, "Ada" in dry_run.text) == ("ada@example.com", True, True)
    assert dry_run.subject
    with pytest.raises(InvalidRequestError):
        await shop("dry_run", to="nobody", **WELCOME)
    assert await shop("list") == []


async def test_a_mail_in_ones_own_words_with_a_file(
    shop: Client, connect: Connect, api: str, installation: Installation
) -> None:
    """The content is returned as it was sent, and only to a key with the scope for it."""
    sent = await shop(
        "send",
        to="ada@example.com",
        from_="Shop <orders@shop.example>",
        content={"subject": "Your receipt", "text": "Here it is."},
        attachments=[Attachment(filename="receipt.txt", content=b"42 EUR\n")],
    )
    content = await shop("content", sent.id)
    assert (content.subject, content.html, content.identical) == ("Your receipt", None, None)
    assert "Here it is." in content.text
    assert [(file.filename, file.content_type, file.size) for file in content.attachments] == [
        ("receipt.txt", "text/plain; charset=utf-8", 7)
    ]
    with pytest.raises(PermissionDeniedError):
        await connect(api, installation.keys.shop)("content", sent.id)


async def test_copies_tags_and_metadata(shop: Client) -> None:
    """Notifications are searched by tag; copies are listed on request."""
    sent = await shop(
        "send",
        to="ada@example.com",
        cc=["bob@example.com"],
        bcc=["eve@example.com"],
        tags=["order"],
        metadata={"order": "FG-1"},
        **WELCOME,
    )
    await shop("send", to="ada@example.com", **WELCOME)
    notification = await shop("get", sent.id)
    assert sorted((copy.role, copy.to, copy.status) for copy in notification.copies) == [
        ("bcc", "eve@example.com", "queued"),
        ("cc", "bob@example.com", "queued"),
    ]
    assert (notification.tags, notification.metadata, notification.role) == (("order",), {"order": "FG-1"}, "to")
    assert [item.id for item in await shop("list", tag="order", created_after=sent.created_at)] == [sent.id]
    assert len(await shop("list", copies=True, limit=1)) == 4


async def test_a_waiting_mail_is_changed_and_explained(shop: Client) -> None:
    """`update` changes only the named fields; `explain` gives the reason for waiting."""
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    sent = await shop("send", to="ada@example.com", **WELCOME)
    changed = await shop("update", sent.id, send_at=later, priority="high")
    assert (changed.status, changed.send_at, changed.priority) == (Status.SCHEDULED, later, "high")
    explanation = await shop("explain", sent.id)
    assert (explanation.waiting, explanation.next_attempt_at) == (True, later)
    assert "scheduled" in [because.code for because in explanation.because]


async def test_a_batch_as_a_whole(shop: Client) -> None:
    """A batch reports its progress and its mails, and is cancelled as a whole; cancelling twice is no error."""
    batch = await shop("send_batch", [{"to": f"user{number}@example.com"} for number in range(3)], defaults=WELCOME)
    seen = await shop("batch", batch.batch_id)
    assert (seen.size, seen.accepted, seen.ended, seen.progress) == (3, 3, 0, 0)
    assert {item.batch_id for item in await shop("list", batch_id=batch.batch_id)} == {batch.batch_id}
    stopped = await shop("cancel_batch", batch.batch_id, comment="a mistake")
    assert (stopped.cancelled, stopped.progress) == (3, 100)
    assert {name: count for name, count in stopped.statuses.items() if count} == {"cancelled": 3}
    assert (await shop("cancel_batch", batch.batch_id)).cancelled == 0


async def test_an_address_is_suppressed_and_let_go(shop: Client) -> None:
    """Mail to a suppressed address is accepted and not sent; adding twice creates one entry, and lifting removes it."""
    added = await shop("suppressions.add", "Ada@Example.com", scope="all", detail="she asked")
    assert (added.scope, added.owner, added.detail, added.expires_at) == ("all", "service", "she asked", None)
    assert (await shop("suppressions.add", "ada@example.com", scope="all")).id == added.id
    assert [item.id for item in await shop("suppressions.list", limit=1)] == [added.id]
    assert await shop("suppressions.get", added.id) == added
    assert (await shop("send", to="ada@example.com", **WELCOME)).status == Status.SUPPRESSED
    assert await shop("suppressions.lift", added.id, comment="she asked again") is None
    with pytest.raises(NotFoundError):
        await shop("suppressions.get", added.id)
    assert (await shop("send", to="ada@example.com", **WELCOME)).status == Status.QUEUED
