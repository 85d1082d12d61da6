"""One life of a process that claims: its name, what it has heard, and whether others can still believe in it."""

from dataclasses import dataclass, field
from uuid import UUID

from notifier.outbox.heartbeat import Heartbeat
from notifier.outbox.journal import Journal
from notifier.outbox.throughput import ThroughputEstimate


@dataclass(frozen=True, kw_only=True)
class SenderIdentity:
    """Who claims: one life of a process."""

    boot_id: UUID  # fresh and random at every start
    journal: Journal
    heartbeat: Heartbeat | None  # None on SQLite: there is no other process that could take this one for dead
    throughput: ThroughputEstimate = field(default_factory=ThroughputEstimate)  # how fast the leading work leaves it

    @property
    def missed_periods(self) -> int:
        """How often others may have taken this process for dead: what was permitted before the last time is over."""
        return 0 if self.heartbeat is None else self.heartbeat.missed_periods

    def may_continue(self, lapses: int) -> bool:
        """True while nobody can have taken this process's work away since there were so many lapses."""
        return self.heartbeat is None or (
            self.heartbeat.is_alive_to_others() and self.heartbeat.missed_periods == lapses
        )
