"""What becomes of the work of the dead: their journals are replayed, and what they held is made ready again.

A process is dead when the lock of its journal can be had, when it is silent for too long, or, on SQLite, when somebody
else owns its data directory. A claim that merely lasts too long is rescued like one of the dead. A process has one
rescuer, whatever kinds of work it does: who is dead is dead for all of them.
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
from notifier.outbox.entry_store import LeaseSelection
from notifier.outbox.handler import Handler, HoldEntry, LostClaim, Settlement
from notifier.outbox.journal import JournalLine
from notifier.outbox.sender_identity import SenderIdentity
from notifier.outbox.settler import write_settlements
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger

JOURNAL_CHECK_SECONDS = 1.0
"""Between looks at the journals of others, which cost no database."""
LEASE_CHECK_SECONDS = 5.0
"""Between looks for overrun and ripe entries."""
MAX_RESCUE_SECONDS = 2.0
"""Seconds that a look for overrun leases may take to count."""


class Rescuer:
    """Looks for the dead, for as long as this process lives."""

    def __init__(
        self,
        database: Database,
        handlers: Sequence[Handler],
        *,
        holder: SenderIdentity,
        journals: Path,
        clock: Clock,
        rescued: Callable[[], None],
    ) -> None:
        self._database = database
        self.leading_handler = handlers[0]  # whose worker runs this, and of whose work journals tell
        self._handlers = tuple(handlers)
        self.has_started = (
            asyncio.Event()
        )  # nothing is claimed before: our own leases could be taken for those of the dead
        self._holder = holder
        self._journals = journals
        self._clock = clock
        self._rescued = rescued
        self._silent: set[UUID] = set()  # too long for them to be alive
        self._stopping = asyncio.Event()
        self._log = get_logger()

    async def start(self) -> bool:
        """Before the first claim: say that we live, and take over what was left in this data directory.

        False if the database was away; ask again.
        """
        if self._holder.heartbeat is not None:
            await self._holder.heartbeat.beat()
        if not await self._bury_those_with_journals():
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
        """Beat, and look for the dead, until stopped; a transaction under way is finished, never cancelled."""
        await asyncio.gather(self._beat_until_stopped(), self._look_until_stopped())
        if self._holder.heartbeat is not None:
            with contextlib.suppress(DatabaseUnavailableError):
                async with self._database.write() as connection:
                    await heartbeat.delete_sender_process(
                        connection, self._holder.boot_id
                    )  # nobody has to find out by waiting

    def stop(self) -> None:
        """Let `run` return."""
        self._stopping.set()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _beat_until_stopped(self) -> None:
        """Apart from the rest: whatever that waits for, the beat does not."""
        living = self._holder.heartbeat
        while living is not None and not self._stopping.is_set():
            try:
                self._silent = set(await living.beat())
            except Exception as error:  # noqa: BLE001 - without a beat nothing is sent, so the next one must come
                self._log.exception("beat_failed", error=type(error).__name__)
            await self._pause(living.interval)

    async def _look_until_stopped(self) -> None:
        next_tending = self._clock.monotonic()
        while not self._stopping.is_set():
            try:
                await self._look()
                if self._clock.monotonic() >= next_tending:
                    next_tending = self._clock.monotonic() + LEASE_CHECK_SECONDS
                    await self._tend()
            except Exception as error:  # noqa: BLE001 - whatever one of the dead has left, the next look is made
                self._log.exception("rescue_failed", error=type(error).__name__)
            await self._pause(JOURNAL_CHECK_SECONDS)

    async def _look(self) -> None:
        if not self._holder.journal.is_writable:
            self._holder.journal.rewrite()
        await self._bury_those_with_journals()
        for boot_id in sorted(self._silent):
            if boot_id in self._silent:  # as far as the last beat knows
                await self._bury(boot_id, [])
                self._silent.discard(boot_id)

    async def _bury_those_with_journals(self) -> bool:
        """True unless the database was away when it was needed."""
        for boot_id, path in journal.list_other_journals(self._journals, self._holder.boot_id):
            with journal.read_dead_journal(path) as lines:
                if lines is not None:
                    if not await self._bury(boot_id, lines):
                        return False
                    path.unlink(missing_ok=True)
        return True

    async def _bury(self, boot_id: UUID, lines: Sequence[JournalLine]) -> bool:
        """Replay what the dead process had read, then rescue what it held; False if the database is away."""
        try:
            await self._replay(lines)
            for handler in self._handlers:
                await self._rescue(handler, LeaseSelection(kind=handler.kind, holder=boot_id))
            if self._holder.heartbeat is not None:
                async with self._database.write() as connection:
                    await heartbeat.delete_sender_process(connection, boot_id)
        except DatabaseUnavailableError:
            return False
        self._log.warning("sender_died", boot_id=str(boot_id), count=len(lines))
        return True

    async def _replay(self, lines: Sequence[JournalLine]) -> None:
        """All lines in one transaction; if one cannot be replayed, each in its own, and that one is left out."""
        if not lines:
            return
        try:
            async with self._database.write() as connection:
                settlements = await self.leading_handler.replay(connection, [(line.entry, line.note) for line in lines])
                await write_settlements(connection, self.leading_handler, settlements)
        except DatabaseUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - one bad line must not keep the others from being heard
            if len(lines) > 1:
                for line in lines:
                    await self._replay([line])
                return
            entry_id = str(lines[0].entry.id)
            self._log.exception("journal_line_refused", entry_id=entry_id, error=type(error).__name__)
        else:
            metrics.REPLAYED.inc(len(lines))

    async def _tend(self) -> None:
        """What needs no death: leases that are over, and held entries whose time has come."""
        try:
            for handler in self._handlers:
                async with self._database.read() as connection:
                    overrun, ripe = await entry_store.check_overdue(connection, handler.kind)
                if overrun and self._holder.heartbeat is not None and self._holder.heartbeat.can_judge_others():
                    await self._rescue(handler, LeaseSelection(kind=handler.kind))
            if ripe:  # asked with the last, of all kinds
                async with self._database.write_statement() as connection:
                    await entry_store.release_expired_holds(connection)
                self._rescued()
        except DatabaseUnavailableError:
            return

    async def _rescue(self, handler: Handler, whose: LeaseSelection) -> None:
        """Until there are none: first those that need no word, then those that the handler decides about."""
        count = 0
        while found := await self._rescue_ready(whose) + await self._rescue_lost(handler, whose):
            count += found
        if count:
            metrics.RESCUED.inc(count)
            self._log.warning("leases_rescued", count=count, reason=whose.name)
            self._rescued()

    @asynccontextmanager
    async def _rescuing(self, whose: LeaseSelection) -> AsyncIterator[AsyncConnection]:
        """A transaction; of overrun leases only if it was quick: if it hung, nobody could have kept them."""
        started = self._clock.monotonic()
        async with self._database.write() as connection:
            yield connection
            if whose.name == "overrun" and self._clock.monotonic() - started > MAX_RESCUE_SECONDS:
                raise DatabaseUnavailableError

    async def _rescue_ready(self, whose: LeaseSelection) -> int:
        async with self._rescuing(whose) as connection:
            return await entry_store.rescue_unmarked(connection, whose)

    async def _rescue_lost(self, handler: Handler, whose: LeaseSelection, *, limit: int = 500) -> int:
        """Let the handler decide; if that fails for one of them, each alone, and that one is held for a person."""
        lost: list[LostClaim] = []
        try:
            async with self._rescuing(whose) as connection:
                lost = await entry_store.lock_lost_claims(connection, whose, limit=limit)
                if lost:
                    await write_settlements(connection, handler, await handler.recover_lost(connection, lost))
        except DatabaseUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - one row must not keep its neighbours from being rescued
            if limit > 1:
                return await self._rescue_lost(handler, whose, limit=1)
            entry = lost[0].entry
            self._log.exception("rescue_held", entry_id=str(entry.id), error=type(error).__name__)
            metrics.HELD.inc()
            async with self._database.write() as connection:
                await entry_store.settle_entries(connection, [Settlement(entry=entry, action=HoldEntry())])
        return len(lost)
