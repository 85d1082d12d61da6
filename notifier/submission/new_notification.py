"""A new notification: the request as it is parsed, as it is after validation, and the rows that are built from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

import msgspec

from notifier import email_address
from notifier.auth.authenticated_key import Caller, MailRights
from notifier.db import dialect
from notifier.email_address import DefaultSender, RecipientPolicy
from notifier.ids import generate_id
from notifier.mail.mail_parts import Mailbox
from notifier.settings import ApiSettings
from notifier.states import Category, KeyKind, Priority, Role, WhenUncertain
from notifier.submission.attachment_validation import CheckedAttachment
from notifier.templating.version_store import PublishedVersion

ServiceKey = tuple[UUID, str]
"""Service and idempotency key."""


@dataclass(frozen=True, kw_only=True)
class NotificationRequest:
    """A parsed request, not yet validated; fields that did not parse have their defaults."""

    to: str | None = None
    cc: Sequence[str] = ()
    bcc: Sequence[str] = ()
    sender: str | None = None  # "Name <address>" or an address
    reply_to: str | None = None
    template: str | None = None
    content: Mapping[str, str | None] | None = None  # subject, html, text: sent unchanged
    template_version: int | None = None
    variables: Mapping[str, Any] | None = field(default_factory=dict)
    locale: str | None = None
    attachments: Sequence[Mapping[str, Any]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    tags: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    send_at: datetime | None = None
    expires_at: datetime | None = None
    priority: Priority | None = None
    when_uncertain: WhenUncertain | None = None


@dataclass(frozen=True, kw_only=True)
class Idempotency:
    """The caller's key and what the request looked like."""

    key: str
    request_hash: bytes  # SHA-256 of the canonical JSON, without what counts as not set


@dataclass(frozen=True, kw_only=True)
class DeliveryTimes:
    """When to send and when to give up; aware UTC."""

    send_at: datetime
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class CopyRecipient:
    """Another recipient of the mail, named in cc or bcc."""

    role: Role
    address: str  # normalised
    pointer: str  # where the request names it


@dataclass(frozen=True, kw_only=True)
class ValidationRules:
    """The rules of this instance for every request."""

    identity: DefaultSender
    policy: RecipientPolicy
    key_lifetime: timedelta  # for how long an idempotency key stands for its notification
    allowed_headers: tuple[str, ...]  # custom ones, as `header_names.is_header_allowed` takes them

    @classmethod
    def from_settings(
        cls, settings: ApiSettings, identity: DefaultSender, policy: RecipientPolicy
    ) -> "ValidationRules":
        """Build the rules from the settings."""
        lasts = timedelta(days=settings.idempotency_days)
        return cls(identity=identity, policy=policy, key_lifetime=lasts, allowed_headers=settings.allowed_headers)

    def get_rights(self, caller: Caller) -> MailRights:
        """Get the rights of the caller over mail."""
        return MailRights(caller=caller, policy=self.policy, own_sender=self.identity.address)


@dataclass(frozen=True, kw_only=True)
class ValidRequest:
    """A request without faults: normalised, and with its template version found."""

    request: NotificationRequest
    now: datetime  # when it was validated: the notification's time of creation
    recipient: str
    copies: list[CopyRecipient]
    sender: Mailbox
    reply_to: Mailbox | None
    version: PublishedVersion | None  # None: the request has its own content
    attachments: list[CheckedAttachment]
    times: DeliveryTimes


class NotificationRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The row of one recipient; the statement that writes it adds status and reason."""

    id: UUID
    entry_id: UUID  # of its outbox entry
    service_id: UUID
    template_id: UUID | None  # None, as its version: the request has its own content
    template_version_id: UUID | None
    batch_id: UUID | None
    parent_id: UUID | None  # of a copy: the notification that it is a copy of
    role: Role
    kind: KeyKind
    category: Category
    recipient: str
    address_key: str
    from_name: str | None
    from_address: str
    reply_to_name: str | None
    reply_to_address: str | None
    envelope_from: str
    locale: str | None
    priority: Priority
    message_id: str
    message_date: datetime
    send_at: datetime
    expires_at: datetime
    created_at: datetime
    updated_at: datetime
    uncertain_at: None = None
    when_uncertain: WhenUncertain
    created_by: str
    idempotency_key: str | None
    request_hash: bytes | None
    tags: list[str] | None
    meta: dict[str, str] | None


class ContentRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The content of the mail: written once, for the notification and its copies."""

    variables: dict[str, Any]
    headers: dict[str, str]
    content: dict[str, str | None] | None
    addressed_to: str | None  # the address in the To field, if there are copies
    cc: list[str] | None
    attachments: list[dict[str, Any]] | None


