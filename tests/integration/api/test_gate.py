"""`/v1/templates/{slug}/gate`: a report on what publishing would change, and a publish that it blocks."""

import json
from typing import Any

import httpx2
import pytest
from integration.api.refusal import outcome
from support import template_editor
from support.seeded_installation import Installation
from support.template_editor import PATH

from notifier.auth.authenticated_key import KeyScope
from notifier.runtime import wiring

SECRET = 740112963
HTML = "<p>Hello {{ name }}: {{ order.id }}</p>"
SETTINGS = {"name": "Greeting", "secret": ["order.id"]}


async def send_request(client: httpx2.AsyncClient) -> None:
    """Submit a request for the greeting, with a secret in it."""
    values = {"name": "Ada", "order": {"id": SECRET}}
    body = {"to": "ada@example.com", "template": "greeting", "variables": values}
    reply = await client.post("/v1/notifications", json=body)
    assert reply.status_code == 202, reply.text


def events(text: str) -> list[dict[str, Any]]:
    """The events of a stream."""
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


async def test_a_draft_is_tried_before_it_is_published(installation: Installation, parts: wiring.ProcessParts) -> None:
    """The report comes at once or as events; publishing gives the same report and refuses breaking drafts."""
    async with (
        installation.open_client(parts, await template_editor.create_admin_key(parts)) as staff,
        installation.open_client(parts) as shop,
    ):
        now = await template_editor.publish_draft(staff, files={"body.html": HTML}, settings=SETTINGS)
        await send_request(shop)
        sample = template_editor.SAMPLE | {"reason": "x"}
        draft = await template_editor.save_draft(
            staff, now["revision"], files={"body.html": HTML + "{{ reason }}"}, sample=sample, settings=SETTINGS
        )
        report = (await staff.post(f"{PATH}/gate")).json()
        assert (report["blocks"], report["reasons"]) == (True, ["shop: 1 would be refused (422), of 1 requests."])
        assert report["services"][0]["refusals"][0]["pointer"] == "/variables/reason"
        assert [variable["path"] for variable in report["added"]] == ["reason"]
        stream = await staff.post(f"{PATH}/gate", headers={"Accept": "text/event-stream"})
        assert events(stream.text) == [{"done": 0, "total": 1}, {"done": 1, "total": 1}, {"report": report}]
        refused = await staff.post(f"{PATH}/publish", json={"revision": draft["revision"]})
        assert (refused.status_code, refused.json()["code"]) == (409, "gate_closed")
        assert refused.json()["report"] == report
        forced = await staff.post(f"{PATH}/publish", json={"revision": draft["revision"], "force_reason": "they know"})
        assert forced.status_code == 201, forced.text


@pytest.mark.parametrize("installation", ["postgresql"], indirect=True)
async def test_secret_values_are_shown_to_whom_may_see_them(
    installation: Installation, parts: wiring.ProcessParts
) -> None:
    """Secrets are shown with their scope, which is audited, and masked without it."""
    seeing = await template_editor.create_admin_key(
        parts, KeyScope.TEMPLATES_PUBLISH, KeyScope.UNMASKED, KeyScope.AUDIT, KeyScope.ADMIN
    )
    async with (
        installation.open_client(parts, await template_editor.create_admin_key(parts)) as staff,
        installation.open_client(parts) as shop,
    ):
        now = await template_editor.publish_draft(staff, files={"body.html": HTML}, settings=SETTINGS)
        await send_request(shop)
        await template_editor.save_draft(staff, now["revision"], files={"body.html": HTML + "!"}, settings=SETTINGS)
        masked = await staff.post(f"{PATH}/gate", json={})
        assert "+<p>Hello Ada: •••</p>!" in masked.json()["examples"][0]["diffs"]["html"]
        assert str(SECRET) not in masked.text
        assert outcome(await staff.post(f"{PATH}/gate", json={"unmasked": True})) == (403, "insufficient_scope")
        async with installation.open_client(parts, seeing) as trusted:
            reply = await trusted.post(f"{PATH}/gate", json={"unmasked": True})
            assert f"+<p>Hello Ada: {SECRET}</p>!" in reply.json()["examples"][0]["diffs"]["html"]
        entry = (await staff.get("/v1/audit", params={"limit": 1})).json()["entries"][0]
        assert (entry["action"], entry["after"]) == ("template.unmasked", {"slug": "greeting"})
        assert outcome(await staff.post("/v1/templates/nothing/gate")) == (404, "not_found")
        assert outcome(await shop.post(f"{PATH}/gate")) == (403, "insufficient_scope")
