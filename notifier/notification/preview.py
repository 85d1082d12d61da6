"""Show the content of a mail: as it was sent, as it will be, or as a request would make it."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select

from notifier import audit
from notifier.audit import Doer
from notifier.auth.keys import Caller
from notifier.db.engine import Database
from notifier.db.tables import Attempt, columns
from notifier.db.unavailable import unavailable_as_such
from notifier.errors import Fault, InvalidRequestError, NotFoundError, NotifierError
from notifier.notification import compose, find, load, octets
from notifier.notification.load import Delivery
from notifier.notification.recipients import RecipientPolicy
from notifier.outcomes import OutcomeName
from notifier.rendering.job import Attachment, RenderFault, Shown
from notifier.submission.new_notification import NewNotification
from notifier.templating.editors import Editors

_attempt = columns(Attempt)
MAX_RECORD_SECONDS = 2.5
"""Longest transaction that records who looked; the driver takes two more to let go of a server that hangs."""


class UnrenderableError(NotifierError):
    """The mail cannot be rendered: its template fails with these variables, or a part of it is gone."""


@dataclass(frozen=True, kw_only=True)
class ContentView:
    """A mail, part by part and as a whole."""

    subject: str
    html: str | None
    text: str
    attachments: list[dict[str, Any]]
    source: bytes  # the whole message, as a relay gets it
    sha256: str  # of the source
    identical: bool | None  # whether it has the bytes that were sent last; None: nothing was sent


class Previewer:
    """Renders mails to show them, with the code that sends."""

    def __init__(self, database: Database, editors: Editors, policy: RecipientPolicy) -> None:
        self._database = database
        self._editors = editors
        self._policy = policy
        self._sources = load.Sources(database)

    async def view(self, caller: Caller, id_: UUID, *, actor: Doer) -> ContentView:
        """The mail of a notification within the caller's reach; who looks at it is recorded before it is shown.

        Raises `NotFoundError`, `UnrenderableError`, `DatabaseUnavailableError`.
        """
        view = await self.stored(caller, id_)
        record = audit.Deed(
            action=audit.Action.CONTENT_VIEWED,
            object_kind=audit.ObjectKind.NOTIFICATION,
            object_id=id_,
            service_id=caller.service_id,
        )
        with unavailable_as_such():
            async with asyncio.timeout(MAX_RECORD_SECONDS), self._database.write() as connection:
                await audit.record(connection, record, actor)
        return view

    async def stored(self, caller: Caller, id_: UUID) -> ContentView:
        """The mail of a notification within the caller's reach. Raises `NotFoundError`, `UnrenderableError`."""
        async with self._database.read() as connection:
            await find.one(connection, caller.service_id, id_)
            delivery = (await load.deliveries(connection, [id_]))[id_]
            if delivery.kind not in caller.reach:  # a test key must not see a sign-in link of live mail
                raise NotFoundError("there is no such notification")
            sent = await connection.execute(
                select(_attempt.sha256)
                .where(_attempt.notification_id == id_, _attempt.outcome != OutcomeName.DEFERRED)
                .order_by(_attempt.id.desc())
                .limit(1)
            )
            digest: bytes | None = sent.scalar_one_or_none()
        files = await octets.attachments(self._database, delivery.attachments)
        if files is None:
            raise UnrenderableError(str(compose.ATTACHMENT_GONE))
        mail = await self._made(caller.service_id, delivery, files)
        if isinstance(mail, RenderFault):
            raise UnrenderableError(str(mail))
        return _view(mail, delivery.attachments, digest)

    async def drafted(self, notification: NewNotification) -> ContentView:
        """The mail that a request would make. Raises `InvalidRequestError` if it cannot be rendered."""
        files = [
            Attachment(filename=f.filename, content_type=f.content_type, content_id=f.content_id, data=f.data)
            for f in notification.attachments
        ]
        delivery = load.drafted(notification)
        mail = await self._made(notification.row.service_id, delivery, files)
        if isinstance(mail, RenderFault):
            raise InvalidRequestError([Fault("/template", "template_failed", str(mail))])
        return _view(mail, delivery.attachments, None)

    async def _made(self, service_id: UUID, delivery: Delivery, files: Sequence[Attachment]) -> Shown | RenderFault:
        job = compose.job(delivery, self._policy, files)
        pinned = delivery.template_version_id
        sources = await self._sources.of([pinned]) if pinned is not None else {}
        if job.version is not None and job.version not in sources:
            return compose.VERSION_GONE
        return await self._editors.of(f"service:{service_id}").preview(job, sources)


def _view(mail: Shown, attachments: list[dict[str, Any]], sent: bytes | None) -> ContentView:
    digest = hashlib.sha256(mail.wire).digest()
    return ContentView(
        subject=mail.subject,
        html=mail.html,
        text=mail.text,
        attachments=attachments,
        source=mail.wire,
        sha256=digest.hex(),
        identical=digest == sent if sent else None,
    )
