"""What a source looks like as a mail, whether it is published, saved or neither; rendered where all mail is."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import msgspec

from notifier import email_address
from notifier.errors import InvalidRequestError
from notifier.mail.mail_parts import Mailbox, MailHeader
from notifier.rendering.protocol import PreviewedMail, RenderJob, SourceCheck
from notifier.template_language.compiled_version import MARKETING, UNSUBSCRIBE_HEADER
from notifier.template_language.render_fault import RenderFault
from notifier.template_language.template_source import TemplateSource
from notifier.template_language.variable_usage import UNSUBSCRIBE_URL
from notifier.templating.validation import build_render_fault

PREVIEW_MESSAGE_ID = "<preview@notifier.invalid>"


class SourceChecker(Protocol):
    """A way to child processes which are not the sender's."""

    async def check(self, source: TemplateSource, /) -> SourceCheck:
        """What is to be said about the source."""


class SourceRenderer(SourceChecker, Protocol):
    """One that shows mails as well."""

    async def preview(self, job: RenderJob, sources: Mapping[str, TemplateSource], /) -> PreviewedMail | RenderFault:
        """The mail that the job would be."""


@dataclass(frozen=True, kw_only=True)
class PreviewValues:
    """What a mail is made with."""

    variables: Mapping[str, Any] | None  # None: those of the sample
    locale: str | None
    recipient: str
    sender: Mailbox  # unless the template has one of its own
    at: datetime


async def preview_source(renderer: SourceRenderer, source: TemplateSource, values: PreviewValues) -> PreviewedMail:
    """The mail, as it would leave but for its Message-ID. Raises `InvalidRequestError` if it cannot be made."""
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
    """The header field by which readers of marketing unsubscribe, for a mail that was rendered before."""
    values = source.sample if variables is None else variables
    if source.settings.category != MARKETING:
        return {}
    return {UNSUBSCRIBE_HEADER: f"<{values[UNSUBSCRIBE_URL]}>"}


def _parse_mailbox(text: str | None) -> Mailbox | None:
    if text is None:
        return None
    name, found = email_address.parse_named_address(text)
    return Mailbox(found, name)
