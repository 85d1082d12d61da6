"""Resolve: what a person or caller decides about a mail of which nobody knows whether it was taken."""

import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx2
import pytest
from parts import caller, unsure
from parts.dead import DeadSender
from parts.installation import Installation
from parts.relay import Relay
from sqlalchemy import select

from notifier import wiring
from notifier.db.tables import Attempt, columns
from notifier.states import EntryState, Reason, Resolution, Status


@pytest.fixture
async def client(installation: Installation, parts: wiring.Base) -> AsyncIterator[httpx2.AsyncClient]:
    """The shop, calling."""
    async with installation.client(parts) as made:
        yield made


async def _resolve(client: httpx2.AsyncClient, path: str, how: str) -> tuple[int, str]:
    return await unsure.asked(client, path, "resolve", **{"as": how})


@pytest.mark.parametrize("how", ["sent", "failed"])
@pytest.mark.parametrize("where", ["resend", "held", "closed"])
async def test_a_person_says_what_became_of_it(
    parts: wiring.Base, client: httpx2.AsyncClient, relay: Relay, how: str, where: str
) -> None:
    """Waiting for its resend, for a person, or closed: it ends as decided, never sent again, uncertain for ever."""
    path = await unsure.lost_after_the_dot(parts, client, relay)
    uncertain_at = (await unsure.row_of(parts.database, path)).uncertain_at
    if where == "held":
        await unsure.hold(parts.database, path)
    if where == "closed":
        await unsure.withdraw(parts.database, path)
    assert await _resolve(client, path, how) == (200, how)
    row = await unsure.row_of(parts.database, path)
    assert (row.reason, row.detail) == (Reason.RESOLVED, f"as {how}")
    assert row.uncertain_at == uncertain_at is not None
    assert await unsure.entry_of(parts.database, path) is None


async def test_a_held_mail_is_sent_again_on_request(
    parts: wiring.Base, client: httpx2.AsyncClient, relay: Relay
) -> None:
    """Under `hold` nothing is resent by itself; resolved as `resend` the same mail leaves once more."""
    await unsure.publish_holding_welcome(parts)
    path = await unsure.lost_after_the_dot(parts, client, relay)
    entry = await unsure.entry_of(parts.database, path)
    assert entry is not None
    assert entry.state is EntryState.HELD
    before = await unsure.row_of(parts.database, path)
    assert await _resolve(client, path, "resend") == (200, "queued")
    async with wiring.sender(parts):
        found = await caller.until(client, path, "sent")
    (mail,) = relay.received
    assert mail.message["Message-ID"] == before.message_id
    after = await unsure.row_of(parts.database, path)
    assert (after.uncertain_at, after.expires_at) == (before.uncertain_at, before.expires_at)
    assert [attempt["outcome"] for attempt in found["attempts"]] == ["uncertain", "accepted"]
    attempt = columns(Attempt)
    async with parts.database.read() as connection:
        sums = set((await connection.execute(select(attempt.sha256))).scalars())
    assert {bytes(one) for one in sums} == {hashlib.sha256(mail.data).digest()}


async def test_a_resend_after_the_expiry_gets_a_new_one(
    parts: wiring.Base, client: httpx2.AsyncClient, relay: Relay
) -> None:
    """What was closed because nobody looked in time would expire at once, so its time starts anew."""
    path = await unsure.lost_after_the_dot(parts, client, relay)
    row = await unsure.row_of(parts.database, path)
    long_ago = row.send_at - timedelta(days=30)
    await caller.set_notification(parts.database, path, send_at=long_ago, expires_at=long_ago + timedelta(hours=1))
    assert await _resolve(client, path, "resend") == (200, "queued")
    row = await unsure.row_of(parts.database, path)
    assert row.expires_at - row.updated_at == timedelta(hours=1)
    async with wiring.sender(parts):
        await caller.until(client, path, "sent")


async def test_a_resend_that_is_on_its_way_cannot_be_resolved(
    installation: Installation, parts: wiring.Base, client: httpx2.AsyncClient, relay: Relay
) -> None:
    """While the resend's body may be under way nobody decides over its head."""
    path = await unsure.lost_after_the_dot(parts, client, relay)
    await caller.make_due(parts.database)
    sender = DeadSender(parts.database, installation.settings.data_dir / "journal")
    await sender.mark(await sender.claim())
    before = await unsure.everything(parts, path)
    for how in Resolution:
        assert await _resolve(client, path, how) == (409, "already_under_way")
    assert await unsure.everything(parts, path) == before
    sender.die()


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.UNKNOWN}))
async def test_nothing_else_can_be_resolved(parts: wiring.Base, client: httpx2.AsyncClient, status: Status) -> None:
    """Only of an unknown mail is there something to decide."""
    path = await caller.submit(client)
    await caller.set_notification(parts.database, path, status=status)
    before = await unsure.everything(parts, path)
    for how in Resolution:
        assert await _resolve(client, path, how) == (409, "not_unknown")
    assert await unsure.everything(parts, path) == before
