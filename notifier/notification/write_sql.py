"""The statements that write a batch of drafts; the text for the entries is the queue's own.

Each takes the batch as one JSON array of flat records. Where the two databases differ, their texts stand one under the
other. `notifier.notification.write` runs them.
"""

from sqlalchemy import TextClause, text
from sqlalchemy.dialects import postgresql

from notifier.db.tables import Notification, NotificationContent, columns
from notifier.outbox import statements
from notifier.states import EntryKind, Reason, Status

HASH_BYTES = 32  # of a SHA-256
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_NAMES = [column.name for column in columns(Notification)]

# What no caller says: it depends on whether the address is suppressed.
_FOUND_OUT = {
    "status": f"CASE WHEN barred IS NULL THEN '{Status.QUEUED}' ELSE '{Status.SUPPRESSED}' END",
    "reason": f"CASE WHEN barred IS NULL THEN NULL ELSE '{Reason.RECIPIENT_SUPPRESSED}' END",
    "detail": "'the address is suppressed: ' || barred",
}
_INTO = f"""INSERT INTO notification ({", ".join(_NAMES)})"""
_KEY_FREE = "ON CONFLICT (service_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING"
_ENTRY = f"'{EntryKind.EMAIL}' AS kind, d.id AS subject_id, d.service_id, d.priority, d.send_at AS due_at"


def _postgres() -> TextClause:
    """All of it, and the limit of waiting for locks, in one statement: one round trip, one transaction."""
    given = [*columns(Notification), *list(columns(NotificationContent))[1:]]
    types = {column.name: column.type.compile(_DIALECT) for column in given if column.name not in _FOUND_OUT}
    types |= {"request_hash": "text", "entry_id": "uuid", "address_key": "text"}
    row = _FOUND_OUT | {"request_hash": "decode(request_hash, 'base64')"}
    return text(f"""
WITH bound AS MATERIALIZED (SELECT set_config('lock_timeout', :lock_ms, true)),
draft AS MATERIALIZED (
  -- Through the join the limit is set before the first row is there to be inserted.
  SELECT d.*, (SELECT reason FROM suppression WHERE address = d.address_key) AS barred
  FROM bound, json_to_recordset(CAST(:batch AS json)) AS d({", ".join(f"{n} {t}" for n, t in types.items())})),
won AS (
  {_INTO} SELECT {", ".join(row.get(name, name) for name in _NAMES)} FROM draft
  ORDER BY service_id, idempotency_key
  {_KEY_FREE} RETURNING id, status),
content AS (
  INSERT INTO notification_content (notification_id, variables, headers)
  SELECT id, variables, headers FROM won JOIN draft USING (id)),
entry AS (
  SELECT d.entry_id AS id, {_ENTRY} FROM won JOIN draft AS d USING (id) WHERE won.status = '{Status.QUEUED}'),
enqueued AS ({statements.enqueue_from("entry")})
SELECT id, status FROM won
""")


POSTGRES = _postgres()


def _sqlite() -> tuple[str, ...]:
    """One step each for the whole batch: the interpreter's lock is taken again after every step."""
    hashed = f"substr(:hashes, {HASH_BYTES} * key + 1, {HASH_BYTES})"  # SQLite 3.40 reads no bytes from text
    row = _FOUND_OUT | {"request_hash": f"CASE WHEN value ->> 'idempotency_key' IS NOT NULL THEN {hashed} END"}
    barred = "(SELECT reason FROM suppression WHERE address = value ->> 'address_key') AS barred"
    return (
        f"""
{_INTO} SELECT {", ".join(row.get(name, f"value ->> '{name}'") for name in _NAMES)}
FROM (SELECT key, value, {barred} FROM json_each(:batch)) WHERE true
{_KEY_FREE}
""",
        """
INSERT INTO notification_content (notification_id, variables, headers)
SELECT n.id, value -> 'variables', value -> 'headers'
FROM json_each(:batch) JOIN notification AS n ON n.id = value ->> 'id'
""",
        f"""
WITH entry AS (
  SELECT value ->> 'entry_id' AS id, {_ENTRY}
  FROM json_each(:batch) JOIN notification AS d ON d.id = value ->> 'id' WHERE d.status = '{Status.QUEUED}')
{statements.enqueue_from("entry")}
""",
    )


SQLITE = _sqlite()
WRITTEN_SQLITE = """
SELECT json_group_array(json_array(n.id, n.status))
FROM json_each(:batch) JOIN notification AS n ON n.id = value ->> 'id'
"""

# The rows that have these keys of a service; without the second condition the partial index would not be looked at.
_EARLIER = """
SELECT idempotency_key, id, status, created_at, send_at, request_hash FROM notification
WHERE service_id = :service AND idempotency_key IS NOT NULL AND idempotency_key {among}
"""
EARLIER_POSTGRES = text(_EARLIER.format(among="= ANY(CAST(:keys AS text[]))"))
EARLIER_SQLITE = _EARLIER.format(among="IN (SELECT value FROM json_each(:keys))")
