"""Real senders, killed with a real signal at critical moments."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from support import api_caller, notifier_process
from support.notifier_process import NotifierProcess
from support.polling import wait_until
from support.scripted_relay import HANG, ScriptedRelay
from support.seeded_installation import Installation

from notifier.runtime import wiring


@pytest.fixture
async def parts(postgres_installation: Installation) -> AsyncIterator[wiring.ProcessParts]:
    async with postgres_installation.open_parts() as base:
        yield base


async def _sender(installation: Installation, folder: Path, **settings: str) -> NotifierProcess:
    database, relay = installation.settings.effective_database_url, installation.settings.smtp
    variables = {"DATABASE_URL": database, "SMTP__PORT": str(relay.port), "RECIPIENTS__MODE": "live"}
    started = NotifierProcess(
        "sender",
        env=notifier_process.without_coverage(notifier_process.build_environment(folder, **variables | settings)),
    )
    await asyncio.to_thread(started.wait_until_ready)
    return started


async def test_a_250_that_could_not_be_written_down_is_not_forgotten(
    postgres_installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay, tmp_path: Path
) -> None:
    """After a kill between the 250 and the commit, the next sender reads the 250 in the journal and sends nothing."""
    async with postgres_installation.open_client(parts) as client:
        path = await api_caller.submit_mail(client)
        async with parts.database.write() as connection:
            # While this lock is held no attempt can be recorded: the sender has its 250 but cannot commit it.
            await connection.execute(text("LOCK TABLE attempt IN ACCESS EXCLUSIVE MODE"))
            with await _sender(postgres_installation, tmp_path) as victim:
                await relay.wait_for(1)
                await wait_until(lambda: _journalled(tmp_path))
                victim.kill()
        with await _sender(postgres_installation, tmp_path):
            notification: dict[str, Any] = await api_caller.wait_for_status(client, path, "sent", "unknown")
    assert (notification["status"], notification["uncertain_at"]) == ("sent", None)
    assert (notification["attempts"][0]["outcome"], notification["attempts"][0]["code"]) == ("accepted", 250)
    assert len(relay.received) == 1


@pytest.mark.parametrize("choice", ["resend", "hold"])
async def test_a_mail_with_content_whose_reply_never_came(
    postgres_installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay, tmp_path: Path, choice: str
) -> None:
    """c16: the relay reads the body without a reply and the sender is killed; the next resends or holds the mail."""
    relay.say("ada@example.com", "DOT", HANG)
    own = {"to": "ada@example.com", "content": {"subject": "s", "text": "t"}, "when_uncertain": choice}
    async with postgres_installation.open_client(parts) as client:
        path = (await client.post("/v1/notifications", json=own)).headers["location"]
        with await _sender(postgres_installation, tmp_path) as victim:
            await relay.wait_for_bodies(1)
            victim.kill()
        with await _sender(postgres_installation, tmp_path, SENDER__RESEND_AFTER="1"):
            notification: dict[str, Any] = await api_caller.wait_for_status(
                client, path, "sent" if choice == "resend" else "unknown"
            )
    assert notification["uncertain_at"] is not None
    assert (len(relay.bodies), notification["next_attempt_at"]) == (2 if choice == "resend" else 1, None)


def _journalled(folder: Path) -> bool:
    return any("Accepted" in path.read_text() for path in (folder / "journal").glob("*.journal"))
