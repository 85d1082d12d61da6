"""Links, amounts and whole numbers: faults at submit, in batches, dry runs and changes."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from msgspec import to_builtins
from sqlalchemy import select, update
from support import api_caller, template_editor
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import Installation
from support.template_editor import PATH

from notifier.db.tables import TemplateVersion, get_columns
from notifier.runtime import wiring

FILES = {
    "subject.txt": "{{ count }} of {{ total | money('EUR') }}",
    "body.html": '<p><a href="{{ url }}">Open</a>{% for i in range(count) %}*{% endfor %}</p>',
    "body.txt": "{{ url }}",
}
VALUES = {"count": 2, "total": "12.50", "url": "https://shop.example/x"}
MAIL: dict[str, Any] = {"to": "ada@example.com", "template": "greeting", "variables": VALUES}
BAD = MAIL | {"variables": VALUES | {"url": "shop.example", "total": "12,50"}}
FAULTS = [("/variables/total", "wrong_variable_value"), ("/variables/url", "invalid_link")]
_version = get_columns(TemplateVersion)


@pytest.fixture
async def staff(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """An editor with an admin key, after publishing the template."""
    async with installation.open_client(parts, await template_editor.create_admin_key(parts)) as client:
        await template_editor.publish_draft(client, files=FILES, sample=VALUES)
        yield client


def list_faults(reply: httpx2.Response) -> list[tuple[str, str]]:
    """The pointers and codes of a refusal."""
    assert reply.status_code == 422, reply.text
    return [(error["pointer"], error["code"]) for error in reply.json()["errors"]]


@pytest.mark.usefixtures("staff")
async def test_every_door_asks_the_same(client: httpx2.AsyncClient) -> None:
    """A single request, a dry run, a batch and a change have the same checks."""
    assert list_faults(await client.post("/v1/notifications", json=BAD)) == FAULTS
    assert list_faults(await client.post("/v1/notifications?dry_run=true", json=BAD)) == FAULTS
    batch = {"notifications": [MAIL, BAD], "on_error": "skip_invalid"}
    results = (await client.post("/v1/notifications/batch", json=batch)).json()["results"]
    errors = results[1]["error"]["errors"]
    expected = [(f"/notifications/1{pointer}", code) for pointer, code in FAULTS]
    assert sorted((error["pointer"], error["code"]) for error in errors) == expected
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    waiting = await client.post("/v1/notifications", json=MAIL | {"send_at": tomorrow})
    changed = await client.patch(waiting.headers["location"], json={"variables": BAD["variables"]})
    assert sorted(list_faults(changed)) == FAULTS


@pytest.mark.usefixtures("staff")
async def test_a_telephone_link_and_a_whole_number_arrive(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """`2.0` is shown and counted as 2, and the telephone link is sent unchanged."""
    body = '{"to": "ada@example.com", "template": "greeting", "variables": %s}'
    values = '{"count": 2.0, "total": "12.50", "url": "tel:+4930123456"}'
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    reply = await client.post("/v1/notifications", content=body % values, headers=headers)
    assert reply.status_code == 202, reply.text
    again = await client.post("/v1/notifications", content=body % values.replace("2.0", "2"), headers=headers)
    assert (again.status_code, again.json()["id"]) == (202, reply.json()["id"])
    async with wiring.run_sender(parts):
        await api_caller.wait_for_status(client, reply.headers["location"], "sent")
    (mail,) = relay.received
    text = mail.data.replace(b"=\r\n", b"").replace(b"=3D", b"=")
    assert b'<a href="tel:+4930123456">Open</a>**</p>' in text
    rehearsed = await client.post("/v1/notifications?dry_run=true", content=body % values, headers=headers)
    assert rehearsed.json()["subject"] == "2 of €12.50"


async def test_a_version_from_before_goes_on_as_it_was(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, staff: httpx2.AsyncClient
) -> None:
    """A version from before the checks accepts the same values, and its preview equals its mails."""
    async with parts.database.write() as connection:
        query = select(_version.id, _version.source, _version.variables_schema).order_by(_version.id.desc()).limit(1)
        row = (await connection.execute(query)).one()
        source = {name: value for name, value in to_builtins(row.source).items() if name != "strict"}
        schema = {name: value for name, value in row.variables_schema.items() if name != "x-checks"}
        change = update(TemplateVersion).where(_version.id == row.id)
        await connection.execute(change.values(source=source, variables_schema=schema))
    odd = {"variables": VALUES | {"url": "shopapp://x"}}
    reply = await client.post("/v1/notifications?dry_run=true", json=MAIL | odd)
    assert 'href="#"' in reply.json()["html"], reply.text
    preview = await staff.post(f"{PATH}/preview", json=odd | {"version": 1})
    assert 'href="#"' in preview.json()["html"], preview.text
    assert (await staff.post(f"{PATH}/preview", json=odd)).status_code == 422


async def test_a_template_says_which_schemes_it_links_to(client: httpx2.AsyncClient, staff: httpx2.AsyncClient) -> None:
    """The setting is stored, shown and versioned; dangerous schemes are refused."""
    settings = template_editor.SETTINGS | {"link_schemes": ["shopapp"]}
    view = await template_editor.publish_draft(staff, "1.0", files=FILES, sample=VALUES, settings=settings)
    assert view["settings"]["link_schemes"] == ["shopapp"]
    app = {"variables": VALUES | {"url": "shopapp://reset?t=1"}}
    assert (await client.post("/v1/notifications?dry_run=true", json=MAIL | app)).status_code == 200
    first = await client.post("/v1/notifications", json=MAIL | app | {"template_version": 1})
    assert list_faults(first) == [("/variables/url", "invalid_link")]
    for scheme in ("javascript", "data", "ShopApp", "shop app", "shopapp:"):
        body = template_editor.build_draft(
            "2.0", files=FILES, sample=VALUES, settings=template_editor.SETTINGS | {"link_schemes": [scheme]}
        )
        reply = await staff.put(f"{PATH}/draft", json=body)
        assert [error["pointer"] for error in reply.json()["errors"]][:1] == ["/settings/link_schemes"], reply.text
