"""Shows the content of a mail: of a stored notification, or of a request that is only tried."""

import asyncio
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import select

from notifier import audit
from notifier.audit import Actor
from notifier.db.database_errors import convert_database_errors
from notifier.db.engine import Database, OpenReader
from notifier.db.tables import Attempt, get_columns
from notifier.delivery import delivery_loader, mail_renderer
from notifier.delivery.delivery_loader import Delivery
from notifier.email_address import RecipientPolicy
from notifier.errors import Fault, InvalidRequestError, NotFoundError, NotifierError
from notifier.lookup import notification_view
from notifier.mail.mail_parts import MailAttachment
from notifier.outcomes import OutcomeName
from notifier.rendering.preview_pool import EditorRenderers
from notifier.rendering.protocol import PreviewedMail
from notifier.states import KeyKind
from notifier.submission import attachment_validation
from notifier.submission.new_notification import NewNotification
from notifier.template_language.template_source import RenderFault

_attempt = get_columns(Attempt)
MAX_RECORD_SECONDS = 2.5
"""Longest transaction of the audit record; the driver takes two more to give up a server that hangs."""


SECRETS_ERASED = "its secret variables were erased, and the mail cannot be shown without them"


class UnrenderableError(NotifierError):
    """The mail cannot be rendered: its template fails with these variables, or a part of it is gone."""


class ContentGoneError(NotifierError):
    """The content of the notification was erased: it was kept as long as the retention says."""


@dataclass(frozen=True, kw_only=True)
class ContentView:
    """A mail, part by part and as a whole."""

    subject: str
    html: str | None
    text: str
    variables: dict[str, Any]  # secret ones are masked
    attachments: list[dict[str, Any]]
    source: bytes  # the whole message, as a relay gets it
    sha256: str  # of the source
    identical: bool | None  # whether these are the bytes that were sent last; None: nothing was sent
    secrets_erased: bool = False  # values of the template's sample stand in place of the secret variables


@dataclass(frozen=True, kw_only=True)
class ContentReach:
    """Whose mail somebody may read."""

    service_id: UUID | None  # None: of all services
    kinds: Collection[KeyKind]  # of the keys that submitted it; a test key must not read a sign-in link of live mail


