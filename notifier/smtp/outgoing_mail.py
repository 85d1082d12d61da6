"""What one SMTP transaction is given, and the permission without which its body is not begun."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from notifier.outcomes import CircuitReason, SmtpPhase


class OutgoingMail(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one transaction carries: envelope and finished bytes."""

    sender: str
    recipient: str
    data: bytes  # canonical CRLF, not yet dot-stuffed


class Permit(Protocol):
    """The queue's word that the body may be begun now. Times are seconds of `time.monotonic`."""

    @property
    def first_byte_by(self) -> float:
        """A body that has not begun by then never begins."""

    @property
    def ends(self) -> float:
        """By then the transaction is over, the reply to the final dot included."""

    @property
    def may_continue(self) -> Callable[[], bool]:
        """Asked before each slice; False cuts the body before its last byte."""


RequestPermit = Callable[[], Awaitable[Permit | None]]
"""Asks the queue for the permit; None means that this mail must not be sent.

It is cancelled where the relay refuses or leaves meanwhile, so what several mails wait for together has to be shielded.
"""


@dataclass(frozen=True, kw_only=True)
class DroppedConnection:
    """The connection ended before the final dot was written: the mail is surely not sent."""

    phase: SmtpPhase
    is_attempt: bool  # a reply to MAIL FROM had been read, so this was an attempt
    detail: str
    reported_fault: CircuitReason | None = None  # as in `NotTried`
