"""The outcome of a try as JSON in the journal, and back: it survives if the sender is killed."""

from datetime import datetime
from typing import Any, Self

import msgspec

from notifier.notification.verdict import Tried
from notifier.outbox.handler import Note
from notifier.outcomes import Accepted, Deferred, NotPermitted, NotTried, Outcome, Rejected, Uncertain

_OUTCOMES: dict[str, type[Outcome]] = {
    kind.__name__: kind for kind in (Accepted, Deferred, Rejected, Uncertain, NotTried, NotPermitted)
}


class Testimony(msgspec.Struct, frozen=True, kw_only=True):
    """A try with a definite reply, as the journal keeps it."""

    kind: str  # of the outcome
    outcome: Any  # an `Outcome`, or its fields as the journal has them
    relay: str
    started_at: datetime
    seconds: float
    sha256: bytes
    uncertain_at: datetime | None  # set if an earlier try had ended without a reply
    envelope_to: str | None = None  # as in `Tried`

    @classmethod
    def of(cls, tried: Tried, uncertain_at: datetime | None) -> Self:
        """Build the record of a try."""
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
    def from_note(cls, note: Note) -> Self:
        """Read a record. Raises `msgspec.ValidationError` if it is not one."""
        return msgspec.convert(note, cls)

    def note(self) -> Note:
        """The record as JSON types."""
        note: Note = msgspec.to_builtins(self)
        return note

    def tried(self) -> Tried:
        """The try."""
        return Tried(
            outcome=msgspec.convert(self.outcome, _OUTCOMES[self.kind]),  # one that is an outcome already stays
            relay=self.relay,
            started_at=self.started_at,
            seconds=self.seconds,
            sha256=self.sha256,
            envelope_to=self.envelope_to,
        )
