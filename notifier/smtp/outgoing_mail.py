"""The mail that one SMTP transaction carries, and the permit without which its body does not begin."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from notifier.outcomes import CircuitReason, SmtpPhase


class OutgoingMail(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Envelope and finished bytes of one mail."""

    sender: str
    recipient: str
    data: bytes  # canonical CRLF, not yet dot-stuffed


class Permit(Protocol):
    """The queue's permission to begin the body now. Times are seconds of `time.monotonic`."""

    @property
    def first_byte_by(self) -> float:
        """The body begins by then or never."""

    @property
    def ends(self) -> float:
        """The end of the transaction, including the reply to the final dot."""

    @property
    def may_continue(self) -> Callable[[], bool]:
        """Called before each slice; False stops the body before its last byte."""


RequestPermit = Callable[[], Awaitable[Permit | None]]
"""Asks the queue for the permit; the result is None if this mail must not be sent.

It is cancelled if the relay refuses or disconnects first, so work that several mails share must be shielded.
"""


@dataclass(frozen=True, kw_only=True)
class DroppedConnection:
    """The connection ended before the final dot was written: the mail is not sent."""

    phase: SmtpPhase
    is_attempt: bool  # a reply to MAIL was read, so this was an attempt
    detail: str
    reported_fault: CircuitReason | None = None  # as in `NotTried`
