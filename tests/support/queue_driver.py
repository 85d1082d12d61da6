"""Drives the outbox in tests: enqueue, claim, settle and rescue at a time that the test chooses."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import select

from notifier.db.engine import Database
from notifier.db.tables import OutboxEntry, get_columns
from notifier.ids import generate_id
from notifier.outbox import claim_sql, entry_store, queue_counts
from notifier.outbox.claim_sql import ClaimRequest, ClaimShare, ServiceBacklog
from notifier.outbox.entry_handler import ClaimedEntry, Fence, FinishEntry, LostClaim, NewEntry, Settlement
from notifier.outbox.entry_store import LeaseSelection
from notifier.states import EntryKind, EntryState, Priority

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
LEASE = timedelta(minutes=5)
OVERRUN = LeaseSelection(kind=EntryKind.EMAIL)
ALL = LeaseSelection(kind=EntryKind.EMAIL, all=True)
_entry = get_columns(OutboxEntry)


@dataclass
class QueueDriver:
    """One process's view of the queue."""

    database: Database
    now: datetime = START
    holder: UUID = field(default_factory=generate_id)

    def later(self, **delta: float) -> None:
        """Advance the time."""
        self.now += timedelta(**delta)

    async def enqueue(self, *, priority: Priority = Priority.NORMAL, due: timedelta = timedelta(0)) -> NewEntry:
        """Add an entry that is due `due` from now."""
        entry = NewEntry(
            id=generate_id(),
            kind=EntryKind.EMAIL,
            subject_id=generate_id(),
            service_id=generate_id(),
            priority=priority,
            due_at=self.now + due,
        )
        async with self.database.write() as connection:
            await entry_store.enqueue_entries(connection, [entry])
        return entry

    async def claim(self, capacity: int = 10, *, suspects: bool = False, **share: int) -> list[ClaimedEntry]:
        """Claim up to `capacity`; `share` limits a priority."""
        async with self.database.write() as connection:
            if suspects:
                return await claim_sql.claim_suspect(connection, claim_of(self.holder), now=self.now)
            backlogs = await claim_sql.list_backlogs(connection, EntryKind.EMAIL, now=self.now)
            request = claim_of(self.holder, backlogs, capacity, **share)
            return await claim_sql.claim_entries(connection, request, now=self.now)

    async def settle(self, *settlements: Settlement) -> list[Settlement]:
        """Settle, and return the entries whose fence held."""
        async with self.database.write() as connection:
            return await entry_store.settle_entries(connection, settlements, now=self.now)

    async def finish(self, *entries: ClaimedEntry) -> list[Settlement]:
        """Settle as done."""
        return await self.settle(*(Settlement(entry=entry, action=FinishEntry()) for entry in entries))

    async def rescue(self, selection: LeaseSelection = OVERRUN) -> int:
        """Make the unmarked entries of the selected leases ready; by default of the expired ones."""
        async with self.database.write() as connection:
            return await entry_store.rescue_unmarked(connection, selection, now=self.now)

    async def lost(self, selection: LeaseSelection = OVERRUN) -> list[LostClaim]:
        """Return the lost claims that the handler must decide about; by default of the expired leases."""
        async with self.database.write() as connection:
            return await entry_store.lock_lost_claims(connection, selection, now=self.now)

    async def overdue(self) -> bool:
        """True if some lease has expired."""
        async with self.database.read() as connection:
            return EntryKind.EMAIL in (await entry_store.list_overdue(connection, now=self.now))[0]

    async def mark(self, *entries: ClaimedEntry) -> set[Fence]:
        """Mark the entries; return the fences of those that were marked."""
        async with self.database.write() as connection:
            return await entry_store.mark_entries(connection, self.holder, entries, now=self.now)

    async def states(self) -> dict[EntryState, int]:
        """Count the entries in each state."""
        async with self.database.read() as connection:
            return await queue_counts.count_by_state(connection)

    async def row(self, id_: UUID) -> OutboxEntry | None:
        """Get the row of an entry."""
        async with self.database.read() as connection:
            row = (await connection.execute(select(OutboxEntry).where(_entry.id == id_))).mappings().one_or_none()
        return OutboxEntry(**row) if row else None


def claim_of(holder: UUID, backlogs: Sequence[ServiceBacklog] = (), capacity: int = 10, **share: int) -> ClaimRequest:
    """Build a request for all that is due, up to `capacity`."""
    shares = [
        ClaimShare(**vars(backlog), share=share.get(backlog.priority.value, capacity), limit=capacity)
        for backlog in backlogs
    ]
    return ClaimRequest(
        kind=EntryKind.EMAIL,
        holder=holder,
        lease=LEASE,
        started=0.0,
        shares=shares,
        capacity=capacity,
        reserve=max(1, capacity // 20),
    )


def ids(entries: Sequence[ClaimedEntry | NewEntry]) -> list[UUID]:
    """Get the ids of the entries."""
    return [entry.id for entry in entries]
