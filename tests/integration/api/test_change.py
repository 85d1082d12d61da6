"""`cancel`, `retry`, `resolve` and `events` over HTTP: bodies, scopes, ownership, replies, and 503 in time."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from integration.api.refusal import faults, outcome, problem
from pydantic import SecretStr
from sqlalchemy import update
from support import api_caller, uncertain_mails
from support.cutting_proxy import CuttingProxy
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import Installation

from notifier.api.request_model import MAX_NOTIFICATION_BYTES
from notifier.auth.authenticated_key import KeyScope
from notifier.db.tables import ApiKey, Notification, get_columns
from notifier.ids import generate_id
from notifier.runtime import wiring
from notifier.states import Status
from notifier.status.notification_actions import MAX_COMMENT_LENGTH

PROMISED = 5.0
"""Seconds within which a caller hears that the database is busy."""
VERBS = ("cancel", "retry", "resolve")
JSON = {"Content-Type": "application/json"}
BODIES: dict[str, tuple[Any, set[tuple[str, str]]]] = {
    "not an object": (["sent"], {("", "invalid_type")}),
    "null": (None, {("", "invalid_type")}),
    "unknown field": ({"as": "sent", "why": "x"}, {("/why", "unknown_field")}),
    "no such decision": ({"as": "delivered"}, {("/as", "invalid_type")}),
    "nothing decided": ({}, {("/as", "missing_field")}),
    "decided under our own name": ({"as_": "sent"}, {("/as", "missing_field"), ("/as_", "unknown_field")}),
    "several at once": ({"as": 1, "comment": 2}, {("/as", "invalid_type"), ("/comment", "invalid_type")}),
    "a long comment": ({"as": "sent", "comment": "x" * (MAX_COMMENT_LENGTH + 1)}, {("/comment", "too_long")}),
}


async def _unknown(parts: wiring.ProcessParts, client: httpx2.AsyncClient) -> str:
    path = await api_caller.submit_mail(client)
    await api_caller.set_notification(parts.database, path, status=Status.UNKNOWN)
    return path


async def test_the_reply_is_what_get_shows(parts: wiring.ProcessParts, client: httpx2.AsyncClient) -> None:
    """Each operation answers 200 with the notification as GET shows it."""
    for verb, status, body in (
        ("cancel", None, None),
        ("retry", Status.FAILED, {"comment": "again"}),
        ("resolve", Status.UNKNOWN, {"as": "sent"}),
    ):
        path = await api_caller.submit_mail(client)
        if status is not None:
            await api_caller.set_notification(parts.database, path, status=status)
        reply = await client.post(f"{path}/{verb}", json=body) if body else await client.post(f"{path}/{verb}")
        assert reply.status_code == 200, reply.text
        assert reply.json() == (await client.get(path)).json()


async def test_a_resolution_is_read_strictly(parts: wiring.ProcessParts, client: httpx2.AsyncClient) -> None:
    """Every fault of the body has a pointer, and nothing changes."""
    path = await _unknown(parts, client)
    problems = {
        name: await client.post(f"{path}/resolve", content=json.dumps(body), headers=JSON)
        for name, (body, _) in BODIES.items()
    }
    assert {name: faults(reply) for name, reply in problems.items()} == {
        name: want for name, (_, want) in BODIES.items()
    }
    assert (await uncertain_mails.read_notification(parts.database, path)).status is Status.UNKNOWN


@pytest.mark.parametrize("verb", VERBS)
async def test_bodies_obey_the_rules_of_submit(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, verb: str
) -> None:
    """Another content type is 415, too large 413, not strict JSON 400, an unknown field 422."""
    path = await _unknown(parts, client)
    large = b'{"comment": "' + b"x" * MAX_NOTIFICATION_BYTES + b'"}'

    async def in_pieces() -> Any:
        for _ in range(6):
            yield b" " * 100_000

    sent: tuple[tuple[Any, dict[str, str], tuple[int, str]], ...] = (
        (b'{"as": "sent"}', {"Content-Type": "text/plain"}, (415, "unsupported_media_type")),
        (large, JSON, (413, "request_too_large")),
        (in_pieces(), JSON, (413, "request_too_large")),
        (b'{"as": "sent", "as": "failed"}', JSON, (400, "malformed_json")),
        (b'{"as": "sent", "comment": "\\u0000"}', JSON, (400, "malformed_json")),
        (b'{"as": "sent", "status": "sent"}', JSON, (422, "unknown_field")),
    )
    for content, headers, code in sent:
        reply = await client.post(f"{path}/{verb}", content=content, headers=headers)
        assert outcome(reply) == code, content
    assert (await uncertain_mails.read_notification(parts.database, path)).status is Status.UNKNOWN


async def test_only_resolve_needs_a_body(parts: wiring.ProcessParts, client: httpx2.AsyncClient) -> None:
    """`cancel` and `retry` work without a body; `resolve` needs one."""
    path = await _unknown(parts, client)
    assert outcome(await client.post(f"{path}/resolve")) == (415, "unsupported_media_type")
    assert faults(await client.post(f"{path}/resolve", headers=JSON)) == {("", "missing_body")}
    assert outcome(await client.post(f"{path}/retry", headers=JSON)) == (409, "not_retryable")
    assert outcome(await client.post(f"{path}/cancel")) == (409, "already_under_way")


async def test_a_key_that_may_only_read_changes_nothing(
    installation: Installation, parts: wiring.ProcessParts, client: httpx2.AsyncClient
) -> None:
    """A5: each operation is 403 without the send scope; the timeline needs the read scope."""
    path = await _unknown(parts, client)
    async with installation.open_client(parts, installation.keys.reader) as reader:
        for verb in VERBS:
            assert outcome(await reader.post(f"{path}/{verb}", json={"as": "sent"})) == (403, "insufficient_scope")
        assert (await reader.get(f"{path}/events")).status_code == 200
    key = get_columns(ApiKey)
    async with parts.database.write() as connection:
        only_send = update(ApiKey).where(key.prefix == installation.keys.other[:-32])
        await connection.execute(only_send.values(scopes=[KeyScope.SEND.value]))
    async with installation.open_client(parts, installation.keys.other) as sender:
        own = await api_caller.submit_mail(sender)
        assert outcome(await sender.get(f"{own}/events")) == (403, "insufficient_scope")
        assert (await sender.post(f"{own}/cancel")).status_code == 200
    assert (await uncertain_mails.read_notification(parts.database, path)).status is Status.UNKNOWN


async def test_another_services_notification_cannot_be_told_from_none(
    installation: Installation, parts: wiring.ProcessParts, client: httpx2.AsyncClient
) -> None:
    """A5: another service's id, an unknown id and an invalid id get the same 404."""
    waiting, unknown = await api_caller.submit_mail(client), await _unknown(parts, client)
    paths = (waiting, unknown, f"/v1/notifications/{generate_id()}", "/v1/notifications/17", "/v1/notifications/%00")
    async with installation.open_client(parts, installation.keys.other) as other:
        problems = [
            problem(await other.post(f"{path}/{verb}", json={"as": "sent"} if verb == "resolve" else {}))
            for path in paths
            for verb in VERBS
        ]
        problems += [problem(await other.get(f"{path}/events")) for path in paths]
    first = problems[0] | {"request_id": ""}
    assert (first["status"], first["code"]) == (404, "not_found")
    assert all(item | {"request_id": ""} == first for item in problems)
    assert (await uncertain_mails.read_notification(parts.database, waiting)).status is Status.QUEUED
    assert await uncertain_mails.read_entry(parts.database, waiting) is not None
    assert await uncertain_mails.read_events(parts.database, unknown) == []


