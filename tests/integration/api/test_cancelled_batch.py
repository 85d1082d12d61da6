"""A batch is cancelled by a flag at once, and settled later in steps of bounded size."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import func, select, text, update
from support import api_caller, uncertain_mails
from support.crashed_sender import CrashedSender
from support.polling import poll_until
from support.scripted_relay import HOLD, ScriptedRelay
from support.seeded_installation import WELCOME, Installation

from notifier.db.tables import Batch, Notification, OutboxEntry, get_columns
from notifier.delivery.delivery_loader import STILL_DELIVERABLE
from notifier.outbox import entry_store
from notifier.runtime import wiring
from notifier.states import EntryKind, Status
from notifier.status import batch_cancellation
from notifier.status.batch_cancellation import MAX_CANCEL_ROWS

_notification, _batch, _entry = get_columns(Notification), get_columns(Batch), get_columns(OutboxEntry)
FAMILIES = 6
ROWS = FAMILIES * 51
"""More than one step looks at."""


async def _posted(client: httpx2.AsyncClient, families: int = FAMILIES, copies: int = 50, **fields: Any) -> str:
    """Post a batch and return its path."""
    bcc = [f"copy{number}@example.com" for number in range(copies)]
    items = [{"to": f"to{number}@example.com"} for number in range(families)]
    body = {"defaults": WELCOME | {"bcc": bcc} | fields, "notifications": items}
    reply = await client.post("/v1/notifications/batch", json=body)
    assert reply.status_code == 202, reply.text
    return str(reply.headers["location"])


async def _statuses(parts: wiring.ProcessParts) -> dict[str, int]:
    """Count the mails, copies included, by status."""
    counted = select(_notification.status, func.count()).group_by(_notification.status)
    async with parts.database.read() as connection:
        return {str(status): number for status, number in await connection.execute(counted)}


async def _until_settled(client: httpx2.AsyncClient, path: str) -> dict[str, Any]:

    async def get_progress() -> dict[str, Any] | None:
        progress: dict[str, Any] = (await client.get(path)).json()
        return None if progress["cancelling"] else progress

    return await poll_until(get_progress)


async def _flag(parts: wiring.ProcessParts, path: str) -> None:
    """Set the flag like a process that dies right after the commit."""
    async with parts.database.write() as connection:
        flagged = update(Batch).where(_batch.id == uncertain_mails.get_id(path))
        await connection.execute(flagged.values(cancelled_at=parts.clock.now(), cancelled_by="key:1"))


async def test_a_large_batch_is_flagged_at_once_and_settled_by_a_sender(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """The request does one step and the sender the rest; nothing is sent, and repeating changes nothing."""
    path = await _posted(client)
    progress = (await client.post(f"{path}/cancel", json={"comment": "wrong price"})).json()
    assert (progress["cancelled"], progress["cancelling"]) == (MAX_CANCEL_ROWS, True)
    assert progress["cancelled_at"] is not None
    assert await _statuses(parts) == {"cancelled": MAX_CANCEL_ROWS, "queued": ROWS - MAX_CANCEL_ROWS}
    again = (await client.post(f"{path}/cancel")).json()
    assert (again["cancelled"], again["cancelling"], again["cancelled_at"]) == (0, True, progress["cancelled_at"])
    assert await _entries(parts, EntryKind.BATCH) == 1
    async with wiring.run_sender(parts):
        seen = await _until_settled(client, path)
        await api_caller.wait_until_drained(parts.database)
    assert (seen["statuses"], seen["progress"]) == ({"cancelled": FAMILIES}, 100)
    assert await _statuses(parts) == {"cancelled": ROWS}
    assert relay.received == []
    last = (await client.post(f"{path}/cancel")).json()
    assert (last["cancelled"], last["cancelled_at"]) == (0, progress["cancelled_at"])


async def _entries(parts: wiring.ProcessParts, kind: EntryKind) -> int:
    async with parts.database.read() as connection:
        counted = select(func.count()).select_from(OutboxEntry).where(_entry.kind == kind)
        return int(await connection.scalar(counted) or 0)


async def test_what_was_put_off_is_settled_as_well(parts: wiring.ProcessParts, client: httpx2.AsyncClient) -> None:
    """Scheduled and retried mails are settled at once, with actor and comment in each timeline."""
    path = await _posted(client, send_at=(parts.clock.now() + timedelta(days=30)).isoformat())
    await client.post(f"{path}/cancel", json={"comment": "wrong price"})
    async with wiring.run_sender(parts):
        await _until_settled(client, path)
    assert await _statuses(parts) == {"cancelled": ROWS}
    async with parts.database.read() as connection:
        query = text("SELECT detail, count(*) FROM event WHERE kind = 'cancelled' GROUP BY detail")
        assert [tuple(row) for row in await connection.execute(query)] == [("wrong price", ROWS)]


async def test_no_body_is_permitted_after_the_reply(
    installation: Installation, parts: wiring.ProcessParts, client: httpx2.AsyncClient
) -> None:
    """A18: unmarked claims are taken back after the reply; marked mails are still sent."""
    path = await _posted(client)
    await api_caller.make_due(parts.database)
    sender = CrashedSender(parts.database, installation.settings.data_dir / "journal")
    claimed = await sender.claim()
    begun, rest = claimed[:3], claimed[3:]
    assert rest
    await sender.mark(begun)
    assert (await client.post(f"{path}/cancel")).json()["cancelling"]
    async with parts.database.write() as connection:
        assert await entry_store.mark_entries(connection, sender.boot_id, rest) == set()
        claims = select(func.count()).select_from(OutboxEntry).where(_entry.leased_by == sender.boot_id)
        assert await connection.scalar(claims) == len(begun)
    sender.die()


async def test_what_is_on_its_way_is_sent_and_nothing_else(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """After a cancel in mid-batch the relay gets only the bodies already under way."""
    relay.say("*", "DOT", f"{HOLD}250 2.0.0 queued", times=1000)
    async with wiring.run_sender(parts) as running:
        path = await _posted(client)
        begun = running.deliverer.bodies
        await relay.wait_for_bodies(begun)
        assert (await client.post(f"{path}/cancel")).status_code == 200
        on_their_way = len(relay.bodies)
        relay.resume.set()
        await _until_settled(client, path)
        await api_caller.wait_until_drained(parts.database)
    statuses = await _statuses(parts)
    assert statuses == {"sent": len(relay.received), "cancelled": ROWS - len(relay.received)}
    assert on_their_way <= len(relay.received) <= 2 * begun


@pytest.mark.parametrize("status", ["queued", "deferred"])
async def test_a_flagged_mail_is_not_permitted_and_ends_at_its_claim(
    installation: Installation,
    parts: wiring.ProcessParts,
    client: httpx2.AsyncClient,
    relay: ScriptedRelay,
    status: str,
) -> None:
    """A mail left over by the cancel is not permitted, and ends when a sender claims it."""
    path = await _posted(client, families=2, copies=1)
    if status == "deferred":
        async with parts.database.write() as connection:
            await connection.execute(text("UPDATE notification SET status = 'deferred'"))
    await api_caller.make_due(parts.database)
    sender = CrashedSender(parts.database, installation.settings.data_dir / "journal")
    claimed = await sender.claim()
    await _flag(parts, path)
    async with parts.database.write() as connection:
        assert (
            await entry_store.mark_entries(connection, sender.boot_id, claimed, still_wanted=STILL_DELIVERABLE) == set()
        )
        await batch_cancellation.release_claimed(connection, claimed[0].service_id, uncertain_mails.get_id(path))
    sender.die()
    (first, *_) = (await client.get("/v1/notifications")).json()["notifications"]
    why = (await client.get(f"/v1/notifications/{first['id']}/explain")).json()["because"]
    assert "batch_cancelled" in {item["code"] for item in why}
    async with wiring.run_sender(parts):
        await api_caller.wait_until_drained(parts.database)
    assert await _statuses(parts) == {"cancelled": 4}
    assert relay.received == []


async def test_another_batch_is_not_hurt(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """Other batches, single mails and resends are not cancelled."""
    cancelled, other = await _posted(client, families=2, copies=1), await _posted(client, families=1, copies=1)
    await api_caller.submit_mail(client, "single@example.com")
    unsure_of = await _one_of(parts, cancelled)
    await api_caller.set_notification(parts.database, f"/{unsure_of}", status=Status.UNKNOWN)
    assert (await client.post(f"{cancelled}/cancel")).json()["cancelled"] == 3
    async with wiring.run_sender(parts):
        await api_caller.wait_until_drained(parts.database)
    assert (await client.get(other)).json()["statuses"] == {"sent": 1}
    assert len(relay.received) == 4
    assert (await client.get(f"/v1/notifications/{unsure_of}")).json()["status"] == "sent"


async def _one_of(parts: wiring.ProcessParts, path: str) -> UUID:
    query = select(_notification.id).where(
        _notification.batch_id == uncertain_mails.get_id(path), _notification.parent_id.is_(None)
    )
    async with parts.database.read() as connection:
        id_: UUID = (await connection.execute(query.limit(1))).scalar_one()
    return id_


async def test_nothing_of_a_cancelled_batch_is_sent_again(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient
) -> None:
    """A retry or resend in a cancelled batch is refused with a reason; a decision is still possible."""
    path = await _posted(client, families=2, copies=0)
    item = f"/v1/notifications/{await _one_of(parts, path)}"
    await client.post(f"{path}/cancel")
    await api_caller.set_notification(parts.database, item, status=Status.FAILED)
    assert await uncertain_mails.request_change(client, item, "retry") == (409, "batch_cancelled")
    await api_caller.set_notification(parts.database, item, status=Status.UNKNOWN)
    assert await uncertain_mails.request_change(client, item, "resolve", **{"as": "resend"}) == (409, "batch_cancelled")
    assert await uncertain_mails.request_change(client, item, "resolve", **{"as": "sent"}) == (200, "sent")


async def test_settling_goes_on_after_its_sender_died(
    installation: Installation, parts: wiring.ProcessParts, client: httpx2.AsyncClient
) -> None:
    """The job's entry is rescued, and mails already settled are skipped."""
    path = await _posted(client)
    await client.post(f"{path}/cancel")
    await api_caller.make_due(parts.database)
    sender = CrashedSender(parts.database, installation.settings.data_dir / "journal")
    (claimed,) = await sender.claim(kind=EntryKind.BATCH)
    async with parts.database.write() as connection:
        await batch_cancellation.continue_cancellation(
            connection, claimed.service_id, claimed.subject_id, None, parts.clock.now()
        )
        await connection.execute(text("UPDATE outbox_entry SET state = 'ready', leased_by = NULL WHERE kind = 'batch'"))
    await api_caller.make_due(parts.database)
    sender.die()
    async with wiring.run_sender(parts):
        await _until_settled(client, path)
    assert await _statuses(parts) == {"cancelled": ROWS}
