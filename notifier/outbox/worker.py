"""The loop of a sender: claim what is due, hand it to the handler, rescue what was left behind; stop gracefully.

It promises that an entry is in at most one batch of this process, and that stopping releases what was not begun.
"""

import asyncio
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError
from notifier.outbox import store
from notifier.outbox.handler import Claimed, Handler, Quota, Reschedule, Settlement
from notifier.outbox.settler import Settler
from notifier.outbox.wake import Wake
from notifier.states import Priority
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger

LARGEST_PREFETCH = 500
SHARE = {Priority.HIGH: 1.0, Priority.NORMAL: 0.9, Priority.BULK: 0.6}
"""The part of the room that each priority may fill."""
RESERVE = 0.05
"""The part that each non-empty priority gets before rank counts."""
POLL_SECONDS = (0.05, 0.1, 0.2, 0.5)
"""Waits between empty claims; the last one repeats. A wake-up ends any of them."""
RESCUE_SECONDS = 5.0
UNSETTLED_DELAY = timedelta(minutes=1)
DATABASE_AWAY_SECONDS = (0.2, 0.5, 1.0, 2.0)


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who claims: a fresh random boot id per process."""

    boot_id: UUID
    owns_database: bool  # SQLite under the lock of its data directory: leases found at start belong to the dead


class Worker:
    """Claims and processes entries of one kind until told to stop."""

    def __init__(self, database: Database, handler: Handler, *, holder: Holder, clock: Clock, wake: Wake) -> None:
        self._database = database
        self._handler = handler
        self._holder = holder
        self._clock = clock
        self._wake = wake
        self._settler = Settler(database, handler, settled=self._left)
        self._inside: dict[UUID, Claimed] = {}
        self._batches: set[asyncio.Task[None]] = set()
        self._rate = Rate(clock)
        self._stopping = False
        self._drained = asyncio.Event()
        self._log = get_logger()

    @property
    def stopping(self) -> bool:
        """True once no new claims are made."""
        return self._stopping

    def stop(self) -> None:
        """Make no new claims; `run` returns when what is inside has been settled."""
        self._stopping = True
        self._wake()

    async def run(self) -> None:
        """Work until stopped, then settle what is inside."""
        settling = asyncio.create_task(self._settler.run())
        if self._holder.owns_database:
            await self._rescue(holders_are_dead=True)  # before the first claim: our own leases must not be among them
        rescuing = asyncio.create_task(self._rescue_for_ever())
        try:
            await self._claim_for_ever()
            await asyncio.gather(*self._batches, return_exceptions=True)
        finally:
            rescuing.cancel()
            self._settler.close()
            await settling

    async def drain(self) -> None:
        """Return once a claim found nothing due and nothing is inside."""
        await self._drained.wait()

    async def _claim_for_ever(self) -> None:
        idle = away = 0
        while not self._stopping:
            room, nothing_inside = self._room(), not self._inside and not self._settler.unwritten
            try:
                claimed = await self._claim(room) if room > 0 else []
            except DatabaseUnavailableError:
                if away == 0:
                    self._log.warning("claim_waits_for_database")
                await self._wake.wait(DATABASE_AWAY_SECONDS[min(away, len(DATABASE_AWAY_SECONDS) - 1)])
                away += 1
                continue
            away = 0
            if claimed:
                idle = 0
                self._begin(claimed)
                continue
            if room > 0 and nothing_inside:  # asked before the claim: one made with full slots may ask for no share
                self._drained.set()
            pause = POLL_SECONDS[min(idle, len(POLL_SECONDS) - 1)]
            woken = await self._wake.wait(pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
            idle = 0 if woken else idle + 1

    def _room(self) -> int:
        """How many more entries this process may hold: its slots, plus what it sends in a second."""
        offered = self._handler.room()
        prefetch = min(LARGEST_PREFETCH, self._handler.slots + self._rate.per_second())
        return min(offered, prefetch) - len(self._inside)

    async def _claim(self, room: int) -> list[Claimed]:
        whole = room + len(self._inside)
        inside = Counter(entry.priority for entry in self._inside.values())
        share = {p: max(0, math.ceil(whole * SHARE[p]) - inside[p]) for p in Priority}
        wanted = store.Claim(
            kind=self._handler.kind,
            holder=self._holder.boot_id,
            lease=self._handler.lease,
            quota=Quota(room=room, share=share, reserve=math.ceil(room * RESERVE)),
            started=self._clock.monotonic(),
        )
        async with self._database.write() as connection:
            return await store.claim(connection, wanted)

    def _begin(self, claimed: Sequence[Claimed]) -> None:
        self._inside.update((entry.id, entry) for entry in claimed)
        metrics.CLAIMED.labels(self._handler.kind).inc(len(claimed))
        metrics.IN_PROCESS.labels(self._handler.kind).set(len(self._inside))
        task = asyncio.create_task(self._process(claimed))
        self._batches.add(task)
        task.add_done_callback(self._batches.discard)

    async def _process(self, claimed: Sequence[Claimed]) -> None:
        later = timedelta(0)
        try:
            await self._handler.process(claimed, self._settle)
        except DatabaseUnavailableError:
            self._log.warning("batch_waits_for_database", count=len(claimed))
        except Exception as error:  # noqa: BLE001 - the worker outlives any batch
            self._log.exception("batch_failed", error=type(error).__name__, count=len(claimed))
            later = UNSETTLED_DELAY
        for entry in claimed:
            if self._inside.get(entry.id) is entry:  # the handler did not settle it: later, rather than never
                self._settle(Settlement(entry=entry, action=Reschedule(delay=later, attempts=entry.attempts)))

    def _settle(self, settlement: Settlement) -> None:
        self._inside.pop(settlement.entry.id, None)
        self._settler.put(settlement)

    def _left(self, count: int) -> None:
        self._rate.add(count)
        metrics.IN_PROCESS.labels(self._handler.kind).set(len(self._inside))
        self._wake()

    async def _rescue_for_ever(self) -> None:
        """On PostgreSQL anyone rescues overrun leases; on SQLite they can only be our own, and we know they live."""
        while not self._holder.owns_database:
            await self._rescue(holders_are_dead=False)
            await asyncio.sleep(RESCUE_SECONDS)

    async def _rescue(self, *, holders_are_dead: bool) -> None:
        try:
            async with self._database.write() as connection:
                count = await store.rescue(connection, holders_are_dead=holders_are_dead)
        except DatabaseUnavailableError:
            return
        if count:
            metrics.RESCUED.inc(count)
            self._log.warning("leases_rescued", count=count)
            self._wake()


class Rate:
    """How many entries left this process in the last whole second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._second = 0
        self._count = 0
        self._last = 0

    def add(self, count: int) -> None:
        """Count entries that left at this moment."""
        self._roll()
        self._count += count

    def per_second(self) -> int:
        """The larger of the last second's count and this one's so far."""
        self._roll()
        return max(self._last, self._count)

    def _roll(self) -> None:
        second = int(self._clock.monotonic())
        if second != self._second:
            self._last = self._count if second == self._second + 1 else 0
            self._second, self._count = second, 0
