"""Audit records of templates, layouts and images: which one, and which number; never a word of their text."""

from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import audit
from notifier.audit import Actor, AuditAction, AuditRecord


async def record_template(
    connection: AsyncConnection, action: AuditAction, template: tuple[UUID, str], actor: Actor, **fields: Any
) -> None:
    """Record what the actor did to a template, which is named by its id and its slug."""
    id_, slug = template
    await _record(connection, action, id_, actor, after={"slug": slug} | fields)


async def record_layout(
    connection: AsyncConnection, action: AuditAction, name: str, actor: Actor, *, revision: int
) -> None:
    """Record what the actor did to a layout, whose id is derived from its name."""
    id_ = uuid5(NAMESPACE_URL, name)
    await _record(connection, action, id_, actor, after={"name": name, "revision": revision})


async def record_asset(
    connection: AsyncConnection, action: AuditAction, id_: UUID, actor: Actor, fields: dict[str, Any]
) -> None:
    """Record what the actor did to an image."""
    is_deleted = action is AuditAction.ASSET_DELETED
    before, after = (fields, None) if is_deleted else (None, fields)
    await _record(connection, action, id_, actor, before=before, after=after)


async def _record(connection: AsyncConnection, action: AuditAction, id_: UUID, actor: Actor, **states: Any) -> None:
    record = AuditRecord(action=action, object_id=id_, service_id=None, **states)
    await audit.write_audit_record(connection, record, actor)
