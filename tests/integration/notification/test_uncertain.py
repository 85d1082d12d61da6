"""A mail of which nobody knows whether it was taken: what the template wants done, and how long it waits."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from parts import caller
from parts.installation import Installation
from parts.relay import DROP, Relay
from sqlalchemy import text

from notifier import wiring
from notifier.clock import SystemClock
from notifier.outbox import store
from notifier.rendering.pool import RenderingPool
from notifier.states import EntryState
from notifier.templating.folder import files
from notifier.templating.folder.push import Push


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The welcome template as one whose uncertain mails wait for a person."""
    for name in ("welcome", "_layouts"):
        shutil.copytree(Path("templates") / name, tmp_path / "templates" / name)
    with (tmp_path / "templates" / "welcome" / "template.toml").open("a") as settings:
        settings.write('when_uncertain = "hold"\n')
    return tmp_path / "templates"


@pytest.fixture
async def holding(parts: wiring.Base, folder: Path) -> None:
    """That template, published."""
    async with RenderingPool() as pool:
        push = Push(database=parts.database, pool=pool, clock=SystemClock(), by="test")
        await push.run(folder, files.slugs(folder))


@pytest.mark.usefixtures("holding")
async def test_hold_waits_for_a_person(installation: Installation, parts: wiring.Base, relay: Relay) -> None:
    """Under `hold` an uncertain mail is not sent again by itself, and is closed as unknown when it expires."""
    relay.say("bob@example.com", "DOT", DROP)
    async with installation.client(parts) as client, wiring.sender(parts):
        path = await caller.submit(client, "bob@example.com")
        found = await caller.until(client, path, "unknown")
        assert (found["reason"], found["next_attempt_at"]) == ("no_final_reply", None)
        assert await _held(parts) == 1
        await caller.make_due(parts.database)
        await caller.until(client, await caller.submit(client, "ada@example.com"), "sent")
        assert (await client.get(path)).json()["status"] == "unknown"
        found = await _expire(parts, client, path)
    assert (found["status"], found["reason"]) == ("unknown", "no_final_reply")
    assert [mail.recipient for mail in relay.received] == ["ada@example.com"]


async def test_a_second_silence_waits_for_a_person(
    installation: Installation, parts: wiring.Base, relay: Relay
) -> None:
    """Sent again once, and lost again: now it is held until it expires, and then closed."""
    relay.say("bob@example.com", "DOT", DROP, times=2)
    async with installation.client(parts) as client, wiring.sender(parts):
        path = await caller.submit(client, "bob@example.com")
        await caller.until(client, path, "unknown")
        await caller.make_due(parts.database)
        await caller.until_attempts(client, path, 2)
        assert await _held(parts) == 1
        found = await _expire(parts, client, path)
    assert (found["status"], len(found["attempts"]), relay.received) == ("unknown", 2, [])


async def _held(parts: wiring.Base) -> int:
    async with parts.database.read() as connection:
        return (await store.depth(connection))[EntryState.HELD]


async def _expire(parts: wiring.Base, client: httpx2.AsyncClient, path: str) -> dict[str, Any]:
    """Let its time be over, and have it closed."""
    await caller.set_notification(parts.database, path, expires_at=parts.clock.now() - timedelta(seconds=1))
    async with parts.database.write() as connection:
        await connection.execute(
            text("UPDATE outbox_entry SET due_at = '2026-01-01 00:00:00.000000' WHERE state = 'held'")
        )
        assert await store.ripen(connection) == 1
    parts.wake()
    await caller.until_drained(parts.database)
    found: dict[str, Any] = (await client.get(path)).json()
    return found
