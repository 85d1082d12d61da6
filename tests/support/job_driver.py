"""Drives job runs in tests as a sender does, one claim after the other, and lets the test look in between."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from notifier.audit import Actor
from notifier.clock import SystemClock
from notifier.db.engine import Database
from notifier.db.tables import INSTANCE
from notifier.ids import generate_id
from notifier.jobs import job_store
from notifier.jobs.job_action import JobRunView
from notifier.jobs.job_control import JobActions
from notifier.jobs.job_handler import JobHandler
from notifier.jobs.job_store import NewJobRun
from notifier.outbox import claim_sql, entry_store
from notifier.outbox.entry_handler import BodyPermit, ClaimedEntry, JournalNote, Settlement
from notifier.states import EntryKind, JobKind
from support.queue_driver import claim_of


class SettlementList:
    """The part of the queue that a job handler uses: it remembers how the claims ended."""

    def __init__(self) -> None:
        self.settlements: list[Settlement] = []

    def settle(self, settlement: Settlement) -> None:
        """Remember a settlement."""
        self.settlements.append(settlement)

    def mark(self, entry: ClaimedEntry) -> asyncio.Future[BodyPermit | None]:
        """Refuse: a job marks nothing."""
        raise AssertionError(entry)

    def note(self, entry: ClaimedEntry, note: JournalNote | msgspec.Struct) -> None:
        """Refuse: a job notes nothing."""
        raise AssertionError(entry, note)


@dataclass
class JobDriver:
    """One sender process that works on jobs."""

    database: Database
    actions: JobActions
    ahead: timedelta = timedelta(0)  # so far is its time ahead of the host's
    holder: UUID = field(default_factory=generate_id)

    def __post_init__(self) -> None:
        self.handler = JobHandler(self.database, self.actions, SystemClock())

    @property
    def now(self) -> datetime:
        """The time of this process."""
        return datetime.now(UTC) + self.ahead

    def build_actor(self, name: str = "operator:test") -> Actor:
        """Build who acts in a test."""
        return Actor(name=name, at=self.now)

    async def create_run(self, *, kind: JobKind = JobKind.NOTIFY, **fields: Any) -> JobRunView:
        """Create a run of the instance."""
        new = replace(NewJobRun(service_id=INSTANCE, kind=kind, created_by="operator:test"), **fields)
        async with self.database.write() as connection:
            run = await job_store.create_run(connection, new, self.now)
        assert run is not None
        return run

    async def get_run(self, id_: UUID) -> JobRunView:
        """Get a run as it is stored."""
        async with self.database.read() as connection:
            return await job_store.get_run(connection, id_, None)

    async def claim(self) -> list[ClaimedEntry]:
        """Claim the due entries of jobs."""
        async with self.database.write() as connection:
            backlogs = await claim_sql.list_backlogs(connection, EntryKind.JOB, now=self.now)
            request = replace(claim_of(self.holder, backlogs), kind=EntryKind.JOB)
            return await claim_sql.claim_entries(connection, request, now=self.now)

    async def process(self, entry: ClaimedEntry) -> Settlement:
        """Work on a claim for a turn; return how it ended, which is not written yet."""
        ended = SettlementList()
        await self.handler.process([entry], ended)
        (settlement,) = ended.settlements
        return settlement

    async def settle(self, settlement: Settlement) -> bool:
        """Write how a claim ended; False if the fence did not hold."""
        async with self.database.write() as connection:
            return bool(await entry_store.settle_entries(connection, [settlement], now=self.now))

    async def work(self) -> int:
        """Claim what is due, and work on each for a turn; return how many there were."""
        entries = await self.claim()
        for entry in entries:
            await self.settle(await self.process(entry))
        return len(entries)
