"""Every method of both clients against the real API, with a sender and a webhook endpoint."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from typing import Any

import pytest
from integration.client import job_walks, staff_walks
from integration.client.recording_client import RecordingClient, list_calls
from support import api_caller, marketing_template, sample_images, template_editor
from support import webhook_receiver as receivers
from support.polling import poll_until
from support.seeded_installation import Installation
from support.webhook_receiver import WebhookReceiver, build_reply

from notifier.auth.authenticated_key import SERVICE_SCOPES
from notifier.client import AsyncNotifier, ConflictError, NotFoundError, Notifier, Status, WebhookVerifier
from notifier.runtime import wiring
from notifier.states import Status as Stored

WELCOME: dict[str, Any] = {"template": "welcome", "variables": {"name": "Ada", "product": "Larkspur"}}
HOUR = timedelta(hours=1)


@pytest.fixture
def installation(postgres_installation: Installation) -> Installation:
    """An installation on PostgreSQL only, which may call loopback; other tests compare the databases."""
    hosts = {"insecure_hosts": ("127.0.0.1",)}
    return postgres_installation.with_settings(webhooks=hosts | {"timeout": 2.0}, feeds=hosts)


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with receivers.run_receiver() as listening:
        yield listening


@pytest.fixture(params=[Notifier, AsyncNotifier])
async def shop(request: pytest.FixtureRequest, api: str, parts: wiring.ProcessParts) -> AsyncIterator[RecordingClient]:
    """The shop with a key that has every scope."""
    client = RecordingClient(request.param, api, await marketing_template.create_marketing_key(parts, "shop"))
    yield client
    await client.close()


async def _notifications(shop: RecordingClient, parts: wiring.ProcessParts, _: WebhookReceiver) -> None:
    dry_run = await shop("dry_run", to="ada@example.com", **WELCOME)
    sent = await shop("send", to="ada@example.com", send_at=datetime.now(UTC) + HOUR, **WELCOME)
    assert (dry_run.to, sent.status, sent.replayed) == ("ada@example.com", Status.SCHEDULED, False)
    assert (await shop("explain", sent.id)).because[0].code == "scheduled"
    content = await shop("content", sent.id)
    assert (content.subject, content.identical) == (dry_run.subject, None)
    mail = message_from_bytes(await shop("eml", sent.id), policy=policy.default)
    assert (mail["subject"], mail["to"]) == (content.subject, "ada@example.com")
    changed = await shop("update", sent.id, send_at=datetime.now(UTC) - HOUR, priority="high")
    assert (changed.status, changed.priority) == (Status.QUEUED, "high")
    assert (await shop("cancel", sent.id, comment="sold out")).status == Status.CANCELLED
    await api_caller.set_notification(parts.database, sent.id, status=Stored.FAILED)
    assert (await shop("retry", sent.id)).status == Status.QUEUED
    other = await shop("send", to="bob@example.com", tags=["late"], **WELCOME)
    await api_caller.set_notification(parts.database, other.id, status=Stored.UNKNOWN)
    assert (await shop("resolve", other.id, "failed", comment="he called")).status == Status.FAILED
    happened = [event.kind for event in await shop("events", sent.id)]
    assert (happened[0], happened[-2:]) == ("accepted", ["cancelled", "retried"])
    notification = await shop("get", other.id)
    assert [item.id for item in await shop("list", limit=1)] == [other.id, sent.id]
    page = await shop("page", tag="late", created_before=datetime.now(UTC) + HOUR)
    listed = _without(notification.raw, "attempts", "copies", "content_until")
    assert ([item.raw for item in page.items], page.next) == ([listed], None)


def _without(fields: Any, *names: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


async def _batches(shop: RecordingClient, parts: wiring.ProcessParts, _: WebhookReceiver) -> None:
    batch = await shop("send_batch", [{"to": f"user{number}@example.com"} for number in range(3)], defaults=WELCOME)
    before = await shop("batch", batch.batch_id)
    assert (before.size, before.ended, before.statuses["queued"]) == (3, 0, 3)
    watching = asyncio.create_task(shop("watch_batch", batch.batch_id))
    async with wiring.run_sender(parts):
        seen = await watching
    assert (seen[-1].progress, seen[-1].statuses["sent"]) == (100, 3)
    assert [item.ended for item in seen] == sorted(item.ended for item in seen)
    assert (await shop("cancel_batch", batch.batch_id, comment="late")).cancelled == 0
    with pytest.raises(NotFoundError):
        await shop("watch_batch", "0192f0c1-2345-7000-8000-000000000000")


async def _suppressions(shop: RecordingClient, _: wiring.ProcessParts, __: WebhookReceiver) -> None:
    until = datetime.now(UTC) + HOUR
    added = await shop("suppressions.add", "Ada@example.com", scope="marketing", expires_at=until)
    assert (added.address, added.scope, added.expires_at) == ("ada@example.com", "marketing", until)
    other = await shop("suppressions.add", "bob@example.com", scope="all", reason="requested", detail="he called")
    assert await shop("suppressions.get", other.id) == other
    assert await shop("suppressions.list", limit=1) == [other, added]
    assert await shop("suppressions.list", scope="marketing", address="ADA@example.com") == [added]
    assert await shop("suppressions.lift", added.id, comment="again") is None
    assert await shop("suppressions.list") == [other]


async def _webhooks(shop: RecordingClient, parts: wiring.ProcessParts, receiver: WebhookReceiver) -> None:
    begun = datetime.now(UTC)
    receiver.script(build_reply("410 Gone"))
    endpoint = await shop("webhooks.create", url=receiver.url(), events=["notification.sent"], description="Orders")
    assert [item.raw for item in await shop("webhooks.list")] == [_without(endpoint.raw, "secret")]
    async with wiring.run_sender(parts):
        tested = await shop("webhooks.test", endpoint.id)

        async def is_over() -> bool:
            return bool((await shop("webhooks.delivery", endpoint.id, tested.id)).state != "pending")

        await poll_until(is_over)
        failed = await shop("webhooks.get", endpoint.id)
        assert (failed.disabled_because is None, failed.url) == (False, endpoint.url)
        on = await shop("webhooks.update", endpoint.id, disabled=False, events=[], description="All")
        assert (on.disabled_at, on.events, on.description) == (None, (), "All")
        new = await shop("webhooks.rotate_secret", endpoint.id, overlap_seconds=60)
        assert new.previous_until is not None
        assert (await shop("webhooks.replay_failed", endpoint.id, since=begun)).replayed == 1
        again = await shop("webhooks.replay", endpoint.id, tested.id)
        requests = (await receiver.wait_for(3))[1:]
    for secret in (endpoint.secret, new.secret):
        events = [WebhookVerifier(secret).verify(item.body, item.headers) for item in requests]
        assert {(event.id, event.type) for event in events} == {(tested.event_id, "webhook.test")}
    delivery = await shop("webhooks.delivery", endpoint.id, tested.id)
    assert (delivery.state, delivery.tries, delivery.attempts[0].code, delivery.body) == (
        "failed",
        1,
        410,
        requests[0].body.decode(),
    )
    assert again.id in [item.id for item in await shop("webhooks.deliveries", endpoint.id, limit=1)][:2]
    assert len(await shop("webhooks.deliveries", endpoint.id, state="failed")) == 1
    assert await shop("webhooks.delete", endpoint.id) is None
    assert await shop("webhooks.list") == []


async def _keys(shop: RecordingClient, _: wiring.ProcessParts, __: WebhookReceiver) -> None:
    me = await shop("whoami")
    assert (me.service, me.scopes, me.from_domains) == ("shop", SERVICE_SCOPES, ("shop.example",))
    assert (me.limits.service_per_minute, me.team_recipients) == (120_000, None)
    ends = datetime.now(UTC) + HOUR
    created = await shop("keys.create", name="app", kind="team", expires_at=ends, rate_per_minute=7)
    assert (created.kind, created.expires_at, created.rate_per_minute) == ("team", ends, 7)
    assert created.key.startswith(created.prefix)
    assert created.key not in repr(created)
    new = await shop("keys.rotate", created.id, overlap_seconds=60)
    assert (new.replaces.id, new.replaces.replaced_by, new.name) == (created.id, new.id, "app")
    with pytest.raises(ConflictError):
        await shop("keys.rotate", created.id)
    revoked = [(await shop("keys.revoke", new.id)).revoked_at for _twice in range(2)]
    assert revoked[0] is not None
    assert revoked[0] == revoked[1]
    listed = await shop("keys.list", limit=2)
    assert new.id not in [item.id for item in listed]
    assert await shop("keys.get", new.id) == (await shop("keys.list", include_ended=True, limit=1))[0]
    assert await shop("keys.set_team", ["Ada@Shop.example", "@team.example"]) == ("ada@shop.example", "@team.example")
    done = await shop("audit", limit=1, actor=f"key:{me.key.id}")
    assert [item.action for item in done] == [
        "service.changed",
        "key.revoked",
        "key.created",
        "key.rotated",
        "key.created",
    ]
    (entry,) = [item for item in await shop("audit", object_id=created.id, object_kind="key") if item.before]
    assert (entry.object_id, entry.before["replaced_by"], entry.after["replaced_by"]) == (created.id, None, new.id)


async def _templates(shop: RecordingClient, _: wiring.ProcessParts, __: WebhookReceiver) -> None:
    text: dict[str, Any] = {
        "files": template_editor.FILES,
        "sample": template_editor.SAMPLE,
        "settings": template_editor.SETTINGS,
    }
    rendered = await shop("templates.render", files=template_editor.FILES, variables=template_editor.SAMPLE)
    first = await shop("templates.save", "greeting", **text)
    seen = await shop("templates.preview", "greeting")
    assert (first.has_draft, seen.subject, seen.html) == (True, rendered.subject, rendered.html)
    with pytest.raises(ConflictError) as caught:
        await shop("templates.save", "greeting", **text | {"settings": {"name": "Other"}})
    assert caught.value.problem.raw["theirs"]["revision"] == first.revision
    made = await shop("templates.publish", "greeting", revision=first.revision, note="first")
    assert [(item.number, item.note) for item in await shop("templates.versions", "greeting")] == [(1, "first")]
    second = await shop(
        "templates.save", "greeting", **text | {"sample": {**template_editor.SAMPLE, "more": 1}}, revision="1.0"
    )
    assert not (await shop("templates.gate", "greeting")).blocks
    changed = await shop("templates.diff", "greeting")
    assert ([item.file for item in changed.files], changed.variables.added) == (["sample.json"], ("more",))
    assert (changed.from_, changed.to) == ("1", "draft")
    await shop("templates.publish", "greeting", revision=second.revision)
    again = await shop("templates.restore", "greeting", 1, note="back")
    assert (again.number, again.content_hash) == (3, made.content_hash)
    whole = await shop("templates.version", "greeting", 1)
    assert (whole.files, whole.content_hash) == (template_editor.FILES, made.content_hash)
    assert set(await shop("templates.schema", "greeting", version=2)) == set(whole.variables_schema)
    third = await shop("templates.save", "greeting", **text | {"settings": {"name": "Other"}}, revision="3.0")
    assert await shop("templates.discard", "greeting", revision=third.revision) is None
    assert (await shop("templates.draft", "greeting")).settings["name"] == "Greeting"
    sent = await shop("templates.test_send", "greeting", to="ada@example.com")
    assert (await shop("content", sent.id)).html == rendered.html
    assert await shop("templates.delete", "greeting") is None
    assert (await shop("templates.undelete", "greeting")).deleted_at is None
    assert (await shop("templates.get", "greeting")).slug == (await shop("templates.list", limit=3))[0].slug
    (pushed,) = (await shop("templates.push", {"greeting": text}, note="pushed")).results
    assert (pushed.change, (await shop("templates.files", slugs=["greeting"]))[0].number) == ("unchanged", 3)

    saved = await shop("layouts.save", "frame.html", text="<html></html>")
    assert await shop("layouts.get", "frame.html") == saved
    assert "frame.html" in [item.name for item in await shop("layouts.list")]
    assert await shop("layouts.delete", "frame.html", revision=saved.revision) is None


async def _assets(shop: RecordingClient, parts: wiring.ProcessParts, _: WebhookReceiver) -> None:
    made = await shop("assets.upload", "logo", sample_images.encode_image(sample_images.draw_red_bar()), width=150)
    assert (made.status, made.revision, made.progress) == ("pending", 1, 0)
    async with wiring.run_sender(parts) as running:
        await running.drain()
    asset = await shop("assets.get", "logo")
    assert (asset.status, asset.progress, asset.files["2x"]["width"]) == ("ready", 100, 300)
    assert await shop("assets.list") == [asset]
    assert sample_images.decode_image(await shop("assets.file", "logo", scale=1)).size == (150, 50)
    assert sample_images.decode_image(await shop("assets.original", "logo")).size == (300, 100)
    with pytest.raises(ConflictError):
        await shop("assets.upload", "logo", b"x")
    assert await shop("assets.delete", "logo") is None
    with pytest.raises(NotFoundError):
        await shop("assets.get", "logo")


Walk = Callable[[RecordingClient, wiring.ProcessParts, WebhookReceiver], Awaitable[None]]
WALKS: dict[Walk, set[str]] = {
    _notifications: {
        "send", "dry_run", "get", "list", "page", "events", "content", "eml", "explain", "update", "cancel", "retry",
        "resolve",
    },
    _batches: {"send_batch", "batch", "watch_batch", "cancel_batch"},
    _suppressions: {f"suppressions.{name}" for name in ("list", "get", "add", "lift")},
    _webhooks: {
        f"webhooks.{name}"
        for name in (
            "list", "get", "create", "update", "delete", "rotate_secret", "test", "deliveries", "delivery", "replay",
            "replay_failed",
        )
    },
    _templates: {"content"}
    | {f"layouts.{name}" for name in ("list", "get", "save", "delete")}
    | {
        f"templates.{name}"
        for name in (
            "list", "get", "delete", "undelete", "draft", "save", "discard", "preview", "publish", "restore", "gate",
            "versions", "version", "schema", "diff", "test_send", "render", "files", "push",
        )
    },
    _assets: {f"assets.{name}" for name in ("list", "get", "upload", "delete", "file", "original")},
    job_walks.walk_jobs: {"feeds.save", "feeds.fetch"}
    | {f"jobs.{name}" for name in ("list", "get", "watch", "cancel", "pause", "resume", "retry")},
    job_walks.walk_schedules: {"jobs.list", "jobs.watch"}
    | {f"schedules.{name}" for name in ("list", "get", "save", "save_all", "switch", "delete", "next_times", "run")},
    job_walks.walk_feeds: {"jobs.watch"}
    | {f"feeds.{name}" for name in ("list", "get", "save", "delete", "fetch", "confirm", "revisions", "revision")},
    job_walks.walk_merges: {"jobs.watch", "batch"}
    | {
        f"merges.{name}"
        for name in (
            "list", "get", "create", "start", "pause", "resume", "cancel", "faults", "faults_csv", "preview",
        )
    },
    job_walks.walk_statistics: {"send", "statistics"},
    staff_walks.walk_staff: {f"services.{name}" for name in ("list", "get", "create", "update")}
    | {
        f"staff.{name}"
        for name in (
            "list", "get", "create", "set_roles", "disable", "enable", "create_link", "sessions", "revoke_sessions",
        )
    },
    _keys: {"whoami", "audit"} | {f"keys.{name}" for name in ("list", "get", "create", "rotate", "revoke", "set_team")},
}  # fmt: skip
"""The methods that each test calls."""


@pytest.mark.parametrize("walk", WALKS, ids=[walk.__name__.removeprefix("walk").lstrip("_") for walk in WALKS])
async def test_each_method_does_what_it_says(
    walk: Walk, shop: RecordingClient, parts: wiring.ProcessParts, receiver: WebhookReceiver
) -> None:
    """Each request arrives as it was meant, and each reply is read into its type."""
    await walk(shop, parts, receiver)
    assert shop.calls_made == WALKS[walk]


@pytest.mark.parametrize("kind", [Notifier, AsyncNotifier])
async def test_no_method_is_left_out(kind: type[Notifier | AsyncNotifier]) -> None:
    """The tests above call every method that a client offers."""
    assert list_calls(kind(url="http://127.0.0.1", key="x")) == set().union(*WALKS.values())
