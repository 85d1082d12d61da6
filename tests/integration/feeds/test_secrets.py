"""The header fields of feeds: encrypted in the database, and in no reply, audit record or log."""

import base64
import json
from typing import Any

import pytest
from integration.feeds.conftest import LOOPBACK, FeedShop, create_full_key
from pydantic import SecretStr
from sqlalchemy import select
from support.seeded_installation import Installation
from support.webhook_receiver import WebhookReceiver, build_reply

from notifier.db.tables import AuditEntry, Feed, JobRun, Schedule, get_columns
from notifier.feeds.fetch_action import UNREADABLE
from notifier.health import checks
from notifier.runtime import wiring
from notifier.webhooks.endpoint_secret import ENCRYPTED_PREFIX, SecretBox

SECRET, QUERY = "canary-kanarienvogel", "canary-in-the-query"
OLD, NEW = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
_feed = get_columns(Feed)


async def test_a_secret_is_sent_and_nowhere_shown(running_shop: FeedShop, capfd: pytest.CaptureFixture[str]) -> None:
    """The server gets the header field; no reply, audit record, job or log has its value, or the URL's query."""
    shop, texts = running_shop, []
    url = shop.server.url(f"/feed?token={QUERY}")
    shop.server.always[f"/feed?token={QUERY}"] = build_reply("200 OK", b'{"a": 1}')
    await shop.save(url=url, headers={"Authorization": f"Bearer {SECRET}"})
    await shop.fetch()
    assert shop.server.heard[-1].headers["authorization"] == f"Bearer {SECRET}"
    for reply in (build_reply("403 No", SECRET.encode()), build_reply("200 OK", f"[{SECRET}".encode())):
        shop.server.always[f"/feed?token={QUERY}"] = reply
        texts.append(json.dumps(await shop.fetch()))
    paths = ("/v1/feeds", "/v1/feeds/prices", "/v1/feeds/prices/revisions", "/v1/jobs", "/v1/audit")
    texts += [(await shop.client.get(path)).text.replace(f"?token={QUERY}", "") for path in paths]
    texts.append((await shop.client.put("/v1/feeds/prices", json={"url": "https://b.example.org/"})).text)
    texts.append((await shop.client.delete("/v1/feeds/prices")).text)
    async with shop.parts.database.read() as connection:
        for table in (AuditEntry, JobRun, Schedule):
            rows: list[Any] = [*(await connection.execute(select(*get_columns(table)))).mappings()]
            texts.append(repr(rows))
    output = capfd.readouterr()
    assert not [text for text in [*texts, output.out, output.err] if "canary" in text]
    assert "job_failed" in output.out + output.err


async def test_secrets_are_encrypted_and_keys_changed(
    sqlite_installation: Installation, server: WebhookReceiver
) -> None:
    """The first key encrypts; without it a fetch fails with one sentence and sends nothing; as second key it reads."""
    trusting = sqlite_installation.with_settings(feeds={"insecure_hosts": LOOPBACK})

    def with_keys(*keys: str) -> Installation:
        return trusting.with_settings(secret_key=SecretStr(",".join(keys)) if keys else None)

    async def check(parts: wiring.ProcessParts, *keys: str) -> tuple[bool, bool]:
        box = SecretBox.from_setting(with_keys(*keys).settings.secret_key)
        finding = await checks.check_feed_secrets(parts.database, box)
        return finding.ok, finding.warning

    server.always["/feed"] = build_reply("200 OK", b'{"a": 1}')
    results = []
    async with with_keys(OLD).open_parts() as parts:
        key = await create_full_key(parts, "shop")
        async with with_keys(OLD).open_client(parts, key) as client:
            await FeedShop(parts, client, server).save(headers={"X-Key": SECRET})
        async with parts.database.read() as connection:
            (stored,) = (await connection.execute(select(_feed.header_fields))).scalar_one().values()
        assert stored.startswith(ENCRYPTED_PREFIX)
        assert [await check(parts, OLD), await check(parts, NEW, OLD), await check(parts, NEW), await check(parts)] == [
            (True, False), (True, False), (False, False), (False, False),
        ]  # fmt: skip
    for keys in ((NEW,), (), (NEW, OLD)):
        async with with_keys(*keys).open_parts() as parts, with_keys(*keys).open_client(parts, key) as client:
            async with wiring.run_sender(parts):
                job = await FeedShop(parts, client, server).fetch()
            results.append((job["state"], job["error"], len(server.heard)))
    assert results == [("failed", UNREADABLE, 0), ("failed", UNREADABLE, 0), ("succeeded", None, 1)]
    assert server.heard[0].headers["x-key"] == SECRET


async def test_without_a_key_doctor_tells(sqlite_installation: Installation, server: WebhookReceiver) -> None:
    """Values in clear are reported once there is a key, and are still sent."""
    trusting = sqlite_installation.with_settings(feeds={"insecure_hosts": LOOPBACK})
    async with trusting.open_parts() as parts:
        async with trusting.open_client(parts, await create_full_key(parts, "shop")) as client:
            await FeedShop(parts, client, server).save(headers={"X-Key": SECRET})
        finding = await checks.check_feed_secrets(parts.database, SecretBox.from_setting(SecretStr(NEW)))
    assert (finding.ok, finding.warning) == (True, True)
    assert "save their feeds with their headers again" in finding.detail
