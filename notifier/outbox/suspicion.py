"""Quarantine: when an entry that may kill its sender runs alone, and how long others wait for that.

An entry lost twice is a suspect. Only losses while it ran alone count against it, so that no other entry is blamed.
Suspects may hold up the others for at most every other second, so that they cannot stop the queue.
"""

from collections.abc import Sequence
from uuid import UUID

from notifier.clock import Clock

LONGEST_SPELL = 1.0
"""Seconds in a row in which only suspects are claimed; then the others have at least as long."""
LONGEST_WAIT = 5.0
"""Seconds to wait for the process to become empty, so that a slow relay does not stop the queue for a suspect."""


class Suspicion:
    """Whether suspects are due, and which one runs alone in this process now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_look = 0.0
        self._spell_ends = 0.0
        self._gives_up = 0.0
        self.is_quiet = False  # suspects are due, and nothing else is claimed
        self.alone: UUID | None = None  # claimed alone, and neither marked nor settled yet

    def wants_a_look(self) -> bool:
        """Return True when it is time to check for due suspects."""
        return not self.is_quiet and self._clock.monotonic() >= self._next_look

    def looked(self, *, are_due: bool) -> None:
        """Record the result of a check."""
        now = self._clock.monotonic()
        self.is_quiet = are_due
        self._spell_ends = now + LONGEST_SPELL
        self._gives_up = now + LONGEST_WAIT
        self._next_look = now + LONGEST_SPELL

    def waits(self) -> None:
        """Give up if the other entries have been in the process for too long."""
        if self._clock.monotonic() >= self._gives_up:
            self._end()

    def claimed(self, ids: Sequence[UUID]) -> None:
        """Record the suspect that runs alone now; no ids if none was due any more."""
        self.alone = ids[0] if ids else None
        if not ids:
            self._end()

    def acquitted(self, id_: UUID) -> None:
        """Clear an entry that was marked or settled while the process lived."""
        if id_ == self.alone:
            self.alone = None
            if self._clock.monotonic() >= self._spell_ends:
                self._end()

    def _end(self) -> None:
        self.is_quiet = False
        self._next_look = self._clock.monotonic() + LONGEST_SPELL
