"""Reads and writes deliveries: what the handler of webhook entries needs for a batch, and what it records.

Records are written in the settler's transaction. The statements take their rows as one JSON array.
"""

# ruff: noqa: S608 - SQL of our own constants; values are always bound

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import TextClause, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db import dialect
from notifier.db.direct_connections import StatementConnection
from notifier.db.table_base import UtcDateTime
from notifier.db.tables import WebhookDelivery, WebhookEndpoint, get_columns
from notifier.db.tables.webhook import DeliveryState
from notifier.outbox import queue_sql
from notifier.states import EntryKind, Priority

_delivery, _endpoint = get_columns(WebhookDelivery), get_columns(WebhookEndpoint)


class EndpointSubscription(msgspec.Struct, frozen=True, kw_only=True):
    """An enabled endpoint, and the types of events that it subscribes to."""

    id: UUID
    events: list[str]  # empty: all

    def wants(self, type_: str) -> bool:
        """True if the endpoint subscribes to this type."""
        return not self.events or type_ in self.events


class PendingDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery, with its endpoint as it is now."""

    id: UUID
    event_id: UUID
    endpoint_id: UUID
    body: str
    state: DeliveryState
    url: str | None  # None: the endpoint was deleted
    secret: str | None
    previous_secret: str | None
    previous_until: datetime | None
    disabled_because: str | None

    def secrets(self, now: datetime) -> list[str]:
        """The stored secrets that sign: the current one, then during a rotation the previous one."""
        previous = self.previous_secret if self.previous_until is not None and self.previous_until > now else None
        return [secret for secret in (self.secret, previous) if secret is not None]


class WebhookEventRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The record of an event: its deliveries. An event without deliveries is deleted."""

    event_id: UUID
    deliveries: list[dict[str, Any]]  # rows, by the names of `_DELIVERY_TYPES`


class WebhookAttemptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a delivery: one attempt, or its final state, or both."""

    delivery_id: UUID
    endpoint_id: UUID
    at: datetime
    attempt: dict[str, Any] | None = None  # a row, by the names of `_ATTEMPT_TYPES`
    end: DeliveryState | None = None
    went_well: bool | None = None  # whether the endpoint answered well; None: it was not called
    gone: str | None = None  # why the endpoint is disabled at once; None: it is not


# -- reading -----------------------------------------------------------------------------------------------------------


async def load_subscriptions(
    connection: AsyncConnection, services: Collection[UUID]
) -> dict[UUID, list[EndpointSubscription]]:
    """Load the enabled endpoints of each service."""
    statement = select(_endpoint.service_id, _endpoint.id, _endpoint.events).where(
        _endpoint.service_id.in_(services), _endpoint.disabled_at.is_(None)
    )
    listeners: dict[UUID, list[EndpointSubscription]] = defaultdict(list)
    for row in await connection.execute(statement):
        listeners[row.service_id].append(EndpointSubscription(id=row.id, events=row.events))
    return listeners


async def load_deliveries(connection: StatementConnection, ids: Collection[UUID]) -> dict[UUID, PendingDelivery]:
    """Load deliveries by id."""
    sqlite = connection.dialect.name == "sqlite"
    values = {"rows": dialect.encode_rows([{"id": id_} for id_ in ids], sqlite=sqlite)}
    loaded = (await connection.execute(_build_delivery_query(sqlite=sqlite), values)).mappings()
    return {row["id"]: PendingDelivery(**{**row, "state": DeliveryState(row["state"])}) for row in loaded}


@cache
def _build_delivery_query(*, sqlite: bool) -> Any:
    statement = text(f"""{dialect.build_rows_source({"id": "uuid"}, sqlite=sqlite)}
SELECT d.id, d.event_id, d.endpoint_id, d.body, d.state, e.url, e.secret, e.previous_secret, e.previous_until,
       e.disabled_because
