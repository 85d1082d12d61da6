"""Accept a notification, or a test mail of a template: validate the request, build its rows, write them durably.

What it accepts can be rendered with the version that it pins. It never sends, and never waits for a relay.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import email_address
from notifier.audit import Actor, AuditAction
from notifier.auth.authenticated_key import Caller
from notifier.auth.instance_service import (
    INSTANCE_SERVICE_ID,
    InstanceCaller,
    build_instance_caller,
    ensure_instance_service,
)
from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.errors import (
    Fault,
    IdempotencyInProgressError,
    InvalidRequestError,
    LockTimeoutError,
)
from notifier.mail import mail_parts
from notifier.rendering.protocol import PreviewedMail
from notifier.states import KeyKind
from notifier.submission.new_notification import (
    Idempotency,
    NewNotification,
    NotificationRequest,
    ValidationRules,
    ValidRequest,
    build_new_notification,
)
from notifier.submission.notification_writer import (
    EarlierNotification,
    IdempotencyError,
    SubmissionResult,
    find_earlier_notifications,
    write_in_transaction,
)
from notifier.submission.request_validation import validate_request
from notifier.template_language.template_source import TemplateSource
from notifier.templating import template_preview, template_store
from notifier.templating.assets.image_cache import InlineImageCache
from notifier.templating.edit_rules import record_template
from notifier.templating.version_store import TemplateCache, TemplateKeyUse
from notifier.throttle.queue_forecast import QueueForecast, QueueTooLongError


class NotificationSubmitter:
    """Validates requests and hands them to the intake."""

    def __init__(
        self,
        database: Database,
        write: Callable[[NewNotification], Awaitable[SubmissionResult | IdempotencyError]],
        *,
        templates: TemplateCache,
        rules: ValidationRules,
        forecast: QueueForecast,
        clock: Clock,
    ) -> None:
        self._database = database
        self._write = write  # commits before it returns
        self._templates = templates
        self._rules = rules
        self._forecast = forecast
        self._clock = clock

    async def submit(
        self,
        caller: Caller,
        request: NotificationRequest,
        idempotency: Idempotency | None,
        *,
        parse_faults: Sequence[Fault] = (),
    ) -> SubmissionResult:
        """Accept the request durably. `parse_faults` are those found while parsing.

        Raises `InvalidRequestError` with all faults, `QueueTooLongError`, `IdempotencyKeyReusedError` or
        `IdempotencyInProgressError`: nothing was written. Raises `DatabaseUnavailableError`: it may have been written,
        and a repeated request with the key tells.
        """
        idempotency = scope_idempotency(caller, idempotency)
        try:
            notification = await self.prepare(caller, request, idempotency, parse_faults)
            self.check_queue_time(notification)
        except (InvalidRequestError, QueueTooLongError):
            # A repeated request gets its first answer, even if it would be refused by now: its template may be gone.
            if idempotency and (replay := await self._replay(caller, idempotency)):
                return replay
            raise
        try:
            result = await self._write(notification)
        except LockTimeoutError as error:
            if idempotency is None:
                raise
            raise IdempotencyInProgressError from error
        if not isinstance(result, SubmissionResult):
            raise result
        self.record_template_use(caller, [notification])
        return result

    async def prepare(
        self,
        caller: Caller,
        request: NotificationRequest,
        idempotency: Idempotency | None = None,
        parse_faults: Sequence[Fault] = (),
        *,
        batch_id: UUID | None = None,
    ) -> NewNotification:
        """Return what to write for the request. Raises `InvalidRequestError` with all faults, also those of parsing."""
        now = self._clock.now()
        valid = await validate_request(request, caller, self._rules, self._templates, now, parse_faults)
        if not isinstance(valid, ValidRequest):
            raise InvalidRequestError(valid)
        return build_new_notification(valid, caller, self._rules, idempotency, batch_id)

    def check_queue_time(self, notification: NewNotification, *, ahead: int = 0) -> None:
        """Raise `QueueTooLongError` if it, or a copy of it, would expire in the queue.

        `ahead`: mails of the same request that are sent before it.
        """
        row, ahead = notification.row, ahead + len(notification.copies)
        self._forecast.check(row.priority, row.service_id, row.expires_at, ahead=ahead)

    def record_template_use(self, caller: Caller, notifications: Iterable[NewNotification]) -> None:
        """Record that the caller uses the templates of these."""
        if self._templates.uses is None:
            return
        for template_id in {notification.row.template_id for notification in notifications}:
            if template_id is not None:
                self._templates.uses.note_use(TemplateKeyUse(template_id, caller.key_id, caller.service_id))

    def is_outdated(self, earlier: EarlierNotification) -> bool:
        """True if its idempotency key does not count any more."""
        return earlier.is_outdated(self._clock.now(), self._rules.key_lifetime)

    @property
    def key_lifetime(self) -> timedelta:
        """How long an idempotency key counts."""
        return self._rules.key_lifetime

    async def _replay(self, caller: Caller, idempotency: Idempotency) -> SubmissionResult | None:
        async with self._database.read() as connection:
            notifications = await find_earlier_notifications(connection, caller.service_id, [idempotency.key])
        earlier = next(iter(notifications.values()), None)
        if earlier is None or self.is_outdated(earlier):
            return None
        result = earlier.replayed(idempotency.request_hash)
        if not isinstance(result, SubmissionResult):
            raise result
        return result


def scope_key(caller: Caller, key: str) -> str:
    """Return the idempotency key as it is stored for the caller's kind of key.

    That of a live key is stored as it is. Those of test and team keys become texts that no caller can send: they begin
    with a space. So a test mail is never the answer to a live request.
    """
    if caller.kind is KeyKind.LIVE:
        return key
    return f" {caller.kind.value} {hashlib.sha256(key.encode()).hexdigest()}"


def scope_idempotency(caller: Caller, idempotency: Idempotency | None) -> Idempotency | None:
    """Return the idempotency with its key as it is stored."""
    return replace(idempotency, key=scope_key(caller, idempotency.key)) if idempotency else None


# -- test mails of templates -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class TemplateTestMail:
    """A mail that says what the preview of a template shows."""

    slug: str
    version: int | None  # None: the draft
    to: str
    source: TemplateSource
    variables: Mapping[str, Any] | None  # None: those of the sample
    preview: PreviewedMail


def build_test_caller(actor: str, mail: TemplateTestMail) -> InstanceCaller:
    """Build the caller of a test mail that belongs to no service: it may send from the template's own sender."""
    sender = mail.source.settings.from_
    domains = (email_address.get_address_domain(email_address.parse_named_address(sender)[1]),) if sender else ()
    return build_instance_caller(actor, domains)


