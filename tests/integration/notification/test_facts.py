"""Only a refusal that is about the recipient's address suppresses it."""

from typing import Any

import httpx2
import pytest
from sqlalchemy import select
from support import api_caller
from support.crashed_sender import CrashedSender
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import WELCOME, Installation

from notifier.db.tables import Suppression
from notifier.outcomes import Deferred, Outcome, RefusalKind, Rejected, SmtpPhase, SmtpReply
from notifier.runtime import wiring
from notifier.settings import RecipientsMode

TRAP = "trap@staff.example"
UNKNOWN = "550 5.1.1 <trap@staff.example>: user unknown"
NOBODY = Rejected(
    phase=SmtpPhase.RCPT,
    refused=RefusalKind.RECIPIENT,
    reply=SmtpReply(code=550, enhanced="5.1.1", text="no such user"),
)
BLOCKED = "550 5.1.1 Message blocked, your address is listed at zen.spamhaus.org"


@pytest.fixture
def redirecting(installation: Installation) -> Installation:
    """The installation in mode `redirect`."""
    return installation.with_settings(recipients={"mode": RecipientsMode.REDIRECT, "redirect_to": TRAP})


async def _suppressed(parts: wiring.ProcessParts) -> list[str]:
    """Return all suppressed addresses."""
    async with parts.database.read() as connection:
        return [row.address for row in await connection.execute(select(Suppression))]


async def _explained(client: httpx2.AsyncClient, path: str) -> str:
    return str((await client.get(f"{path}/explain")).json()["because"][0]["detail"])


async def test_a_refusal_of_the_redirect_address_marks_no_customer(
    redirecting: Installation, installation: Installation, relay: ScriptedRelay
) -> None:
    """E5: the mail fails with a reason that names the redirect address; in mode live the customers are mailed."""
    relay.say(TRAP, "RCPT", UNKNOWN, times=5)
    async with redirecting.open_parts() as parts, redirecting.open_client(parts) as client, wiring.run_sender(parts):
        path = await api_caller.submit_mail(client, "ada@example.com", cc=["cc@example.com"], bcc=["bcc@example.com"])
        batch = {"defaults": WELCOME, "notifications": [{"to": "b1@example.com"}, {"to": "b2@example.com"}]}
        results = (await client.post("/v1/notifications/batch", json=batch)).json()["results"]
        notification = await api_caller.wait_for_status(client, path, "failed")
        copies = [f"/v1/notifications/{copy['id']}" for copy in notification["copies"]]
        others = [await api_caller.wait_for_status(client, notification, "failed") for notification in copies]
        others += [
            await api_caller.wait_for_status(client, f"/v1/notifications/{notification['id']}", "failed")
            for notification in results
        ]
        assert {notification["reason"] for notification in [notification, *others]} == {"redirect_refused"}
        assert notification["detail"].startswith(
            "said about the redirect address (NOTIFIER_RECIPIENTS__REDIRECT_TO), not"
        )
        assert notification["attempts"][0]["reply"].startswith("said about the redirect address")
        assert "not about the recipient" in await _explained(client, path)
        assert await _suppressed(parts) == []
    async with installation.open_parts() as parts, installation.open_client(parts) as client, wiring.run_sender(parts):
        for to in ("ada@example.com", "cc@example.com", "bcc@example.com", "b1@example.com", "b2@example.com"):
            await api_caller.wait_for_status(client, await api_caller.submit_mail(client, to), "sent")


@pytest.mark.parametrize(
    ("command", "reply", "status", "reason"),
    [
        ("RCPT", "550 5.7.1 policy", "failed", "redirect_refused"),
        ("RCPT", "556 5.1.10 null MX", "failed", "redirect_refused"),
        ("DATA", UNKNOWN, "failed", "message_refused"),
        ("DOT", UNKNOWN, "failed", "message_refused"),
        ("RCPT", "452 4.2.2 mailbox full", "deferred", "temporary_refusal"),
    ],
)
async def test_no_refusal_at_any_step_is_held_against_the_customer(
    redirecting: Installation, relay: ScriptedRelay, command: str, reply: str, status: str, reason: str
) -> None:
    """A refusal at any step names the redirect address and does not blame the recipient."""
    relay.say(TRAP, command, reply)
    async with redirecting.open_parts() as parts, redirecting.open_client(parts) as client, wiring.run_sender(parts):
        notification = await api_caller.wait_for_status(client, await api_caller.submit_mail(client), status)
        assert (notification["reason"], "redirect address" in notification["detail"]) == (reason, True)
        assert await _suppressed(parts) == []