async def test_what_is_put_back_wakes_the_sender(parts: wiring.ProcessParts, client: httpx2.AsyncClient) -> None:
    """A committed retry or resend wakes the sender of this process."""
    path = await api_caller.submit_mail(client)
    for verb, status, body in (("retry", Status.FAILED, {}), ("resolve", Status.UNKNOWN, {"as": "resend"})):
        await api_caller.set_notification(parts.database, path, status=status)
        await parts.wakeup.wait(0.0)
        assert not await parts.wakeup.wait(0.0)
        assert (await client.post(f"{path}/{verb}", json=body)).status_code == 200
        assert await parts.wakeup.wait(1.0)


async def test_the_timeline_tells_the_story(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """Accepted, lost after the dot, resolved, refused, retried, sent: in order, each with its words."""
    path = await uncertain_mails.lose_after_dot(parts, client, relay)
    relay.say("bob@example.com", "RCPT", "550 5.7.1 not today")
    await client.post(f"{path}/resolve", json={"as": "resend", "comment": "Bob has nothing"})
    async with wiring.run_sender(parts):
        await api_caller.wait_for_status(client, path, "failed")
        await client.post(f"{path}/retry")
        await api_caller.wait_for_status(client, path, "sent")
    events = (await client.get(f"{path}/events")).json()["events"]
    assert all(set(event) == {"at", "kind", "detail", "actor", "actor_name", "attempt"} for event in events)
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)
    timeline = [(event["kind"], event["detail"], event["attempt"] and event["attempt"]["number"]) for event in events]
    uncertain = events[1]["attempt"]["reply"]
    assert timeline == [
        ("accepted", None, None),
        ("attempt", f"uncertain: {uncertain}", 1),
        ("uncertain", "the relay may have taken it, and no reply came", None),
        ("resolved", "as resend: Bob has nothing", None),
        ("attempt", "rejected: 550 5.7.1 not today", 2),
        ("retried", None, None),
        ("attempt", "accepted: 250 2.0.0 queued", 3),
        ("sent", "250 2.0.0 queued", None),
    ]
    by = (await uncertain_mails.read_notification(parts.database, path)).created_by
    assert [event["actor"] for event in events if event["actor"]] == [by, by, by]
    notification = (await client.get(path)).json()
    assert [event["attempt"] for event in events if event["attempt"]] == notification["attempts"]


