"""Writes what the handler records, in the settler's transaction: deliveries, attempts, final states, endpoint health.

The statements take their rows as one JSON array.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import TextClause, text

from notifier.db import dialect
from notifier.db.direct_connections import StatementConnection
from notifier.db.tables.webhook import DeliveryState
from notifier.outbox import queue_sql
from notifier.states import EntryKind, Priority

_DELIVERY_FIELDS = {
    "id": "uuid", "entry_id": "uuid", "event_id": "uuid", "endpoint_id": "uuid", "service_id": "uuid", "type": "text",
    "body": "text", "at": "timestamptz",
}  # fmt: skip
_ATTEMPT_FIELDS = {
    "id": "uuid", "delivery_id": "uuid", "number": "int", "at": "timestamptz", "duration_ms": "int", "code": "int",
    "detail": "text",
}  # fmt: skip
_END_FIELDS = {"id": "uuid", "state": "text", "at": "timestamptz"}
_HEALTH_FIELDS = {"id": "uuid", "at": "timestamptz", "long_ago": "timestamptz", "reason": "text"}


class WebhookEventRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The record of an event: its deliveries. An event without deliveries is deleted."""

    event_id: UUID
    deliveries: list[dict[str, Any]]  # rows, by the names of `_DELIVERY_FIELDS`


class WebhookAttemptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a delivery: one attempt, or its final state, or both."""

    delivery_id: UUID
    endpoint_id: UUID
    at: datetime
    attempt: dict[str, Any] | None = None  # a row, by the names of `_ATTEMPT_FIELDS`
    end: DeliveryState | None = None
    went_well: bool | None = None  # whether the endpoint answered well; None: it was not called
    gone: str | None = None  # why the endpoint is disabled at once; None: it is not


async def insert_deliveries(connection: StatementConnection, deliveries: Sequence[Mapping[str, Any]]) -> None:
    """Insert deliveries, and the outbox entry of each."""
    await _run(connection, _insert_deliveries, deliveries)
    await _run(connection, _insert_entries, deliveries)


async def write_records(
    connection: StatementConnection,
    records: Sequence[WebhookEventRecord | WebhookAttemptRecord],
    *,
    patience: timedelta,
) -> None:
    """Write the records. An endpoint at which every attempt failed for longer than `patience` is disabled."""
    events = [record for record in records if isinstance(record, WebhookEventRecord)]
    await insert_deliveries(connection, [row for event in events for row in event.deliveries])
    await _run(connection, _delete_events, [{"id": event.event_id} for event in events if not event.deliveries])
    tried = [record for record in records if isinstance(record, WebhookAttemptRecord)]
    await _run(connection, _insert_attempts, [record.attempt for record in tried if record.attempt is not None])
    ended = [record for record in tried if record.end is not None]
    ends = [{"id": record.delivery_id, "state": record.end, "at": record.at} for record in ended]
    await _run(connection, _end_deliveries, ends)
    await _update_health(connection, tried, patience)


async def _update_health(
    connection: StatementConnection, tried: Sequence[WebhookAttemptRecord], patience: timedelta
) -> None:
    """Update each endpoint once: a success outweighs the failures of the same batch."""
    healthy, failing, gone = {}, {}, {}
    days = patience.total_seconds() / 86400
    for record in sorted(tried, key=lambda record: record.endpoint_id):  # the same order everywhere avoids deadlocks
        row = {"id": record.endpoint_id, "at": record.at, "long_ago": record.at - patience, "reason": record.gone}
        if record.gone is not None:
            gone[record.endpoint_id] = row
        elif record.went_well:
            healthy[record.endpoint_id] = row
        elif record.went_well is False:
            failing[record.endpoint_id] = row | {"reason": f"every try has failed for {days:g} days"}
    await _run(connection, _clear_failures, list(healthy.values()))
    await _run(connection, _note_failures, [row for key, row in failing.items() if key not in healthy])
    await _run(connection, _disable_gone, list(gone.values()))


async def _run(connection: StatementConnection, build: Any, values: Sequence[Mapping[str, Any]]) -> None:
    if values:
        sqlite = connection.dialect.name == "sqlite"
        await connection.execute(build(sqlite=sqlite), {"rows": dialect.encode_rows(values, sqlite=sqlite)})


@cache
def _insert_deliveries(*, sqlite: bool) -> TextClause:
    return text(f"""{dialect.build_rows_source(_DELIVERY_FIELDS, sqlite=sqlite)}
