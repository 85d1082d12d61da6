"""Previews of templates, saved or not: with the sample, with own values, or with those of a past mail.

Secret values of a past mail are masked, and the audit names who used them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Text, cast, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import audit, email_address
from notifier.audit import Actor, AuditAction, AuditRecord
from notifier.db.tables import (
    Notification,
    NotificationContent,
    Template,
    TemplateDraft,
    TemplateVersion,
    get_columns,
)
from notifier.errors import Fault, InvalidRequestError, NotFoundError
from notifier.ids import get_id_time
from notifier.mail.mail_parts import Mailbox, MailHeader
from notifier.rendering.preview_pool import EditorRenderer
from notifier.rendering.protocol import PreviewedMail, RenderJob, SourceCheck
from notifier.states import KeyKind
from notifier.template_language.compiled_version import MARKETING, UNSUBSCRIBE_HEADER
from notifier.template_language.template_source import RenderFault, TemplateSource
from notifier.template_language.variable_usage import UNSUBSCRIBE_URL
from notifier.templating import recent_requests, validation
from notifier.templating.version_store import parse_pinned_source

PREVIEW_MESSAGE_ID = "<preview@notifier.invalid>"
MAX_PAST_MAILS = 3
"""Past mails of each service that are offered for a preview."""
_template, _draft, _version = get_columns(Template), get_columns(TemplateDraft), get_columns(TemplateVersion)
_notification, _content = get_columns(Notification), get_columns(NotificationContent)


@dataclass(frozen=True, kw_only=True)
class PreviewValues:
    """What a preview is rendered with."""

    variables: Mapping[str, Any] | None  # None: those of the sample
    locale: str | None
    recipient: str
    sender: Mailbox  # unless the template has one of its own
    at: datetime


@dataclass(frozen=True, kw_only=True)
class UnsavedPreview:
    """What text that is not saved looks like as a mail, and what is wrong with it."""

    checked: SourceCheck
    mail: PreviewedMail | None  # None: it cannot be rendered
    faults: list[RenderFault]


async def preview_unsaved_source(
    renderer: EditorRenderer, source: TemplateSource, whole: TemplateSource, values: PreviewValues
) -> UnsavedPreview:
    """Check text that is not saved, and render it if it can be rendered; `whole` has its layouts and images too.

    Raises `InvalidRequestError` for too large values, `TooMuchRefusedError`.
    """
    checked = await renderer.check(whole)
    faults = [*validation.list_problem_faults(source), *checked.faults]
    if faults:
        return UnsavedPreview(checked=checked, mail=None, faults=faults)
    mail = await _render_preview(renderer, whole, values)
    if isinstance(mail, RenderFault):
        return UnsavedPreview(checked=checked, mail=None, faults=[*faults, mail])
    return UnsavedPreview(checked=checked, mail=mail, faults=faults)


async def preview_source(renderer: EditorRenderer, source: TemplateSource, values: PreviewValues) -> PreviewedMail:
    """Render the mail as it would be sent, with another Message-ID. Raises `InvalidRequestError`."""
    mail = await _render_preview(renderer, source, values)
    if isinstance(mail, RenderFault):
        raise InvalidRequestError([validation.build_render_fault(mail)])
    return mail


async def _render_preview(
    renderer: EditorRenderer, source: TemplateSource, values: PreviewValues
) -> PreviewedMail | RenderFault:
    if values.variables is not None and len(msgspec.json.encode(values.variables)) > validation.MAX_SAMPLE_BYTES:
        raise InvalidRequestError(
            [Fault("/variables", "too_large", f"at most {validation.MAX_SAMPLE_BYTES} bytes as JSON")]
        )
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
    return await renderer.preview(job, {version: source})


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


# -- the values of past mails ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PastMail:
    """A mail whose values a preview can use."""

    id: UUID
    service: str
    created_at: datetime
    locale: str | None


@dataclass(frozen=True, kw_only=True)
class PastValues:
    """The variables of a past mail, with `•••` in place of each secret value."""

    variables: dict[str, Any]
    locale: str | None


@dataclass(frozen=True, kw_only=True)
class MailReach:
    """Whose mails somebody may use: of one service and of these kinds of keys, or all."""

    service_id: UUID | None = None  # None: of all services
    kinds: Collection[KeyKind] = tuple(KeyKind)


async def list_past_mails(connection: AsyncConnection, slug: str) -> list[PastMail]:
    """List the newest mails of each service with this template, newest first."""
    requests = await recent_requests.list_newest_requests(connection, slug, MAX_PAST_MAILS)
    mails = [
        PastMail(id=request.id, service=service.name, created_at=get_id_time(request.id), locale=request.locale)
        for service, of_service in requests
        for request in of_service
    ]
    return sorted(mails, key=lambda mail: mail.id, reverse=True)


async def load_past_values(
    connection: AsyncConnection, slug: str, id_: UUID, source: TemplateSource, *, reach: MailReach, actor: Actor
) -> PastValues:
    """Load the variables of a mail of this template for a preview of `source`, without its secret values.

    A value is secret if the mail's version, the current version, the draft or `source` says so. Raises `NotFoundError`.
    """
    query = (
        select(_notification.service_id, _notification.locale, _notification.template_id)
        .add_columns(_notification.template_version_id, cast(_content.variables, Text).label("text"))
        .join(Template, _template.id == _notification.template_id)
        .join(NotificationContent, _content.notification_id == _notification.id)
        .where(_notification.id == id_, _template.slug == slug, _notification.kind.in_([*reach.kinds]))
    )
    if reach.service_id is not None:
        query = query.where(_notification.service_id == reach.service_id)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no such mail of {slug}, or its content was deleted")
    sources = [source, *await _list_sources(connection, row.template_id, row.template_version_id)]
    secret = {path for one in sources for path in one.settings.secret}
    mask = recent_requests.build_mask(secret, [one.sample for one in sources])
    record = AuditRecord(
        action=AuditAction.CONTENT_VIEWED,
        object_id=id_,
        service_id=row.service_id,
        after={"template": slug, "masked": True},
    )
    await audit.write_audit_record(connection, record, actor)
    return PastValues(variables=msgspec.json.decode(mask.apply(row.text)), locale=row.locale)


async def _list_sources(
    connection: AsyncConnection, template_id: UUID, version_id: UUID | None
) -> list[TemplateSource]:
    """List the sources of a version, of the current version and of the draft."""
    versions = (
        select(_version.source)
        .join(Template, _template.id == _version.template_id)
        .where(
            _version.template_id == template_id,
            (_version.id == version_id) | (_version.number == _template.current_number),
        )
    )
    drafts = select(_draft.source).where(_draft.template_id == template_id)
    rows = [row for query in (versions, drafts) for row in (await connection.execute(query)).scalars()]
    return [parse_pinned_source(row) for row in rows]
