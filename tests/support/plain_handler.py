"""The smallest handler of outbox entries, which tests extend."""

from collections.abc import Sequence
from datetime import timedelta

from notifier.db.direct_connections import StatementConnection
from notifier.outbox.entry_handler import (
    ClaimedEntry,
    FinishEntry,
    HoldEntry,
    JournalNote,
    LostClaim,
    Settlement,
    WorkerContext,
)
from notifier.states import EntryKind


class PlainHandler:
    """Finishes and permits every entry, and records nothing."""

    kind = EntryKind.EMAIL
    slots = bodies = 10
    lease = timedelta(minutes=5)
    still_wanted = "1 = 1"

    def get_capacity(self) -> int:
        return 1000

    async def process(self, batch: Sequence[ClaimedEntry], desk: WorkerContext) -> None:
        for entry in batch:
            desk.settle(Settlement(entry=entry, action=FinishEntry()))

    async def record(self, connection: StatementConnection, settled: Sequence[Settlement]) -> None:
        """Do nothing."""

    async def recover_lost(self, _connection: StatementConnection, lost: Sequence[LostClaim]) -> list[Settlement]:
        return [
            Settlement(entry=claim.entry, action=HoldEntry() if claim.unwritable else FinishEntry()) for claim in lost
        ]

    async def replay(
        self, _connection: StatementConnection, notes: Sequence[tuple[ClaimedEntry, JournalNote]]
    ) -> list[Settlement]:
        return [Settlement(entry=entry, action=FinishEntry(), proof=True) for entry, _ in notes]
