"""A template's own sender and reply-to, and the record of who uses which template."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from integration.api.clock import ForwardClock
from sqlalchemy import select
from support import published_template
from support.seeded_installation import WELCOME, Installation

from notifier.db.tables import Notification, TemplateUse, get_columns
from notifier.ids import generate_id
from notifier.runtime import wiring
from notifier.template_language.template_source import TemplateSettings, TemplateSource
from notifier.templating.version_store import TemplateKeyUse, TemplateUsage

_notification, _use = get_columns(Notification), get_columns(TemplateUse)
FILES = {"subject.txt": "Hello {{ name }}", "body.html": "<p>{{ name }}</p>"}
REQUEST = {"to": "ada@example.com", "template": "hello", "variables": {"name": "Ada"}}


@pytest.fixture
async def shop(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """An HTTP client of the shop; `hello` has a sender in the shop's domain, `elsewhere` one outside of it."""
    for slug, sender in (("hello", "Shop <orders@shop.example>"), ("elsewhere", "a@else.example")):
        settings = TemplateSettings(name="A", from_=sender, reply_to="Help <help@shop.example>")
        async with parts.database.write() as connection:
            source = TemplateSource(files=FILES, sample={"name": "A"}, settings=settings)
            await published_template.publish_template(connection, slug, source)
    async with installation.open_client(parts) as client:
        yield client


async def _fields(parts: wiring.ProcessParts) -> list[tuple[Any, ...]]:
    names = ("from_name", "from_address", "reply_to_name", "reply_to_address")
    async with parts.database.read() as connection:
        query = select(*(_notification[name] for name in names)).order_by(_notification.id)
        return [tuple(row) for row in await connection.execute(query)]


async def test_a_request_without_a_sender_gets_the_templates(
    parts: wiring.ProcessParts, shop: httpx2.AsyncClient
) -> None:
    """Each field that the request leaves out comes from the template, for single requests and batches."""
    assert (await shop.post("/v1/notifications", json=REQUEST)).status_code == 202
    own = {"from": "own@shop.example", "reply_to": "own@shop.example"}
    items = [REQUEST, REQUEST | own, REQUEST | {"template": "elsewhere"} | own]
    reply = await shop.post("/v1/notifications/batch", json={"notifications": items})
    assert reply.status_code == 202, reply.text
    defaults = ("Shop", "orders@shop.example", "Help", "help@shop.example")
    mine = (None, "own@shop.example", None, "own@shop.example")
    assert await _fields(parts) == [defaults, defaults, mine, mine]


async def test_a_templates_sender_outside_of_the_services_domains_is_refused(shop: httpx2.AsyncClient) -> None:
    """The refusal says that the sender is the template's, and who can change it."""
    reply = await shop.post("/v1/notifications", json=REQUEST | {"template": "elsewhere"})
    assert reply.status_code == 422
    (error,) = reply.json()["errors"]
    assert (error["pointer"], error["code"]) == ("/from", "from_not_allowed")
    assert "shop may not send from else.example; it is the default of the template elsewhere" in error["detail"]
    assert "an editor can change that default" in error["detail"]


async def test_a_use_is_written_once_a_minute_and_never_put_back(parts: wiring.ProcessParts) -> None:
    """A use is written once a minute for each key and template, and never set to an earlier time."""
    clock = ForwardClock()
    uses, seen = TemplateUsage(parts.database, clock), []
    use = TemplateKeyUse(generate_id(), generate_id(), generate_id())
    for seconds in (0.0, 59.0, 61.0, 0.0):
        clock.seconds = seconds
        uses.note_use(use)
        await uses.close()
        async with parts.database.read() as connection:
            seen.append((await connection.execute(select(*_use))).one())
    assert seen[0][:3] == use
    assert seen[1] == seen[0]
    assert seen[2].last_used_at > seen[0].last_used_at
    assert seen[3] == seen[2]
    for other in (use._replace(key_id=generate_id()), use._replace(template_id=generate_id())):
        uses.note_use(other)
    await uses.close()
    async with parts.database.read() as connection:
        assert len((await connection.execute(select(*_use))).all()) == 3


async def test_who_submits_is_noted_with_the_template(installation: Installation, parts: wiring.ProcessParts) -> None:
    """Accepted single requests and batches record a use; refused ones and own content do not."""
    async with installation.open_parts() as base, installation.open_client(base) as shop:
        me = (await shop.get("/v1/whoami")).json()["key"]["id"]
        await shop.post("/v1/notifications", json=WELCOME | {"variables": {}})
        await shop.post("/v1/notifications", json={"to": "a@example.com", "content": {"subject": "S", "text": "T"}})
        report = REQUEST | {"template": "welcome", "variables": WELCOME["variables"]}
        await shop.post("/v1/notifications/batch", json={"notifications": [report]})
    async with parts.database.read() as connection:
        (row,) = (await connection.execute(select(*_use))).all()
    assert str(row.key_id) == me
