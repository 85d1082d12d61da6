"""How much mail waits now: counted from the outbox, and at most so much that the count is quick."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import OutboxEntry, get_columns
from notifier.states import EntryKind, EntryState

MAX_COUNTED = 10_000
_entry = get_columns(OutboxEntry)


@dataclass(frozen=True, kw_only=True)
class WaitingMail:
    """How many mails wait."""

    due: int  # for a sender
    later: int  # for a later time: scheduled, or the next attempt
    held: int  # for a person
    is_cut: bool  # there are more than were counted


async def count_waiting_mail(connection: AsyncConnection, service_id: UUID | None, now: datetime) -> WaitingMail:
    """Count the mail of a service, or of all services if it is None."""
    conditions = [_entry.kind == EntryKind.EMAIL, _entry.attempts >= 0]  # true; it makes the index by service usable
    if service_id is not None:
        conditions.append(_entry.service_id == service_id)
    entries = select(_entry.state, _entry.due_at).where(*conditions).limit(MAX_COUNTED + 1).subquery()
    is_later = (entries.c.state == EntryState.READY) & (entries.c.due_at > now)
    name = case((entries.c.state == EntryState.HELD, "held"), (is_later, "later"), else_="due").label("name")
    named = select(name).subquery()
    rows = await connection.execute(select(named.c.name, func.count()).group_by(named.c.name))
    numbers: Counter[str] = Counter({row[0]: row[1] for row in rows})
    return WaitingMail(
        due=numbers["due"], later=numbers["later"], held=numbers["held"], is_cut=numbers.total() > MAX_COUNTED
    )
