"""A test mail and its audit entry."""

from sqlalchemy import text
from support import api_caller, template_editor
from support.polling import poll_until
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import Installation
from support.template_editor import PATH

from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import SERVICE_SCOPES
from notifier.runtime import wiring


async def test_a_test_mail_is_sent_and_told_together_or_not_at_all(
    installation: Installation, parts: wiring.ProcessParts
) -> None:
    """If the audit cannot be written, the test mail is not accepted."""
    async with parts.database.write() as connection:
        shop = await service_admin.find_service(connection, "shop")
        key = await key_admin.create_live_key(connection, shop, scopes=SERVICE_SCOPES, now=parts.clock.now())
    async with installation.open_client(parts, key) as staff:
        await template_editor.save_draft(staff)
        async with parts.database.write() as connection:
            await connection.execute(text("ALTER TABLE audit_entry RENAME TO audit_entry_elsewhere"))
        failed = await staff.post(f"{PATH}/test-send", json={"to": "ada@example.com"})
        assert failed.status_code >= 500
        async with parts.database.write() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM notification"))).scalar_one() == 0
            assert (await connection.execute(text("SELECT count(*) FROM outbox_entry"))).scalar_one() == 0
            await connection.execute(text("ALTER TABLE audit_entry_elsewhere RENAME TO audit_entry"))
        tested = await staff.post(f"{PATH}/test-send", json={"to": "ada@example.com"})
        assert tested.status_code == 202
        async with parts.database.read() as connection:
            count = text("SELECT count(*) FROM audit_entry WHERE action = 'template.tested'")
            assert (await connection.execute(count)).scalar_one() == 1
            assert (await connection.execute(text("SELECT count(*) FROM notification"))).scalar_one() == 1


async def test_the_test_mail_of_an_admin_key_belongs_to_the_instance(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """It is sent, also from the template's own sender; it belongs to a service that no caller has a key of."""
    key = await template_editor.create_admin_key(parts)
    async with installation.open_client(parts, key) as staff, installation.open_client(parts) as shop:
        await template_editor.save_draft(staff, settings={"name": "Greeting", "from": "Shop <hello@shop.example>"})
        for _ in range(2):
            tested = await staff.post(f"{PATH}/test-send", json={"to": "ada@example.com"})
            assert tested.status_code == 202, tested.text
        async with wiring.run_sender(parts):
            await api_caller.wait_until_drained(parts.database)
        assert len(relay.received) == 2
        assert b"hello@shop.example" in relay.received[0].data
        assert (await shop.get(tested.headers["location"])).status_code == 404
        entries = (await staff.get("/v1/audit")).json()["entries"]
        assert [entry["action"] for entry in entries].count("template.tested") == 2


async def test_a_list_of_templates_names_who_uses_them(installation: Installation, parts: wiring.ProcessParts) -> None:
    """Each template has its subject as written, and the services that have sent mail with it."""
    key = await template_editor.create_admin_key(parts)
    async with installation.open_client(parts, key) as staff, installation.open_client(parts) as shop:
        await template_editor.publish_draft(staff)
        body = {"to": "ada@example.com", "template": "greeting", "variables": template_editor.SAMPLE}

        async def list_callers() -> list[str] | None:
            templates = (await staff.get("/v1/templates")).json()["templates"]
            (line,) = [template for template in templates if template["slug"] == "greeting"]
            assert line["subject"] == "Hello {{ name }}"
            return [caller["service"] for caller in line["callers"]] or None

        assert await list_callers() is None
        assert (await shop.post("/v1/notifications", json=body)).status_code == 202
        assert await poll_until(list_callers) == ["shop"]