@pytest.mark.parametrize(
    ("outcome", "envelope_to", "reason"),
    [
        (NOBODY, TRAP, "redirect_refused"),
        (Deferred(phase=SmtpPhase.RCPT, reply=NOBODY.reply), TRAP, "temporary_refusal"),
        (NOBODY, None, "recipient_refused"),
    ],
)
async def test_a_journal_of_mode_redirect_is_heard_in_mode_live(
    installation: Installation, parts: wiring.ProcessParts, outcome: Outcome, envelope_to: str | None, reason: str
) -> None:
    """A refusal in the journal of mode redirect, or of an older release, suppresses no address."""
    async with installation.open_client(parts) as client:
        path = await api_caller.submit_mail(client, "bob@example.com")
        sender = CrashedSender(parts.database, installation.settings.data_dir / "journal")
        (entry,) = await sender.claim()
        await sender.mark([entry])
        sender.hear(entry, outcome, envelope_to=envelope_to)
        sender.die()
        async with wiring.run_sender(parts):
            notification = await api_caller.wait_for_status(client, path, "failed", "deferred")
        assert notification["reason"] == reason
        assert await _suppressed(parts) == []


async def test_a_retry_in_mode_live_is_judged_for_itself(
    redirecting: Installation, installation: Installation, relay: ScriptedRelay
) -> None:
    """A mail refused in mode redirect is retried in mode live, and that refusal suppresses the address."""
    relay.say(TRAP, "RCPT", UNKNOWN)
    async with redirecting.open_parts() as parts, redirecting.open_client(parts) as client, wiring.run_sender(parts):
        path = await api_caller.submit_mail(client, "gone@example.com")
        await api_caller.wait_for_status(client, path, "failed")
        assert await _suppressed(parts) == []
    relay.say("gone@example.com", "RCPT", "550 5.1.1 user unknown")
    async with installation.open_parts() as parts, installation.open_client(parts) as client, wiring.run_sender(parts):
        assert (await client.post(f"{path}/retry")).status_code == 200
        notification = await api_caller.wait_for_status(client, path, "failed")
        assert (notification["reason"], notification["detail"]) == ("recipient_refused", "550 5.1.1 user unknown")
        assert await _suppressed(parts) == ["gone@example.com"]


@pytest.mark.parametrize(
    ("command", "reply", "words"),
    [
        ("RCPT", BLOCKED, "a block list or the sender's reputation"),
        ("RCPT", "550-5.1.1 user\r\n550-5.1.1 unknown, see\r\n550 5.1.1 our POLICY", "a policy"),
        ("RCPT", "550 5.1.1 <bob@elsewhere.example>: user unknown", "another address"),
        ("RCPT", "550 5.7.1 user unknown", "user unknown"),
        ("RCPT", "550 user unknown", "user unknown"),
        ("RCPT", "550 5.2.1 mailbox disabled", "mailbox disabled"),
        ("DOT", "550 5.1.1 user unknown", "refused what came then"),
    ],
)
async def test_words_that_are_about_something_else_mark_nobody(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay, command: str, reply: str, words: str
) -> None:
    """E6: the mail fails with reply and reason, and the next mail to the address is sent."""
    relay.say("ada@example.com", command, reply)
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        path = await api_caller.submit_mail(client)
        notification = await api_caller.wait_for_status(client, path, "failed")
        assert (notification["reason"], words in notification["detail"]) == ("message_refused", True)
        assert reply[:3] == str(notification["attempts"][0]["code"])
        assert words in await _explained(client, path)
        assert await _suppressed(parts) == []
        await api_caller.wait_for_status(client, await api_caller.submit_mail(client), "sent")


async def test_a_fact_is_marked_over_pipelining_too(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """With pipelined replies only the refused recipient is suppressed."""
    relay.pipelines = True
    relay.say("gone@example.com", "RCPT", "550 5.1.1 <gone@example.com>: user unknown")
    relay.say("ada@example.com", "RCPT", BLOCKED)
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        paths = [await api_caller.submit_mail(client, to) for to in ("gone@example.com", "ada@example.com")]
        reasons: list[Any] = [(await api_caller.wait_for_status(client, path, "failed"))["reason"] for path in paths]
        assert reasons == ["recipient_refused", "message_refused"]
        assert await _suppressed(parts) == ["gone@example.com"]
