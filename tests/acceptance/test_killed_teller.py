"""A real sender, killed with a real signal while it delivers a webhook."""

import asyncio
from pathlib import Path

from integration.webhooks.conftest import key_of
from support import api_caller, notifier_process
from support.notifier_process import NotifierProcess
from support.seeded_installation import Installation
from support.webhook_receiver import WebhookReceiver, run_receiver, silence

LOOPBACK = ("127.0.0.1",)


async def _sender(installation: Installation, folder: Path) -> NotifierProcess:
    variables = {
        "DATABASE_URL": installation.settings.effective_database_url,
        "SMTP__PORT": str(installation.settings.smtp.port),
        "RECIPIENTS__MODE": "live",
        "WEBHOOKS__INSECURE_HOSTS": ",".join(LOOPBACK),
    }
    started = NotifierProcess(
        "sender", env=notifier_process.without_coverage(notifier_process.build_environment(folder, **variables))
    )
    await asyncio.to_thread(started.wait_until_ready)
    return started


async def _heard(receiver: WebhookReceiver, count: int) -> set[str]:
    return {request.id for request in await receiver.wait_for(count)}


async def test_a_kill_in_the_middle_of_a_try_loses_no_event(
    postgres_installation: Installation, tmp_path: Path
) -> None:
    """After a kill during five open deliveries, the next process repeats all five under the same ids."""
    installation = postgres_installation.with_settings(webhooks={"insecure_hosts": LOOPBACK})
    async with installation.open_parts() as parts, run_receiver() as receiver:
        key = await key_of(parts, "shop")
        async with installation.open_client(parts, key) as client:
            assert (await client.post("/v1/webhooks", json={"url": receiver.url()})).status_code == 201
            for _ in range(5):
                await api_caller.submit_mail(client)
            receiver.always["/hook"] = silence
            with await _sender(installation, tmp_path) as victim:
                before = await _heard(receiver, 5)
                victim.kill()
            del receiver.always["/hook"]
            with await _sender(installation, tmp_path):
                await _heard(receiver, 10)
                await api_caller.wait_until_drained(parts.database)
    assert len(before) == 5
    assert {request.id for request in receiver.heard[5:]} == before
