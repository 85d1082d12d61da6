"""The two state machines: of an outbox entry and of a notification.

Every transition is listed once, with its cause and, where it is not obvious, the reason. Only
`notifier.status.status_writer` changes a notification's status, and it uses this table.
"""

from dataclasses import dataclass
from enum import StrEnum
from itertools import product


class Priority(StrEnum):
    """How soon a waiting entry is claimed; marketing is always `bulk`."""

    HIGH = "high"
    NORMAL = "normal"
    BULK = "bulk"


class EntryKind(StrEnum):
    """The kind of work of an outbox entry; each kind has its own handler and slots."""

    EMAIL = "email"
    WEBHOOK = "webhook"
    BATCH = "batch"  # a cancelled batch, whose mails must be settled
    JOB = "job"  # a job run


class EntryState(StrEnum):
    """The state of an outbox entry; a finished one is deleted."""

    READY = "ready"
    LEASED = "leased"
    HELD = "held"


class KeyKind(StrEnum):
    """The kind of a key: what happens to the mail that it submits."""

    LIVE = "live"  # sent
    TEAM = "team"  # sent to the service's own people only
    TEST = "test"  # processed like any other, but not given to a relay


class Role(StrEnum):
    """How a mail's recipient is addressed; `cc` and `bcc` are copies of the `to`."""

    TO = "to"
    CC = "cc"
    BCC = "bcc"


class Category(StrEnum):
    """Whether a mail answers an action of its recipient, or is marketing."""

    TRANSACTIONAL = "transactional"
    MARKETING = "marketing"


class SuppressionScope(StrEnum):
    """Which mail a suppressed address must not get. An opt-out from marketing never stops a password reset."""

    ALL = "all"
    MARKETING = "marketing"


class Status(StrEnum):
    """The status of a notification, as the caller reads it."""

    QUEUED = "queued"
    DEFERRED = "deferred"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"
    SUPPRESSED = "suppressed"
    EXPIRED = "expired"
    FAILED = "failed"
    SENT = "sent"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"


class Reason(StrEnum):
    """The reason for a notification's status, if the status alone does not say it."""

    RECIPIENT_REFUSED = "recipient_refused"
    REDIRECT_REFUSED = "redirect_refused"  # mode `redirect`: it says nothing about the recipient
    MESSAGE_REFUSED = "message_refused"
    SENDER_REFUSED = "sender_refused"
    EXHAUSTED = "exhausted"
    TEMPLATE = "template"
    INTERNAL = "internal"
    MESSAGE_TOO_LARGE = "message_too_large"
    RECIPIENT_NOT_ALLOWED = "recipient_not_allowed"
    RECIPIENT_SUPPRESSED = "recipient_suppressed"
    EXPIRED = "expired"
    TEMPORARY_REFUSAL = "temporary_refusal"
    CONNECTION_LOST = "connection_lost"
    NO_FINAL_REPLY = "no_final_reply"
    SENDER_DIED = "sender_died"
    POISON = "poison"
    RESOLVED = "resolved"


class SuppressionReason(StrEnum):
    """The reason for a suppression."""

    RECIPIENT_REFUSED = "recipient_refused"  # a relay said that the mailbox does not exist
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"
    REQUESTED = "requested"  # a person or a service asked for it


class AssetStatus(StrEnum):
    """The status of an uploaded image."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


class AssetMode(StrEnum):
    """How an image is scaled to the size in which it is shown."""

    FIT = "fit"  # the whole image, within width and height
    CROP = "crop"  # exactly width and height; the edges are cut off


class FeedFormat(StrEnum):
    """The form of a feed's document."""

    JSON = "json"  # an object, or an array of objects
    CSV = "csv"  # rows under a line of headings


class JobKind(StrEnum):
    """What a job run does."""

    IMAGE = "image"  # converts an uploaded image
    PURGE = "purge"  # deletes what has been kept long enough
    STATISTICS = "statistics"  # counts the notifications of each hour
    REPORT = "report"  # mails the figures of yesterday
    MERGE = "merge"  # submits the rows of a spreadsheet
    FETCH = "fetch"  # loads a feed
    NOTIFY = "notify"  # submits one notification


class JobState(StrEnum):
    """The state of a job run."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class WhenUncertain(StrEnum):
    """What to do with a mail whose outcome is unknown: the relay may have accepted it."""

    RESEND = "resend"
    HOLD = "hold"


class EventKind(StrEnum):
    """What a person or caller did to a notification."""

    CHANGED = "changed"
    CANCELLED = "cancelled"
    RETRIED = "retried"
    RESOLVED = "resolved"


class Resolution(StrEnum):
    """What a person or caller decides about a mail whose outcome is unknown."""

    SENT = "sent"
    FAILED = "failed"
    RESEND = "resend"


class TransitionCause(StrEnum):
    """Who causes a transition."""

    SENDER = "sender"
    PROOF = "proof"  # a reply that a sender reads late
    CALLER = "caller"
    PERSON = "person"
    FEEDBACK = "feedback"  # a report about a mail that has left


WAITING_STATUSES = frozenset({Status.QUEUED, Status.DEFERRED, Status.UNKNOWN})
"""Statuses with an outbox entry; only an `unknown` that nobody resolved in time has none."""

CANCELLABLE_STATUSES = frozenset({Status.QUEUED, Status.DEFERRED})
"""Statuses in which a mail can be cancelled."""

RETRYABLE_STATUSES = frozenset({Status.FAILED, Status.EXPIRED})
"""Statuses in which a mail can be started over."""

INDEXED_STATUSES = frozenset(set(Status) - {Status.QUEUED, Status.SENT})
"""Statuses with an index of their own: all except `queued` and `sent`, through which nearly every mail goes."""

STATUS_RANK = {
    Status.QUEUED: 0,
    Status.DEFERRED: 1,
    Status.UNKNOWN: 2,
    Status.CANCELLED: 3,
    Status.SUPPRESSED: 3,
    Status.EXPIRED: 3,
    Status.FAILED: 3,
    Status.SENT: 4,
    Status.DELIVERED: 5,
    Status.BOUNCED: 6,
    Status.COMPLAINED: 7,
}
"""Neither a sender nor feedback lowers the rank. So events end in the same status in whatever order they arrive."""


@dataclass(frozen=True, kw_only=True)
class Transition:
    """One allowed change of a notification's status."""

    source: Status
    target: Status
    cause: TransitionCause
    reason: str = ""


