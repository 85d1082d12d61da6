"""Which key uses which template, to within a minute: written beside the requests, never in one."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.auth.key_usage import LastUseWriter
from notifier.db.tables import TemplateUse, get_columns

_use = get_columns(TemplateUse)


class TemplateKeyUse(NamedTuple):
    """A template, and a key that asks for it."""

    template_id: UUID
    key_id: UUID
    service_id: UUID


class TemplateUsage(LastUseWriter[TemplateKeyUse]):
    """Which templates are used, and by whom."""

    failure_event = "template_use_not_written"

    async def write_uses(self, connection: AsyncConnection, used: Sequence[TemplateKeyUse], at: datetime) -> None:
        """Write that these were used; a clock that is behind puts nothing back."""
        insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        statement = insert(TemplateUse).values([use._asdict() | {"last_used_at": at} for use in used])
        later = {"last_used_at": statement.excluded.last_used_at}
        await connection.execute(
            statement.on_conflict_do_update(
                index_elements=[_use.template_id, _use.key_id],
                set_=later,
                where=_use.last_used_at < statement.excluded.last_used_at,
            )
        )
