"""How one claim of a notification ended, before it is decided what that means."""

import traceback
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from notifier.delivery.delivery_loader import Delivery
from notifier.outbox.handler import ClaimedEntry
from notifier.outcomes import Outcome
from notifier.states import CANCELLABLE_STATUSES, Reason, Status
from notifier.template_language.render_fault import RenderFault


class RelayAttempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A relay was asked; how it went."""

    outcome: Outcome
    relay: str
    started_at: datetime
    seconds: float
    sha256: bytes
    # To whom the mail was addressed at the relay; None: not recorded, in a journal of an earlier release. A reply is a
    # fact about this address and no other.
    envelope_to: str | None = None


@dataclass(frozen=True, kw_only=True)
class LostAttempt:
    """The sender died after the body was permitted, and left no reply: nobody knows how far it came."""

    marked_at: datetime


@dataclass(frozen=True, kw_only=True)
class UnwritableResult:
    """How it ended is known, and the database refuses to hear it."""


@dataclass(frozen=True, kw_only=True)
class EarlyStop:
    """The notification ends without asking a relay."""

    status: Status
    reason: Reason | None  # None: the status says it
    detail: str


@dataclass(frozen=True, kw_only=True)
class NotBegun:
    """Not begun: a stop, an open circuit, a short lease or a missing mark came first."""


@dataclass(frozen=True, kw_only=True)
class Throttled:
    """Not rendered now: mails of its template's version take too long, and others are to be sent in between."""

    wait: timedelta  # until the next of them may be tried


@dataclass(frozen=True, kw_only=True)
class CodeFault:
    """Our own code raised."""

    fingerprint: str  # the same for the same error at the same place
    detail: str


DeliveryResult = RelayAttempt | LostAttempt | UnwritableResult | EarlyStop | NotBegun | Throttled | CodeFault


class SettlementContext(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What deciding needs besides the verdict."""

    now: datetime
    jitter: float  # in [0, 1]: where in the jitter the next try falls
    resend_after: timedelta  # longest wait before an uncertain mail is sent once more
    sender_wait: timedelta  # until the relay is asked again about this sender


def stop_if_cancelled(delivery: Delivery) -> EarlyStop | None:
    """With its batch; what a relay may have already is none of it."""
    if delivery.is_cancelled and delivery.status in CANCELLABLE_STATUSES:
        return EarlyStop(status=Status.CANCELLED, reason=None, detail="its batch was cancelled")
    return None


def stop_expired(delivery: Delivery, entry: ClaimedEntry) -> EarlyStop:
    """Too late to be worth sending; the reason says what it was waiting for."""
    if delivery.status is Status.UNKNOWN:  # nobody looked in time: it is closed as what it is
        return EarlyStop(
            status=Status.UNKNOWN, reason=delivery.reason or Reason.NO_FINAL_REPLY, detail=delivery.detail or ""
        )
    if delivery.reason is Reason.SENDER_REFUSED:
        return EarlyStop(status=Status.FAILED, reason=Reason.SENDER_REFUSED, detail=delivery.detail or "")
    if entry.attempts:
        return EarlyStop(status=Status.FAILED, reason=Reason.EXHAUSTED, detail=delivery.detail or "")
    why = f": {delivery.detail}" if delivery.reason is Reason.TEMPLATE and delivery.detail else ""
    return EarlyStop(status=Status.EXPIRED, reason=Reason.EXPIRED, detail=f"expired before it could be tried{why}")


def stop_unrenderable(fault: RenderFault) -> EarlyStop:
    """No try will make it: what is wrong, in words for the people who edit templates."""
    return EarlyStop(status=Status.FAILED, reason=Reason.TEMPLATE, detail=str(fault))


def describe_fault(error: Exception) -> CodeFault:
    """The error by its type and the place in our code that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].name}:{frames[-1].lineno}" if frames else "nowhere"
    return CodeFault(fingerprint=f"{type(error).__name__}@{place}"[:255], detail=type(error).__name__)
