"""When an entry that may kill its holder gets the process to itself, and for how long others wait for that.

An entry lost twice is a suspect. Only what happens to it while it is alone counts against it, so that no neighbour is
ever convicted; and others wait for suspects only every other second, so that these cannot stop the queue.
"""

from collections.abc import Sequence
from uuid import UUID

from notifier.clock import Clock

MAX_TURN_SECONDS = 1.0
"""Seconds in a row in which suspects have the process to themselves; then the others have as long at least."""

MAX_WAIT_SECONDS = 5.0
"""Seconds that are waited for the process to become empty: a slow relay must not stop the queue for a suspect."""


class Quarantine:
    """Whether suspects wait, and which one is alone here now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_look = 0.0
        self._spell_ends = 0.0
        self._gives_up = 0.0
        self.is_active = False  # suspects are due, and nothing else is claimed
        self.isolated_id: UUID | None = None  # claimed alone, and neither marked nor settled yet

    def is_check_due(self) -> bool:
        """True when it is time to look whether suspects are due."""
        return not self.is_active and self._clock.monotonic() >= self._next_look

    def record_check(self, *, found: bool) -> None:
        """Some are due, or none."""
        now = self._clock.monotonic()
        self.is_active = found
        self._spell_ends = now + MAX_TURN_SECONDS
        self._gives_up = now + MAX_WAIT_SECONDS
        self._next_look = now + MAX_TURN_SECONDS

    def wait_for_others(self) -> None:
        """Others are still here."""
        if self._clock.monotonic() >= self._gives_up:
            self._end()

    def record_claim(self, ids: Sequence[UUID]) -> None:
        """This one is alone now; none was left if empty."""
        self.isolated_id = ids[0] if ids else None
        if not ids:
            self._end()

    def clear(self, id_: UUID) -> None:
        """It has come as far as its mark, or to its end, and the process still lives."""
        if id_ == self.isolated_id:
            self.isolated_id = None
            if self._clock.monotonic() >= self._spell_ends:
                self._end()

    def _end(self) -> None:
        self.is_active = False
        self._next_look = self._clock.monotonic() + MAX_TURN_SECONDS
