"""A relay that is away (B1), a process that is told to stop (C2), and rows on which our own code raises (B14)."""

import asyncio
from itertools import pairwise
from uuid import UUID

from sqlalchemy import select, update
from support import api_caller
from support.body_permit import grant_permit
from support.polling import poll_until, wait_until
from support.scripted_relay import HANG, ScriptedRelay
from support.seeded_installation import Installation

from notifier.db.tables import NotificationContent, OutboxEntry, get_columns
from notifier.runtime import wiring
from notifier.smtp.mail_transaction import OutgoingMail
from notifier.smtp.transport import SmtpTransport
from notifier.smtp_settings import SmtpSettings
from notifier.states import EntryKind, EntryState
from notifier.telemetry import metrics

_content, _entry = get_columns(NotificationContent), get_columns(OutboxEntry)


async def test_a_relay_that_refuses_burns_nothing_and_recovers(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """B1: while connections are refused no attempt is used; after the outage each mail arrives once, unaided."""
    await relay.stop()
    async with installation.open_client(parts) as client, wiring.run_sender(parts) as sender:
        paths = [await api_caller.submit_mail(client, f"bob{n}@example.com") for n in range(20)]
        await wait_until(lambda: sender.deliverer.relay.is_open)
        assert {(await client.get(path)).json()["status"] for path in paths} == {"queued"}
        await relay.start()
        await relay.wait_for(20)
        for path in paths:
            notification = await api_caller.wait_for_status(client, path, "sent")
            assert [attempt["number"] for attempt in notification["attempts"]] == [1]
    assert len({mail.pair for mail in relay.received}) == len(relay.received) == 20


async def test_while_the_circuit_is_open_one_probe_is_taken(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """B1: a relay that greets with 554 gets one connection per wait, however many mails are due."""
    relay.greeting = "554 5.3.2 closed for the night"
    claimed = metrics.CLAIMED.labels(EntryKind.EMAIL)
    before = claimed._value.get()
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        for number in range(30):
            await api_caller.submit_mail(client, f"bob{number}@example.com")
        await wait_until(lambda: _longest_pause(relay) > 0.5)  # the waits are 1 s, 2 s, 4 s, …
        assert relay.connections <= installation.settings.sender.concurrency + 2
        assert claimed._value.get() - before <= 30  # nor are entries claimed and given back again and again
        relay.greeting = "220 open again"
        await relay.wait_for(30)


def _longest_pause(relay: ScriptedRelay) -> float:
    """Return the longest time in seconds between two connections."""
    return max((later - earlier for earlier, later in pairwise(relay.connected_at)), default=0.0)


async def test_posts_are_accepted_while_the_relay_is_away(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """An unreachable relay does not affect callers of the API."""
    await relay.stop()
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        replies = await asyncio.gather(*(api_caller.submit_mail(client, f"bob{n}@example.com") for n in range(50)))
    assert len(set(replies)) == 50
    assert await api_caller.count_entries(parts.database) == 50


async def test_stopping_finishes_what_is_in_flight(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """C2: a stop claims nothing more, finishes mails in flight and releases the rest; nothing is unknown."""
    async with installation.open_client(parts) as client:
        paths = [await api_caller.submit_mail(client, f"bob{n}@example.com") for n in range(40)]
        async with wiring.run_sender(parts):
            await relay.wait_for(5)
        statuses = [(await client.get(path)).json()["status"] for path in paths]
    sent = statuses.count("sent")
    assert set(statuses) <= {"sent", "queued"}
    assert sent == len(relay.received) >= 5
    assert await api_caller.count_entries(parts.database) == 40 - sent


async def test_stopping_cuts_a_relay_that_does_not_answer(installation: Installation, relay: ScriptedRelay) -> None:
    """C2: after the grace period a mail whose final dot was not sent is released without using an attempt."""
    relay.say("*", "RCPT", HANG)
    impatient = installation.with_settings(sender={"grace": 0.2})
    async with impatient.open_parts() as base, impatient.open_client(base) as client:
        path = await api_caller.submit_mail(client)
        async with wiring.run_sender(base):
            await relay.wait_for_commands("RCPT", 1)
        notification = (await client.get(path)).json()
        assert (notification["status"], notification["attempts"]) == ("queued", [])
        assert await api_caller.count_entries(base.database) == 1


async def test_a_stopped_transport_does_not_connect_again(relay: ScriptedRelay) -> None:
    """After an abort a dropped transaction is not tried on a new connection."""
    relay.say("bob@example.com", "RCPT", HANG)
    transport = SmtpTransport(SmtpSettings(port=relay.port))
    mail = OutgoingMail(sender="a@example.com", recipient="bob@example.com", data=b"Subject: x\r\n\r\nx\r\n")
    sending = asyncio.create_task(transport.send(mail, seconds=30, before_body=grant_permit))
    await relay.wait_for_commands("RCPT", 1)
    transport.abort()
    outcome = await sending
    assert type(outcome).__name__ == "NotTried"
    assert relay.connections == 1
    await transport.close()


async def test_one_row_that_breaks_our_code_hurts_itself_only(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """B14: a row on which our code raises is deferred, and fails the third time; the other 99 are sent."""
    async with installation.open_client(parts) as client:
        paths = [await api_caller.submit_mail(client, f"bob{n}@example.com") for n in range(100)]
        poisoned = paths[50]
        id_ = UUID(poisoned.rpartition("/")[2])
        async with parts.database.write() as connection:
            statement = update(NotificationContent).where(_content.notification_id == id_)
            await connection.execute(statement.values(headers=["not", "a", "mapping"]))
        async with wiring.run_sender(parts):
            await relay.wait_for(99)
            for tries in (1, 2):
                await _until_tried(parts, id_, tries)
                notification = (await client.get(poisoned)).json()
                assert (notification["status"], notification["reason"]) == ("deferred", "internal")
                await api_caller.make_due(parts.database)
            notification = await api_caller.wait_for_status(client, poisoned, "failed")
    assert (notification["reason"], notification["attempts"]) == ("internal", [])
    assert len({mail.pair for mail in relay.received}) == 99
    assert await api_caller.count_entries(parts.database) == 0


async def _until_tried(parts: wiring.ProcessParts, id_: UUID, tries: int) -> None:
    """Wait until the entry is waiting again after this many attempts."""
    statement = select(_entry.faults).where(_entry.subject_id == id_, _entry.state == EntryState.READY)

    async def is_tried() -> bool:
        async with parts.database.read() as connection:
            return (await connection.execute(statement)).scalar_one_or_none() == tries

    await poll_until(is_tried)
