"""The identity of a sender process: its boot id, its journal and its heartbeat."""

from dataclasses import dataclass, field
from uuid import UUID

from notifier.outbox.drain import Drain
from notifier.outbox.journal import Journal
from notifier.outbox.life import Life


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A process that claims entries, from its start to its end."""

    boot_id: UUID  # new at every start
    journal: Journal
    life: Life | None  # None on SQLite: there is no other process that could consider this one dead
    drain: Drain = field(default_factory=Drain)  # of the leading handler

    @property
    def lapses(self) -> int:
        """How often others may have considered this process dead. Permits from before the last time are void."""
        return 0 if self.life is None else self.life.lapses

    def may_go_on(self, lapses: int) -> bool:
        """Return True while nobody can have taken over this process's work since `lapses` was read."""
        return self.life is None or (self.life.is_sure() and self.life.lapses == lapses)
