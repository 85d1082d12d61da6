"""How much mail waits now: counted from the outbox, and at most so much that the count is quick."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.outbox import queue_counts
from notifier.states import EntryKind

MAX_COUNTED = 10_000


@dataclass(frozen=True, kw_only=True)
class WaitingMail:
    """How many mails wait."""

    due: int  # for a sender
    later: int  # for a later time: scheduled, or the next attempt
    held: int  # for a person
    is_cut: bool  # there are more than were counted


async def count_waiting_mail(connection: AsyncConnection, service_id: UUID | None, now: datetime) -> WaitingMail:
    """Count the mail of a service, or of all services if it is None."""
    due, later, held = await queue_counts.count_outlook(
        connection, EntryKind.EMAIL, service_id, most=MAX_COUNTED + 1, now=now
    )
    return WaitingMail(due=due, later=later, held=held, is_cut=due + later + held > MAX_COUNTED)
