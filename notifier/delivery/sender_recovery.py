"""Recover the notifications of a dead sender: from its journal, or as unknown."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from sqlalchemy import select, tuple_

from notifier.db.direct_connections import StatementConnection
from notifier.db.tables import Attempt, get_columns
from notifier.delivery import delivery_loader, settlement_decision
from notifier.delivery.delivery_result import (
    DeliveryResult,
    EarlyStop,
    JournalRecord,
    LostAttempt,
    SettlementContext,
    UnwritableResult,
)
from notifier.outbox.entry_handler import ClaimedEntry, FinishEntry, JournalNote, LostClaim, Settlement
from notifier.outcomes import OutcomeName
from notifier.states import Reason, Status

_attempt = get_columns(Attempt)
POISON = EarlyStop(
    status=Status.FAILED,
    reason=Reason.POISON,
    detail="three senders died while each was sending only this mail",
)


async def recover_lost(
    connection: StatementConnection, lost_claims: Sequence[LostClaim], context: SettlementContext
) -> list[Settlement]:
    """Settle the entries of a dead sender: unknown if marked or unwritable, else failed as poison."""
    deliveries = await delivery_loader.load_deliveries(connection, {loss.entry.subject_id for loss in lost_claims})
    settlements = []
    for loss in lost_claims:
        delivery = deliveries.get(loss.entry.subject_id)
        result = _build_result_of_lost(loss)
        settlements.append(
            settlement_decision.decide_settlement(loss.entry, delivery, result, context)
            if delivery is not None
            else Settlement(entry=loss.entry, action=FinishEntry())
        )
    return settlements


def _build_result_of_lost(loss: LostClaim) -> DeliveryResult:
    if loss.unwritable:
        return UnwritableResult()
    return POISON if loss.marked_at is None else LostAttempt(marked_at=loss.marked_at)


async def replay_journal(
    connection: StatementConnection, notes: Sequence[tuple[ClaimedEntry, JournalNote]], context: SettlementContext
) -> list[Settlement]:
    """Settle what the journal has and the database has not."""
    recorded = await _list_recorded_fences(connection, [entry for entry, _ in notes])
    records = [(entry, JournalRecord.from_note(note)) for entry, note in notes if entry.fence not in recorded]
    deliveries = await delivery_loader.load_deliveries(connection, {entry.subject_id for entry, _ in records})
    settlements = []
    for entry, record in records:
        if (delivery := deliveries.get(entry.subject_id)) is not None:
            # As it was when the try began: a rescue may have made it uncertain since, because this reply was missing.
            as_it_was = msgspec.structs.replace(delivery, uncertain_at=record.uncertain_at)
            settlements.append(settlement_decision.decide_settlement(entry, as_it_was, record.to_attempt(), context))
    return settlements


async def _list_recorded_fences(
    connection: StatementConnection, entries: Sequence[ClaimedEntry]
) -> set[tuple[UUID, int]]:
    """The claims whose definite outcome is in the database."""
    statement = select(_attempt.entry_id, _attempt.lease_no).where(
        tuple_(_attempt.entry_id, _attempt.lease_no).in_([entry.fence for entry in entries]),
        _attempt.outcome != OutcomeName.UNCERTAIN,
    )
    return {(row.entry_id, row.lease_no) for row in await connection.execute(statement)}
