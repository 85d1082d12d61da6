"""What a suppression stops, and what it does not: at submit, between submit and send, and at the mark (C9)."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from support import api_caller, marketing_template
from support.crashed_sender import CrashedSender
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import WELCOME, Installation

from notifier import suppression
from notifier.audit import Actor
from notifier.auth import service_admin
from notifier.db.tables import INSTANCE
from notifier.delivery import delivery_loader
from notifier.outbox import entry_store as queue
from notifier.runtime import wiring
from notifier.states import SuppressionReason, SuppressionScope

ALL, MARKETING = SuppressionScope.ALL, SuppressionScope.MARKETING
ADA = "ada@example.com"
STOPS: tuple[tuple[SuppressionScope, dict[str, Any], bool], ...] = (
    (ALL, {}, True),
    (ALL, marketing_template.NEWS, True),
    (MARKETING, {}, False),
    (MARKETING, marketing_template.NEWS, True),
)
"""The suppression's scope, the setting that gives the mail its category, and whether it is stopped."""
_NAMES = ("all-transactional", "all-marketing", "marketing-transactional", "marketing-marketing")
each_scope = pytest.mark.parametrize(("scope", "fields", "stopped"), STOPS, ids=_NAMES)


async def _add(
    parts: wiring.ProcessParts, scope: SuppressionScope, service: str | None = "shop", *, seconds: float | None = None
) -> UUID:
    """Suppress Ada for one service, or for all without a service."""
    now = parts.clock.now()
    async with parts.database.write() as connection:
        wish = suppression.NewSuppression(
            address=ADA,
            service_id=await service_admin.find_service(connection, service) if service else INSTANCE,
            scope=scope,
            reason=SuppressionReason.REQUESTED,
            detail="",
            created_by="test",
            expires_at=now + timedelta(seconds=seconds) if seconds is not None else None,
        )
        # Written as an hour ago, so that one can have expired by now.
        _, view = await suppression.add_suppression(
            connection, wish, actor=Actor(name="test", at=now - timedelta(hours=1))
        )
    return view.id


@each_scope
@pytest.mark.parametrize("service", ["shop", None], ids=["own", "instance"])
async def test_at_submit(  # noqa: PLR0913, PLR0917 - two tables and the relay
    installation: Installation,
    parts: wiring.ProcessParts,
    relay: ScriptedRelay,
    scope: SuppressionScope,
    fields: dict[str, Any],
    stopped: bool,  # noqa: FBT001 - a row of the table
    service: str | None,
) -> None:
    """A suppressed mail gets 202 and status `suppressed`; an opt-out from marketing does not stop a password reset."""
    await marketing_template.publish_marketing_template(parts)
    await _add(parts, scope, service)
    async with installation.open_client(parts) as client:
        reply = await client.post("/v1/notifications", json=WELCOME | fields)
        assert (reply.status_code, reply.json()["status"]) == (202, "suppressed" if stopped else "queued")
        assert await api_caller.count_entries(parts.database) == (0 if stopped else 1)
        async with wiring.run_sender(parts):
            notification = await api_caller.wait_for_status(
                client, reply.headers["location"], "suppressed" if stopped else "sent"
            )
    assert notification["reason"] == ("recipient_suppressed" if stopped else None)
    assert len(relay.received) == (0 if stopped else 1)


@each_scope
async def test_between_submit_and_send(
    installation: Installation,
    parts: wiring.ProcessParts,
    relay: ScriptedRelay,
    scope: SuppressionScope,
    fields: dict[str, Any],
    stopped: bool,  # noqa: FBT001 - a row of the table
) -> None:
    """C9: a suppression added after the submit stops only the mail in its scope."""
    await marketing_template.publish_marketing_template(parts)
    async with installation.open_client(parts) as client:
        path = await api_caller.submit_mail(client, ADA, **fields)
        await _add(parts, scope)
        async with wiring.run_sender(parts):
            await api_caller.wait_for_status(client, path, "suppressed" if stopped else "sent")
    assert len(relay.received) == (0 if stopped else 1)


@each_scope
async def test_at_the_mark(
    installation: Installation,
    parts: wiring.ProcessParts,
    scope: SuppressionScope,
    fields: dict[str, Any],
    stopped: bool,  # noqa: FBT001 - a row of the table
) -> None:
    """C9: a suppression added after the claim prevents the permit for the body."""
    await marketing_template.publish_marketing_template(parts)
    async with installation.open_client(parts) as client:
        await api_caller.submit_mail(client, ADA, **fields)
    sender = CrashedSender(parts.database, parts.settings.data_dir / "journal")
    claimed = await sender.claim()
    assert len(claimed) == 1
    await _add(parts, scope)
    async with parts.database.write() as connection:
        marked = await queue.mark_entries(
            connection, sender.boot_id, claimed, still_wanted=delivery_loader.STILL_DELIVERABLE, now=parts.clock.now()
        )
    assert len(marked) == (0 if stopped else 1)


async def test_it_is_one_services_own(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """A suppression for one service does not stop another service's mail at any step."""
    await _add(parts, ALL)
    async with (
        installation.open_client(parts) as shop,
        installation.open_client(parts, installation.keys.other) as other,
    ):
        stopped = await shop.post("/v1/notifications", json=WELCOME)
        path = await api_caller.submit_mail(other, ADA)
        async with wiring.run_sender(parts):
            await api_caller.wait_for_status(other, path, "sent")
    assert stopped.json()["status"] == "suppressed"
    assert len(relay.received) == 1


async def test_an_expired_one_stops_nothing(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """An expired suppression of a service or the instance stops no mail at submit, load or mark."""
    for service in ("shop", None):
        await _add(parts, ALL, service, seconds=-1)
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        await api_caller.wait_for_status(client, await api_caller.submit_mail(client, ADA), "sent")
    assert len(relay.received) == 1


async def test_one_that_lasts_stops_until_it_is_lifted(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """The first submit after the suppression is lifted is sent."""
    id_ = await _add(parts, ALL, seconds=3600)
    async with installation.open_client(parts, await marketing_template.create_marketing_key(parts, "shop")) as client:
        assert (await client.post("/v1/notifications", json=WELCOME)).json()["status"] == "suppressed"
        assert (await client.delete(f"/v1/suppressions/{id_}")).status_code == 204
        path = await api_caller.submit_mail(client, ADA)
        async with wiring.run_sender(parts):
            await api_caller.wait_for_status(client, path, "sent")
    assert len(relay.received) == 1


async def test_a_hard_bounce_outlasts_what_would_have_ended(parts: wiring.ProcessParts) -> None:
    """A hard bounce makes a temporary suppression permanent and leaves a permanent one as it is."""
    now = parts.clock.now()
    for seconds, reason in ((-1, "recipient_refused"), (60, "recipient_refused"), (None, "requested")):
        id_ = await _add(parts, ALL, None, seconds=seconds)
        async with parts.database.direct_transaction() as connection:
            await suppression.suppress_recipient(
                connection, ADA, reason=SuppressionReason.RECIPIENT_REFUSED, detail="gone", now=now
            )
        async with parts.database.write() as connection:
            (view,) = await suppression.list_owned_suppressions(
                connection, INSTANCE, suppression.SuppressionFilter(address=ADA), limit=9
            )
            assert (view.reason, view.expires_at) == (reason, None)
            assert (view.id == id_) == (seconds is None)
            await suppression.lift_suppression(connection, None, view.id, actor=Actor(name="test", at=now))
