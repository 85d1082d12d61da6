"""Write what was decided: statuses, attempts and suppressions. The only writer of the attempt table."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import text
from sqlalchemy.dialects import sqlite

from notifier import suppression
from notifier.db import dialect
from notifier.db.direct_connections import StatementConnection
from notifier.db.tables import Attempt, get_columns
from notifier.delivery.settlement_decision import DeliveryRecord
from notifier.outbox.entry_handler import Settlement
from notifier.outcomes import OutcomeName
from notifier.states import Status, SuppressionReason, TransitionCause
from notifier.status.status_writer import StatusChange, apply_status_changes

_ATTEMPT = {
    "id": "uuid", "notification_id": "uuid", "entry_id": "uuid", "lease_no": "int", "number": "int", "relay": "text",
    "phase": "text", "outcome": "text", "code": "int", "enhanced_code": "text", "reply": "text",
    "started_at": "timestamptz", "duration_ms": "int", "sha256": "text",
}  # fmt: skip
_HEARD = ("relay", "phase", "outcome", "code", "enhanced_code", "reply", "started_at", "duration_ms", "sha256")
_KNOWN_LATER = f"""
ON CONFLICT (entry_id, lease_no) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _HEARD)}
WHERE attempt.outcome = '{OutcomeName.UNCERTAIN}'
"""
_VALUES = ", ".join("decode(r.sha256, 'base64')" if name == "sha256" else f"r.{name}" for name in _ATTEMPT)
_ATTEMPTS_POSTGRES = text(f"""
{dialect.build_rows_source(_ATTEMPT, sqlite=False)}
INSERT INTO attempt ({", ".join(_ATTEMPT)}) SELECT {_VALUES} FROM r {_KNOWN_LATER}
""")  # noqa: S608 - names of our own columns
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


def _simulated(change: StatusChange, status: Status) -> StatusChange:
    """What follows when a simulated mail was sent."""
    return msgspec.structs.replace(change, to=status, detail=f"simulated: {status}")


async def _write_attempts(connection: StatementConnection, attempts: Sequence[dict[str, object]]) -> None:
    """Write one row for each claim; a definite outcome replaces an uncertain one of the same claim."""
    if connection.dialect.name == "sqlite":
        await connection.execute(_ATTEMPTS_SQLITE, attempts)
    else:
        await connection.execute(_ATTEMPTS_POSTGRES, {"rows": dialect.encode_rows(attempts, sqlite=False)})
