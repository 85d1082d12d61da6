"""Loads and locks families: a notification with its copies, which share one content and are kept together."""

# ruff: noqa: S608 - SQL of our own constants; values are always bound

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.dialect import is_sqlite
from notifier.db.tables import Service, get_columns
from notifier.outbox.queue_sql import build_subject_condition
from notifier.retention import id_statements
from notifier.retention.id_statements import AMONG_IDS, TIME_TYPE, UUID_TYPE
from notifier.retention.retention_policy import FamilyMember
from notifier.states import Status

_service = get_columns(Service)
_NAMES = ("id", "parent_id", "service_id", "template_version_id")
_HAS_ENTRY = build_subject_condition("n")
_HAS_CONTENT = "(SELECT c.notification_id FROM notification_content AS c WHERE c.notification_id = n.id) IS NOT NULL"
_SELECT = f"""SELECT {", ".join(f"n.{name}" for name in _NAMES)}, n.status, n.updated_at, n.created_at,
       n.idempotency_key IS NOT NULL AS has_key, {_HAS_ENTRY} AS has_entry, {_HAS_CONTENT} AS has_content
FROM notification AS n WHERE n."""
_LOAD = id_statements.build_id_statement(
    f"{_SELECT}id {{among}} UNION ALL {_SELECT}parent_id {{among}}",
    dict.fromkeys(_NAMES, UUID_TYPE) | dict.fromkeys(("updated_at", "created_at"), TIME_TYPE),
)
_LOCK_POSTGRES = text(f"SELECT id FROM notification WHERE id {AMONG_IDS[False]} ORDER BY id FOR UPDATE")


@dataclass(kw_only=True)
class Family:
    """A notification and its copies; of a content that a copy has for itself, the copy alone."""

    id: UUID  # the notification that has the content
    service_id: UUID
    template_version_id: UUID | None
    has_content: bool = False  # one of them has
    ids: list[UUID] = field(default_factory=list)
    members: list[FamilyMember] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class ServiceDays:
    """How many days a service keeps its data; None: as the settings say."""

    content: int | None = None
    notifications: int | None = None


NO_DAYS = ServiceDays()


async def load_families(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, Family]:
    """Load the families of these notifications, by id; a deleted one is left out."""
    if not ids:
        return {}
    rows = await id_statements.read_rows(connection, _LOAD, ids)
    wanted = set(ids)
    families = {
        row["id"]: Family(id=row["id"], service_id=row["service_id"], template_version_id=row["template_version_id"])
        for row in rows
        if row["id"] in wanted
    }
    seen: set[tuple[UUID, UUID]] = set()
    for row in rows:
        for head in {row["id"], row["parent_id"]} & families.keys():
            if (head, row["id"]) not in seen:  # a copy that is asked for as well comes twice
                seen.add((head, row["id"]))
                _add_member(families[head], row)
    return families


def _add_member(family: Family, row: Any) -> None:
    family.ids.append(row["id"])
    family.has_content |= bool(row["has_content"])
    family.members.append(
        FamilyMember(
            status=Status(row["status"]),
            updated_at=row["updated_at"],
            created_at=row["created_at"],
            has_key=bool(row["has_key"]),
            has_entry=bool(row["has_entry"]),
        )
    )


async def lock_families(connection: AsyncConnection, families: Sequence[Family]) -> dict[UUID, Family]:
    """Lock these families until the transaction ends, and load them again: somebody may have changed them meanwhile.

    A retry locks its notification, too: either it sees that the content is gone, or we see that the mail waits.
    """
    if not is_sqlite(connection):  # which has one writer anyway
        ids = [id_ for family in families for id_ in family.ids]
        await connection.execute(_LOCK_POSTGRES, {"ids": ids})
    return await load_families(connection, [family.id for family in families])


async def load_service_days(connection: AsyncConnection) -> dict[UUID, ServiceDays]:
    """Load the days of the services that say something about them."""
    names = (_service.keep_content_days, _service.keep_notification_days)
    query = select(_service.id, *names).where(or_(*(name.is_not(None) for name in names)))
    rows = await connection.execute(query)
    return {
        row.id: ServiceDays(content=row.keep_content_days, notifications=row.keep_notification_days) for row in rows
    }
