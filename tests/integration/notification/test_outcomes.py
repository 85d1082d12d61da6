"""What each reply of a relay does to a notification, through the whole sender, on both databases."""

from datetime import timedelta

from sqlalchemy import select
from support import api_caller
from support.scripted_relay import DROP, ScriptedRelay
from support.seeded_installation import Installation

from notifier.clock import SystemClock
from notifier.db.tables import Suppression
from notifier.outbox import queue_counts
from notifier.runtime import wiring
from notifier.states import EntryState


async def test_a_temporary_refusal_is_retried_with_the_same_bytes(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """B4: 4yz at any command defers by the schedule, and the next attempt has the same envelope and bytes."""
    commands = ("MAIL", "RCPT", "DATA", "DOT")
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        for number, command in enumerate(commands):
            bob = f"bob{number}@example.com"
            who = f"notifier{number}@shop.example" if command == "MAIL" else bob
            relay.say(who, command, "451 4.7.1 greylisted")
            relay.say(bob, "DOT", "250 2.0.0 queued")
            sender = f"notifier{number}@shop.example"
            path = await api_caller.submit_mail(client, bob, **{"from": sender})
            notification = await api_caller.wait_for_status(client, path, "deferred")
            assert (notification["reason"], notification["detail"]) == ("temporary_refusal", "451 4.7.1 greylisted"), (
                command
            )
            assert notification["next_attempt_at"] > notification["created_at"]
            await api_caller.make_due(parts.database)
            notification = await api_caller.wait_for_status(client, path, "sent")
            first, second = notification["attempts"]
            assert (first["outcome"], first["code"], first["enhanced_code"]) == ("deferred", 451, "4.7.1")
            assert first["phase"] == {"MAIL": "mail", "RCPT": "rcpt", "DATA": "data", "DOT": "body"}[command]
            assert (second["number"], second["outcome"]) == (2, "accepted")
    senders = [command for command in relay.commands if command.startswith("MAIL") and "notifier3" in command]
    assert len(senders) == 2
    assert len(set(senders)) == 1


async def test_an_unknown_mailbox_fails_and_is_suppressed(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """B5, A17: 550 5.1.1 at RCPT fails the notification and suppresses the address; the next is not sent."""
    relay.say("Gone@example.com", "RCPT", "550 5.1.1 no such user here")
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        path = await api_caller.submit_mail(client, "Gone@example.com")
        notification = await api_caller.wait_for_status(client, path, "failed")
        assert (notification["reason"], notification["detail"]) == ("recipient_refused", "550 5.1.1 no such user here")
        (attempt,) = notification["attempts"]
        assert (attempt["code"], attempt["enhanced_code"], attempt["reply"]) == (550, "5.1.1", "no such user here")
        again = await client.post("/v1/notifications", json=_welcome("gone@example.com"))
        assert (again.status_code, again.json()["status"]) == (202, "suppressed")
    assert [c for c in relay.commands if c.startswith("RCPT")] == ["RCPT TO:<Gone@example.com>"]
    assert await api_caller.count_entries(parts.database) == 0


async def test_another_permanent_refusal_fails_without_suppressing(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """B5: any other 5yz fails that mail, and the next mail to the address is sent."""
    relay.say("bob@example.com", "DOT", "554 5.6.0 I do not like this content")
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        notification = await api_caller.wait_for_status(
            client, await api_caller.submit_mail(client, "bob@example.com"), "failed"
        )
        assert (notification["reason"], notification["attempts"][0]["outcome"]) == ("message_refused", "rejected")
        await api_caller.wait_for_status(client, await api_caller.submit_mail(client, "bob@example.com"), "sent")
    async with parts.database.read() as connection:
        assert (await connection.execute(select(Suppression))).all() == []


async def test_the_last_deferral_before_the_expiry_fails(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """A mail whose next attempt would be after its expiry fails with the relay's last reply."""
    relay.say("bob@example.com", "RCPT", "450 4.2.0 busy")
    soon = SystemClock().now() + timedelta(seconds=30)
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        path = await api_caller.submit_mail(client, "bob@example.com", expires_at=soon.isoformat())
        notification = await api_caller.wait_for_status(client, path, "failed")
    assert (notification["reason"], notification["detail"]) == ("exhausted", "450 4.2.0 busy")
    assert await api_caller.count_entries(parts.database) == 0


async def test_silence_after_the_dot_is_unknown_and_resent_once(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """B7: a connection lost after the dot makes the mail `unknown`; after one resend a person decides."""
    relay.say("bob@example.com", "DOT", DROP, times=2)
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        path = await api_caller.submit_mail(client, "bob@example.com")
        notification = await api_caller.wait_for_status(client, path, "unknown")
        assert notification["attempts"][0]["outcome"] == "uncertain"
        assert notification["uncertain_at"] is not None
        assert notification["next_attempt_at"] is not None
        await api_caller.make_due(parts.database)
        notification = await api_caller.wait_for_attempts(client, path, 2)
    assert (notification["status"], notification["next_attempt_at"]) == ("unknown", None)
    async with parts.database.read() as connection:
        assert (await queue_counts.count_by_state(connection))[EntryState.HELD] == 1


async def test_a_resend_that_is_accepted_makes_it_sent(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """An unknown mail whose resend gets a 250 is sent, and stays recorded as uncertain."""
    relay.say("bob@example.com", "DOT", DROP)
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        path = await api_caller.submit_mail(client, "bob@example.com")
        await api_caller.wait_for_status(client, path, "unknown")
        await api_caller.make_due(parts.database)
        notification = await api_caller.wait_for_status(client, path, "sent")
    assert notification["uncertain_at"] is not None


async def test_a_resend_that_is_refused_stays_unknown(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """A refused resend proves nothing about the first attempt, so the mail stays unknown."""
    relay.say("bob@example.com", "DOT", DROP)
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        path = await api_caller.submit_mail(client, "bob@example.com")
        await api_caller.wait_for_status(client, path, "unknown")
        relay.say("bob@example.com", "RCPT", "550 5.7.1 no")
        await api_caller.make_due(parts.database)
        notification = await api_caller.wait_for_attempts(client, path, 2)
    assert notification["status"] == "unknown"


async def test_a_refused_sender_waits_aside(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """A relay that refuses one sender's domain delays only that domain and uses no attempt."""
    relay.say("orders@shop.example", "MAIL", "553 5.7.1 sender not allowed", times=5)
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        waiting = await api_caller.submit_mail(client, "bob@example.com", **{"from": "orders@shop.example"})
        await relay.wait_for_commands("MAIL FROM:<orders@shop.example>", 1)
        await api_caller.wait_for_status(client, await api_caller.submit_mail(client, "eve@example.com"), "sent")
        notification = (await client.get(waiting)).json()
    assert (notification["status"], notification["reason"], notification["attempts"]) == (
        "queued",
        "sender_refused",
        [],
    )


def _welcome(to: str) -> dict[str, object]:
    return {"to": to, "template": "welcome", "variables": {"name": "Ada", "product": "Larkspur"}}
