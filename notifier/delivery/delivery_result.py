"""The possible results of one claim of a notification, its permits, and how a journal keeps a definite one."""

import asyncio
import time
import traceback
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

import msgspec

from notifier.clock import Clock
from notifier.delivery.delivery_loader import Delivery
from notifier.outbox.entry_handler import BodyPermit, ClaimedEntry, WorkerContext
from notifier.outcomes import Accepted, Deferred, NotPermitted, NotTried, Outcome, Rejected, Uncertain
from notifier.states import CANCELLABLE_STATUSES, Reason, Status
from notifier.template_language.secret_erasure import SecretErasure
from notifier.template_language.template_source import RenderFault

_OUTCOMES: dict[str, type[Outcome]] = {
    kind.__name__: kind for kind in (Accepted, Deferred, Rejected, Uncertain, NotTried, NotPermitted)
}


class RelayAttempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A relay was asked, and this was the outcome."""

    outcome: Outcome
    relay: str
    started_at: datetime
    seconds: float
    sha256: bytes
    # The address that the relay was given. A reply says something about this address only. None: not recorded, in a
    # journal of an earlier release.
    envelope_to: str | None = None


class JournalRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt with a definite reply, as the journal keeps it."""

    kind: str  # of the outcome
    outcome: Any  # an `Outcome`, or its fields as the journal has them
    relay: str
    started_at: datetime
    seconds: float
    sha256: bytes
    uncertain_at: datetime | None  # set if an earlier attempt had ended without a reply
    envelope_to: str | None = None  # as in `RelayAttempt`

    @classmethod
    def from_attempt(cls, attempt: RelayAttempt, uncertain_at: datetime | None) -> Self:
        """Build the record of an attempt."""
        fields = msgspec.structs.asdict(attempt)
        return cls(kind=type(attempt.outcome).__name__, uncertain_at=uncertain_at, **fields)

    def to_attempt(self) -> RelayAttempt:
        """Build the attempt of the record."""
        fields = {name: getattr(self, name) for name in RelayAttempt.__struct_fields__}
        fields["outcome"] = msgspec.convert(self.outcome, _OUTCOMES[self.kind])  # one that is an outcome already stays
        return RelayAttempt(**fields)


@dataclass(frozen=True, kw_only=True)
class LostAttempt:
    """The sender died after the mark, and left no reply: the relay may have the mail."""

    marked_at: datetime


@dataclass(frozen=True, kw_only=True)
class UnwritableResult:
    """The outcome is known, but the database refuses to store it."""


@dataclass(frozen=True, kw_only=True)
class EarlyStop:
    """The notification ends without an attempt."""

    status: Status
    reason: Reason | None  # None: the status says it
    detail: str


@dataclass(frozen=True, kw_only=True)
class NotBegun:
    """Nothing was sent: the process stops, the circuit is open, or too little of the lease is left."""


@dataclass(frozen=True, kw_only=True)
class Throttled:
    """Not rendered now: mails of its template version take too long to render, and others go first."""

    wait: timedelta  # until the next of them may be tried


@dataclass(frozen=True, kw_only=True)
class BatchPaused:
    """Not tried: its batch is paused."""


@dataclass(frozen=True, kw_only=True)
class CodeFault:
    """Our own code raised an error."""

    fingerprint: str  # the same for the same error at the same place
    detail: str


NotAttempted = EarlyStop | NotBegun | Throttled | BatchPaused
DeliveryResult = RelayAttempt | LostAttempt | UnwritableResult | NotAttempted | CodeFault


class SettlementContext(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the decision needs besides the result."""

    now: datetime
    jitter: float  # in [0, 1]: which part of the jitter is added
    resend_after: timedelta  # longest wait before an uncertain mail is sent once more
    sender_wait: timedelta  # until the relay is asked again about this sender
    erasure: SecretErasure | None = None  # what is secret in the mail; None: nothing


def stop_if_cancelled(delivery: Delivery) -> EarlyStop | None:
    """Stop what was cancelled with its batch, unless a relay may have it already."""
    if delivery.is_cancelled and delivery.status in CANCELLABLE_STATUSES:
        return EarlyStop(status=Status.CANCELLED, reason=None, detail="its batch was cancelled")
    return None


def stop_expired(delivery: Delivery, entry: ClaimedEntry) -> EarlyStop:
    """Stop what has expired; the reason says what it was waiting for."""
    if delivery.status is Status.UNKNOWN:  # nobody resolved it in time: it stays unknown
        return EarlyStop(
            status=Status.UNKNOWN, reason=delivery.reason or Reason.NO_FINAL_REPLY, detail=delivery.detail or ""
        )
    if delivery.reason is Reason.SENDER_REFUSED:
        return EarlyStop(status=Status.FAILED, reason=Reason.SENDER_REFUSED, detail=delivery.detail or "")
    if entry.attempts:
        return EarlyStop(status=Status.FAILED, reason=Reason.EXHAUSTED, detail=delivery.detail or "")
    cause = f": {delivery.detail}" if delivery.reason is Reason.TEMPLATE and delivery.detail else ""
    return EarlyStop(status=Status.EXPIRED, reason=Reason.EXPIRED, detail=f"expired before it could be tried{cause}")


def stop_unrenderable(fault: RenderFault) -> EarlyStop:
    """Stop what can never be rendered; the detail is for the people who edit templates."""
    return EarlyStop(status=Status.FAILED, reason=Reason.TEMPLATE, detail=str(fault))


def describe_fault(error: Exception) -> CodeFault:
    """Identify an error by its type and the place in our code that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].name}:{frames[-1].lineno}" if frames else "nowhere"
    return CodeFault(fingerprint=f"{type(error).__name__}@{place}"[:255], detail=type(error).__name__)


class BodyPermits:
    """The permits that were requested for one mail, and when the relay first heard of it."""

    def __init__(self, entry: ClaimedEntry, worker: WorkerContext, clock: Clock) -> None:
        self.entry = entry
        self._worker = worker
        self._clock = clock
        # The mail may have waited before the relay heard of it. None: the relay never did.
        self._started_at: datetime | None = None
        self._started = 0.0  # the same, in seconds of `time.perf_counter`
        self._permits: list[asyncio.Future[BodyPermit | None]] = []

    def request(self) -> asyncio.Future[BodyPermit | None]:
        """Request the permit for the body, at the moment when the relay hears of the mail."""
        if self._started_at is None:
            self._started_at, self._started = self._clock.now(), time.perf_counter()
        permit = self._worker.mark(self.entry)
        self._permits.append(permit)
        return permit

    @property
    def started_at(self) -> datetime:
        """When the relay first heard of the mail, or now."""
        return self._started_at or self._clock.now()

    def elapsed_seconds(self) -> float:
        """Return the seconds since the relay first heard of the mail."""
        return time.perf_counter() - self._started if self._started_at is not None else 0.0

    @property
    def was_granted(self) -> bool:
        """True if a body was permitted."""
        return any(map(_is_granted, self._permits))


def _is_granted(permit: asyncio.Future[BodyPermit | None]) -> bool:
    return permit.done() and not permit.cancelled() and permit.exception() is None and permit.result() is not None
