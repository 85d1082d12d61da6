"""What may change between submit and send (C9), and what the API then shows for the notification."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import delete, select
from support import api_caller, published_template
from support.crashed_sender import CrashedSender
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import Installation

from notifier import suppression
from notifier.clock import SystemClock
from notifier.db.tables import Notification, TemplateVersion, get_columns
from notifier.delivery import delivery_loader
from notifier.outbox import entry_store as queue
from notifier.rendering.pool import RenderingPool
from notifier.runtime import wiring
from notifier.settings import RecipientsMode
from notifier.states import Reason, Status, SuppressionReason
from notifier.template_language.template_source import TemplateSource
from notifier.templating.sync import template_files


async def _publish_changed_welcome(parts: wiring.ProcessParts) -> int:
    """Publish a second version of the welcome template with another subject."""
    source = template_files.read_template(Path("templates"), "welcome")
    changed = TemplateSource(
        files=source.files | {"subject.txt": "Changed for {{ name }} of {{ product }}"},
        sample=source.sample,
        settings=source.settings,
    )
    async with RenderingPool() as pool:
        report = await pool.check(changed)
    assert report.faults == []
    async with parts.database.write() as connection:
        version = await published_template.publish_template(connection, "welcome", changed, report.subject_paths)
    return version.number


async def test_the_version_is_pinned_at_submit(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """C9: a template published after the submit applies to the next mail, not to this one."""
    async with installation.open_client(parts) as client:
        before = await api_caller.submit_mail(client, "before@example.com")
        number = await _publish_changed_welcome(parts)
    async with installation.open_client(parts) as client:  # the one before knows the template for a second
        after = await api_caller.submit_mail(client, "after@example.com")
        requested = await api_caller.submit_mail(client, "asked@example.com", template_version=1)
        async with wiring.run_sender(parts):
            await relay.wait_for(3)
        versions = [(await client.get(path)).json()["template_version"] for path in (before, after, requested)]
    subjects = {mail.recipient: mail.message["Subject"] for mail in relay.received}
    assert versions == [1, number, 1]
    assert subjects == {
        "before@example.com": "Welcome to Larkspur, Ada",
        "after@example.com": "Changed for Ada of Larkspur",
        "asked@example.com": "Welcome to Larkspur, Ada",
    }


async def test_an_address_suppressed_meanwhile_is_not_mailed(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """C9: a suppression added between submit and send stops the mail."""
    async with installation.open_client(parts) as client:
        path = await api_caller.submit_mail(client, "Bob@example.com")
        async with parts.database.write() as connection:
            await suppression.suppress_recipient(
                connection,
                "bob@example.com",
                reason=SuppressionReason.RECIPIENT_REFUSED,
                detail="gone",
                now=SystemClock().now(),
            )
        async with wiring.run_sender(parts):
            notification = await api_caller.wait_for_status(client, path, "suppressed")
    assert (notification["reason"], notification["attempts"], relay.connections) == ("recipient_suppressed", [], 0)
    assert await api_caller.count_entries(parts.database) == 0


async def test_an_expired_mail_is_not_sent(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """C9: a mail that was never tried before its expiry ends as `expired`."""
    async with installation.open_client(parts) as client:
        path = await api_caller.submit_mail(client)
        await api_caller.set_notification(parts.database, path, expires_at=SystemClock().now() - timedelta(seconds=1))
        async with wiring.run_sender(parts):
            notification = await api_caller.wait_for_status(client, path, "expired")
    assert (notification["attempts"], relay.connections) == ([], 0)


async def test_an_expired_mail_that_was_tried_failed(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """A mail that was tried and then expired is `failed`, with the relay's last reply."""
    relay.say("bob@example.com", "RCPT", "450 4.2.0 busy")
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        path = await api_caller.submit_mail(client, "bob@example.com")
        await api_caller.wait_for_status(client, path, "deferred")
        await api_caller.set_notification(parts.database, path, expires_at=SystemClock().now() - timedelta(seconds=1))
        await api_caller.make_due(parts.database)
        notification = await api_caller.wait_for_status(client, path, "failed")
    assert (notification["reason"], notification["detail"]) == ("exhausted", "450 4.2.0 busy")


