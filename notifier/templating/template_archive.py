"""Templates that are deleted: no new notifications, while what was accepted before is sent, as its version is kept."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import Template, get_columns
from notifier.errors import NotFoundError

_template = get_columns(Template)


async def delete_template(connection: AsyncConnection, slug: str, now: datetime) -> tuple[UUID, bool]:
    """Delete the template: its id, and whether it was there; one that is deleted stays so. Raises `NotFoundError`."""
    id_, deleted_at = await _lock_template(connection, slug)
    if deleted_at is None:
        await connection.execute(update(Template).where(_template.id == id_).values(deleted_at=now))
    return id_, deleted_at is None


async def undelete_template(connection: AsyncConnection, slug: str) -> tuple[UUID, bool]:
    """Have it back as it was: its id, and whether it was deleted. Raises `NotFoundError`."""
    id_, deleted_at = await _lock_template(connection, slug)
    if deleted_at is not None:
        await connection.execute(update(Template).where(_template.id == id_).values(deleted_at=None))
    return id_, deleted_at is not None


async def _lock_template(connection: AsyncConnection, slug: str) -> tuple[UUID, datetime | None]:
    query = select(_template.id, _template.deleted_at).where(_template.slug == slug).with_for_update()
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no template {slug!r}")
    return row.id, row.deleted_at
