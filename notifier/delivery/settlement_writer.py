"""Write what was decided: statuses, attempts and suppressions; and settle what a dead sender left.

It is the only writer of the attempt table.
"""

# ruff: noqa: S608 - SQL of our own constants; values are always bound

from collections.abc import Sequence
from uuid import UUID

import msgspec
from sqlalchemy import select, text, tuple_
from sqlalchemy.dialects import sqlite

from notifier import suppression
from notifier.db import dialect
from notifier.db.dialect import build_statement
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
from notifier.delivery.settlement_decision import DeliveryRecord
from notifier.outbox.entry_handler import ClaimedEntry, FinishEntry, JournalNote, LostClaim, Settlement
from notifier.outcomes import OutcomeName
from notifier.states import Reason, Status, SuppressionReason, TransitionCause
from notifier.status.status_writer import StatusChange, apply_status_changes

_attempt = get_columns(Attempt)
POISON = EarlyStop(
    status=Status.FAILED,
    reason=Reason.POISON,
    detail="three senders died while each was sending only this mail",
)
_ATTEMPT = {
    "id": "uuid", "notification_id": "uuid", "entry_id": "uuid", "lease_no": "int", "number": "int", "relay": "text",
    "phase": "text", "outcome": "text", "code": "int", "enhanced_code": "text", "reply": "text",
    "started_at": "timestamptz", "duration_ms": "int", "sha256": "text",
}  # fmt: skip
_LEFT = "('sent', 'delivered', 'bounced', 'complained')"
_HEAD = "coalesce(n.parent_id, n.id)"
_HAS_LEFT = f"""(SELECT m.id FROM notification AS m WHERE m.id = {_HEAD} AND m.status NOT IN {_LEFT}) IS NULL
  AND (SELECT m.id FROM notification AS m WHERE m.parent_id = {_HEAD} AND m.status NOT IN {_LEFT} LIMIT 1) IS NULL"""
_ROWS = {"id": "uuid", "variables": "text"}
_ERASE_SECRETS = build_statement(
    f"""{dialect.build_rows_source(_ROWS, sqlite=False)}
UPDATE notification_content AS c SET variables = CAST(r.variables AS jsonb), secrets_erased = true
FROM r JOIN notification AS n ON {dialect.build_id_condition("n.id", sqlite=False)}
WHERE c.notification_id = {_HEAD} AND {_HAS_LEFT}""",
    f"""{dialect.build_rows_source(_ROWS, sqlite=True)}
UPDATE notification_content AS c SET variables = r.variables, secrets_erased = true
FROM r JOIN notification AS n ON n.id = r.id
WHERE c.notification_id = {_HEAD} AND {_HAS_LEFT}""",
)
_HEARD = ("relay", "phase", "outcome", "code", "enhanced_code", "reply", "started_at", "duration_ms", "sha256")
_KNOWN_LATER = f"""
ON CONFLICT (entry_id, lease_no) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _HEARD)}
WHERE attempt.outcome = '{OutcomeName.UNCERTAIN}'
"""
_VALUES = ", ".join("decode(r.sha256, 'base64')" if name == "sha256" else f"r.{name}" for name in _ATTEMPT)
_ATTEMPTS_POSTGRES = text(f"""
{dialect.build_rows_source(_ATTEMPT, sqlite=False)}
INSERT INTO attempt ({", ".join(_ATTEMPT)}) SELECT {_VALUES} FROM r {_KNOWN_LATER}
""")
_insert = sqlite.insert(Attempt)
_ATTEMPTS_SQLITE = _insert.on_conflict_do_update(
    index_elements=["entry_id", "lease_no"],
    set_={name: _insert.excluded[name] for name in _HEARD},
    where=get_columns(Attempt).outcome == OutcomeName.UNCERTAIN,
)


async def write_settlements(connection: StatementConnection, settled: Sequence[Settlement]) -> None:
    """Write the records of these settlements, in the settler's transaction."""
    records = [settlement.record for settlement in settled if isinstance(settlement.record, DeliveryRecord)]
    for cause in (TransitionCause.SENDER, TransitionCause.PROOF):
        await apply_status_changes(
            connection, [r.status_change for r in records if r.status_change and r.cause is cause], cause
        )
    if feedback := [_simulated(r.status_change, r.feedback) for r in records if r.status_change and r.feedback]:
        await apply_status_changes(connection, feedback, TransitionCause.FEEDBACK)
    if attempts := [record.attempt for record in records if record.attempt]:
        await _write_attempts(connection, attempts)
    if masked := [record for record in records if record.masked and record.status_change]:
        await _erase_secrets(connection, masked)
    for record in records:
        if record.suppression and record.status_change:
            recipient, detail = record.suppression
            await suppression.suppress_recipient(
                connection,
                recipient,
                reason=SuppressionReason.RECIPIENT_REFUSED,
                detail=detail,
                now=record.status_change.at,
            )


async def _erase_secrets(connection: StatementConnection, records: Sequence[DeliveryRecord]) -> None:
    """Replace the secret variables of contents of which every mail has left; the purge does the others."""
    sqlite = connection.dialect.name == "sqlite"
    rows = [
        {"id": record.status_change.notification_id, "variables": record.masked}
        for record in records
        if record.status_change
    ]
    await connection.execute(
        _ERASE_SECRETS.for_connection(connection), {"rows": dialect.encode_rows(rows, sqlite=sqlite)}
    )


def _simulated(change: StatusChange, status: Status) -> StatusChange:
    return msgspec.structs.replace(change, to=status, detail=f"simulated: {status}")


async def _write_attempts(connection: StatementConnection, attempts: Sequence[dict[str, object]]) -> None:
    """Write one row for each claim; a definite outcome replaces an uncertain one of the same claim."""
    if connection.dialect.name == "sqlite":
        await connection.execute(_ATTEMPTS_SQLITE, attempts)
    else:
        await connection.execute(_ATTEMPTS_POSTGRES, {"rows": dialect.encode_rows(attempts, sqlite=False)})


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
    """Settle the replies that are in the journal and not in the database."""
    recorded = await _list_recorded_fences(connection, [entry for entry, _ in notes])
    records = [(entry, msgspec.convert(note, JournalRecord)) for entry, note in notes if entry.fence not in recorded]
    deliveries = await delivery_loader.load_deliveries(connection, {entry.subject_id for entry, _ in records})
    settlements = []
    for entry, record in records:
        if (delivery := deliveries.get(entry.subject_id)) is not None:
            # As it was when the attempt began: without the reply a rescue may have made it uncertain since.
            as_it_was = msgspec.structs.replace(delivery, uncertain_at=record.uncertain_at)
            settlements.append(settlement_decision.decide_settlement(entry, as_it_was, record.to_attempt(), context))
    return settlements


async def _list_recorded_fences(
    connection: StatementConnection, entries: Sequence[ClaimedEntry]
) -> set[tuple[UUID, int]]:
    statement = select(_attempt.entry_id, _attempt.lease_no).where(
        tuple_(_attempt.entry_id, _attempt.lease_no).in_([entry.fence for entry in entries]),
        _attempt.outcome != OutcomeName.UNCERTAIN,
    )
    return {(row.entry_id, row.lease_no) for row in await connection.execute(statement)}
