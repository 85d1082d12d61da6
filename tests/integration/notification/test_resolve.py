"""Resolve: a person or caller decides about a mail whose outcome is unknown."""

import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx2
import pytest
from sqlalchemy import select
from support import api_caller, uncertain_mails
from support.crashed_sender import CrashedSender
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import Installation

from notifier.db.tables import Attempt, get_columns
from notifier.runtime import wiring
from notifier.states import EntryState, Reason, Resolution, Status


@pytest.fixture
async def client(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """An HTTP client with the shop's key."""
    async with installation.open_client(parts) as made:
        yield made


async def _resolve(client: httpx2.AsyncClient, path: str, how: str) -> tuple[int, str]:
    return await uncertain_mails.request_change(client, path, "resolve", **{"as": how})


@pytest.mark.parametrize("how", ["sent", "failed"])
@pytest.mark.parametrize("where", ["resend", "held", "closed"])
async def test_a_person_says_what_became_of_it(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay, how: str, where: str
) -> None:
    """An unknown mail, whether it waits, is held or is closed, ends as decided and is never sent again."""
    path = await uncertain_mails.lose_after_dot(parts, client, relay)
    uncertain_at = (await uncertain_mails.read_notification(parts.database, path)).uncertain_at
    if where == "held":
        await uncertain_mails.hold_entry(parts.database, path)
    if where == "closed":
        await uncertain_mails.delete_entry(parts.database, path)
    assert await _resolve(client, path, how) == (200, how)
    row = await uncertain_mails.read_notification(parts.database, path)
    assert (row.reason, row.detail) == (Reason.RESOLVED, f"as {how}")
    assert row.uncertain_at == uncertain_at is not None
    assert await uncertain_mails.read_entry(parts.database, path) is None


async def test_a_held_mail_is_sent_again_on_request(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """Under `hold` nothing is resent until it is resolved as `resend`, and then it is sent once more."""
    await uncertain_mails.publish_holding_welcome(parts)
    path = await uncertain_mails.lose_after_dot(parts, client, relay)
    entry = await uncertain_mails.read_entry(parts.database, path)
    assert entry is not None
    assert entry.state is EntryState.HELD
    before = await uncertain_mails.read_notification(parts.database, path)
    assert await _resolve(client, path, "resend") == (200, "queued")
    async with wiring.run_sender(parts):
        notification = await api_caller.wait_for_status(client, path, "sent")
    (mail,) = relay.received
    assert mail.message["Message-ID"] == before.message_id
    after = await uncertain_mails.read_notification(parts.database, path)
    assert (after.uncertain_at, after.expires_at) == (before.uncertain_at, before.expires_at)
    assert [attempt["outcome"] for attempt in notification["attempts"]] == ["uncertain", "accepted"]
    attempt = get_columns(Attempt)
    async with parts.database.read() as connection:
        sums = set((await connection.execute(select(attempt.sha256))).scalars())
    assert {bytes(digest) for digest in sums} == {hashlib.sha256(mail.data).digest()}


async def test_a_resend_after_the_expiry_gets_a_new_one(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """A mail resolved as `resend` after its expiry gets a new lifetime, so that it does not expire at once."""
    path = await uncertain_mails.lose_after_dot(parts, client, relay)
    row = await uncertain_mails.read_notification(parts.database, path)
    long_ago = row.send_at - timedelta(days=30)
    await api_caller.set_notification(parts.database, path, send_at=long_ago, expires_at=long_ago + timedelta(hours=1))
    assert await _resolve(client, path, "resend") == (200, "queued")
    row = await uncertain_mails.read_notification(parts.database, path)
    assert row.expires_at - row.updated_at == timedelta(hours=1)
    async with wiring.run_sender(parts):
        await api_caller.wait_for_status(client, path, "sent")


async def test_a_resend_that_is_on_its_way_cannot_be_resolved(
    installation: Installation, parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """While the body of a resend may be under way, resolve is refused."""
    path = await uncertain_mails.lose_after_dot(parts, client, relay)
    await api_caller.make_due(parts.database)
    sender = CrashedSender(parts.database, installation.settings.data_dir / "journal")
    await sender.mark(await sender.claim())
    before = await uncertain_mails.read_everything(parts, path)
    for how in Resolution:
        assert await _resolve(client, path, how) == (409, "already_under_way")
    assert await uncertain_mails.read_everything(parts, path) == before
    sender.die()


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.UNKNOWN}))
async def test_nothing_else_can_be_resolved(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, status: Status
) -> None:
    """Only an unknown mail can be resolved."""
    path = await api_caller.submit_mail(client)
    await api_caller.set_notification(parts.database, path, status=status)
    before = await uncertain_mails.read_everything(parts, path)
    for how in Resolution:
        assert await _resolve(client, path, how) == (409, "not_unknown")
    assert await uncertain_mails.read_everything(parts, path) == before
