"""What the handler's settlements mean, written in the settler's transaction: deliveries, tries, ends, endpoints.

The statements take their rows as one JSON array; the few in which the databases differ stand one under the other.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import TextClause, text

from notifier.db import row_parameter
from notifier.db.direct_connections import StatementConnection
from notifier.db.tables.webhook import DeliveryState
from notifier.outbox import queue_sql
from notifier.states import EntryKind, Priority

_NEW = {
    "id": "uuid", "entry_id": "uuid", "event_id": "uuid", "endpoint_id": "uuid", "service_id": "uuid", "type": "text",
    "body": "text", "at": "timestamptz",
}  # fmt: skip
_TRY = {
    "id": "uuid", "delivery_id": "uuid", "number": "int", "at": "timestamptz", "duration_ms": "int", "code": "int",
    "detail": "text",
}  # fmt: skip
_END = {"id": "uuid", "state": "text", "at": "timestamptz"}
_HEALTH = {"id": "uuid", "at": "timestamptz", "long_ago": "timestamptz", "reason": "text"}


class WebhookEventRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Record of an event: the deliveries it became; without any the event is not kept."""

    event_id: UUID
    deliveries: list[dict[str, Any]]  # rows, by the names of `_NEW`


class WebhookAttemptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Record of a delivery: one try, or its end, or both."""

    delivery_id: UUID
    endpoint_id: UUID
    at: datetime
    attempt: dict[str, Any] | None = None  # a row, by the names of `_TRY`
    end: DeliveryState | None = None
    went_well: bool | None = None  # what the try says about the endpoint; None: nothing
    gone: str | None = None  # why the endpoint is disabled at once


async def insert_deliveries(connection: StatementConnection, deliveries: Sequence[Mapping[str, Any]]) -> None:
    """Write deliveries, and the outbox entry of each."""
    await _run(connection, _deliveries, deliveries)
    await _run(connection, _entries, deliveries)


async def write_records(
    connection: StatementConnection,
    records: Sequence[WebhookEventRecord | WebhookAttemptRecord],
    *,
    patience: timedelta,
) -> None:
    """Write these records; an endpoint that has failed at every try for longer than `patience` is disabled."""
    told = [one for one in records if isinstance(one, WebhookEventRecord)]
    await insert_deliveries(connection, [row for one in told for row in one.deliveries])
    await _run(connection, _unheard, [{"id": one.event_id} for one in told if not one.deliveries])
    tried = [one for one in records if isinstance(one, WebhookAttemptRecord)]
    await _run(connection, _attempts, [one.attempt for one in tried if one.attempt is not None])
    ended = [{"id": one.delivery_id, "state": one.end.value, "at": one.at} for one in tried if one.end is not None]
    await _run(connection, _ended, ended)
    await _judge(connection, tried, patience)


async def _judge(connection: StatementConnection, tried: Sequence[WebhookAttemptRecord], patience: timedelta) -> None:
    """One word about each endpoint: a try that went well outweighs those of the same moment that did not."""
    well, ill, gone = {}, {}, {}
    for one in sorted(tried, key=lambda one: one.endpoint_id):  # in one order everywhere, or two processes deadlock
        row = {"id": one.endpoint_id, "at": one.at, "long_ago": one.at - patience, "reason": one.gone}
        if one.gone is not None:
            gone[one.endpoint_id] = row
        elif one.went_well:
            well[one.endpoint_id] = row
        elif one.went_well is False:
            ill[one.endpoint_id] = row | {"reason": f"every try has failed for {_days(patience)}"}
    await _run(connection, _well, list(well.values()))
    await _run(connection, _ill, [row for key, row in ill.items() if key not in well])
    await _run(connection, _gone, list(gone.values()))


def _days(patience: timedelta) -> str:
    return f"{patience.total_seconds() / 86400:g} days"


async def _run(connection: StatementConnection, texts: Any, values: Sequence[Mapping[str, Any]]) -> None:
    if values:
        sqlite = connection.dialect.name == "sqlite"
        await connection.execute(texts(sqlite=sqlite), {"rows": row_parameter.encode_rows(values, sqlite=sqlite)})


@cache
def _deliveries(*, sqlite: bool) -> TextClause:
    """New deliveries."""
    return text(f"""{row_parameter.build_rows_source(_NEW, sqlite=sqlite)}
INSERT INTO webhook_delivery (id, event_id, endpoint_id, service_id, type, body, state, created_at)
SELECT id, event_id, endpoint_id, service_id, type, body, '{DeliveryState.PENDING}', at FROM r""")


@cache
def _entries(*, sqlite: bool) -> TextClause:
    """Their outbox entries, due now."""
    entries = f"""(
  SELECT entry_id AS id, '{EntryKind.WEBHOOK}' AS kind, id AS subject_id, service_id,
         '{Priority.NORMAL}' AS priority, at AS due_at FROM r) AS e"""
    return text(f"{row_parameter.build_rows_source(_NEW, sqlite=sqlite)} {queue_sql.build_enqueue_sql(entries)}")


@cache
def _unheard(*, sqlite: bool) -> TextClause:
    """Events that nobody wants to hear of."""
    source = row_parameter.build_rows_source({"id": "uuid"}, sqlite=sqlite)
    return text(f"{source} DELETE FROM webhook_event WHERE id IN (SELECT id FROM r)")


@cache
def _attempts(*, sqlite: bool) -> TextClause:
    """Tries."""
    names = ", ".join(_TRY)
    return text(
        f"{row_parameter.build_rows_source(_TRY, sqlite=sqlite)} INSERT INTO webhook_attempt ({names}) SELECT {names} FROM r"
    )


@cache
def _ended(*, sqlite: bool) -> TextClause:
    """Deliveries that are over."""
    return text(f"""{row_parameter.build_rows_source(_END, sqlite=sqlite)}
UPDATE webhook_delivery SET state = r.state, ended_at = r.at
FROM r WHERE {row_parameter.build_id_condition("webhook_delivery.id", sqlite=sqlite)}""")


@cache
def _well(*, sqlite: bool) -> TextClause:
    """Endpoints that answer again; mostly none is written to."""
    return _endpoint("failing_since = NULL", "webhook_endpoint.failing_since IS NOT NULL", sqlite=sqlite)


@cache
def _ill(*, sqlite: bool) -> TextClause:
    """Endpoints that fail: since now, or for too long."""
    over = "webhook_endpoint.failing_since <= r.long_ago"
    return _endpoint(
        f"""failing_since = coalesce(failing_since, r.at),
    disabled_at = CASE WHEN {over} THEN r.at END, disabled_because = CASE WHEN {over} THEN r.reason END""",
        f"webhook_endpoint.disabled_at IS NULL AND (webhook_endpoint.failing_since IS NULL OR {over})",
        sqlite=sqlite,
    )


@cache
def _gone(*, sqlite: bool) -> TextClause:
    """Endpoints that want to hear no more."""
    values = "disabled_at = r.at, disabled_because = r.reason"
    return _endpoint(values, "webhook_endpoint.disabled_at IS NULL", sqlite=sqlite)


def _endpoint(values: str, condition: str, *, sqlite: bool) -> TextClause:
    return text(f"""{row_parameter.build_rows_source(_HEALTH, sqlite=sqlite)}
UPDATE webhook_endpoint SET {values}
FROM r WHERE {row_parameter.build_id_condition("webhook_endpoint.id", sqlite=sqlite)} AND {condition}""")
