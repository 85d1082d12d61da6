"""Deletes webhook deliveries with their attempts, and then the events that have no delivery any more."""

# ruff: noqa: S608 - SQL of our own constants; values are always bound

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.dialect import build_statement, is_sqlite
from notifier.outbox.queue_sql import build_subject_condition
from notifier.retention.id_statements import (
    AMONG_IDS,
    TIME_TYPE,
    UUID_TYPE,
    bind_ids,
    build_id_statement,
    delete_children,
    delete_rows,
    read_rows,
)
from notifier.retention.purge_step import PurgePhase, PurgeProgress, PurgeStep, get_end, read_page

_BOUNDS = {"after": UUID_TYPE, "until": UUID_TYPE}
_COLUMNS = {"id": UUID_TYPE, "at": TIME_TYPE}
# One that never ended and has no entry lost it when its endpoint was deleted: nobody delivers it any more.
_PAGE_OF_DELIVERIES = f"""SELECT d.id, coalesce(d.ended_at, d.created_at) AS at,
       {build_subject_condition("d")} AS has_entry
FROM webhook_delivery AS d WHERE d.id > :after AND d.id < :until ORDER BY d.id LIMIT :limit"""
_DELIVERIES = build_statement(_PAGE_OF_DELIVERIES, _PAGE_OF_DELIVERIES, parameters=_BOUNDS, columns=_COLUMNS)
_HAS_DELIVERY = "(SELECT d.id FROM webhook_delivery AS d WHERE d.event_id = v.id LIMIT 1) IS NOT NULL"
_SELECT_EVENTS = f"""SELECT v.id, v.at, {build_subject_condition("v")} OR {_HAS_DELIVERY} AS is_needed
FROM webhook_event AS v"""
_PAGE_OF_EVENTS = f"{_SELECT_EVENTS} WHERE v.id > :after AND v.id < :until ORDER BY v.id LIMIT :limit"
_EVENTS = build_statement(_PAGE_OF_EVENTS, _PAGE_OF_EVENTS, parameters=_BOUNDS, columns=_COLUMNS)
_EVENTS_BY_ID = build_id_statement(f"{_SELECT_EVENTS} WHERE v.id {{among}}", _COLUMNS)
_LOCK_EVENTS_POSTGRES = text(f"SELECT id FROM webhook_event WHERE id {AMONG_IDS[False]} ORDER BY id FOR UPDATE")


class DeliveryPurge(PurgePhase):
    """Deletes deliveries."""

    name = "deliveries"

    async def apply(self, connection: AsyncConnection, step: PurgeStep, prepared: Any) -> PurgeProgress:  # noqa: ARG002 - nothing is prepared
        """Delete what is due among the next deliveries; many attempts take several steps."""
        page = await read_page(connection, _DELIVERIES, step, step.get_last_id(step.policy.webhooks))
        limit = step.now - step.policy.webhooks
        ids = [row["id"] for row in page if row["at"] <= limit and not row["has_entry"]]
        counts = {
            "webhook_attempts": await delete_children(
                connection, "webhook_attempt", ids, column="delivery_id", most=step.limit
            )
        }
        if counts["webhook_attempts"] >= step.limit:
            return PurgeProgress(after=step.after_id.hex, counts=counts)
        counts["webhook_deliveries"] = await delete_rows(connection, "webhook_delivery", ids)
        return PurgeProgress(after=get_end(step, page), counts=counts)


class EventPurge(PurgePhase):
    """Deletes events."""

    name = "events"

    async def apply(self, connection: AsyncConnection, step: PurgeStep, prepared: Any) -> PurgeProgress:  # noqa: ARG002 - nothing is prepared
        """Delete what is due among the next events."""
        page = await read_page(connection, _EVENTS, step, step.get_last_id(step.policy.webhooks))
        limit = step.now - step.policy.webhooks
        ids = [row["id"] for row in page if row["at"] <= limit and not row["is_needed"]]
        if ids and not is_sqlite(connection):  # a replay that has begun is finished, and a later one finds nothing
            await connection.execute(_LOCK_EVENTS_POSTGRES, {"ids": bind_ids(connection, ids)})
            ids = [row["id"] for row in await read_rows(connection, _EVENTS_BY_ID, ids) if not row["is_needed"]]
        count = await delete_rows(connection, "webhook_event", ids)
        return PurgeProgress(after=get_end(step, page), counts={"webhook_events": count})