INSERT INTO webhook_delivery (id, event_id, endpoint_id, service_id, type, body, state, created_at)
SELECT id, event_id, endpoint_id, service_id, type, body, '{DeliveryState.PENDING}', at FROM r""")


@cache
def _insert_entries(*, sqlite: bool) -> TextClause:
    """The outbox entries of new deliveries, due now."""
    entries = f"""(
  SELECT entry_id AS id, '{EntryKind.WEBHOOK}' AS kind, id AS subject_id, service_id,
         '{Priority.NORMAL}' AS priority, at AS due_at FROM r) AS e"""
    return text(f"{dialect.build_rows_source(_DELIVERY_FIELDS, sqlite=sqlite)} {queue_sql.build_enqueue_sql(entries)}")


@cache
def _delete_events(*, sqlite: bool) -> TextClause:
    """Events to which no endpoint subscribes any more."""
    source = dialect.build_rows_source({"id": "uuid"}, sqlite=sqlite)
    return text(f"{source} DELETE FROM webhook_event WHERE id IN (SELECT id FROM r)")


@cache
def _insert_attempts(*, sqlite: bool) -> TextClause:
    source, names = dialect.build_rows_source(_ATTEMPT_FIELDS, sqlite=sqlite), ", ".join(_ATTEMPT_FIELDS)
    return text(f"{source} INSERT INTO webhook_attempt ({names}) SELECT {names} FROM r")


@cache
def _end_deliveries(*, sqlite: bool) -> TextClause:
    return text(f"""{dialect.build_rows_source(_END_FIELDS, sqlite=sqlite)}
UPDATE webhook_delivery SET state = r.state, ended_at = r.at
FROM r WHERE {dialect.build_id_condition("webhook_delivery.id", sqlite=sqlite)}""")


@cache
def _clear_failures(*, sqlite: bool) -> TextClause:
    """Endpoints that answer again; usually this changes no row."""
    return _update_endpoints("failing_since = NULL", "webhook_endpoint.failing_since IS NOT NULL", sqlite=sqlite)


@cache
def _note_failures(*, sqlite: bool) -> TextClause:
    """Endpoints that fail, from now on or for too long: these are disabled."""
    too_long = "webhook_endpoint.failing_since <= r.long_ago"
    return _update_endpoints(
        f"""failing_since = coalesce(failing_since, r.at),
    disabled_at = CASE WHEN {too_long} THEN r.at END, disabled_because = CASE WHEN {too_long} THEN r.reason END""",
        f"webhook_endpoint.disabled_at IS NULL AND (webhook_endpoint.failing_since IS NULL OR {too_long})",
        sqlite=sqlite,
    )


@cache
def _disable_gone(*, sqlite: bool) -> TextClause:
    """Endpoints that replied 410 Gone."""
    values = "disabled_at = r.at, disabled_because = r.reason"
    return _update_endpoints(values, "webhook_endpoint.disabled_at IS NULL", sqlite=sqlite)


def _update_endpoints(values: str, condition: str, *, sqlite: bool) -> TextClause:
    return text(f"""{dialect.build_rows_source(_HEALTH_FIELDS, sqlite=sqlite)}
UPDATE webhook_endpoint SET {values}
FROM r WHERE {dialect.build_id_condition("webhook_endpoint.id", sqlite=sqlite)} AND {condition}""")