FROM r JOIN webhook_delivery AS d ON {dialect.build_id_condition("d.id", sqlite=sqlite)}
LEFT JOIN webhook_endpoint AS e ON e.id = d.endpoint_id""")
    types = {name: _delivery[name].type for name in ("id", "event_id", "endpoint_id")}
    return statement.columns(**types, previous_until=UtcDateTime()) if sqlite else statement


# -- writing -----------------------------------------------------------------------------------------------------------


async def insert_deliveries(connection: StatementConnection, deliveries: Sequence[Mapping[str, Any]]) -> None:
    """Insert deliveries, and the outbox entry of each, due now."""
    await _run(connection, _INSERT_DELIVERIES, deliveries)
    await _run(connection, _INSERT_ENTRIES, deliveries)


async def write_records(
    connection: StatementConnection,
    records: Sequence[WebhookEventRecord | WebhookAttemptRecord],
    *,
    patience: timedelta,
) -> None:
    """Write the records. An endpoint at which every attempt failed for longer than `patience` is disabled."""
    events = [record for record in records if isinstance(record, WebhookEventRecord)]
    await insert_deliveries(connection, [row for event in events for row in event.deliveries])
    await _run(connection, _DELETE_EVENTS, [{"id": event.event_id} for event in events if not event.deliveries])
    tried = [record for record in records if isinstance(record, WebhookAttemptRecord)]
    await _run(connection, _INSERT_ATTEMPTS, [record.attempt for record in tried if record.attempt is not None])
    ended = [record for record in tried if record.end is not None]
    ends = [{"id": record.delivery_id, "state": record.end, "at": record.at} for record in ended]
    await _run(connection, _END_DELIVERIES, ends)
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
    await _run(connection, _CLEAR_FAILURES, list(healthy.values()))
    await _run(connection, _NOTE_FAILURES, [row for key, row in failing.items() if key not in healthy])
    await _run(connection, _DISABLE_GONE, list(gone.values()))


class _Write(msgspec.Struct, frozen=True):
    """A statement that takes rows."""

    types: tuple[tuple[str, str], ...]  # of the rows: column and PostgreSQL type
    sql: str  # about the rows `r`
    target: str = ""  # the column that must equal their `id`, if any


async def _run(connection: StatementConnection, write: _Write, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        sqlite = connection.dialect.name == "sqlite"
        values = {"rows": dialect.encode_rows(rows, sqlite=sqlite)}
        await connection.execute(_build_statement(write, sqlite=sqlite), values)


@cache
def _build_statement(write: _Write, *, sqlite: bool) -> TextClause:
    condition = f" AND {dialect.build_id_condition(write.target, sqlite=sqlite)}" if write.target else ""
    return text(f"{dialect.build_rows_source(dict(write.types), sqlite=sqlite)} {write.sql}{condition}")


_ID = ("id", "uuid")
_AT = ("at", "timestamptz")
_DELIVERY_TYPES = (
    _ID, ("entry_id", "uuid"), ("event_id", "uuid"), ("endpoint_id", "uuid"), ("service_id", "uuid"), ("type", "text"),
    ("body", "text"), _AT,
)  # fmt: skip
_ATTEMPT_TYPES = (
    _ID, ("delivery_id", "uuid"), ("number", "int"), _AT, ("duration_ms", "int"), ("code", "int"), ("detail", "text"),
)  # fmt: skip
_ATTEMPT_NAMES = ", ".join(name for name, _ in _ATTEMPT_TYPES)
_INSERT_DELIVERIES = _Write(
    _DELIVERY_TYPES,
    f"""INSERT INTO webhook_delivery (id, event_id, endpoint_id, service_id, type, body, state, created_at)
SELECT id, event_id, endpoint_id, service_id, type, body, '{DeliveryState.PENDING}', at FROM r""",
)
_ENTRIES = f"""(
  SELECT entry_id AS id, '{EntryKind.WEBHOOK}' AS kind, id AS subject_id, service_id,
         '{Priority.NORMAL}' AS priority, at AS due_at FROM r) AS e"""
_INSERT_ENTRIES = _Write(_DELIVERY_TYPES, queue_sql.build_enqueue_sql(_ENTRIES))
_INSERT_ATTEMPTS = _Write(
    _ATTEMPT_TYPES, f"INSERT INTO webhook_attempt ({_ATTEMPT_NAMES}) SELECT {_ATTEMPT_NAMES} FROM r"
)
# Events to which no endpoint subscribes any more.
_DELETE_EVENTS = _Write((_ID,), "DELETE FROM webhook_event WHERE id IN (SELECT id FROM r)")
_END_DELIVERIES = _Write(
    (_ID, ("state", "text"), _AT),
    "UPDATE webhook_delivery SET state = r.state, ended_at = r.at FROM r WHERE true",
    "webhook_delivery.id",
)


def _update_endpoints(values: str, condition: str) -> _Write:
    types = (_ID, _AT, ("long_ago", "timestamptz"), ("reason", "text"))
    return _Write(types, f"UPDATE webhook_endpoint SET {values} FROM r WHERE {condition}", "webhook_endpoint.id")


# Endpoints that answer again; usually this changes no row.
_CLEAR_FAILURES = _update_endpoints("failing_since = NULL", "webhook_endpoint.failing_since IS NOT NULL")
_TOO_LONG = "webhook_endpoint.failing_since <= r.long_ago"
# Endpoints that fail. One that has failed for too long is disabled.
_NOTE_FAILURES = _update_endpoints(
    f"""failing_since = coalesce(failing_since, r.at),
    disabled_at = CASE WHEN {_TOO_LONG} THEN r.at END, disabled_because = CASE WHEN {_TOO_LONG} THEN r.reason END""",
    f"webhook_endpoint.disabled_at IS NULL AND (webhook_endpoint.failing_since IS NULL OR {_TOO_LONG})",
)
# Endpoints that replied 410 Gone.
_DISABLE_GONE = _update_endpoints(
    "disabled_at = r.at, disabled_because = r.reason", "webhook_endpoint.disabled_at IS NULL"
)
