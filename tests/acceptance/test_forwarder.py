"""`notifier forward` and the example shop, started as a user does, beside a running Notifier."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from standardwebhooks import Webhook
from support import notifier_process, running_demo
from support.document_blocks import ROOT, list_blocks
from support.example_shop import Shop
from support.polling import poll_in_thread
from support.producer.caller_database import CallerDatabase

from notifier.client import producer
from notifier.inbox.client import MailHogClient

SECRET = "whsec_c2VjcmV0IG9mIHRoZSBzaG9wLCAyNCBieXRlcw=="


@pytest.fixture
def demo(demo_data: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A running Notifier with an inbox: `api`, `inbox`, `key`."""
    with running_demo.start_demo(tmp_path / "notifier", demo_data) as demo:
        yield demo


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[CallerDatabase]:
    database = await CallerDatabase(f"sqlite:///{tmp_path / 'caller.sqlite3'}").create()
    yield database
    await database.close()


def _forward(caller: CallerDatabase, demo: dict[str, str], *flags: str, check: bool = True) -> str:
    settings = {"URL": demo["api"], "API_KEY": demo["key"], "PRODUCER_DATABASE_URL": caller.url}
    ran = notifier_process.run_notifier(
        "forward", *flags, env=notifier_process.build_environment(ROOT, **settings), check=check
    )
    return ran.stdout if check else f"{ran.returncode} {ran.stderr}"


def _as_the_page_says(caller: CallerDatabase, demo: dict[str, str]) -> str:
    """The command of docs/producer.md, with the database, the URL and the key inserted."""
    (block,) = list_blocks("docs/producer.md", "sh")
    replacements = {"postgresql://shop@db/shop": caller.url, "https://notifier.example": demo["api"]}
    return notifier_process.run_script(
        block.text, notifier_process.build_environment(ROOT), **replacements, **{"ntf_live_…": demo["key"]}
    )


async def test_drain_forwards_shows_and_releases(caller: CallerDatabase, demo: dict[str, str]) -> None:
    """The good mail arrives; the bad one is shown, released, and refused again."""
    await caller.enqueue(to="ada@example.com")
    bad = await caller.enqueue(to="bob@example.com", template="no_such_template")
    output = await asyncio.to_thread(_as_the_page_says, caller, demo)
    assert output.splitlines()[-1] == "0 wait, 1 were refused"
    with MailHogClient(demo["inbox"]) as inbox:
        assert (await asyncio.to_thread(inbox.wait_for, to="ada@example.com")).subject == "Welcome to Larkspur, Ada"
    (row,) = json.loads(await asyncio.to_thread(_forward, caller, demo, "--refused", "--json"))
    assert row["id"] == str(bad)
    assert row["errors"][0]["pointer"] == "/template"
    assert str(bad) in await asyncio.to_thread(_forward, caller, demo, "--refused")
    assert await asyncio.to_thread(_forward, caller, demo, "--release", str(bad)) == "1 of 1 will be tried again\n"
    assert (await caller.backlog()).waiting == 1
    assert "0 wait, 1 were refused" in await asyncio.to_thread(_forward, caller, demo, "--once")
    with httpx2.Client(base_url=demo["api"], headers={"Authorization": f"Bearer {demo['key']}"}, timeout=100) as client:
        assert len(client.get("/v1/notifications").json()["notifications"]) == 1


