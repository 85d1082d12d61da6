"""Deletes notifications that ended long enough ago, with copies, attempts, events and tags: children first.

A notification goes only after its content, and as a family: with all its copies, or not yet.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.dialect import build_statement
from notifier.retention import family_store
from notifier.retention.family_store import NO_DAYS, Family, ServiceDays
from notifier.retention.id_statements import (
    UUID_TYPE,
    bind_ids,
    build_id_statement,
    delete_children,
    delete_rows,
)
from notifier.retention.purge_step import PurgePhase, PurgeProgress, PurgeStep, get_end, read_page
from notifier.retention.retention_policy import RetentionPolicy

_PAGE = """SELECT id FROM notification
WHERE id > :after AND id < :until AND parent_id IS NULL ORDER BY id LIMIT :limit"""
_NOTIFICATIONS = build_statement(
    _PAGE, _PAGE, parameters={"after": UUID_TYPE, "until": UUID_TYPE}, columns={"id": UUID_TYPE}
)
# Through the notification, because the tags have no index by notification alone.
_DELETE_TAGS = build_statement(
    """DELETE FROM notification_tag AS t
USING (SELECT n.service_id, n.id, tag FROM notification AS n, LATERAL jsonb_array_elements_text(n.tags) AS tag
       WHERE n.id = ANY(CAST(:ids AS uuid[])) AND jsonb_typeof(n.tags) = 'array') AS g
WHERE t.service_id = g.service_id AND t.tag = g.tag AND t.notification_id = g.id""",
    """DELETE FROM notification_tag WHERE (service_id, tag, notification_id) IN (
  SELECT n.service_id, g.value, n.id FROM notification AS n, json_each(n.tags) AS g
  WHERE n.id IN (SELECT value FROM json_each(:ids)))""",
)
_DELETE_STATUSES = build_id_statement("DELETE FROM status_index WHERE notification_id {among}")


class NotificationPurge(PurgePhase):
    """Deletes notifications."""

    name = "notifications"

    async def apply(self, connection: AsyncConnection, step: PurgeStep, prepared: Any) -> PurgeProgress:  # noqa: ARG002 - nothing is prepared
        """Delete what is due among the next notifications.

        If they have more attempts or events than a step deletes, the next step goes on with the same notifications.
        """
        days = await family_store.load_service_days(connection)
        until = step.get_last_id(_get_shortest_time(step.policy, days))
        page = await read_page(connection, _NOTIFICATIONS, step, until)
        families = await family_store.load_families(connection, [row["id"] for row in page])
        due = [family for family in families.values() if _is_due(family, step, days)]
        chosen, rest = _split_by_rows(sorted(due, key=lambda family: family.id), step.limit)
        locked = (await family_store.lock_families(connection, chosen)).values() if chosen else ()
        ids = [id_ for family in locked if _is_due(family, step, days) for id_ in family.ids]
        if not ids:
            return PurgeProgress(after=get_end(step, page))
        counts = {}
        for table, name in (("attempt", "attempts"), ("event", "events")):
            counts[name] = await delete_children(connection, table, ids, column="notification_id", most=step.limit)
            if counts[name] >= step.limit:
                return PurgeProgress(after=step.after_id.hex, counts=counts)
        for statement in (_DELETE_TAGS, _DELETE_STATUSES):
            await connection.execute(statement.for_connection(connection), {"ids": bind_ids(connection, ids)})
        counts["notifications"] = await delete_rows(connection, "notification", ids)
        return PurgeProgress(after=chosen[-1].id.hex if rest else get_end(step, page), counts=counts)


def _get_shortest_time(policy: RetentionPolicy, days: Mapping[UUID, ServiceDays]) -> timedelta:
    """Get the shortest time that any service keeps notifications."""
    return min(policy.get_notification_time(of_service.notifications) for of_service in (NO_DAYS, *days.values()))


def _is_due(family: Family, step: PurgeStep, days: Mapping[UUID, ServiceDays]) -> bool:
    of_service = days.get(family.service_id, NO_DAYS).notifications
    end = step.policy.compute_notification_end(family.members, of_service)
    return not family.has_content and end is not None and end <= step.now


def _split_by_rows(families: Sequence[Family], most: int) -> tuple[list[Family], list[Family]]:
    """Split off the first families that have at most `most` notifications together, at least one family."""
    rows = 0
    for number, family in enumerate(families):
        rows += len(family.ids)
        if rows > most and number:
            return list(families[:number]), list(families[number:])
    return list(families), []