async def check_test_mail(
    submitter: NotificationSubmitter, pictures: InlineImageCache, caller: Caller, mail: TemplateTestMail
) -> NewNotification:
    """Check the mail as any notification is checked. Raises what a submit raises."""
    settings = mail.source.settings
    request = NotificationRequest(
        to=mail.to,
        content={"subject": mail.preview.subject, "html": mail.preview.html, "text": mail.preview.text},
        attachments=await _attach_images(pictures, mail),
        headers=template_preview.build_unsubscribe_header(mail.source, mail.variables),
        sender=settings.from_,
        reply_to=settings.reply_to,
    )
    draft = await submitter.prepare(caller, request)
    submitter.check_queue_time(draft)
    return draft


async def send_test_mail(
    connection: AsyncConnection, draft: NewNotification, mail: TemplateTestMail, *, actor: Actor
) -> SubmissionResult:
    """Write the mail that `check_test_mail` has passed, with its audit record: both, or neither."""
    if draft.row.service_id == INSTANCE_SERVICE_ID:
        await ensure_instance_service(connection, actor)
    submitted = await write_in_transaction(connection, draft)
    id_ = (await template_store.get_template(connection, mail.slug)).id
    fields = {"version": mail.version if mail.version is not None else "draft", "notification": str(submitted.id)}
    await record_template(connection, AuditAction.TEMPLATE_TESTED, (id_, mail.slug), actor, **fields)
    return submitted


async def _attach_images(pictures: InlineImageCache, mail: TemplateTestMail) -> list[dict[str, str]]:
    """Attach the images that the mail shows, as a caller would."""
    assets = mail.source.assets
    names = mail_parts.list_shown_images(assets, mail.preview.html)
    lines = await pictures.load_base64([assets[name].sha256 for name in names])
    return [
        {
            "filename": file.filename,
            "content": lines[assets[name].sha256].replace(b"\r\n", b"").decode(),
            "content_type": file.content_type,
            "content_id": file.content_id or "",
        }
        for name, file in zip(names, mail_parts.build_image_attachments(assets, names), strict=True)
    ]
