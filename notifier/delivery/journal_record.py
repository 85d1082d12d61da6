"""What a try came to, as the JSON that a journal keeps, and back: so that a killed sender is still heard."""

from datetime import datetime
from typing import Any, Self

import msgspec

from notifier.delivery.delivery_result import RelayAttempt
from notifier.outbox.handler import JournalNote
from notifier.outcomes import Accepted, Deferred, NotPermitted, NotTried, Outcome, Rejected, Uncertain

_OUTCOMES: dict[str, type[Outcome]] = {
    kind.__name__: kind for kind in (Accepted, Deferred, Rejected, Uncertain, NotTried, NotPermitted)
}


class JournalRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A try that ended with a definite reply."""

    kind: str  # of the outcome
    outcome: Any  # an `Outcome`, or its fields as the journal has them
    relay: str
    started_at: datetime
    seconds: float
    sha256: bytes
    uncertain_at: datetime | None  # set if an earlier try had ended without a reply
    envelope_to: str | None = None  # as in `Tried`

    @classmethod
    def from_attempt(cls, tried: RelayAttempt, uncertain_at: datetime | None) -> Self:
        """What to remember of a try."""
        return cls(
            kind=type(tried.outcome).__name__,
            outcome=tried.outcome,
            relay=tried.relay,
            started_at=tried.started_at,
            seconds=tried.seconds,
            sha256=tried.sha256,
            uncertain_at=uncertain_at,
            envelope_to=tried.envelope_to,
        )

    @classmethod
    def from_note(cls, note: JournalNote) -> Self:
        """What was remembered. Raises `msgspec.ValidationError` if it makes no sense."""
        return msgspec.convert(note, cls)

    def to_note(self) -> JournalNote:
        """As JSON types."""
        built: JournalNote = msgspec.to_builtins(self)
        return built

    def to_attempt(self) -> RelayAttempt:
        """The try itself."""
        return RelayAttempt(
            outcome=msgspec.convert(self.outcome, _OUTCOMES[self.kind]),  # one that is an outcome already stays
            relay=self.relay,
            started_at=self.started_at,
            seconds=self.seconds,
            sha256=self.sha256,
            envelope_to=self.envelope_to,
        )
