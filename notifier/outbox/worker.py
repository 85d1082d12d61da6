"""The worker: the loop that claims due entries and passes them to the handler, and stops gracefully.

An entry is in at most one batch of this process. A suspect runs alone until its mark. A stop releases the entries whose
bodies have not begun.
"""

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import msgspec

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError
from notifier.outbox.claimer import Claimer, Quarantine
from notifier.outbox.entry_handler import (
    BodyPermit,
    ClaimedEntry,
    Handler,
    JournalNote,
    ReleaseEntry,
    RescheduleEntry,
    Settlement,
)
from notifier.outbox.heartbeat import DepartureCounter, SenderIdentity
from notifier.outbox.marker import Marker
from notifier.outbox.rescuer import Rescuer
from notifier.outbox.settler import Settler
from notifier.outbox.wakeup import Wakeup
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger

MAX_PREFETCH = 500
MIN_FREE_DIVISOR = 4
"""A busy process claims again when this part of its prefetch, as a divisor, is free."""
POLL_SECONDS = (0.05, 0.1, 0.2, 0.5)
"""Waits between empty claims; the last one repeats. A wake-up ends any of them."""
IDLE_POLL_SECONDS = 1.0
"""The last wait where other processes send wake-ups: then polling is needed only for entries that become due later."""
WATCHED_POLL_SECONDS = 30.0
"""The last wait where a `WorkWatch` asks for all workers of the process."""
UNSETTLED_DELAY = timedelta(minutes=1)
STOP_TIMEOUT_SECONDS = 10.0
"""Seconds that a stop waits for the database once nothing is in flight."""
DATABASE_RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0)


