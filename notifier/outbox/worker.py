"""The loop of a sender: claim what is due, hand it to the handler, have the dead looked after; stop gracefully.

It promises that an entry is in at most one batch of this process, that one which may be deadly is alone until its mark,
and that stopping releases what was not begun.
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
from notifier.outbox.claimer import Claimer
from notifier.outbox.handler import (
    BodyPermit,
    ClaimedEntry,
    Handler,
    JournalNote,
    ReleaseEntry,
    RescheduleEntry,
    Settlement,
)
from notifier.outbox.marker import Marker
from notifier.outbox.quarantine import Quarantine
from notifier.outbox.rate import DepartureCounter
from notifier.outbox.rescuer import Rescuer
from notifier.outbox.sender_identity import SenderIdentity
from notifier.outbox.settler import Settler
from notifier.outbox.wake import Wakeup
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger

MAX_PREFETCH = 500
MIN_FREE_DIVISOR = 4
"""The part of its prefetch, as a divisor, that must be free before a busy process claims again."""
POLL_SECONDS = (0.05, 0.1, 0.2, 0.5)
"""Waits between empty claims; the last one repeats. A wake-up ends any of them."""
IDLE_POLL_SECONDS = 1.0
"""The last one where hints arrive: then polling only finds what becomes due by time."""
UNSETTLED_DELAY = timedelta(minutes=1)
STOP_TIMEOUT_SECONDS = 10.0
"""Seconds that a stop waits for the database, once nothing is in flight any more."""
DATABASE_RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0)


class Worker:
    """Claims and processes entries of one kind until told to stop; the `Desk` of its handler."""

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
        metrics.CLAIMED.labels(handler.kind)  # from the start, so that nothing claimed is a nought
        self._claimer = Claimer(database, handler, holder=holder, clock=clock)
        self._marker = Marker(
            database, handler, holder=holder, clock=clock, granted=self._granted, inside=lambda: len(self._inside)
        )
        self._settler = Settler(database, handler, written=self._left, busy=self._is_full)
        self._rescuer = rescuer  # one for all workers of the process; that of the leading handler runs it
        self._leads = rescuer.leading_handler is handler
        self._suspicion = Quarantine(clock)
        self._inside: dict[UUID, ClaimedEntry] = {}
        self._marked: set[UUID] = set()  # of those inside: their bodies may have begun
        self._batches: set[asyncio.Task[None]] = set()
        self._rate = DepartureCounter(clock)
        self._stopping = False
        self.stop_timeout = STOP_TIMEOUT_SECONDS
        self._drained = asyncio.Event()
        self._drains = 0  # how often it was asked: a claim that was under way then proves nothing
        self._log = get_logger()

    def stop(self) -> None:
        """Make no new claims; `run` returns when what is inside has been settled."""
        self._stopping = True
        self._wake()

    async def run(self) -> None:
        """Work until stopped, then settle what is inside."""
        settling = asyncio.create_task(self._settler.run())
        while not self._stopping and not await self._has_rescued():  # before our own leases could be among them
            await self._wake.wait(DATABASE_RETRY_SECONDS[0])
        rescuing = [asyncio.create_task(self._rescuer.run())] if self._leads else []
        try:
            await self._claim_for_ever()
            await self._claimer.close()
            await asyncio.gather(*self._batches, return_exceptions=True)
        finally:
            self._settler.close()
            if self._leads:
                self._rescuer.stop()
            await self._end(settling, *rescuing)

    async def _has_rescued(self) -> bool:
        """True once what the dead have left here was taken over."""
        return await self._rescuer.start() if self._leads else self._rescuer.has_started.is_set()

    async def _end(self, *tasks: asyncio.Task[None]) -> None:
        """Let them write what is left; without a database not for ever: a journal keeps what was heard."""
        _, late = await asyncio.wait(tasks, timeout=self.stop_timeout)
        if late:
            self._log.error("stopped_without_database", count=len(self._settler.unwritten))
            for task in late:
                task.cancel()
            await asyncio.wait(late)

    async def drain(self) -> None:
        """Return once a claim made from now on found nothing due and nothing is inside."""
        self._drains += 1
        self._drained.clear()
        self._wake()
        await self._drained.wait()

    # -- the desk ---------------------------------------------------------------------------------

    def settle(self, settlement: Settlement) -> None:
        """Hand in how a claim ended."""
        self._forget(settlement.entry.id)
        self._settler.add(settlement)

    def mark(self, entry: ClaimedEntry) -> asyncio.Future[BodyPermit | None]:
        """Ask for permission to begin the body; None: it must not begin."""
        return self._marker.mark(entry)

    def _granted(self, entry: ClaimedEntry) -> bool:
        """Its mark is committed; False if it has left this process meanwhile."""
        if self._inside.get(entry.id) is not entry:
            return False
        self._marked.add(entry.id)
        self._suspicion.clear(entry.id)
        return True

    def note(self, entry: ClaimedEntry, note: JournalNote | msgspec.Struct) -> None:
        """Remember a definite reply where even a killed process finds it again."""
        self._holder.journal.append(entry, note)

    # -- claiming ---------------------------------------------------------------------------------

    async def _claim_for_ever(self) -> None:
        idle = away = 0
        while not self._stopping:
            try:
                claimed = await self._claim_next()
            except DatabaseUnavailableError as error:
                if away == 0:
                    self._log.warning("claim_waits_for_database", reason=error.reason)
                await self._wake.wait(DATABASE_RETRY_SECONDS[min(away, len(DATABASE_RETRY_SECONDS) - 1)])
                away += 1
                continue
            except Exception as error:  # noqa: BLE001 - a queue that nobody looks at any more is the worst of all
                self._log.exception("claim_failed", error=type(error).__name__)
                await self._wake.wait(DATABASE_RETRY_SECONDS[-1])
                continue
            away = 0
            if claimed:
                idle = 0
                self._begin(claimed)
                continue
            pause = POLL_SECONDS[idle] if idle < len(POLL_SECONDS) else self._longest_pause()
            woken = await self._wake.wait(pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
            idle = 0 if woken else idle + 1

    def _longest_pause(self) -> float:
        return IDLE_POLL_SECONDS if self._wake.hears_others else POLL_SECONDS[-1]

    async def _claim_next(self) -> list[ClaimedEntry]:
        """A suspect when one waits and nothing else is here; else all there is room for."""
        room, nothing_inside = self._room(), not self._inside and not self._settler.unwritten
        drains = self._drains
        if room <= 0:
            return []
        if self._suspicion.is_check_due():
            self._suspicion.record_check(found=await self._claimer.has_due_suspect())
        if self._suspicion.is_active:
            return await self._claim_suspect()
        claimed = await self._claimer.claim(room, self._inside, self._unwritten())
        # Asked before the claim: one made with full slots may ask for no share.
        finished = not claimed and nothing_inside and self._claimer.is_backlog_empty
        finished = finished and not self._drained.is_set() and not await self._claimer.has_due_suspect()
        if finished and drains == self._drains:
            self._drained.set()
        return claimed

    async def _claim_suspect(self) -> list[ClaimedEntry]:
        if self._suspicion.isolated_id is not None:
            return []
        if len(self._inside) > len(self._marked):  # a marked one cannot be convicted any more
            self._suspicion.wait_for_others()
            return []
        claimed = await self._claimer.claim_suspect(self._inside, self._unwritten())
        self._suspicion.record_claim([entry.id for entry in claimed])
        return claimed

    def _is_full(self) -> bool:
        return len(self._inside) >= self._handler.slots

    def _unwritten(self) -> list[UUID]:
        return [id_ for id_, _ in self._settler.unwritten]

    def _room(self) -> int:
        """How many entries are worth claiming: up to the slots, plus what this process sends in a second.

        What is not written yet takes room, so that a slow database is not given more; without a journal there is none.
        While every slot is busy it waits until there is room for many, because each claim costs a commit.
        """
        if not self._holder.journal.is_writable:
            return 0
        inside, slots = len(self._inside), self._handler.slots
        prefetch = min(MAX_PREFETCH, slots + self._rate.per_second())
        room = min(
            self._handler.get_capacity() - inside, prefetch - inside - max(0, len(self._settler.unwritten) - slots)
        )
        return room if inside < slots or room * MIN_FREE_DIVISOR >= prefetch else 0

    # -- working ----------------------------------------------------------------------------------

    def _begin(self, claimed: Sequence[ClaimedEntry]) -> None:
        self._inside.update((entry.id, entry) for entry in claimed)
        # What was tried before may have been held, or closed late: it does not tell how long others had to wait.
        if self._leads and (untried := [entry.due_at for entry in claimed if not entry.attempts]):
            waited = (self._clock.now() - min(untried)).total_seconds()
            self._holder.throughput.record_waiting_time(waited, self._clock.monotonic())
        metrics.CLAIMED.labels(self._handler.kind).inc(len(claimed))
        metrics.IN_PROCESS.labels(self._handler.kind).set(len(self._inside))
        task = asyncio.create_task(self._process(claimed))
        self._batches.add(task)
        task.add_done_callback(self._batches.discard)

    async def _process(self, claimed: Sequence[ClaimedEntry]) -> None:
        later = timedelta(0)
        try:
            await self._handler.process(claimed, self)
        except DatabaseUnavailableError:
            self._log.warning("batch_waits_for_database", count=len(claimed))
        except Exception as error:  # noqa: BLE001 - the worker outlives any batch
            self._log.exception("batch_failed", error=type(error).__name__, count=len(claimed))
            later = UNSETTLED_DELAY
        for entry in claimed:
            if self._inside.get(entry.id) is not entry:
                continue
            if entry.id in self._marked:  # nobody knows how far it came: its lease ends, and it is rescued as uncertain
                self._log.error("marked_and_unsettled", entry_id=str(entry.id))
                self._forget(entry.id)
            else:  # the handler did not settle it: later, rather than never
                self.settle(Settlement(entry=entry, action=RescheduleEntry(delay=later, attempts=entry.attempts)))

    def _forget(self, id_: UUID) -> None:
        self._inside.pop(id_, None)
        self._marked.discard(id_)
        self._suspicion.clear(id_)

    def _left(self, written: Sequence[Settlement]) -> None:
        for settlement in written:
            self._holder.journal.drop_settled(settlement.entry)
        self._rate.add(len(written))
        if self._leads:
            gone = sum(not isinstance(settlement.action, ReleaseEntry) for settlement in written)
            self._holder.throughput.record_departures(gone, self._clock.monotonic())
        metrics.IN_PROCESS.labels(self._handler.kind).set(len(self._inside))
        self._wake()
