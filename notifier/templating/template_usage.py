"""Who uses the templates: the services whose keys have sent mail with them, and when last."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import Service, TemplateUse, get_columns

_use, _service = get_columns(TemplateUse), get_columns(Service)


@dataclass(frozen=True, kw_only=True)
class TemplateCaller:
    """A service that has used a template."""

    service: str
    last_used_at: datetime  # to within a minute


async def list_callers(connection: AsyncConnection, ids: Collection[UUID]) -> dict[UUID, list[TemplateCaller]]:
    """List the services that have used each of these templates, the latest use first."""
    last = func.max(_use.last_used_at).label("last_used_at")
    rows = await connection.execute(
        select(_use.template_id, _service.name, last)
        .join(Service, _service.id == _use.service_id)
        .where(_use.template_id.in_(ids))
        .group_by(_use.template_id, _service.name)
        .order_by(last.desc(), _service.name)
    )
    callers: dict[UUID, list[TemplateCaller]] = {id_: [] for id_ in ids}
    for row in rows:
        callers[row.template_id].append(TemplateCaller(service=row.name, last_used_at=row.last_used_at))
    return callers
