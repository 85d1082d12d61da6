"""The SQL that writes a batch of new notifications with contents, tags, outbox entries and events.

Each statement takes the batch as one JSON array of flat records. `notifier.submission.notification_writer` runs them.
"""

from sqlalchemy import TextClause, text
from sqlalchemy.dialects import postgresql

from notifier import suppression
from notifier.db.tables import Notification, NotificationContent, get_columns
from notifier.outbox import queue_sql
from notifier.states import EntryKind, Reason, Status
from notifier.status import status_writer
from notifier.status.status_writer import build_consequences

HASH_BYTES = 32  # of a SHA-256
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_NAMES = [column.name for column in get_columns(Notification)]

# Computed by the statement: it depends on whether the address is suppressed.
_COMPUTED = {
    "status": f"CASE WHEN barred IS NULL THEN '{Status.QUEUED}' ELSE '{Status.SUPPRESSED}' END",
    "reason": f"CASE WHEN barred IS NULL THEN NULL ELSE '{Reason.RECIPIENT_SUPPRESSED}' END",
    "detail": "'the address is suppressed: ' || barred",
    "sequence": "0",
}
_CONTENT_COLUMNS = [c for c in get_columns(NotificationContent) if c.name not in ("notification_id", "secrets_erased")]
_CONTENT = [column.name for column in _CONTENT_COLUMNS]
_INTO = f"""INSERT INTO notification ({", ".join(_NAMES)})"""
_INTO_CONTENT = f"""INSERT INTO notification_content (notification_id, {", ".join(_CONTENT)})"""
_INTO_TAGS = "INSERT INTO notification_tag (service_id, tag, notification_id)"
_KEY_FREE = "ON CONFLICT (service_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING"
# Also for the id: if the reply to a commit was lost, the notifications are written again.
_NEW = "ON CONFLICT DO NOTHING"
_ENTRY = f"'{EntryKind.EMAIL}' AS kind, d.id AS subject_id, d.service_id, d.priority, d.send_at AS due_at"
# The event of a notification that is suppressed at once. It has the id of its notification.
_EVENT = "d.id AS notification_id, d.id AS event_id, d.service_id, 0 AS sequence, d.created_at AS at"


# Only files of written notifications, in one order, so that two writers of the same files never deadlock.
_STORED_FILES = """
kept AS (
  INSERT INTO attachment (sha256, octets, created_at)
  SELECT DISTINCT ON (f.sha256) f.sha256, f.octets, d.created_at
  FROM unnest(CAST(:owners AS uuid[]), CAST(:digests AS bytea[]), CAST(:octets AS bytea[]))
    AS f(owner, sha256, octets)
  JOIN won ON won.id = f.owner JOIN draft AS d ON d.id = f.owner ORDER BY f.sha256 ON CONFLICT DO NOTHING),"""


def _build_postgres(stored_files: str = "") -> TextClause:
    """The lock timeout and all inserts in one statement: one round trip, one transaction."""
    table_columns = [*get_columns(Notification), *_CONTENT_COLUMNS]
    types = {column.name: column.type.compile(_DIALECT) for column in table_columns if column.name not in _COMPUTED}
    types |= {"request_hash": "text", "entry_id": "uuid"}
    row = _COMPUTED | {"request_hash": "decode(request_hash, 'base64')"}
    values = ", ".join(row.get(name, name) for name in _NAMES)
    barred = suppression.build_barring_query(
        "d.address_key", service="d.service_id", category="d.category", now="d.created_at"
    )
    return text(f"""
WITH bound AS MATERIALIZED (SELECT set_config('lock_timeout', :lock_ms, true)),
draft AS MATERIALIZED (
  -- The join sets the limit before the first row is inserted.
  SELECT d.*, ({barred} LIMIT 1) AS barred
  FROM bound, json_to_recordset(CAST(:batch AS json)) AS d({", ".join(f"{n} {t}" for n, t in types.items())})),
won AS (
  {_INTO} SELECT {values} FROM draft WHERE parent_id IS NULL ORDER BY service_id, idempotency_key
  {_NEW} RETURNING id, status),
copied AS (
  {_INTO} SELECT {values} FROM draft WHERE parent_id IN (SELECT id FROM won) RETURNING id, status),
written AS (SELECT id, status FROM won UNION ALL SELECT id, status FROM copied),
content AS ({_INTO_CONTENT} SELECT id, {", ".join(_CONTENT)} FROM won JOIN draft USING (id)),{stored_files}
tagged AS (
  {_INTO_TAGS} SELECT d.service_id, tag, d.id FROM written JOIN draft AS d USING (id),
  LATERAL jsonb_array_elements_text(d.tags) AS tag ON CONFLICT DO NOTHING),
entry AS (
  SELECT d.entry_id AS id, {_ENTRY} FROM written AS w JOIN draft AS d USING (id) WHERE w.status = '{Status.QUEUED}'),
enqueued AS ({queue_sql.build_enqueue_sql("entry")}),
stopped AS (
  SELECT {_EVENT}, '{Reason.RECIPIENT_SUPPRESSED}' AS reason, {_COMPUTED["detail"]} AS detail
  FROM written AS w JOIN draft AS d USING (id) WHERE w.status = '{Status.SUPPRESSED}')
{build_consequences("stopped", Status.SUPPRESSED)}
SELECT id, status FROM written
""")


