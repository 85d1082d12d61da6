"""The attempt table's only writer: one row for each claim in which a relay was asked, or may have been."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.dialects import sqlite

from notifier.db import row_parameter
from notifier.db.direct_connections import StatementConnection
from notifier.db.tables import Attempt, get_columns
from notifier.outcomes import OutcomeName

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
_ATTEMPTS_POSTGRES = text(
    f"{row_parameter.build_rows_source(_ATTEMPT, sqlite=False)} INSERT INTO attempt ({', '.join(_ATTEMPT)}) SELECT {_VALUES} FROM r"  # noqa: S608
    f"{_KNOWN_LATER}"
)
_insert = sqlite.insert(Attempt)
_ATTEMPTS_SQLITE = _insert.on_conflict_do_update(
    index_elements=["entry_id", "lease_no"],
    set_={name: _insert.excluded[name] for name in _HEARD},
    where=get_columns(Attempt).outcome == OutcomeName.UNCERTAIN,
)


async def write_attempts(connection: StatementConnection, attempts: Sequence[dict[str, object]]) -> None:
    """One row for each claim; where its end was not known, what is heard later takes the place of that."""
    if connection.dialect.name == "sqlite":
        await connection.execute(_ATTEMPTS_SQLITE, attempts)
    else:
        await connection.execute(_ATTEMPTS_POSTGRES, {"rows": row_parameter.encode_rows(attempts, sqlite=False)})
