"""What happens to a mail whose sender was killed, by the moment of the kill, on both databases."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from sqlalchemy import text
from support import api_caller
from support.crashed_sender import CrashedSender
from support.polling import wait_until
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import Installation

from notifier.outbox import entry_store
from notifier.outbox.entry_handler import ClaimedEntry
from notifier.outbox.entry_store import LeaseSelection
from notifier.outcomes import Accepted, Deferred, RefusalKind, Rejected, SmtpPhase, SmtpReply
from notifier.runtime import wiring
from notifier.states import EntryKind

QUEUED = SmtpReply(code=250, enhanced="2.0.0", text="queued as 4711")
BUSY = Deferred(phase=SmtpPhase.BODY, reply=SmtpReply(code=451, enhanced="4.3.0", text="try later"))
NOBODY = Rejected(
    phase=SmtpPhase.RCPT,
    refused=RefusalKind.RECIPIENT,
    reply=SmtpReply(code=550, enhanced="5.1.1", text="no such user"),
)


@dataclass
class Scene:
    """One mail, its sender, and the senders that come after it."""

    installation: Installation
    parts: wiring.ProcessParts
    client: httpx2.AsyncClient
    relay: ScriptedRelay
    path: str
    sender: CrashedSender
    entry: ClaimedEntry

    async def look(self, *statuses: str) -> dict[str, Any]:
        """Return the notification after a living sender has recovered the dead one's mail."""
        async with wiring.run_sender(self.parts):
            return await api_caller.wait_for_status(self.client, self.path, *statuses)


@pytest.fixture
async def scene(installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay) -> AsyncIterator[Scene]:
    """Provide a mail that a sender has claimed."""
    async with installation.open_client(parts) as client:
        path = await api_caller.submit_mail(client, "bob@example.com")
        sender = CrashedSender(parts.database, installation.settings.data_dir / "journal")
        (entry,) = await sender.claim()
        yield Scene(installation, parts, client, relay, path, sender, entry)


async def test_killed_after_the_claim(scene: Scene) -> None:
    """Without a mark no body was sent, so another sender sends the mail at once."""
    scene.sender.die()
    notification = await scene.look("sent")
    assert (len(scene.relay.received), notification["uncertain_at"], len(notification["attempts"])) == (1, None, 1)


async def test_killed_after_the_mark(scene: Scene) -> None:
    """The body may have been sent, so the mail is `unknown`, gives the reason, and is sent once more later."""
    await scene.sender.mark([scene.entry])
    scene.sender.die()
    notification = await scene.look("unknown")
    assert notification["reason"] == "sender_died"
    assert "sender died" in notification["detail"]
    assert notification["next_attempt_at"] is not None
    ((attempt),) = notification["attempts"]
    assert (attempt["outcome"], attempt["relay"], attempt["duration_ms"]) == ("uncertain", None, None)
    assert scene.relay.received == []
    await api_caller.make_due(scene.parts.database)
    notification = await scene.look("sent")
    assert notification["uncertain_at"] is not None
    assert len(scene.relay.received) == 1


async def test_killed_after_the_250_was_noted(scene: Scene) -> None:
    """A 250 in the journal makes the mail `sent` with that reply, and it is never sent again."""
    await scene.sender.mark([scene.entry])
    scene.sender.hear(scene.entry, Accepted(reply=QUEUED))
    scene.sender.die()
    notification = await scene.look("sent")
    assert (notification["uncertain_at"], notification["detail"]) == (None, str(QUEUED))
    ((attempt),) = notification["attempts"]
    assert (attempt["outcome"], attempt["code"], attempt["duration_ms"]) == ("accepted", 250, 250)
    assert scene.relay.received == []
    assert list((scene.installation.settings.data_dir / "journal").iterdir()) == []


