"""The preview of a source: the mail as it would leave, rendered by the code that sends."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import msgspec

from notifier import email_address
from notifier.errors import Fault, InvalidRequestError
from notifier.mail.mail_parts import Mailbox, MailHeader
from notifier.rendering.protocol import PreviewedMail, RenderJob, SourceCheck
from notifier.template_language.compiled_version import MARKETING, UNSUBSCRIBE_HEADER
from notifier.template_language.template_source import RenderFault, TemplateSource
from notifier.template_language.variable_usage import UNSUBSCRIBE_URL
from notifier.templating.validation import MAX_SAMPLE_BYTES, build_render_fault

PREVIEW_MESSAGE_ID = "<preview@notifier.invalid>"


class SourceChecker(Protocol):
    """Checks sources in child processes that are not the sender's."""

    async def check(self, source: TemplateSource, /) -> SourceCheck:
        """Check the source."""


class SourceRenderer(SourceChecker, Protocol):
    """Renders previews as well."""

    async def preview(self, job: RenderJob, sources: Mapping[str, TemplateSource], /) -> PreviewedMail | RenderFault:
        """Render the mail of the job."""


@dataclass(frozen=True, kw_only=True)
class PreviewValues:
    """What a preview is rendered with."""

    variables: Mapping[str, Any] | None  # None: those of the sample
    locale: str | None
    recipient: str
    sender: Mailbox  # unless the template has one of its own
    at: datetime


async def preview_source(renderer: SourceRenderer, source: TemplateSource, values: PreviewValues) -> PreviewedMail:
    """Render the mail as it would leave but for its Message-ID. Raises `InvalidRequestError`."""
    if values.variables is not None and len(msgspec.json.encode(values.variables)) > MAX_SAMPLE_BYTES:
        raise InvalidRequestError([Fault("/variables", "too_large", f"at most {MAX_SAMPLE_BYTES} bytes as JSON")])
    variables = source.sample if values.variables is None else values.variables
    settings = source.settings
    header = MailHeader(
        message_id=PREVIEW_MESSAGE_ID,
        date=values.at,
        sender=_parse_mailbox(settings.from_) or values.sender,
        recipient=values.recipient,
        reply_to=_parse_mailbox(settings.reply_to),
    )
    version = f"look:{source.content_hash()}:{source.strict}"
    job = RenderJob(
        version=version, locale=values.locale, variables=msgspec.json.encode(variables).decode(), header=header
    )
    mail = await renderer.preview(job, {version: source})
    if isinstance(mail, RenderFault):
        raise InvalidRequestError([build_render_fault(mail)])
    return mail


def build_unsubscribe_header(source: TemplateSource, variables: Mapping[str, Any] | None) -> dict[str, str]:
    """Build the header field by which readers of a marketing mail unsubscribe."""
    values = source.sample if variables is None else variables
    if source.settings.category != MARKETING:
        return {}
    return {UNSUBSCRIBE_HEADER: f"<{values[UNSUBSCRIBE_URL]}>"}


def _parse_mailbox(text: str | None) -> Mailbox | None:
    if text is None:
        return None
    name, mailbox = email_address.parse_named_address(text)
    return Mailbox(mailbox, name)
