"""What a try at delivering one mail came to, as types: decided once, at the wire, and never guessed again later.

`Accepted`, `Deferred`, `Rejected` and `Uncertain` burn an attempt; `NotTried` does not, because no relay was reached;
nor does `NotPermitted`, because the queue took the mail back.
"""

from enum import StrEnum

import msgspec


class SmtpPhase(StrEnum):
    """How far an SMTP transaction had come (RFC 5321 §3)."""

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
    """What is out of reach when a mail was not tried: the whole relay, or the relay for one sender's address."""

    RELAY = "relay"
    SENDER = "sender"


class CircuitReason(StrEnum):
    """Why a circuit is open. A closed set: these words may be shown to everybody, a relay's own words may not."""

    UNREACHABLE = "unreachable"  # no connection that could carry a mail
    CLOSED = "closed"  # it closes connections instead of answering MAIL
    LOGIN = "login"
    RELAYING = "relaying"
    STORAGE = "storage"
    SYSTEM = "system"
    RATE = "rate"
    SENDER = "sender"  # it does not send for this sender's address


class RefusalKind(StrEnum):
    """What a permanent refusal was about. Only `RECIPIENT` may suppress, and only the address that was refused."""

    RECIPIENT = "recipient"  # a fact about the address: there is no such mailbox
    MESSAGE = "message"
    SIZE = "size"


class SmtpReply(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One SMTP reply: three-digit code, enhanced status code (RFC 3463) where given, and sanitised text."""

    code: int
    enhanced: str | None = None
    text: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (str(self.code), self.enhanced, self.text)))


class Accepted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The relay answered the final dot with 250: the mail is its responsibility now (RFC 5321 §4.2.5)."""

    reply: SmtpReply


class Deferred(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A temporary refusal, or a connection lost before the final dot: surely not sent, so try again."""

    phase: SmtpPhase
    reply: SmtpReply | None = None
    detail: str = ""
    reported_fault: CircuitReason | None = (
        None  # what the relay said of itself or of the sender: true if other mails confirm it
    )


class Rejected(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A permanent refusal: trying again would only repeat it."""

    phase: SmtpPhase
    refused: RefusalKind
    reply: SmtpReply | None = None
    detail: str = ""  # what we say where there is no reply, or what we add to it


class Uncertain(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The final dot may have arrived and no reply did: the relay may or may not have the mail (RFC 1047)."""

    detail: str


class NotTried(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The relay was out of reach or misconfigured, so nothing was asked of it about this mail."""

    detail: str
    scope: OutageScope = OutageScope.RELAY
    needs_person: bool = False  # wrong password, bad certificate: hammering the relay would make it worse
    reported_fault: CircuitReason | None = None  # heard while this mail was handed over: true if other mails confirm it


class NotPermitted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The queue did not permit the body, or not up to its last byte: the mail is surely unsent."""

    detail: str


Outcome = Accepted | Deferred | Rejected | Uncertain | NotTried | NotPermitted
