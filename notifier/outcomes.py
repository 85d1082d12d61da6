"""The outcomes of trying to deliver one mail, as types. They are decided once, when the reply is read.

`Accepted`, `Deferred`, `Rejected` and `Uncertain` use up an attempt. `NotTried` does not: no relay was reached. Neither
does `NotPermitted`: the queue withdrew the mail.
"""

from enum import StrEnum

import msgspec


class SmtpPhase(StrEnum):
    """The phases of an SMTP transaction (RFC 5321 §3)."""

    CONNECT = "connect"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"


class OutcomeName(StrEnum):
    """The outcome of an attempt, as stored in the attempt table."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    REJECTED = "rejected"
    UNCERTAIN = "uncertain"


class OutageScope(StrEnum):
    """What cannot be reached when a mail was not tried: the whole relay, or the relay for one sender's address."""

    RELAY = "relay"
    SENDER = "sender"


class CircuitReason(StrEnum):
    """Why a circuit is open. These words may be shown to everybody; the relay's own words may not."""

    UNREACHABLE = "unreachable"  # no usable connection
    CLOSED = "closed"  # it closes connections instead of replying to MAIL
    LOGIN = "login"
    RELAYING = "relaying"
    STORAGE = "storage"
    SYSTEM = "system"
    RATE = "rate"
    SENDER = "sender"  # it does not send for this sender's address


class RefusalKind(StrEnum):
    """What a permanent refusal is about. Only `RECIPIENT` may cause a suppression, and only of the refused address."""

    RECIPIENT = "recipient"  # a fact about the address: the mailbox does not exist
    MESSAGE = "message"
    SIZE = "size"


class SmtpReply(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One SMTP reply: three-digit code, enhanced status code (RFC 3463) if there is one, and sanitised text."""

    code: int
    enhanced: str | None = None
    text: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (str(self.code), self.enhanced, self.text)))


class Accepted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The relay replied to the final dot with 250: it is responsible for the mail now (RFC 5321 §4.2.5)."""

    reply: SmtpReply


class Deferred(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A temporary refusal, or a connection lost before the final dot: not sent, so try again."""

    phase: SmtpPhase
    reply: SmtpReply | None = None
    detail: str = ""
    # A fault of the relay or the sender that the reply reports; it counts only if other mails confirm it.
    reported_fault: CircuitReason | None = msgspec.field(default=None, name="claim")  # its name in journals


class Rejected(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A permanent refusal: trying again would not help."""

    phase: SmtpPhase
    refused: RefusalKind
    reply: SmtpReply | None = None
    detail: str = ""  # our own words, without a reply or in addition to it


class Uncertain(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """No reply to the final dot: the relay may or may not have the mail (RFC 1047)."""

    detail: str


class NotTried(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The relay was out of reach or misconfigured, so the mail was not offered to it."""

    detail: str
    scope: OutageScope = OutageScope.RELAY
    needs_person: bool = False  # wrong password, bad certificate: trying again soon would make it worse
    reported_fault: CircuitReason | None = msgspec.field(default=None, name="claim")  # as in `Deferred`


class NotPermitted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The queue did not permit the body, or withdrew the permission before its last byte: the mail is not sent."""

    detail: str


Outcome = Accepted | Deferred | Rejected | Uncertain | NotTried | NotPermitted
