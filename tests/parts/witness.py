"""What senders and people know about mails, outside the database, so that a test can compare both."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from notifier.ids import new_id
from notifier.outbox.handler import Claimed
from parts.queue import START


@dataclass
class Mail:
    """What a person would know of one notification."""

    subject_id: UUID
    status: str = "waiting"  # waiting, unknown, cancelled, failed, sent
    was_unknown: bool = False
    maybe_taken: bool = False


@dataclass
class Work:
    """What a sender knows of one claim."""

    entry: Claimed
    mail: Mail
    stage: str = "claimed"  # claimed, marked, body, heard, refused, silent
    marked_at: datetime = START
    uncertain_before: bool = False


@dataclass
class Sender:
    """One life of a sender."""

    boot_id: UUID = field(default_factory=new_id)
    work: list[Work] = field(default_factory=list)

    def pick(self, number: int, *stages: str) -> Work | None:
        matching = [work for work in self.work if work.stage in stages]
        return matching[number % len(matching)] if matching else None
