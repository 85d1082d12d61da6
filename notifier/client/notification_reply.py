"""The replies about notifications and batches; docs/calling.md explains their fields.

A status is a plain string, so that an old client works with a newer server; `Status` names those of this version.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from notifier.client.api_call import Reply
from notifier.client.errors import Fault


class Status(StrEnum):
    """The statuses of a notification."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    DEFERRED = "deferred"
    SENT = "sent"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    FAILED = "failed"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Submitted(Reply):
    """An accepted notification: it is committed and will not be lost."""

    id: str
    status: str
    created_at: datetime
    replayed: bool = False  # True: it was accepted before, with the same idempotency key


@dataclass(frozen=True, kw_only=True)
class BatchError(Reply):
    """Why a notification of a batch was refused."""

    code: str
    errors: tuple[Fault, ...] = ()
    more_errors: int = 0  # further errors, which are not listed


@dataclass(frozen=True, kw_only=True)
class AcceptedResult(Reply):
    """An accepted notification of a batch: it is committed and will not be lost."""

    index: int  # its place in the batch
    id: str
    status: str
    created_at: datetime
    replayed: bool = False  # True: it was accepted before, with the same idempotency key
    error: ClassVar[None] = None


@dataclass(frozen=True, kw_only=True)
class RefusedResult(Reply):
    """A refused notification of a batch."""

    index: int  # its place in the batch
    error: BatchError
    id: ClassVar[None] = None
    status: ClassVar[None] = None
    replayed: ClassVar[bool] = False


BatchResult = AcceptedResult | RefusedResult
"""The result of one notification of a batch."""


@dataclass(frozen=True, kw_only=True)
class SubmittedBatch(Reply):
    """One result for each notification, in the same order."""

    batch_id: str | None = None
    results: tuple[BatchResult, ...]

    @property
    def accepted(self) -> tuple[AcceptedResult, ...]:
        """The results of accepted notifications."""
        return tuple(result for result in self.results if isinstance(result, AcceptedResult))

    @property
    def refused(self) -> tuple[RefusedResult, ...]:
        """The results of refused notifications."""
        return tuple(result for result in self.results if isinstance(result, RefusedResult))


@dataclass(frozen=True, kw_only=True)
class Attempt(Reply):
    """One attempt to deliver a mail."""

    number: int
    started_at: datetime
    duration_ms: int | None = None
    relay: str | None = None
    phase: str | None = None
    outcome: str | None = None
    code: int | None = None  # of the relay's reply
    enhanced_code: str | None = None
    meaning: str | None = None  # of the codes, in words
    reply: str | None = None


@dataclass(frozen=True, kw_only=True)
class Copy(Reply):
    """A `cc` or `bcc` of a notification, with its own status."""

    id: str
    role: str
    to: str | None = None
    status: str


@dataclass(frozen=True, kw_only=True)
class Notification(Reply):
    """A notification and its status."""

    id: str
    service: str | None = None  # the name of the service that submitted it
    status: str
    reason: str | None = None
    detail: str | None = None
    to: str
    role: str | None = None  # to, cc or bcc
    parent_id: str | None = None  # of a copy: the original
    kind: str | None = None  # of the key that sent it
    template: str | None = None
    template_version: int | None = None
    locale: str | None = None
    priority: str | None = None
    message_id: str | None = None
    batch_id: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime
    updated_at: datetime | None = None
    send_at: datetime | None = None
    expires_at: datetime | None = None
    uncertain_at: datetime | None = None  # since when a relay may have had the mail
    when_uncertain: str | None = None  # resend or hold: what is done if it is unknown whether a relay accepted it
    next_attempt_at: datetime | None = None
    held: bool = False  # True: it waits for a person
    attempts: tuple[Attempt, ...] = ()  # empty in a list
    copies: tuple[Copy, ...] = ()
    content_until: datetime | None = None  # until when its content is kept; None: it waits, or it is erased


@dataclass(frozen=True, kw_only=True)
class Event(Reply):
    """One event of a notification's timeline."""

    at: datetime
    kind: str
    detail: str | None = None
    actor: str | None = None
    actor_name: str | None = None  # as people call the actor
    attempt: Attempt | None = None


@dataclass(frozen=True, kw_only=True)
class File(Reply):
    """An attachment of a mail."""

    filename: str
    content_type: str | None = None
    content_id: str | None = None
    size: int | None = None  # bytes
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Content(Reply):
    """The content of a mail, as it was or would be sent."""

    subject: str
    html: str | None = None
    text: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)  # secret ones are masked
    attachments: tuple[File, ...] = ()
    size: int | None = None  # bytes of the whole mail
    sha256: str | None = None
    identical: bool | None = None  # True if a relay received exactly these bytes; None if no relay received any
    secrets_erased: bool = False  # True: values of the template's sample stand in place of the secret variables


@dataclass(frozen=True, kw_only=True)
class DryRun(Content):
    """The mail that would be accepted; nothing was written."""

    to: str | None = None
    from_address: str | None = None
    locale: str | None = None
    priority: str | None = None
    when_uncertain: str | None = None
    send_at: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class WaitReason(Reply):
    """One reason why a notification waits."""

    code: str
    detail: str | None = None
    until: datetime | None = None  # None: unknown, or it does not end by itself


@dataclass(frozen=True, kw_only=True)
class Answer(Reply):
    """Whether a mail arrived, in words, and what to do now."""

    kind: str  # yes, probably, not_yet, no or nobody_knows
    sentence: str | None = None
    next_step: str | None = None
    actions: tuple[str, ...] = ()  # cancel, update, retry, resolve, lift


@dataclass(frozen=True, kw_only=True)
class Explanation(Reply):
    """Whether a notification arrived, why it waits, and when it is tried next."""

    id: str
    status: str
    answer: Answer | None = None
    waiting: bool | None = None
    next_attempt_at: datetime | None = None
    expires_at: datetime | None = None
    because: tuple[WaitReason, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Batch(Reply):
    """The progress of a batch."""

    id: str
    created_at: datetime | None = None
    size: int | None = None  # notifications in the request
    accepted: int | None = None  # notifications that were accepted
    ended: int | None = None  # of the accepted: those in a final status
    progress: int | None = None  # per cent of the accepted that have ended
    statuses: Mapping[str, int] = field(default_factory=dict)
    cancelled_at: datetime | None = None  # no mail of it is started after that
    cancelling: bool = False  # some mails that are not sent still have to become `cancelled`
    cancelled: int | None = None  # after `cancel_batch`: how many mails it cancelled
