"""One life of a process that claims: its name, what it has heard, and whether others can still believe in it."""

from dataclasses import dataclass, field
from uuid import UUID

from notifier.outbox.drain import Drain
from notifier.outbox.journal import Journal
from notifier.outbox.life import Life


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who claims: one life of a process."""

    boot_id: UUID  # fresh and random at every start
    journal: Journal
    life: Life | None  # None on SQLite: there is no other process that could take this one for dead
    drain: Drain = field(default_factory=Drain)  # how fast the leading work leaves it

    @property
    def lapses(self) -> int:
        """How often others may have taken this process for dead: what was permitted before the last time is over."""
        return 0 if self.life is None else self.life.lapses

    def may_go_on(self, lapses: int) -> bool:
        """True while nobody can have taken this process's work away since there were so many lapses."""
        return self.life is None or (self.life.is_sure() and self.life.lapses == lapses)
