"""When an entry that may kill its holder gets the process to itself, and for how long others wait for that.

An entry lost twice is a suspect. Only what happens to it while it is alone counts against it, so that no neighbour is
ever convicted; and others wait for suspects only every other second, so that these cannot stop the queue.
"""

from collections.abc import Sequence
from uuid import UUID

from notifier.clock import Clock

LONGEST_SPELL = 1.0
"""Seconds in a row in which suspects have the process to themselves; then the others have as long at least."""

LONGEST_WAIT = 5.0
"""Seconds that are waited for the process to become empty: a slow relay must not stop the queue for a suspect."""


class Suspicion:
    """Whether suspects wait, and which one is alone here now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_look = 0.0
        self._spell_ends = 0.0
        self._gives_up = 0.0
        self.is_quiet = False  # suspects are due, and nothing else is claimed
        self.alone: UUID | None = None  # claimed alone, and neither marked nor settled yet

    def wants_a_look(self) -> bool:
        """True when it is time to look whether suspects are due."""
        return not self.is_quiet and self._clock.monotonic() >= self._next_look

    def looked(self, *, found: bool) -> None:
        """Some are due, or none."""
        now = self._clock.monotonic()
        self.is_quiet = found
        self._spell_ends = now + LONGEST_SPELL
        self._gives_up = now + LONGEST_WAIT
        self._next_look = now + LONGEST_SPELL

    def waits(self) -> None:
        """Others are still here."""
        if self._clock.monotonic() >= self._gives_up:
            self._end()

    def claimed(self, ids: Sequence[UUID]) -> None:
        """This one is alone now; none was left if empty."""
        self.alone = ids[0] if ids else None
        if not ids:
            self._end()

    def acquitted(self, id_: UUID) -> None:
        """It has come as far as its mark, or to its end, and the process still lives."""
        if id_ == self.alone:
            self.alone = None
            if self._clock.monotonic() >= self._spell_ends:
                self._end()

    def _end(self) -> None:
        self.is_quiet = False
        self._next_look = self._clock.monotonic() + LONGEST_SPELL
