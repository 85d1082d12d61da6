"""The loop of a sender: claim what is due, hand it to the handler, have the dead looked after; stop gracefully.

It promises that an entry is in at most one batch of this process, that one which may be deadly is alone until its mark,
and that stopping releases what was not begun.
"""

import asyncio
import math
import random
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError
from notifier.outbox import store
from notifier.outbox.handler import Claimed, Handler, Note, Permit, Quota, Reschedule, Settlement
from notifier.outbox.holder import Holder
from notifier.outbox.marker import Marker
from notifier.outbox.rate import Rate
from notifier.outbox.rescuer import Rescuer
from notifier.outbox.settler import Settler
from notifier.outbox.suspicion import Suspicion
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
UNSETTLED_DELAY = timedelta(minutes=1)
PATIENCE = 10.0
"""Seconds that a stop waits for the database, once nothing is in flight any more."""
DATABASE_AWAY_SECONDS = (0.2, 0.5, 1.0, 2.0)


class Worker:
    """Claims and processes entries of one kind until told to stop; the `Desk` of its handler."""

    def __init__(
        self, database: Database, handler: Handler, *, holder: Holder, journals: Path, clock: Clock, wake: Wake
    ) -> None:
        self._database = database
        self._handler = handler
        self._holder = holder
        self._clock = clock
        self._wake = wake
        self._marker = Marker(database, handler, holder=holder, clock=clock)
        self._settler = Settler(database, handler, written=self._left)
        self._rescuer = Rescuer(database, handler, holder=holder, journals=journals, clock=clock, rescued=wake)
        self._suspicion = Suspicion(clock)
        self._inside: dict[UUID, Claimed] = {}
        self._marked: set[UUID] = set()  # of those inside: their bodies may have begun
        self._unheard = False  # a claim may have been committed without our hearing of it
        self._batches: set[asyncio.Task[None]] = set()
        self._rate = Rate(clock)
        self._stopping = False
        self.patience = PATIENCE
        self._drained = asyncio.Event()
        self._log = get_logger()

    def stop(self) -> None:
        """Make no new claims; `run` returns when what is inside has been settled."""
        self._stopping = True
        self._wake()

    async def run(self) -> None:
        """Work until stopped, then settle what is inside."""
        settling = asyncio.create_task(self._settler.run())
        while not self._stopping and not await self._rescuer.start():  # before our own leases could be among them
            await self._wake.wait(DATABASE_AWAY_SECONDS[0])
        rescuing = asyncio.create_task(self._rescuer.run())
        try:
            await self._claim_for_ever()
            await asyncio.gather(*self._batches, return_exceptions=True)
        finally:
            self._settler.close()
            self._rescuer.stop()
            await self._end(settling, rescuing)

    async def _end(self, *tasks: asyncio.Task[None]) -> None:
        """Let them write what is left; without a database not for ever: a journal keeps what was heard."""
        _, late = await asyncio.wait(tasks, timeout=self.patience)
        if late:
            self._log.error("stopped_without_database", count=len(self._settler.unwritten))
            for task in late:
                task.cancel()
            await asyncio.wait(late)

    async def drain(self) -> None:
        """Return once a claim found nothing due and nothing is inside."""
        await self._drained.wait()

    # -- the desk ---------------------------------------------------------------------------------

    def settle(self, settlement: Settlement) -> None:
        """Hand in how a claim ended."""
        self._forget(settlement.entry.id)
        self._settler.put(settlement)

    async def mark(self, entry: Claimed) -> Permit | None:
        """Ask for permission to begin the body; None: it must not begin."""
        permit = await self._marker.mark(entry)
        if permit is None or self._inside.get(entry.id) is not entry:
            return None
        self._marked.add(entry.id)
        self._suspicion.acquitted(entry.id)
        return permit

    def note(self, entry: Claimed, note: Note) -> None:
        """Remember a definite reply where even a killed process finds it again."""
        self._holder.journal.append(entry, note)

    # -- claiming ---------------------------------------------------------------------------------

    async def _claim_for_ever(self) -> None:
        idle = away = 0
        while not self._stopping:
            try:
                claimed = await self._claim_next()
            except DatabaseUnavailableError:
                if away == 0:
                    self._log.warning("claim_waits_for_database")
                await self._wake.wait(DATABASE_AWAY_SECONDS[min(away, len(DATABASE_AWAY_SECONDS) - 1)])
                away += 1
                self._unheard = True
                continue
            except Exception as error:  # noqa: BLE001 - a queue that nobody looks at any more is the worst of all
                self._log.exception("claim_failed", error=type(error).__name__)
                self._unheard = True
                await self._wake.wait(DATABASE_AWAY_SECONDS[-1])
                continue
            away = 0
            if claimed:
                idle = 0
                self._begin(claimed)
                continue
            pause = POLL_SECONDS[min(idle, len(POLL_SECONDS) - 1)]
            woken = await self._wake.wait(pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
            idle = 0 if woken else idle + 1

    async def _claim_next(self) -> list[Claimed]:
        """A suspect when one waits and nothing else is here; else all there is room for."""
        room, nothing_inside = self._room(), not self._inside and not self._settler.unwritten
        if room <= 0:
            return []
        if self._suspicion.wants_a_look():
            self._suspicion.looked(found=await self._suspects_are_due())
        if self._suspicion.is_quiet:
            return await self._claim_suspect()
        claimed = await self._claim(room)
        # Asked before the claim: one made with full slots may ask for no share.
        if not claimed and nothing_inside and not self._drained.is_set() and not await self._suspects_are_due():
            self._drained.set()
        return claimed

    async def _claim_suspect(self) -> list[Claimed]:
        if self._suspicion.alone is not None:
            return []
        if len(self._inside) > len(self._marked):  # a marked one cannot be convicted any more
            self._suspicion.waits()
            return []
        claimed = await self._claim(1, suspects=True)
        self._suspicion.claimed([entry.id for entry in claimed])
        return claimed

    async def _suspects_are_due(self) -> bool:
        async with self._database.read() as connection:
            return await store.suspected(connection, self._handler.kind)

    def _room(self) -> int:
        """How many more entries this process may hold: its slots, plus what it sends in a second.

        What is not written yet takes room, so that a slow database is not given more; without a journal there is none.
        """
        if not self._holder.journal.writable:
            return 0
        prefetch = min(LARGEST_PREFETCH, self._handler.slots + self._rate.per_second())
        held = len(self._inside) + max(0, len(self._settler.unwritten) - self._handler.slots)
        return min(self._handler.room() - len(self._inside), prefetch - held)

    async def _claim(self, room: int, *, suspects: bool = False) -> list[Claimed]:
        whole = room + len(self._inside)
        inside = Counter(entry.priority for entry in self._inside.values())
        share = {p: room if suspects else max(0, math.ceil(whole * SHARE[p]) - inside[p]) for p in Priority}
        wanted = store.Claim(
            kind=self._handler.kind,
            holder=self._holder.boot_id,
            lease=self._handler.lease,
            quota=Quota(room=room, share=share, reserve=math.ceil(room * RESERVE)),
            started=self._clock.monotonic(),
            suspects=suspects,
        )
        async with self._database.write() as connection:
            if self._unheard:
                known = {*self._inside, *(id_ for id_, _ in self._settler.unwritten)}
                await store.disown(connection, self._holder.boot_id, known)
            claimed = await store.claim(connection, wanted)
        metrics.CLAIM_SECONDS.observe(self._clock.monotonic() - wanted.started)
        self._unheard = False
        return claimed

    # -- working ----------------------------------------------------------------------------------

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
                self.settle(Settlement(entry=entry, action=Reschedule(delay=later, attempts=entry.attempts)))

    def _forget(self, id_: UUID) -> None:
        self._inside.pop(id_, None)
        self._marked.discard(id_)
        self._suspicion.acquitted(id_)

    def _left(self, written: Sequence[Settlement]) -> None:
        for settlement in written:
            self._holder.journal.settled(settlement.entry)
        self._rate.add(len(written))
        metrics.IN_PROCESS.labels(self._handler.kind).set(len(self._inside))
        self._wake()
