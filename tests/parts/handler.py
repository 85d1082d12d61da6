"""The least that a handler of the outbox can be, for tests to add what they are about."""

from collections.abc import Sequence
from datetime import timedelta

from notifier.db.direct import Connection
from notifier.outbox.handler import Claimed, Desk, Finish, Hold, Lost, Note, Settlement
from notifier.states import EntryKind


class Plain:
    """Finishes everything, permits everything, records nothing."""

    kind = EntryKind.EMAIL
    slots = bodies = 10
    lease = timedelta(minutes=5)
    still_wanted = "1 = 1"

    def room(self) -> int:
        return 1000

    async def process(self, batch: Sequence[Claimed], desk: Desk) -> None:
        for entry in batch:
            desk.settle(Settlement(entry=entry, action=Finish()))

    async def record(self, connection: Connection, settled: Sequence[Settlement]) -> None:
        """Nothing to record."""

    async def mourn(self, _connection: Connection, lost: Sequence[Lost]) -> list[Settlement]:
        return [Settlement(entry=claim.entry, action=Hold() if claim.unwritable else Finish()) for claim in lost]

    async def replay(self, _connection: Connection, notes: Sequence[tuple[Claimed, Note]]) -> list[Settlement]:
        return [Settlement(entry=entry, action=Finish(), proof=True) for entry, _ in notes]
