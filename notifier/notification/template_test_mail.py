"""Test mails of templates: one mail that says what the preview shows, submitted as a notification of the service."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Action, Doer
from notifier.auth.keys import Caller
from notifier.notification.check import Wanted
from notifier.notification.submit import Submitter
from notifier.notification.write import Draft, Submitted, write_within
from notifier.rendering import images
from notifier.rendering.images import Images
from notifier.rendering.job import Shown
from notifier.rendering.source import TemplateSource
from notifier.templating import find, look
from notifier.templating.deed import record_template


@dataclass(frozen=True, kw_only=True)
class TemplateTestMail:
    """What a test mail is made of."""

    slug: str
    version: int | None  # None: the draft
    to: str
    source: TemplateSource
    variables: Mapping[str, Any] | None  # None: those of the sample
    preview: Shown


async def check_test_mail(submitter: Submitter, pictures: Images, caller: Caller, mail: TemplateTestMail) -> Draft:
    """Check the mail as any notification is checked. Raises what a submit raises."""
    settings = mail.source.settings
    request = Wanted(
        to=mail.to,
        content={"subject": mail.preview.subject, "html": mail.preview.html, "text": mail.preview.text},
        attachments=await _attach_images(pictures, mail),
        headers=look.way_out(mail.source, mail.variables),
        sender=settings.from_,
        reply_to=settings.reply_to,
    )
    draft = await submitter.draft(caller, request, None, [])
    submitter.foresee(draft)
    return draft


async def send_test_mail(
    connection: AsyncConnection, draft: Draft, mail: TemplateTestMail, *, actor: Doer
) -> Submitted:
    """Write the mail that `check_test_mail` has passed, with its audit record: both, or neither."""
    submitted = await write_within(connection, draft)
    id_ = (await find.template(connection, mail.slug)).id
    fields = {"version": mail.version if mail.version is not None else "draft", "notification": str(submitted.id)}
    await record_template(connection, Action.TEMPLATE_TESTED, (id_, mail.slug), actor, **fields)
    return submitted


async def _attach_images(pictures: Images, mail: TemplateTestMail) -> list[dict[str, str]]:
    """Attach the images that the mail shows, as a caller would."""
    assets = mail.source.assets
    names = images.shown(assets, mail.preview.html)
    lines = await pictures.base64([assets[name].sha256 for name in names])
    return [
        {
            "filename": file.filename,
            "content": lines[assets[name].sha256].replace(b"\r\n", b"").decode(),
            "content_type": file.content_type,
            "content_id": file.content_id or "",
        }
        for name, file in zip(names, images.attached(assets, names), strict=True)
    ]
