"""The ticker: each second a sender looks which schedules are due, moves them to their next time, and writes the runs.

There is no leader. Any number of senders look at once: whoever moves `next_at` from the old value to the new one writes
the runs in the same transaction, and a run is unique for its schedule and planned time.
"""

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Actor
from notifier.clock import Clock
from notifier.db.dialect import insert_if_absent
from notifier.db.engine import Database
from notifier.db.tables import INSTANCE, Schedule, get_columns
from notifier.errors import DatabaseUnavailableError
from notifier.ids import generate_id
from notifier.job_states import CatchUp, Overlap, SkipReason
from notifier.jobs import job_store, timing
from notifier.jobs.schedule_store import ScheduleView, build_new_run
from notifier.jobs.timing import DueTimes
from notifier.outbox.wakeup import Wakeup
from notifier.states import JobKind
from notifier.telemetry.logging import get_logger

TICK_SECONDS = 1.0
MAX_SCHEDULES_PER_TICK = 50
FAILED_PAUSE_SECONDS = 60.0
"""How long a process leaves a schedule alone whose runs it could not write."""
BUILT_IN_SCHEDULES = (("purge", "0 0 * * *", JobKind.PURGE), ("statistics", "every 1m", JobKind.STATISTICS))
"""The schedules that exist from the first start: name, timing, action."""
_schedule = get_columns(Schedule)


class ScheduleTicker:
    """Begins the runs of schedules in one process, until told to stop."""

    def __init__(
        self, database: Database, clock: Clock, wake: Wakeup, *, built_in: Collection[JobKind] = frozenset()
    ) -> None:
        self._database = database
        self._clock = clock
        self._wake = wake  # of the worker of jobs
        self._missing = set(built_in)  # the built-in schedules that may not exist yet
        self._failed: dict[UUID, float] = {}  # schedules whose runs could not be written: left alone until then
        self._stopping = asyncio.Event()
        self._log = get_logger()

    def stop(self) -> None:
        """Let `run` return."""
        self._stopping.set()

    async def run(self) -> None:
        """Look once a second."""
        while not self._stopping.is_set():
            try:
                await self.tick()
            except DatabaseUnavailableError:
                pass  # the workers report it; the times are caught up
            except Exception as error:  # noqa: BLE001 - whatever one schedule raises, the others must go on
                self._log.exception("schedules_failed", error=type(error).__name__)
            try:
                async with asyncio.timeout(TICK_SECONDS):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    async def tick(self) -> int:
        """Begin the runs that are due now; return how many."""
        now, begun = self._clock.now(), 0
        if self._missing:
            await create_built_in_schedules(self._database, self._missing, now)
            self._missing = set()
        for id_ in await self._list_due(now):
            try:
                async with self._database.write() as connection:
                    begun += await self._begin_runs(connection, id_, now)
            except DatabaseUnavailableError:
                raise
            except Exception as error:  # noqa: BLE001 - one bad schedule must not stop the others
                self._failed[id_] = self._clock.monotonic() + FAILED_PAUSE_SECONDS
                self._log.exception("schedule_failed", schedule_id=str(id_), error=type(error).__name__)
        if begun:
            self._wake()
        return begun

    async def _list_due(self, now: datetime) -> Sequence[UUID]:
        query = select(_schedule.id).where(_schedule.next_at <= now)
        self._failed = {id_: until for id_, until in self._failed.items() if until > self._clock.monotonic()}
        if self._failed:
            query = query.where(_schedule.id.not_in(self._failed))
        query = query.order_by(_schedule.next_at).limit(MAX_SCHEDULES_PER_TICK)
        async with self._database.read() as connection:
            return (await connection.execute(query)).scalars().all()

    async def _begin_runs(self, connection: AsyncConnection, id_: UUID, now: datetime) -> int:
        query = select(*_schedule).where(_schedule.id == id_, _schedule.next_at <= now)
        row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            return 0
        schedule = ScheduleView(**{name: row[name] for name in ScheduleView.__dataclass_fields__})
        if schedule.next_at is None:
            return 0
        times = timing.parse_timing(schedule.timing, schedule.zone)
        due = timing.find_due_times(times, schedule.next_at, now, schedule.catch_up)
        unchanged = (_schedule.next_at == schedule.next_at, _schedule.revision == schedule.revision, _schedule.enabled)
        moved = update(Schedule).where(_schedule.id == id_, *unchanged).values(next_at=due.next_at)
        if (await connection.execute(moved.returning(_schedule.id))).first() is None:
            return 0  # another sender was first, or a person has changed it: the next look sees the new one
        begun = 0
        for planned_at in await self._leave_out_skipped(connection, schedule, due, now):
            actor = Actor(name=f"schedule:{schedule.name}", at=planned_at)
            begun += await job_store.create_run(connection, build_new_run(schedule, actor), now) is not None
        return begun

    async def _leave_out_skipped(
        self, connection: AsyncConnection, schedule: ScheduleView, due: DueTimes, now: datetime
    ) -> list[datetime]:
        """List the times that get a run, and note the others. With `all`, a missed time is never skipped."""
        if due.last_skipped_at is not None:
            await self._note_skip(connection, schedule, SkipReason.CATCH_UP, due.last_skipped_at, due.skipped)
        wanted: list[datetime] = []
        is_open = schedule.overlap is Overlap.SKIP and await job_store.has_open_run(connection, schedule.id)
        for planned_at in due.planned:
            is_caught_up = schedule.catch_up is CatchUp.ALL and now - planned_at > timing.MISSED_AFTER
            if is_open and not is_caught_up:
                await self._note_skip(connection, schedule, SkipReason.OVERLAP, planned_at, 1)
            else:
                wanted.append(planned_at)
        return wanted

    async def _note_skip(
        self, connection: AsyncConnection, schedule: ScheduleView, reason: SkipReason, last: datetime, count: int
    ) -> None:
        """Note in the schedule, and in the log, that times got no run."""
        values = {"last_skipped_at": last, "skipped_reason": reason, "skipped_count": _schedule.skipped_count + count}
        await connection.execute(update(Schedule).where(_schedule.id == schedule.id).values(values))
        self._log.info("schedule_skipped", schedule=schedule.name, reason=reason, count=count)


async def create_built_in_schedules(database: Database, kinds: Collection[JobKind], now: datetime) -> None:
    """Create the built-in schedules of these kinds that do not exist yet."""
    for name, text, kind in BUILT_IN_SCHEDULES:
        if kind not in kinds:
            continue
        row = {
            "id": generate_id(),
            "service_id": INSTANCE,
            "name": name,
            "timing": text,
            "zone": "UTC",
            "kind": kind,
            "options": {},
            "catch_up": CatchUp.ONE,
            "overlap": Overlap.SKIP,
            "enabled": True,
            "built_in": True,
            "next_at": timing.parse_timing(text, "UTC").get_next(now),
            "skipped_count": 0,
            "revision": 1,
            "created_by": "notifier",
            "created_at": now,
            "updated_by": "notifier",
            "updated_at": now,
        }
        async with database.write() as connection:
            await insert_if_absent(connection, Schedule, row)
