"""A real sender, killed with a real signal while it processes an image."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
from support import marketing_template, notifier_process, sample_images
from support.notifier_process import NotifierProcess
from support.seeded_installation import Installation


async def _sender(installation: Installation, folder: Path) -> NotifierProcess:
    env = notifier_process.build_environment(folder, DATABASE_URL=installation.settings.effective_database_url)
    started = NotifierProcess("sender", env=notifier_process.without_coverage(env))
    await asyncio.to_thread(started.wait_until_ready)
    return started


async def _until(client: httpx2.AsyncClient, progress: int) -> dict[str, Any]:
    """Poll until the image has this state; the API has no way to wait."""
    async with asyncio.timeout(60):
        while True:
            asset: dict[str, Any] = (await client.get("/v1/assets/logo")).json()
            if asset["progress"] >= progress:
                return asset
            await asyncio.sleep(0.005)


async def test_a_kill_in_the_middle_of_an_image_loses_nothing(
    postgres_installation: Installation, tmp_path: Path
) -> None:
    """A sender is killed while its child decodes an image; the next process completes the image."""
    large = sample_images.encode_image(sample_images.draw_photograph(4000, 4000), "JPEG")
    async with postgres_installation.open_parts() as parts:
        key = await marketing_template.create_marketing_key(parts, "shop")
        async with postgres_installation.open_client(parts, key) as client:
            assert (await sample_images.upload_image(client, "logo", large)).status_code == 202
            with await _sender(postgres_installation, tmp_path) as victim:
                before = await _until(client, 30)
                victim.kill()
            assert (before["status"], (await _until(client, 30))["status"]) == ("pending", "pending")
            with await _sender(postgres_installation, tmp_path):
                after = await _until(client, 100)
    assert (after["status"], after["files"]["2x"]["width"], after["revision"]) == ("ready", 1200, 1)