async def test_the_recipients_mode_is_asked_again_before_sending(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """A sender with a stricter allow-list than the API's does not send what the API accepted."""
    async with installation.open_client(parts) as client:
        path = await api_caller.submit_mail(client, "customer@example.com")
        strict = installation.with_settings(recipients={"mode": RecipientsMode.ALLOW, "allow": ("@staff.example",)})
        async with strict.open_parts() as base, wiring.run_sender(base):
            notification = await api_caller.wait_for_status(client, path, "failed")
    assert (notification["reason"], relay.connections) == ("recipient_not_allowed", 0)


async def test_redirect_never_mails_the_original(installation: Installation, relay: ScriptedRelay) -> None:
    """In mode `redirect` all mail goes to one address, and a header names the original recipient."""
    safe = installation.with_settings(recipients={"mode": RecipientsMode.REDIRECT, "redirect_to": "trap@staff.example"})
    async with safe.open_parts() as base, safe.open_client(base) as client, wiring.run_sender(base):
        await api_caller.wait_for_status(client, await api_caller.submit_mail(client, "customer@example.com"), "sent")
    (mail,) = relay.received
    assert mail.recipient == "trap@staff.example"
    assert mail.message["X-Notifier-Original-To"] == "customer@example.com"
    assert [c for c in relay.commands if "customer" in c] == []


async def test_a_scheduled_mail_waits_for_its_time(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """A mail with a future `send_at` is `scheduled`, is sent at that time and carries that time as its date."""
    later = SystemClock().now() + timedelta(hours=2)
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        path = await api_caller.submit_mail(client, "later@example.com", send_at=later.isoformat())
        await api_caller.wait_for_status(client, await api_caller.submit_mail(client, "now@example.com"), "sent")
        notification = (await client.get(path)).json()
        assert notification["status"] == "scheduled"
        assert notification["next_attempt_at"] == notification["send_at"]
        await api_caller.make_due(parts.database)
        await relay.wait_for(2)
    dated = relay.received[1].message["Date"]
    assert dated == later.strftime("%a, %d %b %Y %H:%M:%S +0000")


async def test_a_version_that_is_gone_hurts_its_own_mails_only(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """If a pinned version was deleted from the database, only the mails of that version fail."""
    async with installation.open_client(parts) as client:
        gone = await api_caller.submit_mail(client, "gone@example.com")
        number = await _publish_changed_welcome(parts)
    async with installation.open_client(parts) as client:  # the one before knows the template for a second
        paths = [await api_caller.submit_mail(client, f"user{n}@example.com") for n in range(30)]
        async with parts.database.write() as connection:
            await connection.execute(delete(TemplateVersion).where(get_columns(TemplateVersion).number != number))
        async with wiring.run_sender(parts):
            await relay.wait_for(30)
            statuses = [(await api_caller.wait_for_status(client, path, "sent", "failed"))["status"] for path in paths]
    assert set(statuses) == {"sent"}
    notification = get_columns(Notification)
    async with parts.database.read() as connection:
        ended = select(notification.status, notification.reason).where(notification.id == UUID(gone.rpartition("/")[2]))
        assert (await connection.execute(ended)).one() == (Status.FAILED, Reason.TEMPLATE)
    assert len({mail.pair for mail in relay.received}) == len(relay.received) == 30


async def test_the_closest_locale_is_sent(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """fr-CA falls back to fr where a template has no fr-CA, and to the default where it has neither."""
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        for tag in ("fr-CA", "pt-BR"):
            await api_caller.wait_for_status(
                client, await api_caller.submit_mail(client, f"{tag}@example.com", locale=tag), "sent"
            )
    subjects = {mail.recipient: str(mail.message["Subject"]) for mail in relay.received}
    assert subjects["fr-CA@example.com"].startswith("Bienvenue")
    assert subjects["pt-BR@example.com"].startswith("Welcome")


async def test_a_template_that_fails_on_these_values_fails_that_mail(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """An error while rendering ends as `failed(template)`, names the part, and nothing is sent."""
    source = template_files.read_template(Path("templates"), "welcome")
    brittle = TemplateSource(
        files=source.files | {"subject.txt": "{{ name }} {{ product }} {{ 10 / (name | length - 3) }}"},
        sample=source.sample | {"name": "Grace"},
        settings=source.settings,
    )
    async with parts.database.write() as connection:
        await published_template.publish_template(connection, "welcome", brittle)
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        notification = await api_caller.wait_for_status(client, await api_caller.submit_mail(client), "failed")
    assert (notification["reason"], notification["detail"]) == (
        "template",
        "subject.txt, line 1, column 32: this divides by zero. Ask with {% if %} first.",
    )
    assert relay.received == []


async def test_the_last_look_before_the_body(installation: Installation, parts: wiring.ProcessParts) -> None:
    """A mail that was suppressed, expired or ended after its claim gets no permit for its body."""
    async with installation.open_client(parts) as client:
        paths = [
            await api_caller.submit_mail(client, f"{name}@example.com") for name in ("wanted", "bad", "late", "ended")
        ]
    deliverable, bad, late, ended = (UUID(path.rpartition("/")[2]) for path in paths)
    now = parts.clock.now()
    async with parts.database.write() as connection:
        await suppression.suppress_recipient(
            connection, "bad@example.com", reason=SuppressionReason.RECIPIENT_REFUSED, detail="no such user", now=now
        )
    await api_caller.set_notification(parts.database, paths[2], expires_at=now - timedelta(seconds=1))
    await api_caller.set_notification(parts.database, paths[3], status=Status.CANCELLED)
    sender = CrashedSender(parts.database, parts.settings.data_dir / "journal")
    claimed = await sender.claim()
    assert {entry.subject_id for entry in claimed} == {deliverable, bad, late, ended}
    async with parts.database.write() as connection:
        marked = await queue.mark_entries(
            connection, sender.boot_id, claimed, still_wanted=delivery_loader.STILL_DELIVERABLE, now=now
        )
    assert marked == {entry.fence for entry in claimed if entry.subject_id == deliverable}
