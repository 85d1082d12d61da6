"""A sender that claims, marks and reads replies as a real one does, and then crashes without a settle."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from notifier.db.engine import Database
from notifier.delivery.delivery_result import JournalRecord, RelayAttempt
from notifier.ids import generate_id
from notifier.outbox import claim_sql, entry_store
from notifier.outbox.entry_handler import ClaimedEntry
from notifier.outbox.journal import Journal
from notifier.outcomes import Outcome
from notifier.states import EntryKind
from support.queue_driver import claim_of


@dataclass
class CrashedSender:
    """A sender process; `die` ends it as kill -9 does."""

    database: Database
    journals: Path
    boot_id: UUID = field(default_factory=generate_id)
    relay: str = "127.0.0.1"

    def __post_init__(self) -> None:
        self._journal = Journal(self.journals, self.boot_id)

    async def claim(self, *, suspects: bool = False, kind: EntryKind = EntryKind.EMAIL) -> list[ClaimedEntry]:
        """Claim the due entries."""
        async with self.database.write() as connection:
            if suspects:
                return await claim_sql.claim_suspect(connection, claim_of(self.boot_id))
            backlogs = await claim_sql.list_backlogs(connection, kind)
            return await claim_sql.claim_entries(connection, replace(claim_of(self.boot_id, backlogs), kind=kind))

    async def mark(self, entries: Sequence[ClaimedEntry]) -> None:
        """Get permission for the bodies of entries."""
        async with self.database.write() as connection:
            assert len(await entry_store.mark_entries(connection, self.boot_id, entries)) == len(entries)

    def hear(
        self,
        entry: ClaimedEntry,
        outcome: Outcome,
        *,
        uncertain_at: datetime | None = None,
        envelope_to: str | None = "bob@example.com",
    ) -> None:
        """Read a reply, and write it to the journal."""
        tried = RelayAttempt(
            outcome=outcome,
            relay=self.relay,
            started_at=datetime.now(UTC),
            seconds=0.25,
            sha256=b"\x01" * 32,
            envelope_to=envelope_to,
        )
        self._journal.append(entry, JournalRecord.from_attempt(tried, uncertain_at))

    def die(self) -> None:
        """Release the lock, as the kernel does; the file stays."""
        os.close(self._journal._file)
