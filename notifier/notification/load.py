"""Reading what a claimed batch is about, in one query, and the pinned sources that it needs."""

import json
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Text, cast, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.engine import Database
from notifier.db.tables import Notification, NotificationContent, Suppression, TemplateVersion, columns
from notifier.rendering.job import Mailbox, MailHeader
from notifier.rendering.source import TemplateSource
from notifier.states import WAITING, Reason, Status, WhenUncertain
from notifier.templating import store as templates

_notification, _content, _suppression = columns(Notification), columns(NotificationContent), columns(Suppression)
_version = columns(TemplateVersion)
REMEMBERED_SOURCES = 256


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A notification as the sender needs it."""

    id: UUID
    template_version_id: UUID
    recipient: str
    from_name: str | None
    from_address: str
    reply_to_name: str | None
    reply_to_address: str | None
    envelope_from: str
    locale: str | None
    status: Status
    reason: Reason | None
    detail: str | None
    message_id: str
    message_date: datetime
    expires_at: datetime
    uncertain_at: datetime | None  # set once a body may have been taken
    variables: str  # JSON text: only the rendering child reads it
    headers: dict[str, str]
    suppressed_because: Reason | None
    when_uncertain: WhenUncertain | None  # None: the pinned version is gone

    def header(self, extra: dict[str, str]) -> MailHeader:
        """The mail's header, with custom fields and `extra`."""
        reply_to = Mailbox(self.reply_to_address, self.reply_to_name) if self.reply_to_address else None
        return MailHeader(
            message_id=self.message_id,
            date=self.message_date,
            sender=Mailbox(self.from_address, self.from_name),
            recipient=self.recipient,
            reply_to=reply_to,
            extra=self.headers | extra,
        )


_OWN = [name for name in Delivery.__dataclass_fields__ if name in _notification]
_suppressed = _suppression.address == func.lower(_notification.recipient)
_LOAD = (
    select(*(_notification[name] for name in _OWN), _content.headers, _version.when_uncertain)
    .add_columns(cast(_content.variables, Text).label("variables"))
    .add_columns(select(_suppression.reason).where(_suppressed).scalar_subquery().label("suppressed_because"))
    .join(NotificationContent, _content.notification_id == _notification.id)
    .outerjoin(TemplateVersion, _version.id == _notification.template_version_id)
)
# Arrays and not lists of parameters: the statement is prepared once, however many are asked for.
# Both tables are told which rows are meant, or a planner that takes one of them for small reads it whole.
_LOAD_POSTGRES = _LOAD.where(
    text("notification.id = ANY(CAST(:ids AS uuid[]))"),
    text("notification_content.notification_id = ANY(CAST(:ids AS uuid[]))"),
)
_LOAD_SQLITE = _LOAD.where(text("notification.id IN (SELECT value FROM json_each(:ids))"))
STILL_WANTED = f"""EXISTS (
    SELECT 1 FROM notification AS n
    WHERE n.id = e.subject_id AND n.status IN ('{"', '".join(sorted(WAITING))}') AND n.expires_at > {{now}}
      AND NOT EXISTS (SELECT 1 FROM suppression AS s WHERE s.address = lower(n.recipient)))"""  # noqa: S608 - ours
"""A mail that has neither ended nor expired, and whose address is not suppressed, at the moment of its mark."""


async def deliveries(connection: AsyncConnection, ids: Collection[UUID]) -> dict[UUID, Delivery]:
    """The notifications with these ids."""
    if connection.dialect.name == "sqlite":
        found = await connection.execute(_LOAD_SQLITE, {"ids": json.dumps([id_.hex for id_ in ids])})
    else:
        found = await connection.execute(_LOAD_POSTGRES, {"ids": list(ids)})
    return {row["id"]: Delivery(**row) for row in found.mappings()}


class Sources:
    """Pinned sources by version id, kept because a version never changes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[UUID, TemplateSource] = OrderedDict()

    async def of(self, wanted: Sequence[UUID]) -> dict[str, TemplateSource]:
        """The sources of these versions, by the text of their id; one that is gone is left out."""
        if missing := {version for version in wanted if version not in self._known}:
            async with self._database.read() as connection:
                self._known |= await templates.sources(connection, missing)
        there = [version for version in wanted if version in self._known]
        for version in there:
            self._known.move_to_end(version)
        found = {str(version): self._known[version] for version in there}
        while len(self._known) > REMEMBERED_SOURCES:
            self._known.popitem(last=False)
        return found