async def test_what_it_says_when_it_cannot(caller: CallerDatabase, demo: dict[str, str], tmp_path: Path) -> None:
    """A failure prints one line and exits with 1, wrong use exits with 2, and neither prints the key."""
    await caller.enqueue()
    wrong = demo | {"key": "ntf_live_wrong"}
    refused = await asyncio.to_thread(_forward, caller, wrong, "--once", check=False)
    assert re.match(r"1 (.*\n)?notifier: not forwarded: unauthenticated\n$", refused), refused
    unreachable = await asyncio.to_thread(_forward, caller, demo | {"api": "http://127.0.0.1:9"}, "--once", check=False)
    assert "notifier: not forwarded: ConnectError" in unreachable
    elsewhere = demo | {"key": "", "api": "https://notifier.example"}  # no demo's key is sent to it
    keyless = await asyncio.to_thread(_forward, caller, elsewhere, check=False)
    assert keyless == "2 notifier: no API key for https://notifier.example: set NOTIFIER_API_KEY\n"
    both = await asyncio.to_thread(_forward, caller, demo, "--once", "--drain", check=False)
    assert both.startswith("2 notifier: --once, --drain, --refused and --release do not go together")
    unknown = await asyncio.to_thread(_forward, caller, demo, "--release", str(uuid4()), check=False)
    assert unknown.startswith("1 ")
    flags = ("--once", "--database-url")
    nowhere = await asyncio.to_thread(_forward, caller, demo, *flags, "oracle://x", check=False)
    assert nowhere == "2 notifier: --database-url: no database that can be opened from here\n"
    empty = await asyncio.to_thread(_forward, caller, demo, *flags, f"sqlite:///{tmp_path / 'empty'}", check=False)
    advice = "it lacks the table notifier_producer, or a column of it: create it with producer.define_table"
    assert empty == f"1 notifier: your database: {advice}\n"
    assert demo["key"] not in refused + unreachable + nowhere + empty
    assert len(await caller.rows()) == 1


def _order(client: httpx2.Client, number: int, name: str) -> str:
    """Poll until the order has the value, as a customer would."""
    return poll_in_thread(lambda: str(client.get(f"/orders/{number}").json()[name] or ""))


def test_the_shop(demo: dict[str, str], tmp_path: Path) -> None:
    """An order's mail arrives, and the shop learns the notification and accepts only signed webhooks."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'shop.sqlite3'}"
    with Shop(demo, url, SECRET) as client, MailHogClient(demo["inbox"]) as inbox:
        assert client.get("/orders/1").status_code == 404  # the server replies
        *_, block = list_blocks("examples/shop/README.md", "sh")
        where = str(client.base_url).removeprefix("http://").rstrip("/")
        output = notifier_process.run_script(
            block.text, notifier_process.build_environment(ROOT), **{"localhost:9000": where}
        )
        assert (output.splitlines()[0].strip(), output.splitlines()[-1]) == ("HTTP/1.1 201 Created", '{"id":1}')
        assert inbox.wait_for(to="ada@example.com").subject == "Welcome to Larkspur, Ada"
        notification = _order(client, 1, "notification_id")
        assert UUID(notification).version == 7

        output = json.dumps(_delivered(notification))
        headers = _signed(output)
        forged = headers | {"webhook-signature": "v1,AAAA"}
        assert client.post("/webhooks/notifier", content=output, headers=forged).status_code == 400
        assert client.get("/orders/1").json()["mail_status"] is None
        assert client.post("/webhooks/notifier", content=output, headers=headers).status_code == 204
        assert _order(client, 1, "mail_status") == "delivered"
        assert client.get("/orders/2").status_code == 404

        # An invalid address is refused when the order is taken, and the order is rolled back.
        assert client.post("/orders", json={"customer": "Bob", "address": "bob"}).status_code == 422
        assert client.get("/orders/2").status_code == 404


def _delivered(notification: str) -> dict[str, Any]:
    return {
        "type": "notification.delivered",
        "timestamp": "2026-11-24T12:00:00Z",
        "data": {"id": notification, "metadata": {"order": "1"}},
    }


def _signed(body: str) -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("evt_1", now, body),
    }


ALONE = """
import sys
import notifier.client.producer
names = {name.partition(".")[0] for name in sys.modules}
print(sorted(names - sys.stdlib_module_names))
print(sorted(name for name in sys.modules if name.startswith("notifier.") and not name.startswith("notifier.client")))
"""


def test_it_brings_nothing_of_the_service_along() -> None:
    """Importing the forwarder loads SQLAlchemy, the client's libraries, and of Notifier only the client."""
    ran = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True)
    libraries, others = ran.stdout.splitlines()
    heavy = {"pydantic", "fastapi", "sqlmodel", "structlog", "alembic", "starlette", "tenacity", "asyncpg", "msgspec"}
    assert heavy.isdisjoint(json.loads(libraries.replace("'", '"')))
    assert others == "['notifier.backoff']"  # which imports the standard library alone
    assert producer.__all__ == sorted(producer.__all__)
