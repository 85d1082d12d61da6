"""Once a pause or cancellation of a merge is answered, no body of its mails is permitted that was not before."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from sqlalchemy import select, update
from support import marketing_template, merge_story, notifier_process
from support.crashed_sender import CrashedSender
from support.merge_story import build_csv, build_rows, check_file, start_merge
from support.polling import poll_until
from support.seeded_installation import Installation

from notifier.db.tables import OutboxEntry, get_columns
from notifier.outbox import entry_store
from notifier.outbox.entry_handler import ClaimedEntry
from notifier.runtime import wiring
from notifier.states import EntryKind
from notifier.status.batch_cancellation import MAX_CANCEL_ROWS

ROWS, CLAIMED = MAX_CANCEL_ROWS + 20, 10
"""More rows than a cancellation withdraws in its own transaction; the last ones are claimed."""
_entry = get_columns(OutboxEntry)
Stop = Callable[[str, str], Awaitable[None]]


async def _write_mails(client: httpx2.AsyncClient, parts: wiring.ProcessParts) -> tuple[str, str]:
    """Start a merge whose mails are queued for later; return its path and its job."""
    async with wiring.run_sender(parts):
        path, _ = await check_file(client, build_csv(build_rows(ROWS)))
        merge = await start_merge(client, path, send_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())

        async def are_written() -> bool:
            return await merge_story.count_written(parts.database, path) == ROWS

        await poll_until(are_written)
    return path, str(merge["job_id"])


@asynccontextmanager
async def _claim_last(
    parts: wiring.ProcessParts, installation: Installation
) -> AsyncIterator[tuple[CrashedSender, list[ClaimedEntry]]]:
    """Let a sender claim the last mails."""
    newest = select(_entry.id).where(_entry.kind == EntryKind.EMAIL).order_by(_entry.subject_id.desc()).limit(CLAIMED)
    async with parts.database.write() as connection:
        ids = (await connection.execute(newest)).scalars().all()
        early = datetime.now(UTC) - timedelta(hours=1)
        await connection.execute(update(OutboxEntry).where(_entry.id.in_(ids)).values(due_at=early))
    sender = CrashedSender(parts.database, installation.settings.data_dir / "journal")
    claimed = await sender.claim()
    assert len(claimed) == CLAIMED
    yield sender, claimed
    sender.die()


async def _stop_by_api(
    client: httpx2.AsyncClient, installation: Installation, parts: wiring.ProcessParts, path: str, act: str
) -> None:
    caller = client
    if path.startswith("/v1/jobs/"):
        key = await marketing_template.create_marketing_key(parts, "shop")
        async with installation.open_client(parts, key) as caller:
            reply = await caller.post(f"{path}/{act}")
    else:
        reply = await caller.post(f"{path}/{act}")
    assert reply.status_code == 200, reply.text


@pytest.mark.parametrize("act", ["pause", "cancel"])
@pytest.mark.parametrize("route", ["merge", "job"])
async def test_what_was_claimed_and_has_not_begun_is_taken_back(
    client: httpx2.AsyncClient, installation: Installation, parts: wiring.ProcessParts, route: str, act: str
) -> None:
    """A mark that did not see the flag yet finds that its lease is gone; the mails that were marked stay."""
    path, job_id = await _write_mails(client, parts)
    async with _claim_last(parts, installation) as (sender, claimed):
        begun, rest = claimed[:3], claimed[3:]
        await sender.mark(begun)
        await _stop_by_api(client, installation, parts, path if route == "merge" else f"/v1/jobs/{job_id}", act)
        async with parts.database.write() as connection:
            assert await entry_store.mark_entries(connection, sender.boot_id, rest) == set()
            held = select(_entry.id).where(_entry.leased_by == sender.boot_id)
            assert set((await connection.execute(held)).scalars()) == {entry.id for entry in begun}


@pytest.mark.parametrize("act", ["pause", "cancel"])
async def test_the_command_takes_them_back_as_well(postgres_installation: Installation, act: str) -> None:
    """`notifier jobs pause` and `cancel` return when no body can begin any more."""
    installation = postgres_installation
    env = notifier_process.build_environment(
        installation.settings.data_dir, DATABASE_URL=installation.settings.effective_database_url
    )
    async with installation.open_parts() as parts, installation.open_client(parts) as client:
        _, job_id = await _write_mails(client, parts)
        async with _claim_last(parts, installation) as (sender, claimed):
            await asyncio.to_thread(notifier_process.run_notifier, "jobs", act, job_id, env=env)
            async with parts.database.write() as connection:
                assert await entry_store.mark_entries(connection, sender.boot_id, claimed) == set()
