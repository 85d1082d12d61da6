"""The whole story with every connection through PgBouncer in transaction mode, and with few connections to the server.

Real processes take each step: migration, templates, keys, API, two senders, jobs, console and `doctor`.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from support import api_caller, merge_story, notifier_process
from support.aged_rows import DAY, AgedMail, AgedRows
from support.notifier_process import NotifierProcess
from support.pgbouncer import PgBouncer
from support.plain_browser import PlainBrowser
from support.polling import poll_until
from support.postgres_cluster import PostgresServer, execute_statement, make_database_name
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import WELCOME
from support.shop_processes import ShopProcesses
from support.staff_people import PASSWORD
from support.webhook_receiver import run_receiver

from notifier.db.engine import Database

SERVER_CONNECTIONS = 1
"""For all processes together, so that work which needs a second connection while it holds one would stand still."""
BOB = "bob@example.com"
LEFT_LOCKS = """
SELECT count(*) FROM pg_locks JOIN pg_database AS d ON d.oid = database
WHERE locktype = 'advisory' AND datname = current_database()
"""
SCOPES = ("notifications:send", "notifications:read", "webhooks:manage")


@pytest.fixture
def database_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a database without tables."""
    name, url = make_database_name(), postgres_server.url("postgres")
    execute_statement(url, f"CREATE DATABASE {name}")
    yield postgres_server.url(name)
    execute_statement(url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def shop(
    postgres_server: PostgresServer, database_url: str, relay: ScriptedRelay, tmp_path: Path
) -> Iterator[ShopProcesses]:
    """A shop, set up through the pooler by the commands of `docs/operations.md`."""
    with PgBouncer(postgres_server, "transaction", SERVER_CONNECTIONS) as pooler:
        settings = {"DATABASE_URL": pooler.url(database_url), "WEBHOOKS__INSECURE_HOSTS": "127.0.0.1"}
        yield ShopProcesses(tmp_path, relay.port, *SCOPES, **settings)


@contextlib.asynccontextmanager
async def _run_processes(shop: ShopProcesses) -> AsyncIterator[httpx2.AsyncClient]:
    """Run an API and two senders until the end of the block; return the shop's client."""
    with contextlib.ExitStack() as stack:
        api = stack.enter_context(NotifierProcess("api", "--port", str(shop.port), env=shop.env))
        senders = stack.enter_context(NotifierProcess("sender", "--processes", "2", env=shop.env))
        for process in (api, senders, senders):
            await asyncio.to_thread(process.wait_until_ready)
        headers = {"Authorization": f"Bearer {shop.key}"}
        url = f"http://127.0.0.1:{shop.port}"
        async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=100) as client:
            yield client
        for process in (senders, api):
            assert await asyncio.to_thread(process.stop) == 0


async def _run(shop: ShopProcesses, *words: str) -> str:
    done = await asyncio.to_thread(notifier_process.run_notifier, *words, env=shop.env)
    return done.stdout


async def _send_and_change(client: httpx2.AsyncClient, relay: ScriptedRelay) -> None:
    """One mail is sent and replayed, one is cancelled, and one that has failed is tried again."""
    key = {"Idempotency-Key": "order-1"}
    replies = [await client.post("/v1/notifications", json=WELCOME, headers=key) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [202, 202]
    assert replies[1].headers["idempotent-replayed"] == "true"
    await api_caller.wait_for_status(client, replies[0].headers["location"], "sent")
    tomorrow = (datetime.now(UTC) + DAY).isoformat()
    later = await api_caller.submit_mail(client, "later@example.com", send_at=tomorrow)
    assert (await client.post(f"{later}/cancel")).status_code == 200
    relay.say(BOB, "RCPT", "550 5.2.1 not today")
    refused = await api_caller.submit_mail(client, BOB)
    await api_caller.wait_for_status(client, refused, "failed")
    assert (await client.post(f"{refused}/retry")).status_code == 200
    await api_caller.wait_for_status(client, refused, "sent")


async def _send_many(client: httpx2.AsyncClient) -> None:
    """A batch of 40, and a mail merge of 20 rows."""
    items = [WELCOME | {"to": f"batch{number}@example.com"} for number in range(40)]
    reply = await client.post("/v1/notifications/batch", json={"notifications": items})
    assert reply.status_code in {200, 202, 207}, reply.text
    path, merge = await merge_story.check_file(client, merge_story.build_csv(merge_story.build_rows(20)))
    assert (merge["valid"], merge["faulty"]) == (20, 0)
    await merge_story.start_merge(client, path)
    await merge_story.wait_for_state(client, path, "finished")


async def _purge(shop: ShopProcesses) -> None:
    """A run of the purge deletes what is old."""
    database = Database(shop.env["NOTIFIER_DATABASE_URL"])
    rows = AgedRows(database)
    await rows.add_mails([AgedMail(service_id=await rows.get_service(), ended_at=datetime.now(UTC) - 100 * DAY)] * 30)
    run = (await _run(shop, "schedules", "run", "purge")).strip()

    async def get_ended() -> dict[str, Any] | None:
        shown: dict[str, Any] = json.loads(await _run(shop, "jobs", "show", run, "--json"))
        return shown if shown["state"] in {"succeeded", "failed"} else None

    ended = await poll_until(get_ended)
    assert (ended["state"], ended["counts"]["notifications"]) == ("succeeded", 30)
    await database.close()


def _look_at_the_console(shop: ShopProcesses) -> None:
    """A person of support signs in, and finds Bob's mail."""
    command = ("staff", "create", "sam@shop.example", "--name", "Sam", "--role", "support")
    words = notifier_process.run_notifier(*command, env=shop.env).stdout.split()
    (link,) = (word for word in words if "/console/welcome/" in word)
    with PlainBrowser(f"http://127.0.0.1:{shop.port}") as desk:
        desk.open(link[link.index("/console/") :])
        desk.press("Save and sign in", password=PASSWORD, time_zone="Europe/Amsterdam")
        desk.open("/console/mail", q=BOB)
        assert BOB in desk.text


async def test_the_whole_story(shop: ShopProcesses, relay: ScriptedRelay, database_url: str) -> None:
    """Every step works, each mail is sent once, and the server keeps no state of a session."""
    async with run_receiver() as receiver, _run_processes(shop) as client:
        assert (await client.post("/v1/webhooks", json={"url": receiver.url()})).status_code == 201
        await _send_and_change(client, relay)
        await _send_many(client)
        await relay.wait_for(1 + 1 + 40 + 20)
        await receiver.wait_for(1 + 1 + 1 + 40 + 20)
        await _purge(shop)
        assert json.loads(await _run(shop, "stats", "--json"))
        await asyncio.to_thread(_look_at_the_console, shop)
        findings = {found["name"]: found for found in json.loads(await _run(shop, "doctor", "--json"))["findings"]}
        assert findings["database"]["ok"], findings
        assert await asyncio.to_thread(execute_statement, database_url, LEFT_LOCKS) == 0
    recipients = [mail.recipient for mail in relay.received]
    assert sorted(recipients) == sorted(set(recipients))
    assert len(recipients) == 62