class Worker:
    """Claims and processes entries of one kind until told to stop; it is its handler's `WorkerContext`."""

    def __init__(
        self,
        database: Database,
        handler: Handler,
        *,
        holder: SenderIdentity,
        rescuer: Rescuer,
        clock: Clock,
        wake: Wakeup,
    ) -> None:
        self._database = database
        self._handler = handler
        self._holder = holder
        self._clock = clock
        self._wake = wake
        metrics.CLAIMED.labels(handler.kind)  # created now, so that it is shown as 0 until something is claimed
        self._claimer = Claimer(database, handler, holder=holder, clock=clock)
        self._marker = Marker(
            database,
            handler,
            holder=holder,
            clock=clock,
            accept_mark=self._accept_mark,
            count_entries=lambda: len(self._entries),
        )
        self._settler = Settler(database, handler, on_written=self._on_written, is_busy=self._is_full)
        self._rescuer = rescuer  # one for all workers of the process, run by that of the leading handler
        self._leads = rescuer.leading_handler is handler
        self._quarantine = Quarantine(clock)
        self._entries: dict[UUID, ClaimedEntry] = {}  # in this process, not settled
        self._marked: set[UUID] = set()  # those of them whose bodies may have begun
        self._batches: set[asyncio.Task[None]] = set()
        self._departures = DepartureCounter(clock)
        self._stopping = False
        self.stop_timeout = STOP_TIMEOUT_SECONDS
        self._drained = asyncio.Event()
        self._drain_calls = 0  # a claim that began before the last call does not count
        self._log = get_logger()

    def stop(self) -> None:
        """Make no new claims; `run` returns when all entries have been settled."""
        self._stopping = True
        self._wake()

    async def run(self) -> None:
        """Work until stopped, then settle all entries."""
        settling = asyncio.create_task(self._settler.run())
        while not self._stopping and not await self._has_rescued():  # before our own leases could be among the lost
            await self._wake.wait(DATABASE_RETRY_SECONDS[0])
        rescuing = [asyncio.create_task(self._rescuer.run())] if self._leads else []
        try:
            await self._claim_until_stopped()
            await self._claimer.close()
            await asyncio.gather(*self._batches, return_exceptions=True)
        finally:
            self._settler.close()
            if self._leads:
                self._rescuer.stop()
            await self._finish(settling, *rescuing)

    async def _has_rescued(self) -> bool:
        """Return True once the work that dead processes left here was taken over."""
        return await self._rescuer.start() if self._leads else self._rescuer.has_started.is_set()

    async def _finish(self, *tasks: asyncio.Task[None]) -> None:
        """Wait until all is written; without a database only for a while, because the journal has the replies."""
        _, late = await asyncio.wait(tasks, timeout=self.stop_timeout)
        if late:
            self._log.error("stopped_without_database", count=len(self._settler.unwritten))
            for task in late:
                task.cancel()
            await asyncio.wait(late)

    async def drain(self) -> None:
        """Return once a claim made from now on found nothing due and this process holds nothing."""
        self._drain_calls += 1
        self._drained.clear()
        self._wake()
        await self._drained.wait()

    # -- the handler's context --------------------------------------------------------------------

    def settle(self, settlement: Settlement) -> None:
        """Report how a claim ended."""
        self._forget(settlement.entry.id)
        self._settler.add(settlement)

    def mark(self, entry: ClaimedEntry) -> asyncio.Future[BodyPermit | None]:
        """Ask for permission to begin the body; the result is None if it must not begin."""
        return self._marker.mark(entry)

    def _accept_mark(self, entry: ClaimedEntry) -> bool:
        """Record a committed mark; return False if the entry has left this process in the meantime."""
        if self._entries.get(entry.id) is not entry:
            return False
        self._marked.add(entry.id)
        self._quarantine.clear(entry.id)
        return True

    def note(self, entry: ClaimedEntry, note: JournalNote | msgspec.Struct) -> None:
        """Write a definite reply to the journal, which survives a kill."""
        self._holder.journal.append(entry, note)

    # -- claiming ---------------------------------------------------------------------------------

    async def _claim_until_stopped(self) -> None:
        idle = failed = 0
        while not self._stopping:
            try:
                claimed = await self._claim_next()
            except DatabaseUnavailableError as error:
                if failed == 0:
                    self._log.warning("claim_waits_for_database", reason=error.reason)
                await self._wake.wait(DATABASE_RETRY_SECONDS[min(failed, len(DATABASE_RETRY_SECONDS) - 1)])
                failed += 1
                continue
            except Exception as error:  # noqa: BLE001 - whatever happens, the queue must still be claimed from
                self._log.exception("claim_failed", error=type(error).__name__)
                await self._wake.wait(DATABASE_RETRY_SECONDS[-1])
                continue
            failed = 0
            if claimed:
                idle = 0
                self._begin(claimed)
                continue
            pause = POLL_SECONDS[idle] if idle < len(POLL_SECONDS) else self._get_longest_wait()
            woken = await self._wake.wait(pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
            idle = 0 if woken else idle + 1

    def _get_longest_wait(self) -> float:
        if self._wake.is_watched:
            return WATCHED_POLL_SECONDS
        return IDLE_POLL_SECONDS if self._wake.hears_others else POLL_SECONDS[-1]

    async def _claim_next(self) -> list[ClaimedEntry]:
        """Claim a suspect if one is due and nothing else is here; else as much as there is capacity for."""
        capacity, is_empty = self._get_capacity(), not self._entries and not self._settler.unwritten
        drain_calls = self._drain_calls
        if capacity <= 0:
            return []
        if self._quarantine.is_check_due():
            self._quarantine.record_check(are_due=await self._claimer.has_due_suspect())
        if self._quarantine.is_active:
            return await self._claim_suspect()
        claimed = await self._claimer.claim(capacity, self._entries, self._list_unwritten())
        # `is_empty` is from before the claim: one that was made with full slots may have asked for nothing.
        finished = not claimed and is_empty and self._claimer.is_backlog_empty
        finished = finished and not self._drained.is_set() and not await self._claimer.has_due_suspect()
        if finished and drain_calls == self._drain_calls:
            self._drained.set()
        return claimed

    async def _claim_suspect(self) -> list[ClaimedEntry]:
        if self._quarantine.isolated_id is not None:
            return []
        if len(self._entries) > len(self._marked):  # a marked entry cannot be blamed for a loss any more
            self._quarantine.give_up_if_late()
            return []
        claimed = await self._claimer.claim_suspect(self._entries, self._list_unwritten())
        self._quarantine.record_claim([entry.id for entry in claimed])
        return claimed

    def _is_full(self) -> bool:
        return len(self._entries) >= self._handler.slots

    def _list_unwritten(self) -> list[UUID]:
        return [id_ for id_, _ in self._settler.unwritten]

    def _get_capacity(self) -> int:
        """Return how many entries are worth claiming: the free slots, and what this process sends in a second.

        Unwritten settlements take capacity, so that a slow database is not given more; without a journal there is none.
        While every slot is busy the process waits until it can claim many, because each claim costs a commit.
        """
        if not self._holder.journal.is_writable:
            return 0
        count, slots = len(self._entries), self._handler.slots
        prefetch = min(MAX_PREFETCH, slots + self._departures.per_second())
        backlog = max(0, len(self._settler.unwritten) - slots)
        capacity = min(self._handler.get_capacity(), prefetch - backlog) - count
        return capacity if count < slots or capacity * MIN_FREE_DIVISOR >= prefetch else 0

    # -- working ----------------------------------------------------------------------------------

    def _begin(self, claimed: Sequence[ClaimedEntry]) -> None:
        self._entries.update((entry.id, entry) for entry in claimed)
        # Entries with attempts may have been held or closed late: they do not tell how long others had to wait.
        if self._leads and (due_times := [entry.due_at for entry in claimed if not entry.attempts]):
            waited = (self._clock.now() - min(due_times)).total_seconds()
            self._holder.throughput.record_waiting_time(waited, self._clock.monotonic())
        metrics.CLAIMED.labels(self._handler.kind).inc(len(claimed))
        metrics.IN_PROCESS.labels(self._handler.kind).set(len(self._entries))
        task = asyncio.create_task(self._process(claimed))
        self._batches.add(task)
        task.add_done_callback(self._batches.discard)

    async def _process(self, claimed: Sequence[ClaimedEntry]) -> None:
        delay = timedelta(0)
        try:
            await self._handler.process(claimed, self)
        except DatabaseUnavailableError:
            self._log.warning("batch_waits_for_database", count=len(claimed))
        except Exception as error:  # noqa: BLE001 - the worker outlives any batch
            self._log.exception("batch_failed", error=type(error).__name__, count=len(claimed))
            delay = UNSETTLED_DELAY
        for entry in claimed:
            if self._entries.get(entry.id) is not entry:
                continue
            if entry.id in self._marked:  # the body may have left: its lease expires, and it is rescued as uncertain
                self._log.error("marked_and_unsettled", entry_id=str(entry.id))
                self._forget(entry.id)
            else:  # the handler did not settle it: try it again later
                self.settle(Settlement(entry=entry, action=RescheduleEntry(delay=delay, attempts=entry.attempts)))

    def _forget(self, id_: UUID) -> None:
        self._entries.pop(id_, None)
        self._marked.discard(id_)
        self._quarantine.clear(id_)

    def _on_written(self, written: Sequence[Settlement]) -> None:
        for settlement in written:
            self._holder.journal.drop_settled(settlement.entry)
        self._departures.add(len(written))
        if self._leads:
            departed = sum(not isinstance(settlement.action, ReleaseEntry) for settlement in written)
            self._holder.throughput.record_departures(departed, self._clock.monotonic())
        metrics.IN_PROCESS.labels(self._handler.kind).set(len(self._entries))
        self._wake()
