"""Writing down what there is to tell, in the transaction of whoever changed a status; nothing is sent here.

Without an endpoint that wants to hear nothing is written. Each event has an outbox entry of its own, whose handler
finds the endpoints.
"""

from notifier.outbox import queue_sql
from notifier.states import EntryKind, Priority

# An empty list wants everything.
_WANTED_POSTGRES = "h.events = '[]' OR h.events @> to_jsonb(CAST(m.type AS text))"
_WANTED_SQLITE = "h.events = '[]' OR m.type IN (SELECT value FROM json_each(h.events))"


def build_event_insert(source: str, *, sqlite: bool) -> str:
    """The text of an INSERT of events that somebody wants to hear of.

    `source` has the columns event_id, service_id, notification_id, sequence, type, reason, detail and at.
    """
    wanted = _WANTED_SQLITE if sqlite else _WANTED_POSTGRES
    return f"""INSERT INTO webhook_event (id, service_id, notification_id, sequence, type, reason, detail, at)
  SELECT event_id, service_id, notification_id, sequence, type, reason, detail, at FROM {source} AS m
  WHERE EXISTS (
    SELECT 1 FROM webhook_endpoint AS h
    WHERE h.service_id = m.service_id AND h.disabled_at IS NULL AND ({wanted}))"""


def build_event_entry_insert(source: str) -> str:
    """The text of an INSERT of their outbox entries; `source` has the columns of the events."""
    entries = f"""(
    SELECT id, '{EntryKind.WEBHOOK}' AS kind, id AS subject_id, service_id, '{Priority.NORMAL}' AS priority,
           at AS due_at FROM {source}) AS e"""
    return queue_sql.build_enqueue_sql(entries)