def _build_transitions(
    sources: frozenset[Status], targets: set[Status], causes: tuple[TransitionCause, ...], reason: str = ""
) -> list[Transition]:
    steps = product(sorted(sources), sorted(targets), causes)
    return [Transition(source=s, target=t, cause=cause, reason=reason) for s, t, cause in steps]


_UNKNOWN = frozenset({Status.UNKNOWN})
_STOPPED = frozenset({Status.CANCELLED, Status.SUPPRESSED, Status.EXPIRED, Status.FAILED})
_BY_SENDER, _BY_PROOF, _BY_FEEDBACK = (TransitionCause.SENDER,), (TransitionCause.PROOF,), (TransitionCause.FEEDBACK,)
_BY_REQUEST = (TransitionCause.CALLER, TransitionCause.PERSON)
_RESENT = "a resend was accepted, or the lost reply was found in a journal"
_LATE_REFUSAL = "the reply to the attempt that seemed lost was read late, and it is a refusal"
_LATE_PROOF = "a 250 was read late: the mail has left, and the status must say so"
NOTIFICATION_TRANSITIONS: tuple[Transition, ...] = (
    *_build_transitions(CANCELLABLE_STATUSES, {Status.DEFERRED, Status.UNKNOWN, Status.SENT}, _BY_SENDER),
    *_build_transitions(CANCELLABLE_STATUSES, {Status.FAILED, Status.EXPIRED, Status.SUPPRESSED}, _BY_SENDER),
    *_build_transitions(frozenset({Status.QUEUED}), {Status.QUEUED}, _BY_SENDER, "not tried: only the reason is new"),
    *_build_transitions(_UNKNOWN, {Status.UNKNOWN}, _BY_SENDER, "the resend got no reply either"),
    *_build_transitions(_UNKNOWN, {Status.SENT}, _BY_SENDER, _RESENT),
    *_build_transitions(_UNKNOWN, {Status.DEFERRED, Status.FAILED}, _BY_PROOF, _LATE_REFUSAL),
    *_build_transitions(_STOPPED, {Status.SENT}, _BY_SENDER, _LATE_PROOF),
    *_build_transitions(CANCELLABLE_STATUSES, {Status.CANCELLED}, _BY_SENDER, "its batch was cancelled"),
    *_build_transitions(CANCELLABLE_STATUSES, {Status.CANCELLED}, _BY_REQUEST),
    *_build_transitions(RETRYABLE_STATUSES, {Status.QUEUED}, _BY_REQUEST, "retry starts over, with a new entry"),
    *_build_transitions(
        _UNKNOWN,
        {Status.SENT, Status.FAILED, Status.QUEUED},
        _BY_REQUEST,
        "resolve: a person or caller looked and decided",
    ),
    *_build_transitions(
        frozenset({Status.SENT, Status.UNKNOWN}), {Status.DELIVERED, Status.BOUNCED, Status.COMPLAINED}, _BY_FEEDBACK
    ),
    *_build_transitions(
        frozenset({Status.DELIVERED}),
        {Status.BOUNCED, Status.COMPLAINED},
        _BY_FEEDBACK,
        "a bounce can follow a delivery report",
    ),
    *_build_transitions(frozenset({Status.BOUNCED}), {Status.COMPLAINED}, _BY_FEEDBACK),
)

_ENTRY_ENDS = "settle: the work is over; proof, cancel, resolve while there is no mark: the entry is deleted"
_ENTRY_RETURNS = "settle: due again later; release: given back unused; rescue: its sender is dead"
ENTRY_TRANSITIONS: tuple[tuple[EntryState, EntryState | None, str], ...] = (
    (EntryState.READY, EntryState.LEASED, "claim: the fence goes up by one"),
    (EntryState.LEASED, EntryState.LEASED, "mark: the body may start; the lease gets longer"),
    (EntryState.LEASED, None, _ENTRY_ENDS),
    (EntryState.LEASED, EntryState.READY, _ENTRY_RETURNS),
    (EntryState.LEASED, EntryState.HELD, "settle: nobody knows whether it was sent, or its record cannot be written"),
    (EntryState.READY, None, "proof, or a settle of a rescued lease, comes late; cancel or resolve"),
    (EntryState.READY, EntryState.READY, "a settle of a rescued lease comes late: the same fence still counts"),
    (EntryState.HELD, None, "proof comes late; resolve"),
    (EntryState.HELD, EntryState.READY, "the notification has expired: the next claim closes it"),
)


def get_source_statuses(target: Status, cause: TransitionCause) -> frozenset[Status]:
    """Return the statuses that `cause` may change to `target`. A proof may change what a sender may change."""
    causes = {cause, TransitionCause.SENDER} if cause is TransitionCause.PROOF else {cause}
    return frozenset(t.source for t in NOTIFICATION_TRANSITIONS if t.target == target and t.cause in causes)
