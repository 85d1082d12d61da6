"""Runs job runs to their end in the test's own process, with the real handler and the real queue."""

from asyncio import Future
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from notifier.db.tables import INSTANCE
from notifier.ids import generate_id
from notifier.jobs import job_store
from notifier.jobs.job_action import JobRunView
from notifier.jobs.job_handler import JobHandler
from notifier.jobs.job_store import JobFilter, NewJobRun
from notifier.outbox import claim_sql, entry_store
from notifier.outbox.claim_sql import ClaimRequest, ClaimShare
from notifier.outbox.entry_handler import BodyPermit, ClaimedEntry, JournalNote, Settlement
from notifier.runtime.job_actions import build_job_actions
from notifier.runtime.process_parts import ProcessParts
from notifier.states import EntryKind, JobKind


@dataclass
class JobRunner:
    """One process that works on jobs when it is told to."""

    parts: ProcessParts
    holder: UUID = field(default_factory=generate_id)

    async def begin(
        self,
        kind: JobKind,
        options: Mapping[str, Any],
        planned_at: datetime,
        *,
        service_id: UUID = INSTANCE,
        name: str = "daily",
    ) -> UUID:
        """Begin a run as a schedule does; return its id."""
        new = NewJobRun(
            service_id=service_id,
            kind=kind,
            created_by=f"schedule:{name}",
            options={"zone": "UTC", **options},
            schedule_id=generate_id(),
            schedule_name=name,
            planned_at=planned_at,
        )
        async with self.parts.database.write() as connection:
            run = await job_store.create_run(connection, new, self.parts.clock.now())
        assert run is not None
        return run.id

    async def claim(self) -> list[ClaimedEntry]:
        """Claim all job entries that are due by the clock of the parts."""
        now = self.parts.clock.now()
        async with self.parts.database.write() as connection:
            backlogs = await claim_sql.list_backlogs(connection, EntryKind.JOB, now=now)
            request = ClaimRequest(
                kind=EntryKind.JOB,
                holder=self.holder,
                lease=timedelta(minutes=5),
                started=0.0,
                shares=[ClaimShare(**vars(backlog), share=10, limit=10) for backlog in backlogs],
                capacity=10,
            )
            return await claim_sql.claim_entries(connection, request, now=now)

    async def run_due(self) -> None:
        """Work on all jobs that are due, to their ends."""
        handler = JobHandler(self.parts.database, build_job_actions(self.parts), self.parts.clock)
        while entries := await self.claim():
            worker = _Settlements()
            await handler.process(entries, worker)
            async with self.parts.database.write() as connection:
                await entry_store.settle_entries(connection, worker.settled, now=self.parts.clock.now())

    async def get_run(self, id_: UUID) -> JobRunView:
        """Get a run."""
        async with self.parts.database.read() as connection:
            return await job_store.get_run(connection, id_, None)

    async def list_runs(self) -> list[JobRunView]:
        """List the runs, newest first."""
        async with self.parts.database.read() as connection:
            return await job_store.list_runs(connection, JobFilter(), before=None, limit=100)


class _Settlements:
    """A worker that collects the settlements; jobs are neither marked nor noted in the journal."""

    def __init__(self) -> None:
        self.settled: list[Settlement] = []

    def settle(self, settlement: Settlement) -> None:
        self.settled.append(settlement)

    def mark(self, entry: ClaimedEntry) -> Future[BodyPermit | None]:
        raise AssertionError("a job has no body")

    def note(self, entry: ClaimedEntry, note: JournalNote | msgspec.Struct) -> None:
        raise AssertionError("a job has no journal")
