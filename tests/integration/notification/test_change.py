"""Cancel, retry and resolve: from which statuses each is allowed, and that a refused change writes nothing."""

import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx2
import pytest
from sqlalchemy import select
from support import api_caller, uncertain_mails
from support.crashed_sender import CrashedSender
from support.scripted_relay import STALL, ScriptedRelay
from support.seeded_installation import Installation

from notifier.audit import Actor
from notifier.clock import SystemClock
from notifier.db.tables import Attempt, get_columns
from notifier.outbox import entry_store
from notifier.runtime import wiring
from notifier.states import EntryState, Priority, Status
from notifier.status import notification_actions

ENDED = (Status.SENT, Status.FAILED, Status.EXPIRED, Status.SUPPRESSED, Status.DELIVERED, Status.BOUNCED)


@pytest.fixture
async def client(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """An HTTP client with the shop's key."""
    async with installation.open_client(parts) as made:
        yield made


# -- cancel --------------------------------------------------------------------------------------


async def test_a_cancelled_mail_is_never_sent(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """Cancelling a waiting mail removes its entry, and the sender does not send it."""
    path = await api_caller.submit_mail(client, "bob@example.com")
    assert await uncertain_mails.request_change(client, path, "cancel") == (200, "cancelled")
    assert await uncertain_mails.read_entry(parts.database, path) is None
    async with wiring.run_sender(parts):
        await api_caller.wait_for_status(client, await api_caller.submit_mail(client, "eve@example.com"), "sent")
    assert [mail.recipient for mail in relay.received] == ["eve@example.com"]


async def test_a_deferred_mail_can_be_cancelled(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """The relay did not take a deferred mail, so it can still be cancelled."""
    relay.say("bob@example.com", "DOT", "451 4.3.0 later")
    async with wiring.run_sender(parts):
        path = await api_caller.submit_mail(client, "bob@example.com")
        await api_caller.wait_for_status(client, path, "deferred")
        assert await uncertain_mails.request_change(client, path, "cancel") == (200, "cancelled")
    assert await uncertain_mails.read_entry(parts.database, path) is None


async def test_cancelling_twice_is_one_event(parts: wiring.ProcessParts, client: httpx2.AsyncClient) -> None:
    """Cancelling a second time succeeds and changes nothing."""
    path = await api_caller.submit_mail(client)
    await uncertain_mails.request_change(client, path, "cancel")
    before = await uncertain_mails.read_everything(parts, path)
    assert await uncertain_mails.request_change(client, path, "cancel") == (200, "cancelled")
    assert await uncertain_mails.read_everything(parts, path) == before
    assert [kind for kind, _, _ in await uncertain_mails.read_events(parts.database, path)] == ["cancelled"]


async def test_a_claimed_mail_can_be_cancelled_until_its_mark(
    installation: Installation, parts: wiring.ProcessParts, client: httpx2.AsyncClient
) -> None:
    """A18, rule 6: without a mark the entry is removed even while leased, and its holder then gets no mark."""
    path = await api_caller.submit_mail(client)
    await api_caller.make_due(parts.database)  # by the database's clock, too
    sender = CrashedSender(parts.database, installation.settings.data_dir / "journal")
    claimed = await sender.claim()
    assert await uncertain_mails.request_change(client, path, "cancel") == (200, "cancelled")
    async with parts.database.write() as connection:
        assert await entry_store.mark_entries(connection, sender.boot_id, claimed) == set()
    sender.die()


async def test_a_marked_mail_cannot_be_cancelled(
    installation: Installation, parts: wiring.ProcessParts, client: httpx2.AsyncClient
) -> None:
    """A18, rule 6: after the mark a cancel is refused and changes nothing."""
    path, sender = await uncertain_mails.lose_with_sender(installation, parts, client)
    before = await uncertain_mails.read_everything(parts, path)
    assert await uncertain_mails.request_change(client, path, "cancel") == (409, "already_under_way")
    assert await uncertain_mails.read_everything(parts, path) == before
    sender.die()


async def test_a_mail_whose_body_is_on_its_way_is_sent(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """A18: while a real sender transmits the body the cancel is refused, and the mail arrives."""
    relay.say("bob@example.com", "DATA", STALL)
    async with wiring.run_sender(parts):
        path = await api_caller.submit_mail(client, "bob@example.com")
        await uncertain_mails.until_marked(parts.database, path)
        assert await uncertain_mails.request_change(client, path, "cancel") == (409, "already_under_way")
        relay.resume.set()
        await api_caller.wait_for_status(client, path, "sent")
    assert len(relay.received) == 1


async def test_an_unknown_mail_cannot_be_cancelled(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """The relay may have an unknown mail, so the cancel is refused and its resend stays planned."""
    path = await uncertain_mails.lose_after_dot(parts, client, relay)
    before = await uncertain_mails.read_everything(parts, path)
    assert await uncertain_mails.request_change(client, path, "cancel") == (409, "already_under_way")
    assert await uncertain_mails.read_everything(parts, path) == before


async def test_what_has_ended_cannot_be_cancelled(parts: wiring.ProcessParts, client: httpx2.AsyncClient) -> None:
    """Cancelling in each final status except `cancelled` is 409 `already_ended`."""
    path = await api_caller.submit_mail(client)
    for status in ENDED:
        await api_caller.set_notification(parts.database, path, status=status)
        before = await uncertain_mails.read_everything(parts, path)
        assert await uncertain_mails.request_change(client, path, "cancel") == (409, "already_ended"), status
        assert await uncertain_mails.read_everything(parts, path) == before


# -- retry ---------------------------------------------------------------------------------------


async def test_a_retry_sends_the_same_bytes(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """A retry sends the same bytes under a new entry and continues to count the attempts."""
    relay.say("bob@example.com", "DOT", "554 5.6.0 I do not like this")
    async with wiring.run_sender(parts):
        path = await api_caller.submit_mail(client, "bob@example.com")
        failed = await api_caller.wait_for_status(client, path, "failed")
        assert await uncertain_mails.request_change(client, path, "retry", comment="they like it now") == (
            200,
            "queued",
        )
        notification = await api_caller.wait_for_status(client, path, "sent")
    assert [(a["number"], a["outcome"]) for a in notification["attempts"]] == [(1, "rejected"), (2, "accepted")]
    assert notification["message_id"] == failed["message_id"]
    attempt = get_columns(Attempt)
    async with parts.database.read() as connection:
        tried = (await connection.execute(select(attempt.entry_id, attempt.sha256, attempt.number))).all()
    (mail,) = relay.received
    assert {bytes(row.sha256) for row in tried} == {hashlib.sha256(mail.data).digest()}
    assert len({row.entry_id for row in tried}) == 2
    assert {row.number for row in tried} == {1}
    ((kind, actor, detail),) = await uncertain_mails.read_events(parts.database, path)
    assert (kind, actor.partition(":")[0], detail) == ("retried", "key", "they like it now")


async def test_a_retry_starts_over(parts: wiring.ProcessParts, client: httpx2.AsyncClient) -> None:
    """A retried mail is due now with no used attempts, its own priority and its full lifetime, each time."""
    path = await api_caller.submit_mail(client, priority="bulk")
    first = await uncertain_mails.read_entry(parts.database, path)
    assert first is not None
    old = await uncertain_mails.read_notification(parts.database, path)
    await api_caller.set_notification(
        parts.database,
        path,
        status=Status.EXPIRED,
        send_at=old.send_at - timedelta(days=9),
        expires_at=old.send_at - timedelta(days=9) + timedelta(minutes=10),
    )
    seen = {first.id}
    for _ in range(3):
        assert await uncertain_mails.request_change(client, path, "retry") == (200, "queued")
        row, entry = (
            await uncertain_mails.read_notification(parts.database, path),
            await uncertain_mails.read_entry(parts.database, path),
        )
        assert entry is not None
        assert (entry.due_at, entry.attempts, entry.lease_no) == (row.updated_at, 0, 0)
        assert (entry.priority, entry.state) == (Priority.BULK, EntryState.READY)
        assert row.expires_at - row.updated_at == timedelta(minutes=10)
        assert (row.message_id, row.message_date) == (old.message_id, old.message_date)
        assert entry.id not in seen
        seen.add(entry.id)
        await api_caller.set_notification(parts.database, path, status=Status.FAILED)


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.FAILED, Status.EXPIRED}))
async def test_nothing_else_can_be_retried(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, status: Status
) -> None:
    """A retry in any status other than `failed` is 409, and the entry stays."""
    path = await api_caller.submit_mail(client)
    await api_caller.set_notification(parts.database, path, status=status)
    before = await uncertain_mails.read_everything(parts, path)
    assert await uncertain_mails.request_change(client, path, "retry") == (409, "not_retryable")
    assert await uncertain_mails.read_everything(parts, path) == before


# -- permissions ---------------------------------------------------------------------------------


async def test_a_service_changes_its_own_and_an_operator_all(
    installation: Installation, parts: wiring.ProcessParts, client: httpx2.AsyncClient
) -> None:
    """Another service gets 404; an operator may change the notification and is named in the event."""
    path = await api_caller.submit_mail(client)
    async with installation.open_client(parts, installation.keys.other) as other:
        for verb, body in (("cancel", {}), ("retry", {}), ("resolve", {"as": "sent"})):
            assert (await other.post(f"{path}/{verb}", json=body)).status_code == 404
        assert (await other.patch(path, json={"priority": "high"})).status_code == 404
    operator = Actor(name="operator:grace", at=SystemClock().now())
    async with parts.database.write() as connection:
        await notification_actions.cancel_notification(
            connection, uncertain_mails.get_id(path), actor=operator, rights=None, comment="wrong list"
        )
    assert (await uncertain_mails.read_notification(parts.database, path)).status is Status.CANCELLED
    assert await uncertain_mails.read_events(parts.database, path) == [("cancelled", "operator:grace", "wrong list")]
