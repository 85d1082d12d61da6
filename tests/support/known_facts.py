"""The facts that senders and people know about mails, for comparison with the database."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from notifier.ids import generate_id
from notifier.outbox.entry_handler import ClaimedEntry
from support.queue_driver import START


@dataclass
class MailFacts:
    """The facts that a person knows about a notification."""

    subject_id: UUID
    status: str = "waiting"  # waiting, unknown, cancelled, failed, sent
    was_unknown: bool = False
    maybe_taken: bool = False


@dataclass
class ClaimFacts:
    """The facts that a sender knows about one claim."""

    entry: ClaimedEntry
    mail: MailFacts
    stage: str = "claimed"  # claimed, marked, body, heard, refused, silent
    marked_at: datetime = START
    uncertain_before: bool = False


@dataclass
class SenderFacts:
    """A sender process, from its start to its end."""

    boot_id: UUID = field(default_factory=generate_id)
    work: list[ClaimFacts] = field(default_factory=list)

    def pick(self, number: int, *stages: str) -> ClaimFacts | None:
        matching = [work for work in self.work if work.stage in stages]
        return matching[number % len(matching)] if matching else None
