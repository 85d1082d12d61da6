"""Each method for staff and services, called once against the real API with an admin key."""

import pytest
from integration.client.recording_client import RecordingClient
from support.webhook_receiver import WebhookReceiver

from notifier.auth import key_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.auth.key_admin import NewKey
from notifier.client import ConflictError
from notifier.runtime import wiring


async def walk_staff(shop: RecordingClient, parts: wiring.ProcessParts, _: WebhookReceiver) -> None:
    """A person is created, gets other roles, is disabled and enabled, and gets another link."""
    new = NewKey(scopes=tuple(KeyScope))
    async with parts.database.write() as connection:
        _view, key = await key_admin.insert_key(connection, None, new, now=parts.clock.now())
    async with shop.use_key(key) as admin:
        await _manage_staff(admin)


async def _manage_staff(shop: RecordingClient) -> None:
    ana = await shop("staff.create", "ana@example.com", name="Ana", roles=["support"])
    assert (ana.roles, ana.has_password, ana.link.purpose) == (("support",), False, "welcome")
    assert (await shop("staff.set_roles", ana.id, ["editor", "support"])).roles == ("support", "editor")
    assert (await shop("staff.disable", ana.id)).disabled_at is not None
    with pytest.raises(ConflictError):
        await shop("staff.create_link", ana.id)
    assert (await shop("staff.enable", ana.id)).disabled_at is None
    assert (await shop("staff.create_link", ana.id)).url != ana.link.url
    assert [item.id for item in await shop("staff.list")] == [(await shop("staff.get", ana.id)).id] == [ana.id]
    assert (await shop("staff.sessions", ana.id), (await shop("staff.revoke_sessions", ana.id)).ended) == ([], 0)
    made = await shop("services.create", "billing", from_domains=["billing.example"])
    changed = await shop("services.update", "billing", rate_per_minute=60)
    assert (changed.id, changed.rate_per_minute, changed.from_domains) == (made.id, 60, ("billing.example",))
    assert await shop("services.get", made.id) in await shop("services.list")
