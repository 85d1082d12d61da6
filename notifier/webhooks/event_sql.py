"""SQL texts that write webhook events in the transaction that changes a status.

An event is written only if an endpoint subscribes to it. Each event has its own outbox entry; the handler of that entry
finds the endpoints.
"""

from notifier.outbox import queue_sql
from notifier.states import EntryKind, Priority

# An empty list subscribes to all types.
_SUBSCRIBED_POSTGRES = "h.events = '[]' OR h.events @> to_jsonb(CAST(m.type AS text))"
_SUBSCRIBED_SQLITE = "h.events = '[]' OR m.type IN (SELECT value FROM json_each(h.events))"


def build_event_insert(source: str, *, sqlite: bool) -> str:
    """Build the INSERT of the events to which an endpoint of their service subscribes.

    `source` has the columns event_id, service_id, notification_id, sequence, type, reason, detail and at.
    """
    subscribed = _SUBSCRIBED_SQLITE if sqlite else _SUBSCRIBED_POSTGRES
    return f"""INSERT INTO webhook_event (id, service_id, notification_id, sequence, type, reason, detail, at)
  SELECT event_id, service_id, notification_id, sequence, type, reason, detail, at FROM {source} AS m
  WHERE EXISTS (
    SELECT 1 FROM webhook_endpoint AS h
    WHERE h.service_id = m.service_id AND h.disabled_at IS NULL AND ({subscribed}))"""


def build_event_entry_insert(source: str) -> str:
    """Build the INSERT of the outbox entries of these events; `source` has the columns of the events."""
    entries = f"""(
    SELECT id, '{EntryKind.WEBHOOK}' AS kind, id AS subject_id, service_id, '{Priority.NORMAL}' AS priority,
           at AS due_at FROM {source}) AS e"""
    return queue_sql.build_enqueue_sql(entries)
