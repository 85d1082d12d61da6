"""Reading what a claimed batch is about, in one query, and the pinned sources that it needs."""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Text, cast, func, select
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
    select(*(_notification[name] for name in _OWN), _content.headers)
    .add_columns(cast(_content.variables, Text).label("variables"))
    .add_columns(_suppression.reason.label("suppressed_because"), _version.when_uncertain)
    .join(NotificationContent, _content.notification_id == _notification.id)
    .outerjoin(TemplateVersion, _version.id == _notification.template_version_id)
    .outerjoin(Suppression, _suppressed)
)
_STILL_WANTED = (
    select(_notification.id)
    .outerjoin(Suppression, _suppressed)
    .where(_notification.status.in_(sorted(WAITING)), _suppression.address.is_(None))
)


async def deliveries(connection: AsyncConnection, ids: Collection[UUID]) -> dict[UUID, Delivery]:
    """The notifications with these ids."""
    found = await connection.execute(_LOAD.where(_notification.id.in_(ids)))
    return {row["id"]: Delivery(**row) for row in found.mappings()}


async def still_wanted(connection: AsyncConnection, ids: Collection[UUID], now: datetime) -> set[UUID]:
    """Those that are neither ended, nor expired, nor to a suppressed address at this moment."""
    found = await connection.execute(_STILL_WANTED.where(_notification.id.in_(ids), _notification.expires_at > now))
    return set(found.scalars())


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
