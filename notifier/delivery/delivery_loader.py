"""Load the notifications of a claimed batch in one query, and the template sources that they pin.

A copy has no content of its own: the content of its notification is read once, for all copies.
"""

import json
from collections import OrderedDict
from collections.abc import Collection, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from notifier import email_address, suppression
from notifier.db.dialect import DialectStatement, build_statement, is_sqlite
from notifier.db.direct_connections import StatementConnection
from notifier.db.engine import OpenReader
from notifier.db.tables import Notification, get_columns
from notifier.mail.mail_parts import Mailbox, MailHeader
from notifier.states import WAITING_STATUSES, KeyKind, Reason, Status, SuppressionReason, WhenUncertain
from notifier.status import batch_cancellation, batch_pause
from notifier.submission.new_notification import NewNotification, NotificationRow
from notifier.template_language.secret_erasure import SecretErasure
from notifier.template_language.template_source import TemplateSource
from notifier.templating import version_store as templates

_notification = get_columns(Notification)
MAX_CACHED_SOURCES = 256
_CLOSED_SETS: dict[str, type[StrEnum]] = {
    "kind": KeyKind,
    "status": Status,
    "reason": Reason,
    "suppressed_because": SuppressionReason,
    "when_uncertain": WhenUncertain,
}


class Delivery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A notification, loaded for sending."""

    id: UUID
    service_id: UUID | None = None  # None: not stored
    template_version_id: UUID | None  # None: the mail has content of its own
    kind: KeyKind
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
    content: str | None  # JSON text, as above
    addressed_to: str | None  # of a mail with copies, and of those: whom the To field names
    cc: list[str]
    attachments: list[dict[str, Any]]  # their names and hashes
    suppressed_because: SuppressionReason | None
    is_cancelled: bool  # with its batch: not sent, unless a relay may have it already
    is_paused: bool  # with its batch: not sent now, unless a relay may have it already
    when_uncertain: WhenUncertain | None  # None: accepted by an earlier release that did not ask
    secrets_erased: bool = False  # its secret variables were replaced, so it is only shown, and never sent

    @property
    def is_simulated(self) -> bool:
        """True if this mail must not go to a relay."""
        return self.kind is KeyKind.TEST or email_address.is_simulated_address(self.recipient)

    def build_header(self, extra: dict[str, str]) -> MailHeader:
        """Build the header of the mail, with its custom fields and `extra`."""
        reply_to = Mailbox(self.reply_to_address, self.reply_to_name) if self.reply_to_address else None
        return MailHeader(
            message_id=self.message_id,
            date=self.message_date,
            sender=Mailbox(self.from_address, self.from_name),
            recipient=self.addressed_to or self.recipient,
            cc=self.cc,
            reply_to=reply_to,
            extra=self.headers | extra,
        )


_OWN = [name for name in Delivery.__struct_fields__ if name in _notification and name != "when_uncertain"]
_CONTENT = ("variables", "headers", "content", "addressed_to", "cc", "attachments")
_ITS_CONTENT = ", ".join(f"CAST(c.{name} AS text) AS {name}" for name in _CONTENT) + ", c.secrets_erased"
_BARRING = suppression.build_barring_query(
    "lower(n.recipient)", service="n.service_id", category="n.category", now="{now}"
)
_LOAD = f"""
SELECT {", ".join(f"n.{name}" for name in _OWN)}, n.parent_id,
       coalesce(n.when_uncertain, v.when_uncertain) AS when_uncertain, {_ITS_CONTENT},
       {batch_cancellation.IS_CANCELLED} AS is_cancelled, {batch_pause.IS_PAUSED} AS is_paused,
       ({_BARRING}
        LIMIT 1) AS suppressed_because
