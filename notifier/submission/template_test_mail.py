"""Test mails of templates: one mail that says what the preview shows, submitted as a notification of the service."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Actor, AuditAction
from notifier.auth.authenticated_key import Caller
from notifier.mail.mail_parts import build_image_attachments, list_shown_images
from notifier.rendering.protocol import PreviewedMail
from notifier.submission.idempotency import SubmissionResult
from notifier.submission.new_notification import NewNotification
from notifier.submission.notification_request import NotificationRequest
from notifier.submission.notification_submitter import NotificationSubmitter
from notifier.submission.notification_writer import write_in_transaction
from notifier.template_language.template_source import TemplateSource
from notifier.templating import draft_store, template_store
from notifier.templating.assets.image_cache import InlineImageCache
from notifier.templating.edit_rules import record_template


@dataclass(frozen=True, kw_only=True)
class TemplateTestMail:
    """What a test mail is made of."""

    slug: str
    version: int | None  # None: the draft
    to: str
    source: TemplateSource
    variables: Mapping[str, Any] | None  # None: those of the sample
    preview: PreviewedMail


async def check_test_mail(
    submitter: NotificationSubmitter, pictures: InlineImageCache, caller: Caller, mail: TemplateTestMail
) -> NewNotification:
    """Check the mail as any notification is checked. Raises what a submit raises."""
    settings = mail.source.settings
    request = NotificationRequest(
        to=mail.to,
        content={"subject": mail.preview.subject, "html": mail.preview.html, "text": mail.preview.text},
        attachments=await _attach_images(pictures, mail),
        headers=draft_store.build_unsubscribe_header(mail.source, mail.variables),
        sender=settings.from_,
        reply_to=settings.reply_to,
    )
    draft = await submitter.prepare(caller, request, None, [])
    submitter.check_queue_time(draft)
    return draft


async def send_test_mail(
    connection: AsyncConnection, draft: NewNotification, mail: TemplateTestMail, *, actor: Actor
) -> SubmissionResult:
    """Write the mail that `check_test_mail` has passed, with its audit record: both, or neither."""
    submitted = await write_in_transaction(connection, draft)
    id_ = (await template_store.get_template(connection, mail.slug)).id
    fields = {"version": mail.version if mail.version is not None else "draft", "notification": str(submitted.id)}
    await record_template(connection, AuditAction.TEMPLATE_TESTED, (id_, mail.slug), actor, **fields)
    return submitted


async def _attach_images(pictures: InlineImageCache, mail: TemplateTestMail) -> list[dict[str, str]]:
    """Attach the images that the mail shows, as a caller would."""
    assets = mail.source.assets
    names = list_shown_images(assets, mail.preview.html)
    lines = await pictures.load_base64([assets[name].sha256 for name in names])
    return [
        {
            "filename": file.filename,
            "content": lines[assets[name].sha256].replace(b"\r\n", b"").decode(),
            "content_type": file.content_type,
            "content_id": file.content_id or "",
        }
        for name, file in zip(names, build_image_attachments(assets, names), strict=True)
    ]
