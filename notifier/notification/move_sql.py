"""The SQL that changes a status, and with it the status index and the webhook events.

One statement on PostgreSQL; several on SQLite, in one transaction. `notifier.notification.move` runs them.
"""

from functools import cache

from sqlalchemy import TextClause, text

from notifier.db import rows
from notifier.states import FOUND_BY_STATUS, Cause, Status, sources_of
from notifier.webhooks import publish

_TYPES = {"id": "uuid", "event_id": "uuid", "reason": "text", "detail": "text", "at": "timestamptz"}
_NOTHING = "SELECT 1 WHERE false"


@cache
def step(target: Status, cause: Cause, *, sqlite: bool) -> TextClause:
    """Change many notifications to one status where that is allowed; on SQLite it returns their ids."""
    uncertain = ", uncertain_at = coalesce(n.uncertain_at, r.at)" if target is Status.UNKNOWN else ""
    update = f"""
UPDATE notification AS n
SET status = '{target}', reason = r.reason, detail = r.detail, updated_at = r.at, sequence = n.sequence + 1{uncertain}
FROM r
WHERE {rows.found_by("n.id", sqlite=sqlite)} AND n.status IN ('{"', '".join(sorted(sources_of(target, cause)))}')"""
    if sqlite:
        return text(f"{rows.source(_TYPES, sqlite=True)} {update} RETURNING id")
    moved = f"""{update}
RETURNING n.id AS notification_id, n.service_id, n.sequence, r.event_id, r.reason, r.detail, r.at"""
    if target is Status.QUEUED and cause is Cause.SENDER:  # only the reason changes
        return text(f"{rows.source(_TYPES, sqlite=False)} {update}")
    return text(f"{rows.source(_TYPES, sqlite=False)}, moved AS ({moved}){consequences('moved', target)} {_NOTHING}")


def consequences(source: str, status: Status) -> str:
    """The rest of a PostgreSQL statement whose CTE `source` has the notifications with the new status."""
    index = (
        f"INSERT INTO status_index (notification_id, service_id, status)"
        f" SELECT notification_id, service_id, '{status}' FROM {source}"
        f" ON CONFLICT (notification_id) DO UPDATE SET status = excluded.status"
        if status in FOUND_BY_STATUS
        else f"DELETE FROM status_index AS i USING {source} AS m WHERE i.notification_id = m.notification_id"
        f" AND i.notification_id = ANY(ARRAY(SELECT notification_id FROM {source}))"
    )
    return f""",
listed AS ({index}),
telling AS (SELECT *, 'notification.{status}' AS type FROM {source}),
told AS ({publish.events_from("telling", sqlite=False)} RETURNING id, service_id, at),
to_be_told AS ({publish.entries_from("told")})"""


@cache
def follow_postgres(status: Status) -> TextClause:
    """Index and events for a status that another statement of the transaction has set."""
    return text(f"""{rows.source(_TYPES, sqlite=False)},
moved AS (
  SELECT n.id AS notification_id, n.service_id, n.sequence, r.event_id, r.reason, r.detail, r.at
  FROM r JOIN notification AS n ON {rows.found_by("n.id", sqlite=False)}){consequences("moved", status)} {_NOTHING}""")


@cache
def follow_sqlite(status: Status) -> tuple[TextClause, ...]:
    """The same, as several statements."""
    r = rows.source(_TYPES, sqlite=True)
    telling = f"""(
    SELECT n.id AS notification_id, n.service_id, n.sequence, r.event_id, r.reason, r.detail, r.at,
           'notification.{status}' AS type FROM r JOIN notification AS n ON n.id = r.id)"""
    events = "(SELECT id, service_id, at FROM webhook_event WHERE id IN (SELECT event_id FROM r))"
    index = (
        f"{r} INSERT OR REPLACE INTO status_index (notification_id, service_id, status)"
        " SELECT n.id, n.service_id, n.status FROM r JOIN notification AS n ON n.id = r.id"
        if status in FOUND_BY_STATUS
        else f"{r} DELETE FROM status_index WHERE notification_id IN (SELECT id FROM r)"
    )
    return (
        text(index),
        text(f"{r} {publish.events_from(telling, sqlite=True)}"),
        text(f"{r} {publish.entries_from(events)}"),
    )
