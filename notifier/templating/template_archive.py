"""Deleted templates: no new notifications with them, while what was accepted before is sent, as its version is kept."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Actor, AuditAction
from notifier.db.tables import Template, get_columns
from notifier.errors import NotFoundError
from notifier.templating.audit_records import record_template

_template = get_columns(Template)


async def delete_template(connection: AsyncConnection, slug: str, *, actor: Actor) -> None:
    """Delete the template; deleting it twice changes nothing. Raises `NotFoundError`."""
    id_, deleted_at = await _lock_template(connection, slug)
    if deleted_at is not None:
        actor.record_no_change()
        return
    await connection.execute(update(Template).where(_template.id == id_).values(deleted_at=actor.at))
    await record_template(connection, AuditAction.TEMPLATE_DELETED, (id_, slug), actor)


async def undelete_template(connection: AsyncConnection, slug: str, *, note: str, actor: Actor) -> None:
    """Undo the deletion of the template; if it is not deleted, nothing changes. Raises `NotFoundError`."""
    id_, deleted_at = await _lock_template(connection, slug)
    if deleted_at is None:
        actor.record_no_change()
        return
    await connection.execute(update(Template).where(_template.id == id_).values(deleted_at=None))
    await record_template(connection, AuditAction.TEMPLATE_RESTORED, (id_, slug), actor, note=note)


async def _lock_template(connection: AsyncConnection, slug: str) -> tuple[UUID, datetime | None]:
    query = select(_template.id, _template.deleted_at).where(_template.slug == slug).with_for_update()
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no template {slug!r}")
    return row.id, row.deleted_at
