"""A batch's progress, its event stream, and cancelling the rest of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from integration.api.refusal import outcome
from support import api_caller, marketing_template, uncertain_mails
from support.polling import wait_until
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import WELCOME, Installation

from notifier.ids import generate_id
from notifier.lookup.batch_progress import BatchView
from notifier.runtime import wiring
from notifier.states import WAITING_STATUSES, Status

TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()


@pytest.fixture
async def shop(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the shop with every scope."""
    async with installation.open_client(parts, await marketing_template.create_marketing_key(parts, "shop")) as client:
        yield client


async def _batch(client: httpx2.AsyncClient, *items: dict[str, Any], **fields: Any) -> tuple[str, list[str]]:
    """The paths of a batch and of its notifications."""
    bodies = [WELCOME | item for item in items]
    reply = await client.post("/v1/notifications/batch", json={"notifications": bodies} | fields)
    assert reply.status_code == 202, reply.text
    batch = reply.json()
    return f"/v1/batches/{batch['batch_id']}", [
        f"/v1/notifications/{result['id']}" for result in batch["results"] if "id" in result
    ]


async def test_progress_is_what_has_ended_of_what_was_accepted(
    parts: wiring.ProcessParts, shop: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """Refused items and copies are not counted; progress is the share that has ended."""
    relay.say("bob@example.com", "DOT", "554 5.6.0 no")
    relay.say("eve@example.com", "DOT", "451 4.3.0 later")
    items: list[dict[str, Any]] = [
        {"to": "ada@example.com", "cc": ["cc@example.com"]},
        {"to": "bob@example.com"},
        {"to": "eve@example.com"},
    ]
    items += [{"to": "zoe@example.com", "send_at": TOMORROW}, {"to": "nobody"}]
    path, paths = await _batch(shop, *items, on_error="skip_invalid")
    begun = (await shop.get(path)).json()
    assert (begun["size"], begun["accepted"], begun["ended"], begun["progress"]) == (5, 4, 0, 0)
    async with wiring.run_sender(parts):
        for item, status in zip(paths, ("sent", "failed", "deferred"), strict=False):
            await api_caller.wait_for_status(shop, item, status)
    seen = (await shop.get(path)).json()
    assert seen["statuses"] == {"sent": 1, "failed": 1, "deferred": 1, "queued": 1}
    assert (seen["id"], seen["accepted"], seen["ended"], seen["progress"]) == (begun["id"], 4, 2, 50)


async def test_each_status_counts_as_waiting_or_as_ended(parts: wiring.ProcessParts, shop: httpx2.AsyncClient) -> None:
    """Each status counts as waiting or ended; a closed `unknown` counts as ended."""
    path, (first, second) = await _batch(shop, {"to": "a@example.com"}, {"to": "b@example.com"})
    await api_caller.set_notification(parts.database, first, status=Status.SENT)
    for status in Status:
        await api_caller.set_notification(parts.database, second, status=status)
        assert (await shop.get(path)).json()["progress"] == (50 if status in WAITING_STATUSES else 100), status
    await api_caller.set_notification(parts.database, second, status=Status.UNKNOWN)
    assert await uncertain_mails.delete_entry(parts.database, second)
    closed = (await shop.get(path)).json()
    assert (closed["statuses"], closed["ended"], closed["progress"]) == ({"sent": 1, "unknown": 1}, 2, 100)


def test_a_hundred_percent_is_all_of_it() -> None:
    """999 of 1,000 are 99 percent, 1 of 1,000 is 0, and an empty batch is complete."""

    def progress(**statuses: int) -> int:
        counts = {Status(name): number for name, number in statuses.items()}
        return BatchView(id=generate_id(), created_at=datetime.now(UTC), size=1000, statuses=counts).progress

    assert [progress(sent=999, queued=1), progress(sent=1, deferred=999), progress(), progress(failed=3)] == [
        99,
        0,
        100,
        100,
    ]


# -- watching --------------------------------------------------------------------------------------


@asynccontextmanager
async def _served(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the shop over a real connection, because a stream is read while it is written."""
    listener = wiring.open_listener("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    headers = {"Authorization": f"Bearer {installation.keys.shop}"}
    async with (
        wiring.serve_http(wiring.build_api(parts), listener),
        httpx2.AsyncClient(base_url=url, headers=headers) as client,
    ):
        yield client
    listener.close()


async def _events(stream: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in stream.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


async def test_a_watcher_sees_each_change_until_all_has_ended(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """One event at once and one per change, equal to GET; the stream ends when nothing waits."""
    async with _served(installation, parts) as client:
        path, (first, _) = await _batch(client, {"to": "a@example.com"}, {"to": "b@example.com", "send_at": TOMORROW})
        seen: list[dict[str, Any]] = []
        async with asyncio.timeout(50), client.stream("GET", f"{path}/progress") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            async for event in _events(stream):
                seen.append(event)
                assert event == (await client.get(path)).json()
                if event["progress"] == 0:
                    async with wiring.run_sender(parts):
                        await api_caller.wait_for_status(client, first, "sent")
                elif event["progress"] == 50:
                    assert (await client.post(f"{path}/cancel")).status_code == 200
        assert [event["progress"] for event in seen] == [0, 50, 100]
        assert seen[-1]["statuses"] == {"sent": 1, "cancelled": 1}
        async with asyncio.timeout(50), client.stream("GET", f"{path}/progress") as stream:
            assert [event async for event in _events(stream)] == seen[-1:]
    assert [mail.recipient for mail in relay.received] == ["a@example.com"]


async def test_nobody_looks_any_more_when_the_watcher_is_gone(
    installation: Installation, parts: wiring.ProcessParts
) -> None:
    """After the reader hangs up, nothing keeps running."""

    def watching() -> int:
        return sum(
            "_changes" in str(task.get_coro()) or "_next" in str(task.get_coro()) for task in asyncio.all_tasks()
        )

    async with _served(installation, parts) as client:
        path, _ = await _batch(client, {"to": "a@example.com", "send_at": TOMORROW})
        async with client.stream("GET", f"{path}/progress") as stream:
            async for event in _events(stream):
                assert event["progress"] == 0
                break
            await wait_until(lambda: watching() == 1)
        await wait_until(lambda: watching() == 0)


# -- stopping --------------------------------------------------------------------------------------


async def test_the_rest_is_cancelled_with_a_comment(parts: wiring.ProcessParts, shop: httpx2.AsyncClient) -> None:
    """Copies are cancelled too, ended mails stay; the comment is in audit and timelines."""
    path, (ended, waiting) = await _batch(
        shop, {"to": "ada@example.com"}, {"to": "bob@example.com", "cc": ["eve@example.com"]}
    )
    await uncertain_mails.hold_entry(parts.database, ended)
    await api_caller.set_notification(parts.database, ended, status=Status.UNKNOWN)
    progress = (await shop.post(f"{path}/cancel", json={"comment": "wrong price"})).json()
    assert (progress["cancelled"], progress["statuses"], progress["progress"]) == (
        2,
        {"unknown": 1, "cancelled": 1},
        50,
    )
    assert [await uncertain_mails.read_events(parts.database, item) for item in (ended, waiting)] == [
        [],
        [("cancelled", "key:" + (await _key_id(shop)), "wrong price")],
    ]
    (copy,) = (await shop.get(waiting)).json()["copies"]
    assert copy["status"] == "cancelled"
    assert (await shop.post(f"{path}/cancel", json={"comment": "again"})).json()["cancelled"] == 0
    entries = (await shop.get("/v1/audit", params={"limit": 10})).json()["entries"]
    cancellations = [(item["object_id"], item["after"]) for item in entries if item["action"] == "batch.cancelled"]
    id_ = path.rpartition("/")[2]
    assert cancellations == [
        (id_, {"cancelled": 0, "comment": "again"}),
        (id_, {"cancelled": 2, "comment": "wrong price"}),
    ]


async def _key_id(client: httpx2.AsyncClient) -> str:
    return str(UUID((await client.get("/v1/whoami")).json()["key"]["id"]))


async def test_a_batch_is_its_services_own(installation: Installation, parts: wiring.ProcessParts) -> None:
    """Other services cannot see, watch or cancel it, and a read-only key cannot cancel it."""
    async with (
        installation.open_client(parts) as shop,
        installation.open_client(parts, installation.keys.other) as other,
    ):
        path, (item,) = await _batch(shop, {"to": "ada@example.com"})
        for client, place in ((other, path), (shop, "/v1/batches/17"), (shop, f"/v1/batches/{generate_id()}")):
            for request in (client.get(place), client.get(f"{place}/progress"), client.post(f"{place}/cancel")):
                assert outcome(await request) == (404, "not_found")
        async with installation.open_client(parts, installation.keys.reader) as reader:
            assert outcome(await reader.post(f"{path}/cancel")) == (403, "insufficient_scope")
        assert (await shop.get(item)).json()["status"] == "queued"
