"""A purge beside people and requests at the same moment: a retry, an upload of the same file, a second publish."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncConnection
from support.aged_rows import DAY, AgedMail, AgedRows
from support.purge_runs import run_purge
from support.seeded_installation import WELCOME, Installation

from notifier.audit import Actor
from notifier.db.engine import Database
from notifier.db.tables import AssetFile, Attachment, NotificationContent, TemplateVersion, get_columns
from notifier.retention.content_purge import ContentPurge
from notifier.retention.file_purge import AssetFilePurge, AttachmentPurge
from notifier.retention.purge_step import PurgeStep
from notifier.retention.retention_policy import RetentionPolicy
from notifier.runtime.process_parts import ProcessParts
from notifier.states import Status
from notifier.status.notification_actions import ContentErasedError, retry_notification

FILE = b"%PDF-1.4 the same file each time"
DIGEST = hashlib.sha256(FILE).digest()
WITH_FILE = WELCOME | {
    "attachments": [
        {"filename": "terms.pdf", "content_type": "application/pdf", "content": base64.b64encode(FILE).decode()}
    ]
}
_attachment = get_columns(Attachment)


@pytest.fixture
async def client(installation: Installation, parts: ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the shop."""
    async with installation.open_client(parts) as caller:
        yield caller


@dataclass(frozen=True)
class Scene:
    """A database on which two transactions write at once; SQLite has one writer."""

    database: Database
    policy: RetentionPolicy
    rows: AgedRows
    client: httpx2.AsyncClient


@pytest.fixture
async def postgres(postgres_installation: Installation) -> AsyncIterator[Scene]:
    """The database, its rules, and a client of the shop."""
    async with postgres_installation.open_parts() as parts, postgres_installation.open_client(parts) as caller:
        policy = RetentionPolicy.from_settings(parts.settings.retention, parts.settings.api)
        yield Scene(parts.database, policy, AgedRows(parts.database), caller)


def _step(policy: RetentionPolicy, now: datetime) -> PurgeStep:
    return PurgeStep(now=now, policy=policy, after=None, limit=100)


async def _retry(connection: AsyncConnection, id_: UUID, now: datetime) -> None:
    await retry_notification(connection, id_, actor=Actor(name="cli:test", at=now), rights=None)


async def test_a_retry_that_is_not_committed_yet_keeps_the_content(postgres: Scene, now: datetime) -> None:
    """The purge waits for the retry of a mail, sees that it is queued, and leaves its content."""
    database, policy, rows = postgres.database, postgres.policy, postgres.rows
    mail = await rows.add_mail(
        AgedMail(service_id=await rows.get_service(), ended_at=now - 8 * DAY, status=Status.FAILED)
    )

    async def purge() -> None:
        async with database.write() as connection:
            await ContentPurge().apply(connection, _step(policy, now), None)

    async with database.write() as connection:
        await _retry(connection, mail, now)
        purging = asyncio.create_task(purge())
        done, _ = await asyncio.wait({purging}, timeout=0.3)
        assert not done
    await purging
    assert await rows.list_ids(NotificationContent, "notification_id") == {mail}


async def test_a_retry_behind_the_purge_is_refused(postgres: Scene, now: datetime) -> None:
    """A retry waits for a purge that has begun, and then says that the content is erased."""
    database, policy, rows = postgres.database, postgres.policy, postgres.rows
    mail = await rows.add_mail(
        AgedMail(service_id=await rows.get_service(), ended_at=now - 8 * DAY, status=Status.FAILED)
    )

    async def retry() -> None:
        async with database.write() as connection:
            await _retry(connection, mail, now)

    async with database.write() as connection:
        await ContentPurge().apply(connection, _step(policy, now), None)
        retrying = asyncio.create_task(retry())
        done, _ = await asyncio.wait({retrying}, timeout=0.3)
        assert not done
    with pytest.raises(ContentErasedError):
        await retrying


async def _write_old_file(database: Database, now: datetime) -> None:
    async with database.write() as connection:
        row = {"sha256": DIGEST, "octets": FILE, "created_at": now - 100 * DAY}
        await connection.execute(insert(Attachment).values(row))


async def test_a_file_that_is_named_between_look_and_deletion_is_kept(
    rows: AgedRows, database: Database, policy: RetentionPolicy, client: httpx2.AsyncClient, now: datetime
) -> None:
    """A request names an old file after the purge found that nothing names it: the file is kept."""
    await _write_old_file(database, now)
    purge, step = AttachmentPurge(database), _step(policy, now)
    prepared = await purge.prepare(step)
    assert prepared[0] == [DIGEST]
    assert (await client.post("/v1/notifications", json=WITH_FILE)).status_code == 202
    async with database.write() as connection:
        progress = await purge.apply(connection, step, prepared)
    assert progress.counts == {"attachments": 0}
    assert await rows.list_ids(Attachment, "sha256") == {DIGEST}


async def test_a_file_that_is_deleted_at_the_moment_of_a_request_is_written_again(
    postgres: Scene, now: datetime
) -> None:
    """A request that names a file while its deletion is not committed waits, and stores its own copy."""
    database, policy, rows = postgres.database, postgres.policy, postgres.rows
    await _write_old_file(database, now)
    purge, step = AttachmentPurge(database), _step(policy, now)
    prepared = await purge.prepare(step)
    async with database.write() as connection:
        await purge.apply(connection, step, prepared)
        posting = asyncio.create_task(postgres.client.post("/v1/notifications", json=WITH_FILE))
        await asyncio.wait({posting}, timeout=0.3)
    assert (await posting).status_code == 202
    assert await rows.list_ids(Attachment, "sha256") == {DIGEST}


async def test_named_files_are_never_removed(
    rows: AgedRows, database: Database, policy: RetentionPolicy, client: httpx2.AsyncClient, now: datetime
) -> None:
    """An attachment is kept as long as a content names it, and goes a day after its last one."""
    reply = await client.post("/v1/notifications", json=WITH_FILE)
    mail = reply.json()["id"]
    async with database.write() as connection:
        await connection.execute(update(Attachment).values(created_at=now - 100 * DAY))
    await run_purge(database, policy, now)
    assert await rows.list_ids(Attachment, "sha256") == {DIGEST}
    assert (await client.post(f"/v1/notifications/{mail}/cancel")).status_code == 200
    await run_purge(database, policy, now + 8 * DAY)
    assert await rows.list_ids(Attachment, "sha256") == set()


async def test_image_files_of_versions_and_images_are_never_removed(
    rows: AgedRows, database: Database, policy: RetentionPolicy, now: datetime
) -> None:
    """A converted image goes only if neither an image nor any version, however old, names it."""
    version = await rows.add_version("pictures", now - 900 * DAY)
    pinned, unnamed, young = (bytes([number]) * 32 for number in (1, 2, 3))
    columns = get_columns(TemplateVersion)
    source = {"files": {}, "sample": {}, "settings": {"name": "A"}, "assets": {"logo": {"sha256": pinned.hex()}}}
    async with database.write() as connection:
        for digest, age in ((pinned, 900 * DAY), (unnamed, 2 * DAY), (young, timedelta(hours=1))):
            row = {"sha256": digest, "content_type": "image/png", "octets": b"x", "created_at": now - age}
            await connection.execute(insert(AssetFile).values(row))
        await connection.execute(update(TemplateVersion).where(columns.id == version).values(source=source))
    purge, step = AssetFilePurge(database), _step(policy, now)
    async with database.write() as connection:
        await purge.apply(connection, step, await purge.prepare(step))
    assert await rows.list_ids(AssetFile, "sha256") == {pinned, young}