@dataclass(frozen=True, kw_only=True)
class NewNotification:
    """A valid notification, ready to be written with its copies, or not at all."""

    row: NotificationRow
    content: ContentRow
    copies: Sequence[NotificationRow] = ()
    attachments: Sequence[CheckedAttachment] = ()  # their bytes are written with it
    key_lifetime: timedelta = timedelta(days=7)  # for how long an idempotency key stands for its notification

    @property
    def key(self) -> ServiceKey | None:
        """Service and idempotency key, if the request had one."""
        key = self.row.idempotency_key
        return (self.row.service_id, key) if key is not None else None

    @property
    def mail_count(self) -> int:
        """How many mails it is: its own and one for each copy."""
        return 1 + len(self.copies)

    @cached_property
    def records_for_postgres(self) -> str:
        """The rows and the content as JSON objects with commas between them."""
        return dialect.encode_rows(self._build_records(), sqlite=False)[1:-1]

    @cached_property
    def records_for_sqlite(self) -> str:
        """The same in the form that SQLite takes."""
        return dialect.encode_rows(self._build_records(), sqlite=True)[1:-1]

    def _build_records(self) -> list[dict[str, Any]]:
        asdict = msgspec.structs.asdict
        return [asdict(self.row) | asdict(self.content), *map(asdict, self.copies)]


def build_new_notification(
    valid: ValidRequest, caller: Caller, rules: ValidationRules, idempotency: Idempotency | None, batch_id: UUID | None
) -> NewNotification:
    """Build the rows of a valid request and of its copies."""
    row = _build_row(valid, caller, rules, idempotency, batch_id)
    return NewNotification(
        row=row,
        content=_build_content(valid),
        copies=[_build_copy(row, copy) for copy in valid.copies],
        attachments=valid.attachments,
        key_lifetime=rules.key_lifetime,
    )


def _build_row(
    valid: ValidRequest, caller: Caller, rules: ValidationRules, idempotency: Idempotency | None, batch_id: UUID | None
) -> NotificationRow:
    request, version, times, sender, id_ = valid.request, valid.version, valid.times, valid.sender, generate_id()
    return NotificationRow(
        id=id_,
        entry_id=generate_id(),
        service_id=caller.service_id,
        template_id=version.template_id if version else None,
        template_version_id=version.id if version else None,
        batch_id=batch_id,
        parent_id=None,
        role=Role.TO,
        kind=caller.kind,
        category=version.category if version else Category.TRANSACTIONAL,
        recipient=valid.recipient,
        address_key=email_address.get_address_key(valid.recipient),
        from_name=sender.name,
        from_address=sender.address,
        reply_to_name=valid.reply_to.name if valid.reply_to else None,
        reply_to_address=valid.reply_to.address if valid.reply_to else None,
        envelope_from=rules.identity.bounce_address or sender.address,
        locale=request.locale,
        priority=request.priority or (version.priority if version else Priority.NORMAL),
        message_id=f"<{id_.hex}@{email_address.get_address_domain(sender.address)}>",
        message_date=max(valid.now, times.send_at),
        send_at=times.send_at,
        expires_at=times.expires_at,
        created_at=valid.now,
        updated_at=valid.now,
        when_uncertain=request.when_uncertain or (version.when_uncertain if version else WhenUncertain.RESEND),
        created_by=caller.actor_name,
        idempotency_key=idempotency.key if idempotency else None,
        request_hash=idempotency.request_hash if idempotency else None,
        tags=list(dict.fromkeys(request.tags)) or None,
        meta=dict(request.metadata) or None,
    )


def _build_content(valid: ValidRequest) -> ContentRow:
    request = valid.request
    return ContentRow(
        variables=dict(request.variables or {}),
        headers=dict(request.headers),
        content=dict(request.content) if request.content else None,
        addressed_to=valid.recipient if valid.copies else None,
        cc=[copy.address for copy in valid.copies if copy.role is Role.CC] or None,
        attachments=[file.describe() for file in valid.attachments] or None,
    )


def _build_copy(row: NotificationRow, copy: CopyRecipient) -> NotificationRow:
    """The same mail to another recipient, with an envelope and a status of its own."""
    return msgspec.structs.replace(
        row,
        id=generate_id(),
        entry_id=generate_id(),
        parent_id=row.id,
        role=copy.role,
        recipient=copy.address,
        address_key=email_address.get_address_key(copy.address),
        idempotency_key=None,
        request_hash=None,
    )