class ContentPreviewer:
    """Renders mails to show them, with the same code as for sending."""

    def __init__(
        self, database: Database, open_reader: OpenReader, editors: EditorRenderers, policy: RecipientPolicy
    ) -> None:
        self._database = database  # for the audit
        self._open_reader = open_reader
        self._editors = editors
        self._policy = policy
        self._sources = delivery_loader.SourceCache(open_reader)

    async def view_content(self, reach: ContentReach, id_: UUID, *, actor: Actor) -> ContentView:
        """Get the mail of a notification within reach; the audit record is committed before it is shown.

        Raises `NotFoundError`, `ContentGoneError`, `UnrenderableError`, `DatabaseUnavailableError`.
        """
        service_id, view = await self._preview_stored(reach, id_, actor)
        await self._record_view(id_, service_id, actor)
        return view

    async def _preview_stored(self, reach: ContentReach, id_: UUID, actor: Actor) -> tuple[UUID, ContentView]:
        async with self._open_reader() as connection:
            view = await notification_view.get_notification(connection, reach.service_id, id_)
            if view.kind not in reach.kinds:
                raise NotFoundError("there is no such notification")
            delivery = (await delivery_loader.load_deliveries(connection, [id_])).get(id_)
            if delivery is None:
                raise ContentGoneError
            sent = await connection.execute(
                select(_attempt.sha256)
                .where(_attempt.notification_id == id_, _attempt.outcome != OutcomeName.DEFERRED)
                .order_by(_attempt.id.desc())
                .limit(1)
            )
            digest: bytes | None = sent.scalar_one_or_none()
        files = await attachment_validation.load_attachments(self._open_reader, delivery.attachments)
        if files is None:
            raise UnrenderableError(str(mail_renderer.ATTACHMENT_GONE))
        mail = await self._render(f"service:{reach.service_id}" if reach.service_id else actor.name, delivery, files)
        if isinstance(mail, RenderFault):
            if delivery.secrets_erased:
                raise ContentGoneError(SECRETS_ERASED)
            raise UnrenderableError(str(mail))
        view_of_mail = _build_content_view(mail, delivery, await self._mask_variables(delivery), digest)
        return view.service_id, replace(view_of_mail, secrets_erased=delivery.secrets_erased)

    async def preview_draft(self, notification: NewNotification) -> ContentView:
        """Render the mail of a request that is not written. Raises `InvalidRequestError` if it cannot be rendered."""
        files = [
            MailAttachment(filename=f.filename, content_type=f.content_type, content_id=f.content_id, data=f.data)
            for f in notification.attachments
        ]
        delivery = delivery_loader.build_draft_delivery(notification)
        mail = await self._render(f"service:{notification.row.service_id}", delivery, files)
        if isinstance(mail, RenderFault):
            raise InvalidRequestError([Fault("/template", "template_failed", str(mail))])
        return _build_content_view(mail, delivery, await self._mask_variables(delivery), None)

    async def load_file(self, reach: ContentReach, id_: UUID, number: int, *, actor: Actor) -> MailAttachment:
        """Get an attachment by its place among those of a notification within reach; recorded like a view.

        Raises `NotFoundError`, `ContentGoneError`, `DatabaseUnavailableError`.
        """
        async with self._open_reader() as connection:
            view = await notification_view.get_notification(connection, reach.service_id, id_)
            delivery = (await delivery_loader.load_deliveries(connection, [id_])).get(id_)
        if view.kind not in reach.kinds or delivery is None or number >= len(delivery.attachments):
            raise NotFoundError("there is no such attachment")
        files = await attachment_validation.load_attachments(self._open_reader, [delivery.attachments[number]])
        if files is None:
            raise ContentGoneError
        await self._record_view(id_, view.service_id, actor)
        return files[0]

    async def _record_view(self, id_: UUID, service_id: UUID, actor: Actor) -> None:
        record = audit.AuditRecord(action=audit.AuditAction.CONTENT_VIEWED, object_id=id_, service_id=service_id)
        with convert_database_errors():
            async with asyncio.timeout(MAX_RECORD_SECONDS), self._database.write() as connection:
                await audit.write_audit_record(connection, record, actor)

    async def _mask_variables(self, delivery: Delivery) -> dict[str, Any]:
        """Get the variables with each secret value replaced."""
        variables: dict[str, Any] = msgspec.json.decode(delivery.variables)
        await self._sources.get_sources([delivery.template_version_id])  # only a loaded version knows its secrets
        erasure = self._sources.get_secret_erasure(delivery.template_version_id)
        return erasure.apply(variables) if erasure is not None else variables

    async def _render(
        self, editor: str, delivery: Delivery, files: Sequence[MailAttachment]
    ) -> PreviewedMail | RenderFault:
        job = mail_renderer.build_render_job(delivery, self._policy, files)
        pinned = delivery.template_version_id
        sources = await self._sources.get_sources([pinned]) if pinned is not None else {}
        if job.version is not None and job.version not in sources:
            return mail_renderer.VERSION_GONE
        return await self._editors.get_renderer(editor).preview(job, sources)


def _build_content_view(
    mail: PreviewedMail, delivery: Delivery, variables: dict[str, Any], sent: bytes | None
) -> ContentView:
    digest = hashlib.sha256(mail.wire).digest()
    return ContentView(
        subject=mail.subject,
        html=mail.html,
        text=mail.text,
        variables=variables,
        attachments=delivery.attachments,
        source=mail.wire,
        sha256=digest.hex(),
        identical=digest == sent if sent else None,
    )
