"""Which key uses which template, to within a minute; written in the background, never in a request."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.auth.authenticator import LastUseWriter
from notifier.db.insertion import build_insert
from notifier.db.tables import TemplateUse, get_columns

_use = get_columns(TemplateUse)


class TemplateKeyUse(NamedTuple):
    """A template, and a key that uses it."""

    template_id: UUID
    key_id: UUID
    service_id: UUID


class TemplateUsage(LastUseWriter[TemplateKeyUse]):
    """Records the uses of templates."""

    failure_event = "template_use_not_written"

    async def write_uses(self, connection: AsyncConnection, used: Sequence[TemplateKeyUse], at: datetime) -> None:
        """Write that these were used; an earlier time never replaces a later one."""
        statement = build_insert(connection, TemplateUse).values([use._asdict() | {"last_used_at": at} for use in used])
        later = {"last_used_at": statement.excluded.last_used_at}
        await connection.execute(
            statement.on_conflict_do_update(
                index_elements=[_use.template_id, _use.key_id],
                set_=later,
                where=_use.last_used_at < statement.excluded.last_used_at,
            )
        )
