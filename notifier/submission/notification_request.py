"""A request as it is parsed, and as it is after validation: no functions, only what the fields mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from notifier.mail.mail_parts import Mailbox
from notifier.states import Priority, Role, WhenUncertain
from notifier.submission.attachment_validation import CheckedAttachment
from notifier.templating.version_store import PublishedVersion


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
