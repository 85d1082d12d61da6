"""What Notifier answers, as frozen values; their fields are explained in docs/calling.md.

A status is a plain string, so that an old client can live with a newer server; `Status` names those of today.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeVar

from notifier.client.errors import Fault
from notifier.client.reading import Reply

T = TypeVar("T")


class Status(StrEnum):
    """What can become of a notification."""

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
    """A notification that was accepted: it is committed and will not be lost."""

    id: str
    status: str
    created_at: datetime
    replayed: bool = False  # True: it had been accepted before, under the same idempotency key


@dataclass(frozen=True, kw_only=True)
class BatchError(Reply):
    """Why one notification of a batch was not accepted."""

    code: str
    errors: tuple[Fault, ...] = ()
    more_errors: int = 0  # that are not listed


@dataclass(frozen=True, kw_only=True)
class AcceptedResult(Reply):
    """A notification of a batch that is committed and will not be lost."""

    index: int  # its place in the batch
    id: str
    status: str
    created_at: datetime
    replayed: bool = False  # True: it had been accepted before, under the same idempotency key
    error: ClassVar[None] = None


@dataclass(frozen=True, kw_only=True)
class RefusedResult(Reply):
    """A notification of a batch that was not accepted."""

    index: int  # its place in the batch
    error: BatchError
    id: ClassVar[None] = None
    status: ClassVar[None] = None
    replayed: ClassVar[bool] = False


BatchResult = AcceptedResult | RefusedResult
"""What became of one notification of a batch."""


@dataclass(frozen=True, kw_only=True)
class SubmittedBatch(Reply):
    """One result for each notification, in their order."""

    batch_id: str | None = None
    results: tuple[BatchResult, ...]

    @property
    def accepted(self) -> tuple[AcceptedResult, ...]:
        """Those that will not be lost."""
        return tuple(result for result in self.results if isinstance(result, AcceptedResult))

    @property
    def refused(self) -> tuple[RefusedResult, ...]:
        """Those that were not accepted."""
        return tuple(result for result in self.results if isinstance(result, RefusedResult))


@dataclass(frozen=True, kw_only=True)
class Attempt(Reply):
    """One try at delivering."""

    number: int
    started_at: datetime
    duration_ms: int | None = None
    relay: str | None = None
    phase: str | None = None
    outcome: str | None = None
    code: int | None = None  # of the relay's reply
    enhanced_code: str | None = None
    reply: str | None = None


@dataclass(frozen=True, kw_only=True)
class Copy(Reply):
    """A `cc` or `bcc` of a notification, with a status of its own."""

    id: str
    role: str
    to: str | None = None
    status: str


@dataclass(frozen=True, kw_only=True)
class Notification(Reply):
    """A notification and where it stands."""

    id: str
    status: str
    reason: str | None = None
    detail: str | None = None
    to: str
    role: str | None = None  # to, cc or bcc
    parent_id: str | None = None  # of a copy: what it is a copy of
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
    when_uncertain: str | None = None  # resend or hold: what is done if nobody knows whether a relay took it
    next_attempt_at: datetime | None = None
    attempts: tuple[Attempt, ...] = ()  # empty in a list
    copies: tuple[Copy, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Event(Reply):
    """One thing that happened to a notification."""

    at: datetime
    kind: str
    detail: str | None = None
    actor: str | None = None
    attempt: Attempt | None = None


@dataclass(frozen=True, kw_only=True)
class File(Reply):
    """A file that comes with a mail."""

    filename: str
    content_type: str | None = None
    content_id: str | None = None
    size: int | None = None  # octets
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Content(Reply):
    """The mail itself, as it was or would be sent."""

    subject: str
    html: str | None = None
    text: str | None = None
    attachments: tuple[File, ...] = ()
    size: int | None = None  # octets of the whole mail
    sha256: str | None = None
    identical: bool | None = None  # True if a relay was given these very octets; None if none was given any


@dataclass(frozen=True, kw_only=True)
class DryRun(Content):
    """The mail that would have been accepted; nothing was written."""

    to: str | None = None
    from_address: str | None = None
    locale: str | None = None
    priority: str | None = None
    when_uncertain: str | None = None
    send_at: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Because(Reply):
    """One reason why a notification waits."""

    code: str
    detail: str | None = None
    until: datetime | None = None  # None: nobody knows, or nothing ends it by itself


@dataclass(frozen=True, kw_only=True)
class Explanation(Reply):
    """Why a notification is not sent yet, and when it is tried next."""

    id: str
    status: str
    waiting: bool | None = None
    next_attempt_at: datetime | None = None
    expires_at: datetime | None = None
    because: tuple[Because, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Batch(Reply):
    """How far a batch has come."""

    id: str
    created_at: datetime | None = None
    size: int | None = None  # how many were asked for
    accepted: int | None = None  # how many of them were written
    ended: int | None = None  # how many of those wait for nothing any more
    progress: int | None = None  # the part of the accepted that has ended, in percent
    statuses: Mapping[str, int] = field(default_factory=dict)
    cancelled_at: datetime | None = None  # from then on nothing of it is begun
    cancelling: bool = False  # some of its mails are not sent, and are still to be put to `cancelled`
    cancelled: int | None = None  # after `cancel_batch`: how many mails that request put to `cancelled`


@dataclass(frozen=True, kw_only=True)
class Page(Generic[T]):
    """Some of many, newest first."""

    items: tuple[T, ...]
    next: str | None = None  # give it as `before` to get the following page; None on the last
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
