"""Until when the content of a notification is kept, as the API and the command line show it. Only reads."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import Notification, NotificationContent, TemplateVersion, get_columns
from notifier.retention import family_store
from notifier.retention.family_store import NO_DAYS
from notifier.retention.retention_policy import RetentionPolicy

_notification, _content = get_columns(Notification), get_columns(NotificationContent)
_version = get_columns(TemplateVersion)


async def get_content_expiry(connection: AsyncConnection, id_: UUID, policy: RetentionPolicy) -> datetime | None:
    """Get the time at which the purge may erase the content of a notification.

    None: it is erased, or it is kept for now, because the notification or one of its copies waits.
    """
    own = select(_content.notification_id).where(_content.notification_id == id_).scalar_subquery()
    holder = select(func.coalesce(own, _notification.parent_id, _notification.id)).where(_notification.id == id_)
    head = (await connection.execute(holder)).scalar_one_or_none()
    family = (await family_store.load_families(connection, [head])).get(head) if head is not None else None
    if family is None or not family.has_content:
        return None
    query = select(_version.keep_content_days).where(_version.id == family.template_version_id)
    template_days = (await connection.execute(query)).scalar_one_or_none()
    service_days = (await family_store.load_service_days(connection)).get(family.service_id, NO_DAYS).content
    return policy.compute_content_end(family.members, service_days, template_days)
