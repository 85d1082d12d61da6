"""Continue the cancellation of a batch in the background, one transaction per step.

No mail of a flagged batch is sent meanwhile, and a repeated step does no harm.
"""

from collections.abc import Sequence
from datetime import timedelta

from notifier.clock import Clock
from notifier.db.direct import Connection
from notifier.db.engine import Database
from notifier.notification import batch
from notifier.outbox.handler import Claimed, Desk, Finish, Lost, Note, Release, Settlement
from notifier.states import EntryKind
from notifier.telemetry.logging import get_logger

LEASE = timedelta(minutes=5)


class BatchStopper:
    """The handler of batch entries."""

    kind = EntryKind.BATCH
    slots = 1
    bodies = 1
    lease = LEASE
    still_wanted = "1 = 1"

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._closing = False
        self._log = get_logger()

    def room(self) -> int:
        """One batch at a time."""
        return self.slots

    async def process(self, batch: Sequence[Claimed], desk: Desk) -> None:
        """Cancel all rows of each batch."""
        for entry in batch:
            is_done = await self._go_through(entry)
            desk.settle(Settlement(entry=entry, action=Finish() if is_done else Release()))

    async def record(self, _connection: Connection, _settled: Sequence[Settlement]) -> None:
        """Nothing: each step has written what it did."""

    async def mourn(self, _connection: Connection, lost: Sequence[Lost]) -> list[Settlement]:
        """Give up what has killed its senders: each mail of the batch is ended when it is due."""
        for loss in lost:
            self._log.error("batch_stop_given_up", entry_id=str(loss.entry.id))
        return [Settlement(entry=loss.entry, action=Finish()) for loss in lost]

    async def replay(self, _connection: Connection, _notes: Sequence[tuple[Claimed, Note]]) -> list[Settlement]:
        """Nothing is written to the journal."""
        return []

    def close(self) -> None:
        """Stop after the current step, and release the rest."""
        self._closing = True

    async def _go_through(self, entry: Claimed) -> bool:
        """Cancel all rows; False if it has to stop before the end."""
        last = None
        while not self._closing:
            async with self._database.write() as connection:
                last = await batch.go_on(connection, entry.service_id, entry.subject_id, last, self._clock.now())
            if last is None:
                return True
        return False