async def test_the_timeline_of_what_was_never_tried(parts: wiring.ProcessParts, client: httpx2.AsyncClient) -> None:
    """Scheduled shows its time, cancelled shows who did it once, closed shows the reason."""
    later = datetime.now(UTC) + timedelta(hours=2)
    path = await api_caller.submit_mail(client, send_at=later.isoformat())
    await client.post(f"{path}/cancel", json={"comment": "sold out"})
    events = (await client.get(f"{path}/events")).json()["events"]
    assert [(event["kind"], event["detail"]) for event in events] == [
        ("accepted", None),
        ("scheduled", f"for {later.isoformat()}"),
        ("cancelled", "sold out"),
    ]
    closed = await api_caller.submit_mail(client)
    await client.post(f"{closed}/cancel")
    await api_caller.set_notification(
        parts.database, closed, status=Status.UNKNOWN, reason="sender_died", detail="nobody looked"
    )
    events = (await client.get(f"{closed}/events")).json()["events"]
    assert (events[-1]["kind"], events[-1]["detail"]) == ("unknown", "sender_died: nobody looked")


async def test_a_sender_that_died_leaves_an_attempt_without_a_relay(
    installation: Installation, parts: wiring.ProcessParts, client: httpx2.AsyncClient
) -> None:
    """Unknown values of an attempt are null in the notification and its timeline."""
    path, sender = await uncertain_mails.lose_with_sender(installation, parts, client)
    sender.die()
    async with wiring.run_sender(parts):
        notification = await api_caller.wait_for_status(client, path, "unknown")
    events = (await client.get(f"{path}/events")).json()["events"]
    assert (
        notification["reason"],
        notification["attempts"][0]["relay"],
        notification["attempts"][0]["duration_ms"],
    ) == (
        "sender_died",
        None,
        None,
    )
    (tried,) = [event for event in events if event["kind"] == "attempt"]
    assert tried["attempt"] == notification["attempts"][0]
    assert tried["detail"].startswith("uncertain: the sender died")


@pytest.mark.parametrize("verb", VERBS)
async def test_a_busy_database_is_503_in_time(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, verb: str
) -> None:
    """A20: a long lock gives 503 in time and changes nothing; later the request succeeds."""
    status = {"cancel": Status.QUEUED, "retry": Status.FAILED, "resolve": Status.UNKNOWN}[verb]
    path = await api_caller.submit_mail(client)
    await api_caller.set_notification(parts.database, path, status=status)
    async with parts.database.write() as other:
        row = get_columns(Notification)
        await other.execute(update(Notification).where(row.id == uncertain_mails.get_id(path)).values(status=status))
        async with asyncio.timeout(10 * PROMISED):
            reply = await client.post(f"{path}/{verb}", json={"as": "sent"} if verb == "resolve" else {})
        assert outcome(reply) == (503, "database_unavailable")
        assert reply.headers["retry-after"]
    assert (await uncertain_mails.read_notification(parts.database, path)).status is status
    assert await uncertain_mails.read_entry(parts.database, path) is not None
    assert parts.database.pool_in_use() == 0
    reply = await client.post(f"{path}/{verb}", json={"as": "sent"} if verb == "resolve" else {})
    assert reply.status_code == 200


async def test_a_database_that_hangs_is_503_in_time(postgres_installation: Installation) -> None:
    """A20: a hanging server gives 503 within five seconds; once it answers, the cancel succeeds."""
    async with CuttingProxy(postgres_installation.settings) as proxy:
        slow = postgres_installation.with_settings(database_url=SecretStr(proxy.url))
        async with slow.open_parts() as parts, slow.open_client(parts) as client:
            path = await api_caller.submit_mail(client)
            assert (await client.get(path)).status_code == 200  # so that the key need not be asked for
            proxy.silent = True
            async with asyncio.timeout(10 * PROMISED):
                reply = await client.post(f"{path}/cancel")
            assert outcome(reply) == (503, "database_unavailable")
            proxy.silent = False
            assert (await client.post(f"{path}/cancel")).status_code == 200


async def test_the_document_describes_them(client: httpx2.AsyncClient) -> None:
    """OpenAPI has the four operations and the body of `resolve`."""
    document = (await client.get("/openapi.json")).json()
    paths = document["paths"]
    base = "/v1/notifications/{notification_id}"
    assert {f"{base}/{verb}" for verb in VERBS} | {f"{base}/events"} <= set(paths)
    body = paths[f"{base}/resolve"]["post"]["requestBody"]
    assert body["required"] is True
    name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert set(document["components"]["schemas"][name]["properties"]) == {"as", "comment"}
