"""The rescuer: replays the journals of dead senders, and makes what they held ready again.

A process is dead when its journal's lock can be taken, when it is silent for too long, or, on SQLite, when another
process owns its data directory. An expired lease is rescued in the same way. A process has one rescuer for all kinds of
work, because a dead process is dead for all of them.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError
from notifier.outbox import entry_store, heartbeat, journal
from notifier.outbox.entry_handler import Handler, HoldEntry, LostClaim, Settlement
from notifier.outbox.entry_store import LeaseSelection
from notifier.outbox.heartbeat import SenderIdentity
from notifier.outbox.journal import JournalLine
from notifier.outbox.settler import write_settlements
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger

JOURNAL_CHECK_SECONDS = 1.0
"""Between checks of other processes' journals, which need no database."""
LEASE_CHECK_SECONDS = 5.0
"""Between checks for expired leases and holds."""
MAX_RESCUE_SECONDS = 2.0
"""A rescue of expired leases that takes longer, in seconds, is rolled back."""


class Rescuer:
    """Recovers the work of dead senders as long as this process lives."""

    def __init__(
        self,
        database: Database,
        handlers: Sequence[Handler],
        *,
        holder: SenderIdentity,
        journals: Path,
        clock: Clock,
        on_rescue: Callable[[], None],
    ) -> None:
        self._database = database
        self.leading_handler = handlers[0]  # its worker runs the rescuer, and the journals contain its notes
        self._handlers = tuple(handlers)
        self.has_started = asyncio.Event()  # set before the first claim, or our own leases could be rescued as lost
        self._holder = holder
        self._journals = journals
        self._clock = clock
        self._on_rescue = on_rescue
        self._dead: set[UUID] = set()  # silent for too long
        self._stopping = asyncio.Event()
        self._log = get_logger()

    async def start(self) -> bool:
        """Write the first beat, and recover the dead processes of this data directory, before the first claim.

        It returns False while the database is away, and is then called again.
        """
        if self._holder.heartbeat is not None:
            await self._holder.heartbeat.beat()
        if not await self._recover_from_journals():
            return False
        if self._holder.heartbeat is None:  # SQLite, whose directory we own: every lease is that of a dead process
            try:
                for handler in self._handlers:
                    await self._rescue(handler, LeaseSelection(kind=handler.kind, all=True))
            except DatabaseUnavailableError:
                return False
        self.has_started.set()
        return True

    async def run(self) -> None:
        """Beat and rescue until stopped; a running transaction is finished, never cancelled."""
        await asyncio.gather(self._beat_until_stopped(), self._rescue_until_stopped())
        if self._holder.heartbeat is not None:
            with contextlib.suppress(DatabaseUnavailableError):
                async with self._database.write() as connection:  # so that no other process waits for a beat
                    await heartbeat.delete_sender_process(connection, self._holder.boot_id)

    def stop(self) -> None:
        """Let `run` return."""
        self._stopping.set()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _beat_until_stopped(self) -> None:
        """Beat in a task of its own, so that no other work delays it."""
        heartbeat = self._holder.heartbeat
        while heartbeat is not None and not self._stopping.is_set():
            try:
                self._dead = set(await heartbeat.beat())
            except Exception as error:  # noqa: BLE001 - without a beat nothing is sent, so the next one must come
                self._log.exception("beat_failed", error=type(error).__name__)
            await self._pause(heartbeat.interval)

    async def _rescue_until_stopped(self) -> None:
        next_check = self._clock.monotonic()
        while not self._stopping.is_set():
            try:
                await self._recover_dead()
                if self._clock.monotonic() >= next_check:
                    next_check = self._clock.monotonic() + LEASE_CHECK_SECONDS
                    await self._check_leases()
            except Exception as error:  # noqa: BLE001 - whatever a dead process has left, the next check is made
                self._log.exception("rescue_failed", error=type(error).__name__)
            await self._pause(JOURNAL_CHECK_SECONDS)

    async def _recover_dead(self) -> None:
        if not self._holder.journal.is_writable:
            self._holder.journal.rewrite()
        await self._recover_from_journals()
        for boot_id in sorted(self._dead):
            if boot_id in self._dead:  # a beat in the meantime may say otherwise
                await self._recover_process(boot_id, [])
                self._dead.discard(boot_id)

    async def _recover_from_journals(self) -> bool:
        """Recover the processes whose journals' locks can be taken; return False if the database was away."""
        for boot_id, path in journal.list_other_journals(self._journals, self._holder.boot_id):
            with journal.read_dead_journal(path) as lines:
                if lines is not None:
                    if not await self._recover_process(boot_id, lines):
                        return False
                    path.unlink(missing_ok=True)
        return True

    async def _recover_process(self, boot_id: UUID, lines: Sequence[JournalLine]) -> bool:
        """Replay the journal of a dead process, then rescue what it held; return False if the database is away."""
        try:
            await self._replay(lines)
            for handler in self._handlers:
                await self._rescue(handler, LeaseSelection(kind=handler.kind, holder=boot_id))
            if self._holder.heartbeat is not None:
                async with self._database.write() as connection:
                    if await entry_store.has_leases(connection, boot_id):  # locked; they are rescued after a later beat
                        self._log.warning("leases_locked", boot_id=str(boot_id))
                        return True
                    await heartbeat.delete_sender_process(connection, boot_id)
        except DatabaseUnavailableError:
            return False
        self._log.warning("sender_died", boot_id=str(boot_id), count=len(lines))
        return True

    async def _replay(self, lines: Sequence[JournalLine]) -> None:
        """Replay all lines in one transaction; if one of them fails, each in its own, without the bad one."""
        if not lines:
            return
        try:
            async with self._database.write() as connection:
                settlements = await self.leading_handler.replay(connection, [(line.entry, line.note) for line in lines])
                await write_settlements(connection, self.leading_handler, settlements)
        except DatabaseUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - one bad line must not keep the others from being replayed
            if len(lines) > 1:
                for line in lines:
                    await self._replay([line])
                return
            entry_id = str(lines[0].entry.id)
            self._log.exception("journal_line_refused", entry_id=entry_id, error=type(error).__name__)
        else:
            metrics.REPLAYED.inc(len(lines))

    async def _check_leases(self) -> None:
        try:
            async with self._database.read() as connection:
                expired, has_expired_hold = await entry_store.list_overdue(connection)
            if self._holder.heartbeat is not None and self._holder.heartbeat.can_judge_others():
                for handler in self._handlers:
                    if handler.kind in expired:
                        await self._rescue(handler, LeaseSelection(kind=handler.kind))
            if has_expired_hold:
                async with self._database.write_statement() as connection:
                    await entry_store.release_expired_holds(connection)
                self._on_rescue()
        except DatabaseUnavailableError:
            return

    async def _rescue(self, handler: Handler, selection: LeaseSelection) -> None:
        """Rescue the selected leases until none is left: first unmarked ones, then those the handler decides about."""
        total = 0
        while count := await self._rescue_unmarked(selection) + await self._rescue_lost(handler, selection):
            total += count
        if total:
            metrics.RESCUED.inc(total)
            self._log.warning("leases_rescued", count=total, reason=selection.name)
            self._on_rescue()

    @asynccontextmanager
    async def _transaction(self, selection: LeaseSelection) -> AsyncIterator[AsyncConnection]:
        """Open a transaction. One for expired leases must be quick: if it hung, their holders could not settle."""
        started = self._clock.monotonic()
        async with self._database.write() as connection:
            yield connection
            if selection.name == "overrun" and self._clock.monotonic() - started > MAX_RESCUE_SECONDS:
                raise DatabaseUnavailableError

    async def _rescue_unmarked(self, selection: LeaseSelection) -> int:
        async with self._transaction(selection) as connection:
            return await entry_store.rescue_unmarked(connection, selection)

    async def _rescue_lost(self, handler: Handler, selection: LeaseSelection, *, limit: int = 500) -> int:
        """Let the handler decide; if it fails for one of them, try each alone, and hold the bad one for a person."""
        claims: list[LostClaim] = []
        try:
            async with self._transaction(selection) as connection:
                claims = await entry_store.lock_lost_claims(connection, selection, limit=limit)
                if claims:
                    await write_settlements(connection, handler, await handler.recover_lost(connection, claims))
        except DatabaseUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - one row must not keep the others from being rescued
            if limit > 1:
                return await self._rescue_lost(handler, selection, limit=1)
            entry = claims[0].entry
            self._log.exception("rescue_held", entry_id=str(entry.id), error=type(error).__name__)
            metrics.HELD.inc()
            async with self._database.write() as connection:
                await entry_store.settle_entries(connection, [Settlement(entry=entry, action=HoldEntry())])
        return len(claims)
