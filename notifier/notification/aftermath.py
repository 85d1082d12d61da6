"""Recover the notifications of a dead sender: from its journal, or as unknown."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from sqlalchemy import select, tuple_

from notifier.db.direct import Connection
from notifier.db.tables import Attempt, columns
from notifier.notification import load, settle
from notifier.notification.testimony import Testimony
from notifier.notification.verdict import Abandoned, Circumstances, Stopped, Unwritable, Verdict
from notifier.outbox.handler import Claimed, Finish, Lost, Note, Settlement
from notifier.outcomes import OutcomeName
from notifier.states import Reason, Status

_attempt = columns(Attempt)
POISON = Stopped(
    status=Status.FAILED,
    reason=Reason.POISON,
    detail="three senders died while each had only this mail at hand",
)


async def mourn(connection: Connection, lost: Sequence[Lost], context: Circumstances) -> list[Settlement]:
    """Settle the entries of a dead sender: unknown if marked or unwritable, else failed as poison."""
    deliveries = await load.deliveries(connection, {loss.entry.subject_id for loss in lost})
    settlements = []
    for loss in lost:
        delivery = deliveries.get(loss.entry.subject_id)
        verdict = _verdict(loss)
        settlements.append(
            settle.decide(loss.entry, delivery, verdict, context)
            if delivery is not None
            else Settlement(entry=loss.entry, action=Finish())
        )
    return settlements


def _verdict(lost: Lost) -> Verdict:
    if lost.unwritable:
        return Unwritable()
    return POISON if lost.marked_at is None else Abandoned(marked_at=lost.marked_at)


async def replay(
    connection: Connection, notes: Sequence[tuple[Claimed, Note]], context: Circumstances
) -> list[Settlement]:
    """Settle what the journal has and the database has not."""
    known = await _recorded(connection, [entry for entry, _ in notes])
    news = [(entry, Testimony.from_note(note)) for entry, note in notes if entry.fence not in known]
    deliveries = await load.deliveries(connection, {entry.subject_id for entry, _ in news})
    settlements = []
    for entry, testimony in news:
        if (delivery := deliveries.get(entry.subject_id)) is not None:
            # As it was when the try began: a rescue may have made it uncertain since, because this reply was missing.
            as_it_was = msgspec.structs.replace(delivery, uncertain_at=testimony.uncertain_at)
            settlements.append(settle.decide(entry, as_it_was, testimony.tried(), context))
    return settlements


async def _recorded(connection: Connection, entries: Sequence[Claimed]) -> set[tuple[UUID, int]]:
    """The claims whose definite outcome is in the database."""
    statement = select(_attempt.entry_id, _attempt.lease_no).where(
        tuple_(_attempt.entry_id, _attempt.lease_no).in_([entry.fence for entry in entries]),
        _attempt.outcome != OutcomeName.UNCERTAIN,
    )
    return {(row.entry_id, row.lease_no) for row in await connection.execute(statement)}
