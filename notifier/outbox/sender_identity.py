"""The identity of a sender process: its boot id, its journal and its heartbeat."""

from dataclasses import dataclass, field
from uuid import UUID

from notifier.outbox.heartbeat import Heartbeat
from notifier.outbox.journal import Journal
from notifier.outbox.throughput import ThroughputEstimate


@dataclass(frozen=True, kw_only=True)
class SenderIdentity:
    """A process that claims entries, from its start to its end."""

    boot_id: UUID  # new at every start
    journal: Journal
    heartbeat: Heartbeat | None  # None on SQLite: there is no other process that could consider this one dead
    throughput: ThroughputEstimate = field(default_factory=ThroughputEstimate)  # of the leading handler

    @property
    def missed_periods(self) -> int:
        """How often others may have considered this process dead. Permits from before the last time are void."""
        return 0 if self.heartbeat is None else self.heartbeat.missed_periods

    def may_continue(self, lapses: int) -> bool:
        """Return True while nobody can have taken over this process's work since `lapses` was read."""
        return self.heartbeat is None or (
            self.heartbeat.is_alive_to_others() and self.heartbeat.missed_periods == lapses
        )
