"""The count of due entries by service and priority on SQLite and PostgreSQL."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from support.queue_driver import QueueDriver

from notifier.ids import generate_id
from notifier.outbox import entry_store, queue_counts
from notifier.outbox.entry_handler import NewEntry
from notifier.states import EntryKind, Priority

ONE, OTHER = generate_id(), generate_id()


async def _enqueue(queue: QueueDriver, count: int, service: UUID, priority: Priority, **fields: object) -> None:
    entry = NewEntry(
        id=generate_id(),
        kind=EntryKind.EMAIL,
        subject_id=generate_id(),
        service_id=service,
        priority=priority,
        due_at=queue.now,
    )
    fresh = [replace(entry, id=generate_id(), subject_id=generate_id(), **fields) for _ in range(count)]  # type: ignore[arg-type]
    async with queue.database.write() as connection:
        await entry_store.enqueue_entries(connection, fresh)


async def _waiting(queue: QueueDriver, most: int = 100) -> dict[tuple[Priority, UUID], int]:
    async with queue.database.read() as connection:
        return await queue_counts.count_due(connection, EntryKind.EMAIL, most=most, now=queue.now)


async def test_each_service_and_priority_is_counted_separately(queue: QueueDriver) -> None:
    """Only due mails are counted: no scheduled or leased ones, and no webhooks."""
    await _enqueue(queue, 3, ONE, Priority.NORMAL)
    await _enqueue(queue, 2, ONE, Priority.BULK)
    await _enqueue(queue, 4, OTHER, Priority.NORMAL)
    await _enqueue(queue, 5, OTHER, Priority.HIGH, due_at=queue.now + timedelta(seconds=1))
    await _enqueue(queue, 6, ONE, Priority.HIGH, kind=EntryKind.WEBHOOK)
    expected = {(Priority.NORMAL, ONE): 3, (Priority.BULK, ONE): 2, (Priority.NORMAL, OTHER): 4}
    assert await _waiting(queue) == expected
    queue.later(seconds=1)
    assert await _waiting(queue) == expected | {(Priority.HIGH, OTHER): 5}
    assert len(await queue.claim(100)) == 14
    assert await _waiting(queue) == {}


async def test_each_count_stops_at_the_limit(queue: QueueDriver) -> None:
    """The limit applies to each service and priority."""
    await _enqueue(queue, 9, ONE, Priority.NORMAL)
    await _enqueue(queue, 9, OTHER, Priority.NORMAL)
    assert await _waiting(queue, most=5) == {(Priority.NORMAL, ONE): 5, (Priority.NORMAL, OTHER): 5}
