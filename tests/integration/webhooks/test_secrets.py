"""Encrypted endpoint secrets, as docs/webhooks.md describes: how they are stored, and the effect of a wrong key."""

import base64

import pytest
from integration.webhooks.conftest import LOOPBACK, key_of
from pydantic import SecretStr
from sqlalchemy import select
from support import api_caller
from support.seeded_installation import Installation
from support.webhook_receiver import WebhookReceiver

from notifier.db.tables import WebhookEndpoint
from notifier.health import checks
from notifier.runtime import wiring
from notifier.webhooks.endpoint_secret import ENCRYPTED_PREFIX, SecretBox

OLD, NEW = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))


@pytest.fixture
def installation(sqlite_installation: Installation) -> Installation:
    """An installation on one database, because both behave the same here."""
    return sqlite_installation.with_settings(webhooks={"insecure_hosts": LOOPBACK, "timeout": 2.0})


async def test_secrets_are_encrypted_and_keys_changed(
    installation: Installation, parts: wiring.ProcessParts, receiver: WebhookReceiver
) -> None:
    """The first key encrypts a secret; without that key its delivery waits untried, and as second key it decrypts."""

    def with_keys(*keys: str) -> Installation:
        return installation.with_settings(secret_key=SecretStr(",".join(keys)) if keys else None)

    async def stored() -> str:
        async with parts.database.read() as connection:
            return str((await connection.execute(select(WebhookEndpoint.__table__.c.secret))).scalar_one())  # type: ignore[attr-defined]

    async def check(*keys: str) -> tuple[bool, bool]:
        box = SecretBox.from_setting(with_keys(*keys).settings.secret_key)
        finding = await checks.check_webhook_secrets(parts.database, box, parts.clock.now())
        return finding.ok, finding.warning

    key = await key_of(parts, "shop")
    async with with_keys(OLD).open_parts() as old, with_keys(OLD).open_client(old, key) as client:
        endpoint = (await client.post("/v1/webhooks", json={"url": receiver.url()})).json()
        assert endpoint["secret"].startswith("whsec_")
        assert (await stored()).startswith(ENCRYPTED_PREFIX)
        assert endpoint["secret"].removeprefix("whsec_") not in await stored()
        assert "secret" not in (await client.get(f"/v1/webhooks/{endpoint['id']}")).json()
        assert [await check(OLD), await check(NEW, OLD), await check(NEW), await check()] == [
            (True, False), (True, False), (False, False), (False, False),
        ]  # fmt: skip

        for wrong in ((), (NEW,)):
            async with with_keys(*wrong).open_parts() as without, wiring.run_sender(without) as running:
                await api_caller.submit_mail(client)
                await running.drain()
        path = f"/v1/webhooks/{endpoint['id']}/deliveries"
        waiting = (await client.get(path)).json()["deliveries"]
        assert [(delivery["state"], delivery["tries"]) for delivery in waiting] == [("pending", 0), ("pending", 0)]
        assert receiver.heard == []

    await api_caller.make_due(parts.database)
    async with with_keys(NEW, OLD).open_parts() as both, with_keys(NEW, OLD).open_client(both, key) as client:
        async with wiring.run_sender(both):
            for request in await receiver.wait_for(2):
                request.verified(endpoint["secret"])
        rotated = (await client.post(f"/v1/webhooks/{endpoint['id']}/rotate-secret")).json()
        assert await check(NEW) == (True, False)  # the old secret is re-encrypted too, while it still signs
        async with with_keys(NEW).open_parts() as new, wiring.run_sender(new):
            await api_caller.submit_mail(client)
            (*_, request) = await receiver.wait_for(3)
        assert request.verified(rotated["secret"]) == request.verified(endpoint["secret"])


async def test_secrets_from_before_are_read(
    installation: Installation, parts: wiring.ProcessParts, receiver: WebhookReceiver
) -> None:
    """Unencrypted secrets still sign, and rotating encrypts them; rotating replaces a secret that cannot be read."""
    key = await key_of(parts, "shop")
    keyed = installation.with_settings(secret_key=SecretStr(NEW))
    async with installation.open_client(parts, key) as client:
        endpoint = (await client.post("/v1/webhooks", json={"url": receiver.url()})).json()
    finding = await checks.check_webhook_secrets(
        parts.database, SecretBox.from_setting(SecretStr(NEW)), parts.clock.now()
    )
    assert (finding.ok, finding.warning) == (True, True)
    async with keyed.open_parts() as new, keyed.open_client(new, key) as client, wiring.run_sender(new):
        await api_caller.submit_mail(client)
        (heard,) = await receiver.wait_for(1)
        heard.verified(endpoint["secret"])
    other = installation.with_settings(secret_key=SecretStr(OLD))
    async with keyed.open_parts() as new, keyed.open_client(new, key) as client:
        await client.post(f"/v1/webhooks/{endpoint['id']}/rotate-secret", json={"overlap_seconds": 0})
    async with other.open_parts() as lost, other.open_client(lost, key) as client, wiring.run_sender(lost):
        rotated = (await client.post(f"/v1/webhooks/{endpoint['id']}/rotate-secret")).json()
        await api_caller.submit_mail(client)
        (*_, heard) = await receiver.wait_for(2)
        heard.verified(rotated["secret"])
