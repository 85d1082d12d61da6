"""A real sender, killed with a real signal while it tells an endpoint."""

import asyncio
from pathlib import Path

from integration.webhooks.conftest import key_of
from parts import caller, process
from parts.installation import Installation
from parts.process import Process
from parts.receiver import Receiver, receiving, silence

LOOPBACK = ("127.0.0.1",)


async def _sender(installation: Installation, folder: Path) -> Process:
    given = {
        "DATABASE_URL": installation.settings.effective_database_url,
        "SMTP__PORT": str(installation.settings.smtp.port),
        "RECIPIENTS__MODE": "live",
        "WEBHOOKS__INSECURE_HOSTS": ",".join(LOOPBACK),
    }
    started = Process("sender", env=process.unmeasured(process.environment(folder, **given)))
    await asyncio.to_thread(started.ready)
    return started


async def _heard(receiver: Receiver, count: int) -> set[str]:
    return {one.id for one in await receiver.wait_for(count, seconds=60)}


async def test_a_kill_in_the_middle_of_a_try_loses_no_event(
    postgres_installation: Installation, tmp_path: Path
) -> None:
    """Killed while five endpoints' replies are awaited: the next process tells all five again, under the same ids."""
    installation = postgres_installation.with_settings(webhooks={"insecure_hosts": LOOPBACK})
    async with installation.base() as parts, receiving() as receiver:
        key = await key_of(parts, "shop")
        async with installation.client(parts, key) as client:
            assert (await client.post("/v1/webhooks", json={"url": receiver.url()})).status_code == 201
            for _ in range(5):
                await caller.submit(client)
            receiver.always["/hook"] = silence
            with await _sender(installation, tmp_path) as victim:
                before = await _heard(receiver, 5)
                victim.kill()
            del receiver.always["/hook"]
            with await _sender(installation, tmp_path):
                await _heard(receiver, 10)
                await caller.until_drained(parts.database, seconds=60)
    assert len(before) == 5
    assert {one.id for one in receiver.heard[5:]} == before
