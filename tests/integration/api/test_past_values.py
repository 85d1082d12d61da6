"""Previews with the values of a past mail: secret ones masked, within the caller's reach, and audited."""

from typing import Any

from integration.api.refusal import faults, outcome
from support import template_editor
from support.seeded_installation import Installation
from support.template_editor import PATH

from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import SERVICE_SCOPES, KeyScope
from notifier.runtime import wiring

SECRET = "in-the-link-740112963"
HTML = "<p>Hello {{ name }}: {{ order.id }} {{ link }}</p>"
SETTINGS = {"name": "Greeting", "secret": ["link"]}
SAMPLE = template_editor.SAMPLE | {"link": "x"}
VALUES: dict[str, Any] = {"name": "Grace", "order": {"id": 99}, "link": SECRET}


async def create_service_key(parts: wiring.ProcessParts, name: str) -> str:
    """Create a key with all scopes for a service."""
    async with parts.database.write() as connection:
        service = await service_admin.find_service(connection, name)
        return await key_admin.create_live_key(connection, service, scopes=SERVICE_SCOPES, now=parts.clock.now())


async def test_a_past_mail_fills_a_preview_without_its_secrets(
    installation: Installation, parts: wiring.ProcessParts
) -> None:
    """Draft and unsaved text are shown with the values; a secret stays hidden even if its mark is removed."""
    admin = await template_editor.create_admin_key(parts)
    async with (
        installation.open_client(parts, admin) as staff,
        installation.open_client(parts, await create_service_key(parts, "shop")) as shop,
        installation.open_client(parts, await create_service_key(parts, "other")) as other,
    ):
        now = await template_editor.publish_draft(staff, files={"body.html": HTML}, settings=SETTINGS, sample=SAMPLE)
        body = {"to": "ada@example.com", "template": "greeting", "variables": VALUES, "locale": "en"}
        id_ = (await shop.post("/v1/notifications", json=body)).json()["id"]
        unmarked = {"files": {"body.html": HTML}, "settings": {"name": "Greeting"}, "sample": SAMPLE}
        await template_editor.save_draft(staff, now["revision"], **unmarked)
        preview = await staff.post(f"{PATH}/preview", json={"like": id_})
        assert preview.json()["subject"] == "Hello Grace"
        assert "Hello Grace: 99 •••" in preview.json()["html"]
        unsaved = {"subject": "To {{ name }}", "html": HTML, "variables": SAMPLE, "template": "greeting", "like": id_}
        rendered = await staff.post("/v1/render", json=unsaved)
        assert rendered.status_code == 200, rendered.text
        assert (rendered.json()["subject"], "99 •••" in rendered.json()["html"]) == ("To Grace", True)
        for reply in (preview, rendered):
            assert SECRET not in reply.text
        entries = (await shop.get("/v1/audit")).json()["entries"]  # whose mail it is
        viewed = [entry for entry in entries if entry["action"] == "content.viewed"]
        assert [(entry["object_id"], entry["after"]["masked"]) for entry in viewed] == [(id_, True)] * 2
        beyond = await other.post(f"{PATH}/preview", json={"like": id_})
        assert faults(beyond) == {("/like", "unknown_notification")}
        assert (await shop.post(f"{PATH}/preview", json={"like": id_})).status_code == 200


async def test_what_may_not_be_used(installation: Installation, parts: wiring.ProcessParts) -> None:
    """Another template's mail is not found, both kinds of values are refused, and reading alone is not enough."""
    reader = await template_editor.create_admin_key(parts, KeyScope.TEMPLATES_READ)
    async with (
        installation.open_client(parts, await template_editor.create_admin_key(parts)) as staff,
        installation.open_client(parts, reader) as looking,
        installation.open_client(parts) as shop,
    ):
        await template_editor.publish_draft(staff)
        body = {"to": "ada@example.com", "template": "greeting", "variables": template_editor.SAMPLE}
        id_ = (await shop.post("/v1/notifications", json=body)).json()["id"]
        both = {"like": id_, "variables": template_editor.SAMPLE}
        assert faults(await staff.post(f"{PATH}/preview", json=both)) == {("/like", "not_both")}
        assert outcome(await looking.post(f"{PATH}/preview", json={"like": id_})) == (403, "insufficient_scope")
        text = {"subject": "x", "html": "<p>x</p>", "like": id_}
        assert faults(await staff.post("/v1/render", json=text)) == {("/template", "missing_field")}
        elsewhere = await staff.post("/v1/render", json=text | {"template": "order_shipped"})
        assert faults(elsewhere) == {("/like", "unknown_notification")}