async def test_killed_after_a_no_was_noted(scene: Scene) -> None:
    """A refusal in the journal is applied too: the relay took nothing, and nothing is `unknown`."""
    await scene.sender.mark([scene.entry])
    scene.sender.hear(scene.entry, BUSY)
    scene.sender.die()
    notification = await scene.look("deferred")
    assert (notification["uncertain_at"], notification["reason"]) == (None, "temporary_refusal")


async def test_killed_after_the_recipient_was_refused(scene: Scene) -> None:
    """The sender that reads the journal also does what the refusal requires."""
    await scene.sender.mark([scene.entry])
    scene.sender.hear(scene.entry, NOBODY)
    scene.sender.die()
    notification = await scene.look("failed")
    assert notification["reason"] == "recipient_refused"
    again = await scene.client.get(await api_caller.submit_mail(scene.client, "bob@example.com"))
    assert again.json()["status"] == "suppressed"


@pytest.mark.parametrize(
    ("outcome", "status"), [(Accepted(reply=QUEUED), "sent"), (BUSY, "deferred"), (NOBODY, "failed")]
)
async def test_a_journal_that_is_found_late(scene: Scene, outcome: Any, status: str) -> None:
    """A reply in a journal that is found late settles a mail that is already `unknown`."""
    await scene.sender.mark([scene.entry])
    journals = scene.sender.journals
    scene.sender.hear(scene.entry, outcome)
    scene.sender.die()
    elsewhere = journals.rename(journals.with_name("elsewhere"))
    await _overrun(scene)
    if not scene.parts.database.is_sqlite:
        scene.installation = scene.installation.with_settings(sender={"dead_after": 1.0})
        scene.parts = wiring.ProcessParts(**{**vars(scene.parts), "settings": scene.installation.settings})
    notification = await scene.look("unknown")
    assert notification["attempts"][0]["outcome"] == "uncertain"
    journals.rmdir()
    elsewhere.rename(journals)
    notification = await scene.look(status)
    assert notification["uncertain_at"] is not None
    assert [attempt["outcome"] for attempt in notification["attempts"]] == [type(outcome).__name__.lower()]
    assert scene.relay.received == []


async def test_a_journal_whose_end_is_written_changes_nothing(scene: Scene) -> None:
    """Journal lines that are read again after their settlement change nothing and use no attempt."""
    await scene.sender.mark([scene.entry])
    scene.sender.hear(scene.entry, BUSY)
    scene.sender.die()
    journals = {path: path.read_bytes() for path in scene.sender.journals.iterdir()}
    before = await scene.look("deferred")
    for path, data in journals.items():
        path.write_bytes(data)
    async with wiring.run_sender(scene.parts):
        await wait_until(lambda: not any(path.exists() for path in journals))
    assert (await scene.client.get(scene.path)).json() == before


async def test_a_mail_that_kills_three_times_alone_is_poison(scene: Scene) -> None:
    """B15: after two losses in company and three alone the mail has failed, and no other mail has."""
    victim = scene.sender
    for lost in range(1, entry_store.MAX_LOSSES + 1):
        victim.die()
        async with scene.parts.database.write() as connection:
            assert (
                await entry_store.rescue_unmarked(
                    connection, LeaseSelection(kind=EntryKind.EMAIL, holder=victim.boot_id)
                )
                == 1
            )
        await api_caller.make_due(scene.parts.database)
        victim = CrashedSender(scene.parts.database, scene.sender.journals)
        (entry,) = await victim.claim(suspects=lost >= 2)
        assert entry.lost == lost
    victim.die()
    other = await api_caller.submit_mail(scene.client, "ada@example.com")
    notification = await scene.look("failed")
    assert (notification["reason"], notification["attempts"]) == ("poison", [])
    scene.path = other
    await scene.look("sent")


async def _overrun(scene: Scene) -> None:
    """Set the lease of the marked claim into the past."""
    early = "'2026-01-01 00:00:00.000000'"
    async with scene.parts.database.write() as connection:
        await connection.execute(
            text(f"UPDATE outbox_entry SET due_at = {early}, marked_at = {early} WHERE state = 'leased'")
        )
