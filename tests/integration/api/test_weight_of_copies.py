"""The cost of copies: one stored content, one mail each in every limit, and nothing left of a refusal."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from integration.api.clock import ForwardClock
from integration.api.refusal import NOTHING, Written, faults, outcome
from sqlalchemy import delete, func, insert, select, text
from support import api_caller, marketing_template, uncertain_mails
from support.attachment_files import build_attachment
from support.long_queue import add_measured_sender, refresh_forecast
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import WELCOME, Installation

from notifier.api.batches.models import MAX_BATCH_MAILS
from notifier.db.shared_commit import MAX_SHARED_BYTES
from notifier.db.tables import Attachment, Batch, NotificationContent, get_columns
from notifier.runtime import wiring
from notifier.submission.batch_submitter import MAX_CHUNK_MAILS

_content = get_columns(NotificationContent)
PATH, BATCH = "/v1/notifications", "/v1/notifications/batch"
FIFTY = [f"user{number}@example.com" for number in range(50)]
TEXT = "x" * 400_000
OWN = {"to": "ada@example.com", "content": {"subject": "Long", "text": TEXT}}


async def _copies(client: httpx2.AsyncClient, path: str) -> dict[str, str]:
    """The path of each copy, by address."""
    return {copy["to"]: f"{PATH}/{copy['id']}" for copy in (await client.get(path)).json()["copies"]}


async def _sent(parts: wiring.ProcessParts) -> None:
    async with wiring.run_sender(parts):
        await api_caller.wait_until_drained(parts.database)


# -- one content -----------------------------------------------------------------------------------


async def test_the_content_is_written_once(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, written: Written
) -> None:
    """400 KB of content to 51 recipients is 400 KB in the table and in its statement."""
    submitter: Any = client._transport.app.state.dependencies.submitter  # type: ignore[attr-defined]
    sizes: list[int] = []
    write = submitter._write

    async def measured(draft: Any) -> Any:
        sizes.append(len(draft.records_for_sqlite if parts.database.is_sqlite else draft.records_for_postgres))
        return await write(draft)

    submitter._write = measured
    assert (await client.post(PATH, json=OWN | {"bcc": FIFTY})).status_code == 202
    assert await written() == (51, 1, 51)
    assert len(TEXT) < sizes[0] < len(TEXT) + MAX_SHARED_BYTES


async def test_all_that_reads_a_copys_content_finds_it(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """Content, wait reason, change, mail and retry of a copy all find the shared content."""
    relay.say("bob@example.com", "RCPT", "550 5.7.1 not you")
    async with installation.open_client(parts, await marketing_template.create_marketing_key(parts, "shop")) as client:
        path = await api_caller.submit_mail(
            client, cc=["cleo@example.com"], bcc=["bob@example.com"], attachments=[build_attachment()]
        )
        copies = await _copies(client, path)
        changed = await client.patch(path, json={"variables": {"name": "Grace", "product": "Yarrow"}})
        assert changed.status_code == 200
        contents = [(await client.get(f"{item}/content")).json() for item in (path, *copies.values())]
        assert [item["subject"] for item in contents] == [contents[0]["subject"]] * 3
        assert all("Grace" in item["text"] and "Yarrow" in item["text"] for item in contents)
        assert [len(item["attachments"]) for item in contents] == [1, 1, 1]
        for item in copies.values():
            assert (await client.get(f"{item}/explain")).status_code == 200
        await _sent(parts)
        assert (await client.get(copies["bob@example.com"])).json()["status"] == "failed"
        assert await uncertain_mails.request_change(client, copies["bob@example.com"], "retry") == (200, "queued")
        await _sent(parts)
    assert sorted(mail.recipient for mail in relay.received) == [
        "ada@example.com",
        "bob@example.com",
        "cleo@example.com",
    ]
    assert len({mail.data for mail in relay.received}) == 1
    assert relay.received[0].message["To"] == "ada@example.com"


async def test_a_copy_of_an_earlier_release_keeps_its_own_content(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """A copy with its own content is sent in the same claim as copies with shared content."""
    path = await api_caller.submit_mail(client, cc=["cleo@example.com"], bcc=["bob@example.com"])
    old = uncertain_mails.get_id((await _copies(client, path))["bob@example.com"])
    own = {"variables": {"name": "Old", "product": "Sedge"}, "headers": {}, "addressed_to": "ada@example.com"}
    async with parts.database.write() as connection:
        await connection.execute(insert(NotificationContent).values(notification_id=old, **own))
    await _sent(parts)
    texts = {mail.recipient: mail.data for mail in relay.received}
    assert [address for address, data in texts.items() if b"Sedge" in data] == ["bob@example.com"]
    assert texts["ada@example.com"] == texts["cleo@example.com"]


async def test_a_family_whose_content_was_deleted_is_not_sent(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """If the content is deleted, the entries end like those of any mail without content."""
    await api_caller.submit_mail(client, cc=["cleo@example.com"])
    async with parts.database.write() as connection:
        await connection.execute(delete(NotificationContent))
    await _sent(parts)
    assert relay.received == []


# -- limits count mails ----------------------------------------------------------------------------


def _limited(
    installation: Installation, forward: tuple[wiring.ProcessParts, ForwardClock], per_minute: int
) -> wiring.ProcessParts:
    settings = installation.with_settings(api={"rate_per_minute": per_minute}).settings
    return replace(forward[0], settings=settings)


@pytest.mark.parametrize(("url", "count"), [(PATH, 1), (BATCH, 1), (BATCH, 2)])
async def test_each_copy_counts_as_a_mail(
    installation: Installation, forward: tuple[wiring.ProcessParts, ForwardClock], url: str, count: int
) -> None:
    """51 mails are accepted at a limit of ten, and paid back before the next request."""
    async with installation.open_client(_limited(installation, forward, 10)) as client:
        body: dict[str, Any] = WELCOME | {"cc": FIFTY[:20], "bcc": FIFTY[20:]}
        if url == BATCH:
            items = [{"to": f"to{number}@example.com"} for number in range(count)]
            body = {"defaults": {name: body[name] for name in body if name != "to"}, "notifications": items}
        taken = await client.post(url, json=body)
        assert taken.status_code == 202
        owed = 51 * count - 10
        assert taken.headers["ratelimit"].startswith(f'"key";r=0;t={51 * count * 6}')
        refused = await client.post(PATH, json=WELCOME)
        assert (outcome(refused), refused.headers["retry-after"]) == ((429, "rate_limited"), str((owed + 1) * 6))
        forward[1].seconds += (owed + 1) * 6
        assert (await client.post(PATH, json=WELCOME)).status_code == 202


async def test_copies_of_what_is_refused_or_rehearsed_count_nothing(
    installation: Installation, forward: tuple[wiring.ProcessParts, ForwardClock]
) -> None:
    """For a refused request or dry run only the request counts."""
    async with installation.open_client(_limited(installation, forward, 10)) as client:
        faulty = await client.post(PATH, json=WELCOME | {"bcc": [*FIFTY, "nobody"], "template": 7})
        assert (faulty.status_code, faulty.headers["ratelimit"][:9]) == (422, '"key";r=9')
        dry = await client.post(f"{PATH}?dry_run=true", json=WELCOME | {"bcc": FIFTY})
        assert (dry.status_code, dry.headers["ratelimit"][:9]) == (200, '"key";r=8')


@pytest.mark.parametrize("on_error", ["reject_all", "skip_invalid"])
async def test_a_batch_is_bounded_in_mails(client: httpx2.AsyncClient, written: Written, on_error: str) -> None:
    """99 notifications with 50 copies each are refused; copies from the defaults count as well."""
    items = [{"to": f"to{number}@example.org"} for number in range(MAX_BATCH_MAILS // 51 + 1)]
    body = {"defaults": WELCOME | {"bcc": FIFTY}, "notifications": items, "on_error": on_error}
    each = [WELCOME | {"bcc": FIFTY} | item for item in items]
    for notification in (body, {"notifications": each, "on_error": on_error}):
        reply = await client.post(BATCH, json=notification)
        assert faults(reply) == {("/notifications", "too_many")}
        assert f"at most {MAX_BATCH_MAILS}" in reply.text
    assert await written() == NOTHING


async def test_a_batch_with_copies_is_written_in_chunks_of_mails(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, written: Written
) -> None:
    """Mails are written in chunks of bounded size, however many copies there are."""
    submitter: Any = client._transport.app.state.dependencies.batch_submitter  # type: ignore[attr-defined]
    chunks: list[int] = []
    write_all = submitter._write_all

    async def measured(drafts: Any) -> Any:
        chunks.append(sum(draft.mail_count for draft in drafts))
        return await write_all(drafts)

    submitter._write_all = measured
    items = [{"to": f"to{number}@example.org", "bcc": FIFTY[: number * 10]} for number in range(6)] * 2
    reply = await client.post(BATCH, json={"defaults": WELCOME, "notifications": items})
    assert reply.status_code == 202
    assert sum(chunks) == 2 * (6 + 150)
    assert max(chunks) <= MAX_CHUNK_MAILS
    assert (await written())[:2] == (sum(chunks), 12)


async def test_a_batch_is_one_request_and_its_repetitions(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, written: Written
) -> None:
    """Other notifications under the same key are another batch; a batch never grows later."""
    headers = {"Idempotency-Key": "k"}

    async def post(*keys: str) -> str:
        items = [{"idempotency_key": key} for key in keys]
        reply = await client.post(BATCH, json={"defaults": WELCOME, "notifications": items}, headers=headers)
        return str(reply.json()["batch_id"])

    first = await post("a", "b")
    assert await post("a", "b") == first
    assert await post("a", "c") != first
    assert await written() == (3, 3, 3)
    async with parts.database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(Batch)) == 2


async def test_the_queue_ahead_of_the_last_of_a_request_counts(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, written: Written
) -> None:
    """The last mail of a request waits for the others of the same request."""
    await add_measured_sender(parts)
    await refresh_forecast(client)
    body = WELCOME | {"expires_at": (parts.clock.now() + timedelta(seconds=40)).isoformat()}
    assert outcome(await client.post(PATH, json=body | {"bcc": FIFTY})) == (503, "queue_too_long")
    assert await written() == NOTHING
    assert (await client.post(PATH, json=body | {"bcc": FIFTY[:10]})).status_code == 202
    items = [body | {"to": address} for address in FIFTY]
    assert outcome(await client.post(BATCH, json={"notifications": items})) == (503, "queue_too_long")
    reply = await client.post(BATCH, json={"notifications": items, "on_error": "skip_invalid"})
    results = reply.json()["results"]
    taken = [result["index"] for result in results if "id" in result]
    assert 20 < len(taken) < 50
    assert taken == list(range(len(taken)))


# -- nothing is left -------------------------------------------------------------------------------


@pytest.mark.parametrize("url", [PATH, BATCH])
async def test_no_octets_are_left_of_what_is_refused_or_rolled_back(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, written: Written, url: str
) -> None:
    """A reused key or a failed insert leaves no attachment."""

    async def post(*files: Any) -> int:
        item = WELCOME | {"attachments": files}
        if url == PATH:
            return (await client.post(PATH, json=item, headers={"Idempotency-Key": "k"})).status_code
        body = {"notifications": [item | {"idempotency_key": "k"}], "on_error": "skip_invalid"}
        reply = await client.post(BATCH, json=body)
        return 422 if "error" in reply.text else reply.status_code

    assert await post(build_attachment("a.pdf")) == 202
    before = await written(), await _kept(parts)
    assert await post(build_attachment("b.png", "image/png"), build_attachment("a.pdf")) == 422
    assert (await written(), await _kept(parts)) == before
    async with parts.database.write() as connection:
        await connection.execute(text("ALTER TABLE notification_tag RENAME TO gone"))
    key = {"idempotency_key": "other"}
    refused = WELCOME | {"attachments": [build_attachment("b.png", "image/png")], "tags": ["a"]}
    if url == PATH:
        assert (await client.post(PATH, json=refused)).status_code >= 500
    else:
        assert (await client.post(BATCH, json={"notifications": [refused | key]})).status_code >= 500
    assert (await written(), await _kept(parts)) == before


async def test_octets_that_are_known_are_kept_once(parts: wiring.ProcessParts, client: httpx2.AsyncClient) -> None:
    """Equal attachments are stored once, in one commit, one mail, or later."""
    items = [
        {"attachments": [build_attachment("a.pdf"), build_attachment("b.pdf")]},
        {"attachments": [build_attachment("c.pdf")]},
    ]
    reply = await client.post(BATCH, json={"defaults": WELCOME, "notifications": items})
    assert (reply.status_code, await _kept(parts)) == (202, 1)
    more = WELCOME | {"attachments": [build_attachment("b.png", "image/png"), build_attachment("a.pdf")]}
    assert (await client.post(PATH, json=more)).status_code == 202
    assert await _kept(parts) == 2


async def _kept(parts: wiring.ProcessParts) -> int:
    async with parts.database.read() as connection:
        return int(await connection.scalar(select(func.count()).select_from(Attachment)) or 0)
