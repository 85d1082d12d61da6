"""Fills a database by copying rows: years of history, another service's backlog, and arriving mails."""

import asyncio
import time
from dataclasses import dataclass

import asyncpg

from bench.rig.queue_filler import RowCopier, build_row_id

FINISHED, DEFERRED, AHEAD, TRICKLE, WAVE = 1, 2, 3, 4, 16
"""Families of ids; each wave has one of its own, from `WAVE` on."""
LOOK_SECONDS = 0.25
SENDABLE = 300_000
"""Mails of the other service that have a content: more than are sent during the measurement."""
_OTHER_SERVICE = build_row_id(9, 1)
_SENT = "SELECT count(*) FROM notification WHERE id BETWEEN $1::text::uuid AND $2::text::uuid AND status = 'sent'"
_TIMES = """
SELECT min(a.started_at), max(n.updated_at) FROM notification AS n JOIN attempt AS a ON a.notification_id = n.id
WHERE n.id BETWEEN $1::text::uuid AND $2::text::uuid AND n.status = 'sent'
"""


@dataclass(frozen=True, kw_only=True)
class SentMails:
    """The sent mails of a family."""

    count: int
    first: float  # `time.time` at which the first began
    last: float  # and at which the last was settled


@dataclass(frozen=True, kw_only=True)
class FilledDatabase:
    """A database with one sent mail and one waiting mail, from which all others are copied."""

    connection: asyncpg.Connection
    copies: RowCopier
    sent: str  # id of the notification that was sent
    attempt: str
    waiting: str
    entry: str

    @classmethod
    async def of(cls, connection: asyncpg.Connection) -> "FilledDatabase":
        """Find the two mails to copy."""
        copies = await RowCopier.of(connection)
        attempt = await connection.fetchrow("SELECT id, notification_id FROM attempt")
        # It must not change, so no sender may claim it.
        entry = await connection.fetchrow(
            "UPDATE outbox_entry SET due_at = now() + interval '1 year' RETURNING id, subject_id"
        )
        return cls(
            connection=connection,
            copies=copies,
            sent=str(attempt["notification_id"]),
            attempt=str(attempt["id"]),
            waiting=str(entry["subject_id"]),
            entry=str(entry["id"]),
        )

    async def history(self, *, deferred: int, finished: int) -> None:
        """Add sent mails, and others whose next try is tomorrow, all without content."""
        for family, count, status in ((FINISHED, finished, "sent"), (DEFERRED, deferred, "deferred")):
            numbers = range(count)
            await self._notifications(family, numbers, status=f"'{status}'", like=self.sent)
            own = {"id": "{id}", "notification_id": "{id}", "entry_id": "{id}"}
            await self.copies.insert("attempt", self.attempt, family, numbers, **own)
        due = "now() + interval '1 day' + {n} * interval '1 ms'"
        await self._entries(DEFERRED, range(deferred), due_at=due, attempts="1")
        await self.connection.execute("VACUUM (ANALYZE) notification, attempt, outbox_entry", timeout=600)

    async def ahead(self, count: int) -> None:
        """Add another service's mails, which are all due before ours."""
        service = f"'{_OTHER_SERVICE}'::uuid"
        own_id = "(SELECT service_id FROM outbox_entry LIMIT 1)"
        (mine,) = await self.connection.fetchrow(f"SELECT id::text FROM service WHERE id = {own_id}")
        await self.copies.insert("service", mine, 9, range(1, 2), id="{id}", name="'other'")
        await self._notifications(AHEAD, range(count), service_id=service)
        await self._contents(AHEAD, range(min(count, SENDABLE)))
        due = "now() - interval '1 hour' + {n} * interval '1 ms'"
        await self._entries(AHEAD, range(count), service_id=service, due_at=due)
        await self.connection.execute("VACUUM (ANALYZE) notification, outbox_entry", timeout=600)

    async def arrive(self, family: int, numbers: range) -> None:
        """Add mails that are due now, in one commit."""
        async with self.connection.transaction():
            await self._notifications(family, numbers)
            await self._contents(family, numbers)
            await self._entries(family, numbers, due_at="now()")

    async def until_sent(self, family: int, count: int, *, patience: float) -> SentMails:
        """Wait until a number of mails of a family are sent, or until a timeout."""
        until = time.monotonic() + patience
        while True:
            sent = await self.sent_of(family, count)
            if sent.count == count or time.monotonic() > until:
                return sent
            await asyncio.sleep(LOOK_SECONDS)

    async def sent_of(self, family: int, count: int) -> SentMails:
        """Return the mails of a family that are sent by now."""
        ids = build_row_id(family, 0), build_row_id(family, count - 1)
        number = await self.connection.fetchval(_SENT, *ids)
        if number < count:
            now = time.time()
            return SentMails(count=number, first=now, last=now)
        first, last = await self.connection.fetchrow(_TIMES, *ids)
        return SentMails(count=number, first=first.timestamp(), last=last.timestamp())

    async def _notifications(self, family: int, numbers: range, *, like: str | None = None, **changed: str) -> None:
        own = {
            "id": "{id}",
            "recipient": "'user' || {n} || '@example.com'",
            "message_id": "'<' || replace({id}::text, '-', '') || '@instance.example>'",
        }
        await self.copies.insert("notification", like or self.waiting, family, numbers, **own | changed)

    async def _contents(self, family: int, numbers: range) -> None:
        await self.copies.insert("notification_content", self.waiting, family, numbers, notification_id="{id}")

    async def _entries(self, family: int, numbers: range, **changed: str) -> None:
        own = {"id": "{id}", "subject_id": "{id}", "state": "'ready'", "lease_no": "0", "leased_by": "NULL"}
        await self.copies.insert("outbox_entry", self.entry, family, numbers, **own | changed)
