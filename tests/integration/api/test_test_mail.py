"""A test mail and its audit entry."""

from sqlalchemy import text
from support import template_editor
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
