"""A real sender, killed with a real signal while it makes an image ready."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
from parts import marketing, picture, process
from parts.installation import Installation
from parts.process import Process


async def _sender(installation: Installation, folder: Path) -> Process:
    env = process.environment(folder, DATABASE_URL=installation.settings.effective_database_url)
    started = Process("sender", env=process.unmeasured(env))
    await asyncio.to_thread(started.ready)
    return started


async def _until(client: httpx2.AsyncClient, progress: int) -> dict[str, Any]:
    """The image once it is so far; the API offers nothing to wait on, so this asks again."""
    async with asyncio.timeout(60):
        while True:
            found: dict[str, Any] = (await client.get("/v1/assets/logo")).json()
            if found["progress"] >= progress:
                return found
            await asyncio.sleep(0.005)


async def test_a_kill_in_the_middle_of_an_image_loses_nothing(
    postgres_installation: Installation, tmp_path: Path
) -> None:
    """Killed while its child decodes: the next process makes the image ready, as if nothing had been."""
    large = picture.encoded(picture.photograph(4000, 4000), "JPEG")
    async with postgres_installation.base() as parts:
        key = await marketing.key(parts, "shop")
        async with postgres_installation.client(parts, key) as client:
            assert (await picture.upload(client, "logo", large)).status_code == 202
            with await _sender(postgres_installation, tmp_path) as victim:
                before = await _until(client, 30)
                victim.kill()
            assert (before["status"], (await _until(client, 30))["status"]) == ("pending", "pending")
            with await _sender(postgres_installation, tmp_path):
                after = await _until(client, 100)
    assert (after["status"], after["files"]["2x"]["width"], after["revision"]) == ("ready", 1200, 1)
