"""A relay that is away (B1), a process that is told to stop (C2), and rows that break our own code (B14)."""

import asyncio
from itertools import pairwise
from uuid import UUID

from parts import caller
from parts.installation import Installation
from parts.permit import at_once
from parts.relay import HANG, Relay
from sqlalchemy import select, update

from notifier import wiring
from notifier.db.tables import NotificationContent, OutboxEntry, columns
from notifier.settings import SmtpSettings
from notifier.smtp.mail import Mail
from notifier.smtp.transport import Transport
from notifier.states import EntryKind, EntryState
from notifier.telemetry import metrics

_content, _entry = columns(NotificationContent), columns(OutboxEntry)


async def test_a_relay_that_refuses_burns_nothing_and_recovers(
    installation: Installation, parts: wiring.Base, relay: Relay
) -> None:
    """B1: while connections are refused nothing moves; when the relay returns, everything arrives once, unaided."""
    await relay.stop()
    async with installation.client(parts) as client, wiring.sender(parts) as sender:
        paths = [await caller.submit(client, f"bob{n}@example.com") for n in range(20)]
        await caller.eventually(lambda: sender.deliverer.relay.is_open)
        assert {(await client.get(path)).json()["status"] for path in paths} == {"queued"}
        await relay.start()
        await relay.wait_for(20)
        for path in paths:
            found = await caller.until(client, path, "sent")
            assert [attempt["number"] for attempt in found["attempts"]] == [1]
    assert len({mail.pair for mail in relay.received}) == len(relay.received) == 20


async def test_while_the_circuit_is_open_one_probe_is_taken(
    installation: Installation, parts: wiring.Base, relay: Relay
) -> None:
    """B1: a relay that greets with 554 gets one connection per wait, however many mails are due."""
    relay.greeting = "554 5.3.2 closed for the night"
    claimed = metrics.CLAIMED.labels(EntryKind.EMAIL)
    before = claimed._value.get()
    async with installation.client(parts) as client, wiring.sender(parts):
        for number in range(30):
            await caller.submit(client, f"bob{number}@example.com")
        await caller.eventually(lambda: _longest_pause(relay) > 0.5)  # the waits are 1 s, 2 s, 4 s, …
        assert relay.connections <= installation.settings.sender.concurrency + 2
        assert claimed._value.get() - before <= 30  # nor are entries claimed and given back again and again
        relay.greeting = "220 open again"
        await relay.wait_for(30)


def _longest_pause(relay: Relay) -> float:
    """The longest time in seconds that passed between two connections."""
    return max((later - earlier for earlier, later in pairwise(relay.connected_at)), default=0.0)


async def test_posts_are_accepted_while_the_relay_is_away(
    installation: Installation, parts: wiring.Base, relay: Relay
) -> None:
    """A dead relay never reaches the caller."""
    await relay.stop()
    async with installation.client(parts) as client, wiring.sender(parts):
        replies = await asyncio.gather(*(caller.submit(client, f"bob{n}@example.com") for n in range(50)))
    assert len(set(replies)) == 50
    assert await caller.entries(parts.database) == 50


async def test_stopping_finishes_what_is_in_flight(
    installation: Installation, parts: wiring.Base, relay: Relay
) -> None:
    """C2: on a stop no new claims are made, what is in flight ends, the rest is given back; nothing is unknown."""
    async with installation.client(parts) as client:
        paths = [await caller.submit(client, f"bob{n}@example.com") for n in range(40)]
        async with wiring.sender(parts):
            await relay.wait_for(5)
        statuses = [(await client.get(path)).json()["status"] for path in paths]
    sent = statuses.count("sent")
    assert set(statuses) <= {"sent", "queued"}
    assert sent == len(relay.received) >= 5
    assert await caller.entries(parts.database) == 40 - sent


async def test_stopping_cuts_a_relay_that_does_not_answer(installation: Installation, relay: Relay) -> None:
    """C2: a relay that hangs is cut after the grace; a mail whose dot has not left is given back unburnt."""
    relay.say("*", "RCPT", HANG)
    impatient = installation.with_settings(sender={"grace": 0.2})
    async with impatient.base() as base, impatient.client(base) as client:
        path = await caller.submit(client)
        async with wiring.sender(base):
            await relay.wait_for_commands("RCPT", 1)
        found = (await client.get(path)).json()
        assert (found["status"], found["attempts"]) == ("queued", [])
        assert await caller.entries(base.database) == 1


async def test_a_stopped_transport_does_not_connect_again(relay: Relay) -> None:
    """After an abort a dropped transaction is not tried on a fresh connection."""
    relay.say("bob@example.com", "RCPT", HANG)
    transport = Transport(SmtpSettings(port=relay.port))
    mail = Mail(sender="a@example.com", recipient="bob@example.com", wire=b"Subject: x\r\n\r\nx\r\n")
    sending = asyncio.create_task(transport.send(mail, seconds=30, before_body=at_once))
    await relay.wait_for_commands("RCPT", 1)
    transport.abort()
    outcome = await sending
    assert type(outcome).__name__ == "NotTried"
    assert relay.connections == 1
    await transport.close()


async def test_one_row_that_breaks_our_code_hurts_itself_only(
    installation: Installation, parts: wiring.Base, relay: Relay
) -> None:
    """B14: a row on which our code raises is deferred, after three times the same `failed`; the other 99 are sent."""
    async with installation.client(parts) as client:
        paths = [await caller.submit(client, f"bob{n}@example.com") for n in range(100)]
        poisoned = paths[50]
        id_ = UUID(poisoned.rpartition("/")[2])
        async with parts.database.write() as connection:
            statement = update(NotificationContent).where(_content.notification_id == id_)
            await connection.execute(statement.values(headers=["not", "a", "mapping"]))
        async with wiring.sender(parts):
            await relay.wait_for(99)
            for tries in (1, 2):
                await _until_tried(parts, id_, tries)
                found = (await client.get(poisoned)).json()
                assert (found["status"], found["reason"]) == ("deferred", "internal")
                await caller.make_due(parts.database)
            found = await caller.until(client, poisoned, "failed")
    assert (found["reason"], found["attempts"]) == ("internal", [])
    assert len({mail.pair for mail in relay.received}) == 99
    assert await caller.entries(parts.database) == 0


async def _until_tried(parts: wiring.Base, id_: UUID, tries: int) -> None:
    """Wait until the entry waits again after that many tries."""
    statement = select(_entry.faults).where(_entry.subject_id == id_, _entry.state == EntryState.READY)
    async with asyncio.timeout(15):
        while True:
            async with parts.database.read() as connection:
                if (await connection.execute(statement)).scalar_one_or_none() == tries:
                    return
            await asyncio.sleep(0.01)
