"""The only writer of a notification's status. It makes only the transitions of `states.py`; others are ignored.

A change by a person or caller is written together with its event in the timeline. Each change also writes the webhook
events, if an endpoint subscribes to them; the handler of their outbox entries finds the endpoints.
"""

# ruff: noqa: S608 - SQL of our own constants; values are always bound

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import groupby
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import TextClause, insert, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db import dialect
from notifier.db.direct_connections import StatementConnection
from notifier.db.tables import Notification, NotificationEvent, get_columns
from notifier.ids import generate_id
from notifier.outbox import queue_sql
from notifier.states import (
    INDEXED_STATUSES,
    EntryKind,
    EventKind,
    Priority,
    Reason,
    Status,
    TransitionCause,
    get_source_statuses,
)

_notification = get_columns(Notification)
MAX_DETAIL_LENGTH = 1000
_TYPES = {"id": "uuid", "event_id": "uuid", "reason": "text", "detail": "text", "at": "timestamptz"}
_NOTHING = "SELECT 1 WHERE false"


class StatusChange(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A new status for one notification, with reason and time."""

    notification_id: UUID
    to: Status
    at: datetime
    reason: Reason | None = None
    detail: str | None = None  # for people: the relay's reply, or our own text


@dataclass(frozen=True, kw_only=True)
class RequestedChange:
    """What a person or caller does to a notification, as the timeline shows it."""

    kind: EventKind
    actor: str
    cause: TransitionCause  # CALLER or PERSON
    only_from: frozenset[Status]  # of the statuses that `states.py` allows, those from which this action starts
    detail: str = ""
    expires_at: datetime | None = None  # a new one


async def apply_status_changes(
    connection: StatementConnection, changes: Sequence[StatusChange], cause: TransitionCause
) -> None:
    """Apply each change that is allowed from the current status; the others do nothing."""
    sqlite = connection.dialect.name == "sqlite"
    by_target = sorted(changes, key=lambda change: change.to)
    for target, changes_to_target in groupby(by_target, key=lambda change: change.to):
        rows = [_build_row(change) for change in changes_to_target]
        values = {"rows": dialect.encode_rows(rows, sqlite=sqlite)}
        moved = await connection.execute(_build_change_statement(target, cause, sqlite=sqlite), values)
        if sqlite and not (target is Status.QUEUED and cause is TransitionCause.SENDER):
            ids = {UUID(row.id) for row in moved}
            await _write_consequences(connection, target, [change for change in rows if change["id"] in ids])


async def _write_consequences(connection: StatementConnection, status: Status, rows: Sequence[dict[str, Any]]) -> None:
    sqlite = connection.dialect.name == "sqlite"
    values = {"rows": dialect.encode_rows(rows, sqlite=sqlite)}
    for statement in _build_follow_up_sqlite(status) if sqlite else (_build_follow_up_postgres(status),):
        await connection.execute(statement, values)


def _build_row(change: StatusChange) -> dict[str, Any]:
    return {
        "id": change.notification_id,
        "event_id": generate_id(),
        "reason": change.reason,
        "detail": _cut_detail(change.detail),
        "at": change.at,
    }


async def apply_requested_change(connection: AsyncConnection, change: StatusChange, request: RequestedChange) -> bool:
    """Apply one change and write its event. False if it is not allowed from the current status: nothing is written."""
    values: dict[str, Any] = {"status": change.to, "updated_at": change.at, "reason": change.reason}
    values |= {"detail": _cut_detail(change.detail), "sequence": _notification.sequence + 1}
    if request.expires_at is not None:
        values["expires_at"] = request.expires_at
    allowed = sorted(get_source_statuses(change.to, request.cause) & request.only_from)
    statement = (
        update(Notification)
        .where(_notification.id == change.notification_id, _notification.status.in_(allowed))
        .values(values)
        .returning(_notification.id)
    )
    if (await connection.execute(statement)).first() is None:
        return False
    await _write_consequences(connection, change.to, [_build_row(change)])
    event = build_event_row(change.notification_id, request.kind, request.actor, change.at, request.detail)
    await connection.execute(insert(NotificationEvent).values(event))
    return True


def build_event_row(notification_id: UUID, kind: EventKind, actor: str, at: datetime, detail: str) -> dict[str, Any]:
    """Build a row of the timeline."""
    return {
        "id": generate_id(),
        "notification_id": notification_id,
        "at": at,
        "kind": kind,
        "actor": actor,
        "detail": detail,
    }


def _cut_detail(detail: str | None) -> str | None:
    return detail[:MAX_DETAIL_LENGTH] if detail else None


# -- the SQL: one statement on PostgreSQL, several on SQLite -----------------------------------------------------------


@cache
def _build_change_statement(target: Status, cause: TransitionCause, *, sqlite: bool) -> TextClause:
    """Change many notifications to one status where that is allowed; on SQLite it returns their ids."""
    uncertain = ", uncertain_at = coalesce(n.uncertain_at, r.at)" if target is Status.UNKNOWN else ""
    allowed = "', '".join(sorted(get_source_statuses(target, cause)))
    source = dialect.build_rows_source(_TYPES, sqlite=sqlite)
    update = f"""
UPDATE notification AS n
SET status = '{target}', reason = r.reason, detail = r.detail, updated_at = r.at, sequence = n.sequence + 1{uncertain}
FROM r
WHERE {dialect.build_id_condition("n.id", sqlite=sqlite)} AND n.status IN ('{allowed}')"""
    if sqlite:
        return text(f"{source} {update} RETURNING id")
    moved = f"""{update}
RETURNING n.id AS notification_id, n.service_id, n.sequence, r.event_id, r.reason, r.detail, r.at"""
    if target is Status.QUEUED and cause is TransitionCause.SENDER:  # only the reason changes
        return text(f"{source} {update}")
    return text(f"{source}, moved AS ({moved}){build_consequences('moved', target)} {_NOTHING}")


def build_consequences(source: str, status: Status) -> str:
    """The rest of a PostgreSQL statement whose CTE `source` has the notifications with the new status."""
    index = (
        f"INSERT INTO status_index (notification_id, service_id, status)"
        f" SELECT notification_id, service_id, '{status}' FROM {source}"
        f" ON CONFLICT (notification_id) DO UPDATE SET status = excluded.status"
        if status in INDEXED_STATUSES
        else f"DELETE FROM status_index AS i USING {source} AS m WHERE i.notification_id = m.notification_id"
        f" AND i.notification_id = ANY(ARRAY(SELECT notification_id FROM {source}))"
    )
    return f""",
indexed AS ({index}),
new_event AS (SELECT *, 'notification.{status}' AS type FROM {source}),
event AS ({build_event_insert("new_event", sqlite=False)} RETURNING id, service_id, at),
event_entry AS ({build_event_entry_insert("event")})"""


@cache
def _build_follow_up_postgres(status: Status) -> TextClause:
    """Index and events for a status that another statement of the transaction has set."""
    condition = dialect.build_id_condition("n.id", sqlite=False)
    return text(f"""{dialect.build_rows_source(_TYPES, sqlite=False)},
moved AS (
  SELECT n.id AS notification_id, n.service_id, n.sequence, r.event_id, r.reason, r.detail, r.at
  FROM r JOIN notification AS n ON {condition}){build_consequences("moved", status)} {_NOTHING}""")


@cache
def _build_follow_up_sqlite(status: Status) -> tuple[TextClause, ...]:
    """The same, as several statements."""
    r = dialect.build_rows_source(_TYPES, sqlite=True)
    new_events = f"""(
    SELECT n.id AS notification_id, n.service_id, n.sequence, r.event_id, r.reason, r.detail, r.at,
           'notification.{status}' AS type FROM r JOIN notification AS n ON n.id = r.id)"""
    events = "(SELECT id, service_id, at FROM webhook_event WHERE id IN (SELECT event_id FROM r))"
    index = (
        f"{r} INSERT OR REPLACE INTO status_index (notification_id, service_id, status)"
        " SELECT n.id, n.service_id, n.status FROM r JOIN notification AS n ON n.id = r.id"
        if status in INDEXED_STATUSES
        else f"{r} DELETE FROM status_index WHERE notification_id IN (SELECT id FROM r)"
    )
    return (
        text(index),
        text(f"{r} {build_event_insert(new_events, sqlite=True)}"),
        text(f"{r} {build_event_entry_insert(events)}"),
    )


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
