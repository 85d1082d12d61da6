"""The watch of a sender process: it wakes the workers of what is due, and no others."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import update
from support.seeded_installation import Installation

from notifier.clock import SystemClock
from notifier.db.engine import Database
from notifier.db.tables import OutboxEntry, get_columns
from notifier.ids import generate_id
from notifier.outbox import entry_store
from notifier.outbox.entry_handler import NewEntry
from notifier.outbox.wakeup import Wakeup
from notifier.outbox.work_watch import WorkWatch
from notifier.states import EntryKind, Priority

_entry = get_columns(OutboxEntry)


async def _enqueue(database: Database, kind: EntryKind, *, due: timedelta, service: UUID | None = None) -> UUID:
    entry = NewEntry(
        id=generate_id(),
        kind=kind,
        subject_id=generate_id(),
        service_id=service or generate_id(),
        priority=Priority.BULK,
        due_at=datetime.now(UTC) + due,
    )
    async with database.write() as connection:
        await entry_store.enqueue_entries(connection, [entry])
    return entry.id


async def _look(database: Database) -> set[EntryKind]:
    """Let a new watch look once; return the kinds that it woke."""
    wakeups = {kind: Wakeup() for kind in EntryKind}
    await WorkWatch(database, wakeups, SystemClock()).look()
    return {kind for kind, wakeup in wakeups.items() if await wakeup.wait(0.0001)}


async def test_only_what_is_due_is_woken(installation: Installation) -> None:
    """Each kind is woken when something of it is due, whichever service it belongs to, and whatever waits before it."""
    async with installation.open_parts() as parts:
        assert await _look(parts.database) == set()
        for kind in EntryKind:
            await _enqueue(parts.database, kind, due=timedelta(hours=1), service=UUID(int=1))
        assert await _look(parts.database) == set()
        for number, kind in enumerate(EntryKind, start=1):
            await _enqueue(parts.database, kind, due=timedelta(seconds=-60))
            assert await _look(parts.database) == set(list(EntryKind)[:number])


@pytest.mark.parametrize("lost", [2, 3])
async def test_a_suspect_is_woken_too(installation: Installation, lost: int) -> None:
    """An entry that must run alone is in another index; the watch sees it as well."""
    async with installation.open_parts() as parts:
        id_ = await _enqueue(parts.database, EntryKind.WEBHOOK, due=timedelta(seconds=-60))
        async with parts.database.write() as connection:
            await connection.execute(update(OutboxEntry).where(_entry.id == id_).values(lost=lost))
        assert await _look(parts.database) == {EntryKind.WEBHOOK}


async def test_followers_are_not_woken(installation: Installation) -> None:
    """Due mail wakes the worker of mail alone: the watch itself sees what is due of other kinds."""
    async with installation.open_parts() as parts:
        await _enqueue(parts.database, EntryKind.EMAIL, due=timedelta(seconds=-60))
        mail, follower = Wakeup(), Wakeup()
        mail.followers.append(follower)
        await WorkWatch(parts.database, {EntryKind.EMAIL: mail}, SystemClock()).look()
        assert (await mail.wait(0.0001), await follower.wait(0.0001)) == (True, False)
