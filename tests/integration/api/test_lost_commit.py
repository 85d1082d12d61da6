"""The reply of a shared commit is lost: each request is retried alone, and none is written twice."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import func, select
from support import attachment_files
from support.seeded_installation import WELCOME, Installation

from notifier.db.direct_connections import StatementConnection
from notifier.db.shared_commit import SharedCommit
from notifier.db.tables import Attachment, NotificationContent
from notifier.errors import DatabaseUnavailableError
from notifier.runtime import wiring
from notifier.submission.new_notification import NewNotification
from notifier.submission.notification_writer import WRITER

PATH = "/v1/notifications"


async def test_what_a_lost_commit_has_written_is_answered_as_written(postgres_installation: Installation) -> None:
    """With or without keys, copies and files: 202 for all, one row each, no replay."""
    async with postgres_installation.open_parts() as parts, postgres_installation.open_client(parts) as client:
        lost = 0

        async def on_postgres(
            connection: StatementConnection, drafts: Sequence[NewNotification], lock_ms: int
        ) -> Sequence[Any]:
            nonlocal lost
            written = await WRITER.on_postgres(connection, drafts, lock_ms)
            if len(drafts) > 1:
                lost += len(drafts)
                raise DatabaseUnavailableError
            return written

        intake = SharedCommit(parts.database, replace(WRITER, on_postgres=on_postgres), on_commit=lambda: None)
        client._transport.app.state.dependencies.submitter._write = intake.submit  # type: ignore[attr-defined]
        bodies: list[tuple[dict[str, Any], dict[str, str]]] = [
            ({}, {}),
            ({"cc": ["bob@example.com"]}, {}),
            ({"cc": ["bob@example.com"]}, {"Idempotency-Key": "a"}),
            ({"attachments": [attachment_files.build_attachment()]}, {"Idempotency-Key": "b"}),
        ]
        sent = (client.post(PATH, json=WELCOME | fields, headers=headers) for fields, headers in bodies)
        replies = await asyncio.gather(*sent)
        assert lost >= 2
        assert [(reply.status_code, "idempotent-replayed" in reply.headers) for reply in replies] == [(202, False)] * 4
        assert len({reply.json()["id"] for reply in replies}) == 4
        assert await _count(parts) == (4, 1)
        again = await client.post(PATH, json=WELCOME | bodies[2][0], headers=bodies[2][1])
        assert (again.json()["id"], again.headers["idempotent-replayed"]) == (replies[2].json()["id"], "true")


async def _count(parts: wiring.ProcessParts) -> tuple[int, ...]:
    """Count the contents and attachments."""
    tables = (NotificationContent, Attachment)
    async with parts.database.read() as connection:
        return tuple([int(await connection.scalar(select(func.count()).select_from(item)) or 0) for item in tables])