FROM notification AS n LEFT JOIN notification_content AS c ON c.notification_id = n.id{{content_ids}}
LEFT JOIN template_version AS v ON v.id = n.template_version_id
WHERE n.id {{among}}
"""  # noqa: S608 - names of our own columns
# One array parameter, so that the statement is prepared once for any number of ids. The condition is there for both
# tables, because a planner that takes one of them for small reads it whole.
_AMONG_POSTGRES, _AMONG_SQLITE = "= ANY(CAST(:ids AS uuid[]))", "IN (SELECT value FROM json_each(:ids))"
_LOAD_DELIVERIES = build_statement(
    _LOAD.format(now="now()", content_ids=f" AND c.notification_id {_AMONG_POSTGRES}", among=_AMONG_POSTGRES),
    _LOAD.format(now="strftime('%Y-%m-%d %H:%M:%f', 'now')", content_ids="", among=_AMONG_SQLITE),
    columns={name: _notification[name].type for name in ("parent_id", *_OWN)},
)
_SHARED = f"SELECT c.notification_id, {_ITS_CONTENT} FROM notification_content AS c WHERE c.notification_id {{among}}"  # noqa: S608 - ours
_LOAD_SHARED_CONTENTS = build_statement(
    _SHARED.format(among=_AMONG_POSTGRES),
    _SHARED.format(among=_AMONG_SQLITE),
    columns={"notification_id": _notification.id.type},
)
STILL_DELIVERABLE = f"""EXISTS (
    SELECT 1 FROM notification AS n
    WHERE n.id = e.subject_id AND n.status IN ('{"', '".join(sorted(WAITING_STATUSES))}') AND n.expires_at > {{now}}
      AND NOT ({batch_cancellation.CANCELLABLE_SQL} AND {batch_pause.IS_STOPPED})
      AND NOT EXISTS (
        {_BARRING}))"""  # noqa: S608 - ours
"""SQL for the mark: the mail has not ended or expired, and neither its batch nor its address stops it."""


async def load_deliveries(connection: StatementConnection, ids: Collection[UUID]) -> dict[UUID, Delivery]:
    """Load the notifications with these ids, without those whose content was deleted."""
    loaded = await _execute(connection, _LOAD_DELIVERIES, ids)
    if shared := {row["parent_id"] for row in loaded if row["variables"] is None and row["parent_id"] is not None}:
        contents = await _load_shared_contents(connection, shared)
        for row in loaded:
            if row["variables"] is None:
                row.update(contents.get(row["parent_id"], {}))
    return {row["id"]: _build_delivery(row) for row in loaded if row["variables"] is not None}


async def _load_shared_contents(connection: StatementConnection, ids: Collection[UUID]) -> dict[UUID, dict[str, Any]]:
    rows = await _execute(connection, _LOAD_SHARED_CONTENTS, ids)
    return {row["notification_id"]: {name: row[name] for name in (*_CONTENT, "secrets_erased")} for row in rows}


async def _execute(
    connection: StatementConnection, statement: DialectStatement, ids: Collection[UUID]
) -> list[dict[str, Any]]:
    bound = json.dumps([id_.hex for id_ in ids]) if is_sqlite(connection) else list(ids)
    rows = (await connection.execute(statement.for_connection(connection), {"ids": bound})).mappings()
    return [dict(row) for row in rows]


def build_draft_delivery(notification: NewNotification) -> Delivery:
    """Build the delivery of a notification that is not in the database."""
    row, content = notification.row, notification.content
    own = {name: getattr(row, name) for name in _OWN if name in NotificationRow.__struct_fields__}
    return Delivery(
        **own,
        status=Status.QUEUED,
        reason=None,
        detail=None,
        variables=json.dumps(content.variables),
        headers=content.headers,
        content=json.dumps(content.content) if content.content else None,
        addressed_to=content.addressed_to,
        cc=content.cc or [],
        attachments=content.attachments or [],
        suppressed_because=None,
        is_cancelled=False,
        is_paused=False,
        when_uncertain=row.when_uncertain,
    )


def _build_delivery(row: Mapping[str, Any]) -> Delivery:
    values = {name: row[name] for name in Delivery.__struct_fields__}
    for name, kind in _CLOSED_SETS.items():
        if values[name] is not None:
            values[name] = kind(values[name])
    values["secrets_erased"] = bool(values["secrets_erased"])
    values["headers"] = json.loads(values["headers"]) if values["headers"] != "{}" else {}
    for name in ("cc", "attachments"):
        values[name] = json.loads(values[name]) if values[name] else []
    return Delivery(**values)


class SourceCache:
    """A cache of template sources by version id; a version never changes."""

    def __init__(self, open_reader: OpenReader) -> None:
        self._open_reader = open_reader
        self._known: OrderedDict[UUID, TemplateSource] = OrderedDict()

    async def get_sources(self, versions: Collection[UUID | None]) -> dict[str, TemplateSource]:
        """Return the sources of these versions by the text of their id, without those that are gone."""
        version_ids = [version for version in versions if version is not None]
        if missing := {version for version in version_ids if version not in self._known}:
            async with self._open_reader() as connection:
                self._known |= await templates.get_sources(connection, missing)
        known_ids = [version for version in version_ids if version in self._known]
        for version in known_ids:
            self._known.move_to_end(version)
        sources = {str(version): self._known[version] for version in known_ids}
        while len(self._known) > MAX_CACHED_SOURCES:
            self._known.popitem(last=False)
        return sources

    def get_secret_erasure(self, version: UUID | None) -> SecretErasure | None:
        """Return what is secret in the mails of a version whose source was loaded lately; None: nothing."""
        source = self._known.get(version) if version is not None else None
        if source is None or not source.settings.secret:
            return None
        return SecretErasure(paths=source.settings.secret, sample=source.sample)

    async def have_images(self, versions: Collection[UUID | None]) -> bool:
        """Return True if mails of one of these versions may carry images."""
        return any(source.assets for source in (await self.get_sources(versions)).values())
