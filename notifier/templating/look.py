"""The preview of a source: the mail as it would leave, rendered by the code that sends."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import msgspec

from notifier import address
from notifier.errors import Fault, InvalidRequestError
from notifier.rendering.job import Checked, Job, Mailbox, MailHeader, RenderFault, Shown
from notifier.rendering.source import TemplateSource
from notifier.rendering.usage import UNSUBSCRIBE_URL
from notifier.rendering.version import MARKETING, UNSUBSCRIBE
from notifier.templating.form import LARGEST_SAMPLE, fault_of

SPECIMEN_ID = "<preview@notifier.invalid>"


class Checker(Protocol):
    """Checks sources in child processes that are not the sender's."""

    async def check(self, source: TemplateSource, /) -> Checked:
        """Check the source."""


class Renderer(Checker, Protocol):
    """Renders previews as well."""

    async def preview(self, job: Job, sources: Mapping[str, TemplateSource], /) -> Shown | RenderFault:
        """Render the mail of the job."""


@dataclass(frozen=True, kw_only=True)
class Values:
    """What a preview is rendered with."""

    variables: Mapping[str, Any] | None  # None: those of the sample
    locale: str | None
    recipient: str
    sender: Mailbox  # unless the template has one of its own
    at: datetime


async def shown(renderer: Renderer, source: TemplateSource, values: Values) -> Shown:
    """Render the mail as it would leave but for its Message-ID. Raises `InvalidRequestError`."""
    if values.variables is not None and len(msgspec.json.encode(values.variables)) > LARGEST_SAMPLE:
        raise InvalidRequestError([Fault("/variables", "too_large", f"at most {LARGEST_SAMPLE} bytes as JSON")])
    variables = source.sample if values.variables is None else values.variables
    settings = source.settings
    header = MailHeader(
        message_id=SPECIMEN_ID,
        date=values.at,
        sender=_mailbox(settings.from_) or values.sender,
        recipient=values.recipient,
        reply_to=_mailbox(settings.reply_to),
    )
    version = f"look:{source.content_hash()}:{source.strict}"
    job = Job(version=version, locale=values.locale, variables=msgspec.json.encode(variables).decode(), header=header)
    mail = await renderer.preview(job, {version: source})
    if isinstance(mail, RenderFault):
        raise InvalidRequestError([fault_of(mail)])
    return mail


def way_out(source: TemplateSource, variables: Mapping[str, Any] | None) -> dict[str, str]:
    """Build the header field by which readers of a marketing mail unsubscribe."""
    values = source.sample if variables is None else variables
    if source.settings.category != MARKETING:
        return {}
    return {UNSUBSCRIBE: f"<{values[UNSUBSCRIBE_URL]}>"}


def _mailbox(text: str | None) -> Mailbox | None:
    if text is None:
        return None
    name, mailbox = address.with_name(text)
    return Mailbox(mailbox, name)