POSTGRES, POSTGRES_WITH_FILES = _build_postgres(), _build_postgres(_STORED_FILES)


def _build_sqlite() -> tuple[str, ...]:
    """One statement per table for the whole batch: the GIL is taken again after each statement."""
    hashed = f"substr(:hashes, {HASH_BYTES} * key + 1, {HASH_BYTES})"  # SQLite 3.40 reads no bytes from text
    row = _COMPUTED | {"request_hash": f"CASE WHEN value ->> 'idempotency_key' IS NOT NULL THEN {hashed} END"}
    fields = {name: f"value ->> '{name}'" for name in _NAMES}
    barred = suppression.build_barring_query(
        fields["address_key"], service=fields["service_id"], category=fields["category"], now=fields["created_at"]
    )
    insert = f"""
{_INTO} SELECT {", ".join(row.get(name, fields[name]) for name in _NAMES)}
FROM (SELECT key, value, ({barred} LIMIT 1) AS barred FROM json_each(:batch)) WHERE"""
    here = "FROM json_each(:batch) AS b JOIN notification AS d ON d.id = b.value ->> 'id'"
    content = ", ".join(
        "b.value ->> 'addressed_to'" if name == "addressed_to" else f"nullif(b.value -> '{name}', 'null')"
        for name in _CONTENT
    )
    stopped = f"{here} WHERE d.status = '{Status.SUPPRESSED}'"
    new_event = f"(SELECT {_EVENT}, d.reason, d.detail, 'notification.{Status.SUPPRESSED}' AS type {stopped})"
    entry = f"SELECT b.value ->> 'entry_id' AS id, {_ENTRY} {here} WHERE d.status = '{Status.QUEUED}'"
    events = "(SELECT e.id, e.service_id, e.at FROM json_each(:batch) JOIN webhook_event AS e ON e.id = value ->> 'id')"
    return (
        f"{insert} value ->> 'parent_id' IS NULL {_KEY_FREE}",
        f"{insert} value ->> 'parent_id' IN (SELECT id FROM notification)",
        f"{_INTO_CONTENT} SELECT d.id, {content} {here} WHERE d.parent_id IS NULL",
        f"{_INTO_TAGS} SELECT DISTINCT d.service_id, t.value, d.id {here}, json_each(d.tags) AS t",
        f"WITH entry AS ({entry}) {queue_sql.build_enqueue_sql('entry')}",
        f"INSERT INTO status_index (notification_id, service_id, status) SELECT d.id, d.service_id, d.status {stopped}",
        status_writer.build_event_insert(new_event, sqlite=True),
        status_writer.build_event_entry_insert(events),
    )


SQLITE = _build_sqlite()
WRITTEN_SQLITE = """
SELECT json_group_array(json_array(n.id, n.status))
FROM json_each(:batch) JOIN notification AS n ON n.id = value ->> 'id'
"""

# The rows that have these keys of a service. `IS NOT NULL` makes the partial index usable.
_EARLIER = """
SELECT idempotency_key, id, status, created_at, send_at, request_hash, batch_id FROM notification
WHERE service_id = :service AND idempotency_key IS NOT NULL AND idempotency_key {among}
"""
EARLIER_POSTGRES = text(_EARLIER.format(among="= ANY(CAST(:keys AS text[]))"))
EARLIER_SQLITE = _EARLIER.format(among="IN (SELECT value FROM json_each(:keys))")

# The notifications, of these, that were written by a commit whose reply was lost.
WRITTEN_POSTGRES = text("SELECT id, status FROM notification WHERE id = ANY(CAST(:ids AS uuid[]))")

# Remove keys that do not count any more from their rows.
_RELEASE_KEYS = "UPDATE notification SET idempotency_key = NULL WHERE id {among}"
RELEASE_KEYS_POSTGRES = text(_RELEASE_KEYS.format(among="= ANY(CAST(:ids AS uuid[]))"))
RELEASE_KEYS_SQLITE = _RELEASE_KEYS.format(among="IN (SELECT value FROM json_each(:ids))")
