"""PATCH changes a mail and its copies before the first attempt; after it every attempt sends the same bytes."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from integration.api.refusal import faults, outcome
from support import api_caller, uncertain_mails
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import Installation

from notifier.runtime import wiring
from notifier.states import Status

NEW = {"name": "Grace", "product": "Larkspur"}


@pytest.fixture
async def client(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """An HTTP client with the shop's key."""
    async with installation.open_client(parts) as made:
        yield made


async def _patch(client: httpx2.AsyncClient, path: str, **changes: Any) -> httpx2.Response:
    return await client.patch(path, json=changes)


async def test_the_mail_leaves_with_the_new_variables(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """New variables replace the old ones, also for copies; Message-ID and pinned version stay."""
    path = await api_caller.submit_mail(client, bcc=["boss@example.com"])
    before = (await client.get(path)).json()
    reply = await _patch(client, path, variables=NEW)
    assert reply.status_code == 200, reply.text
    assert reply.json()["message_id"] == before["message_id"]
    async with wiring.run_sender(parts):
        await api_caller.wait_until_drained(parts.database)
    assert sorted(mail.recipient for mail in relay.received) == ["ada@example.com", "boss@example.com"]
    assert {mail.message["Subject"] for mail in relay.received} == {"Welcome to Larkspur, Grace"}
    (mail_id,) = {mail.message["Message-ID"] for mail in relay.received}
    assert mail_id == before["message_id"]
    events = await uncertain_mails.read_events(parts.database, path)
    assert [(kind, detail) for kind, _, detail in events] == [("changed", "variables")]


async def test_it_is_sent_at_its_new_time(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """A later `send_at` delays the mail and its expiry, and an earlier one sends it."""
    path = await api_caller.submit_mail(client, "bob@example.com", cc=["cleo@example.com"])
    old = (await client.get(path)).json()
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    notification = (await _patch(client, path, send_at=later.isoformat())).json()
    assert (notification["status"], [copy["status"] for copy in notification["copies"]]) == ("scheduled", ["scheduled"])
    assert (
        datetime.fromisoformat(notification["send_at"])
        == datetime.fromisoformat(notification["next_attempt_at"])
        == later
    )
    lives = [
        datetime.fromisoformat(view["expires_at"]) - datetime.fromisoformat(view["send_at"])
        for view in (old, notification)
    ]
    assert lives[0] == lives[1]
    async with wiring.run_sender(parts):
        await api_caller.wait_for_status(client, await api_caller.submit_mail(client, "eve@example.com"), "sent")
        assert [mail.recipient for mail in relay.received] == ["eve@example.com"]
        await _patch(client, path, send_at=datetime.now(UTC).isoformat())
        await api_caller.wait_until_drained(parts.database)
    assert sorted(mail.recipient for mail in relay.received)[:2] == ["bob@example.com", "cleo@example.com"]


async def test_priority_and_expiry_are_changed(parts: wiring.ProcessParts, client: httpx2.AsyncClient) -> None:
    """The notification has the new priority and expiry, and its entry has the new priority."""
    path = await api_caller.submit_mail(client)
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    notification = (await _patch(client, path, priority="high", expires_at=until.isoformat())).json()
    assert (notification["priority"], datetime.fromisoformat(notification["expires_at"])) == ("high", until)
    entry = await uncertain_mails.read_entry(parts.database, path)
    assert entry is not None
    assert entry.priority == "high"
    assert [detail for _, _, detail in await uncertain_mails.read_events(parts.database, path)] == [
        "expires_at, priority"
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"variables": {"name": "Grace"}}, {("/variables/product", "missing_variable")}),
        ({"variables": NEW | {"name": 7}}, {("/variables/name", "wrong_variable_type")}),
        ({"variables": NEW | {"name": "a\r\nBcc: e@x.org"}}, {("/variables/name", "invalid_header_value")}),
        ({"send_at": "2026-12-01T08:00:00"}, {("/send_at", "naive_time")}),
        ({"send_at": "2199-12-01T08:00:00Z"}, {("/send_at", "time_out_of_range")}),
        ({"expires_at": "2020-12-01T08:00:00Z"}, {("/expires_at", "time_out_of_range")}),
        ({"priority": "urgent"}, {("/priority", "invalid_type")}),
        ({"to": "eve@example.com"}, {("/to", "unknown_field")}),
        ({}, {("", "missing_field")}),
        ({"priority": None}, {("/priority", "invalid_type")}),
        ({"priority": "high", "send_at": None}, {("/send_at", "invalid_type")}),
    ],
)
async def test_bad_changes_change_nothing(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, changes: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    """Invalid changes are refused with the same errors as at submit."""
    path = await api_caller.submit_mail(client)
    before = await uncertain_mails.read_everything(parts, path)
    assert faults(await client.patch(path, json=changes)) == expected
    assert await uncertain_mails.read_everything(parts, path) == before


async def test_content_of_its_own_has_no_variables(client: httpx2.AsyncClient) -> None:
    """A mail with its own content has no variables to change, but its time can be changed."""
    body = {"to": "ada@example.com", "content": {"subject": "x", "text": "y"}}
    path = (await client.post("/v1/notifications", json=body)).headers["location"]
    assert faults(await _patch(client, path, variables=NEW)) == {("/variables", "needs_template")}
    assert (await _patch(client, path, priority="bulk")).status_code == 200


async def test_after_the_first_try_it_stays(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """A deferred mail cannot be changed, so each attempt sends the same."""
    relay.say("bob@example.com", "RCPT", "451 4.7.1 later")
    async with wiring.run_sender(parts):
        path = await api_caller.submit_mail(client, "bob@example.com")
        await api_caller.wait_for_status(client, path, "deferred")
    before = await uncertain_mails.read_everything(parts, path)
    assert outcome(await _patch(client, path, variables=NEW)) == (409, "already_attempted")
    assert await uncertain_mails.read_everything(parts, path) == before


async def test_a_copy_that_was_tried_binds_its_first(parts: wiring.ProcessParts, client: httpx2.AsyncClient) -> None:
    """If a copy was tried, its original cannot be changed either."""
    path = await api_caller.submit_mail(client, bcc=["boss@example.com"])
    copy = (await client.get(path)).json()["copies"][0]["id"]
    await api_caller.set_notification(parts.database, f"/v1/notifications/{copy}", status=Status.DEFERRED)
    before = await uncertain_mails.read_everything(parts, path)
    assert outcome(await _patch(client, path, variables=NEW)) == (409, "already_attempted")
    assert await uncertain_mails.read_everything(parts, path) == before


@pytest.mark.parametrize("status", [Status.SENT, Status.FAILED, Status.CANCELLED, Status.EXPIRED, Status.SUPPRESSED])
async def test_what_has_ended_stays(parts: wiring.ProcessParts, client: httpx2.AsyncClient, status: Status) -> None:
    """A notification in a final status cannot be changed."""
    path = await api_caller.submit_mail(client)
    await api_caller.set_notification(parts.database, path, status=status)
    assert outcome(await _patch(client, path, priority="high")) == (409, "already_ended")


async def test_a_marked_mail_stays(
    installation: Installation, parts: wiring.ProcessParts, client: httpx2.AsyncClient
) -> None:
    """A marked mail cannot be changed, and nothing is written."""
    path, sender = await uncertain_mails.lose_with_sender(installation, parts, client)
    before = await uncertain_mails.read_everything(parts, path)
    assert outcome(await _patch(client, path, variables=NEW)) == (409, "already_under_way")
    assert await uncertain_mails.read_everything(parts, path) == before
    sender.die()


async def test_a_copy_is_changed_with_its_first_only(installation: Installation, parts: wiring.ProcessParts) -> None:
    """A change to a copy, by another service or with a read-only key is refused and writes nothing."""
    async with installation.open_client(parts) as client:
        path = await api_caller.submit_mail(client, bcc=["boss@example.com"])
        copy = (await client.get(path)).json()["copies"][0]["id"]
        before = await uncertain_mails.read_everything(parts, path)
        assert outcome(await _patch(client, f"/v1/notifications/{copy}", priority="high")) == (409, "is_a_copy")
    async with installation.open_client(parts, installation.keys.other) as other:
        assert outcome(await _patch(other, path, priority="high")) == (404, "not_found")
    async with installation.open_client(parts, installation.keys.reader) as reader:
        assert outcome(await _patch(reader, path, priority="high")) == (403, "insufficient_scope")
    assert await uncertain_mails.read_everything(parts, path) == before
