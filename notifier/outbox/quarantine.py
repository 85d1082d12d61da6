"""Quarantine: when an entry that may kill its sender runs alone, and how long others wait for that.

An entry lost twice is a suspect. Only losses while it ran alone count against it, so that no other entry is blamed.
Suspects may hold up the others for at most every other second, so that they cannot stop the queue.
"""

from collections.abc import Sequence
from uuid import UUID

from notifier.clock import Clock

MAX_TURN_SECONDS = 1.0
"""Seconds in a row in which only suspects are claimed; then the others have at least as long."""
MAX_WAIT_SECONDS = 5.0
"""Seconds to wait for the process to become empty, so that a slow relay does not stop the queue for a suspect."""


class Quarantine:
    """Whether suspects are due, and which one runs alone in this process now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_check = 0.0
        self._turn_ends = 0.0
        self._wait_ends = 0.0
        self.is_active = False  # suspects are due, and nothing else is claimed
        self.isolated_id: UUID | None = None  # claimed alone, and neither marked nor settled yet

    def is_check_due(self) -> bool:
        """Return True when it is time to check for due suspects."""
        return not self.is_active and self._clock.monotonic() >= self._next_check

    def record_check(self, *, are_due: bool) -> None:
        """Record the result of a check."""
        now = self._clock.monotonic()
        self.is_active = are_due
        self._turn_ends = now + MAX_TURN_SECONDS
        self._wait_ends = now + MAX_WAIT_SECONDS
        self._next_check = now + MAX_TURN_SECONDS

    def give_up_if_late(self) -> None:
        """Give up if the other entries have been in the process for too long."""
        if self._clock.monotonic() >= self._wait_ends:
            self._end()

    def record_claim(self, ids: Sequence[UUID]) -> None:
        """Record the suspect that runs alone now; no ids if none was due any more."""
        self.isolated_id = ids[0] if ids else None
        if not ids:
            self._end()

    def clear(self, id_: UUID) -> None:
        """Clear an entry that was marked or settled while the process lived."""
        if id_ == self.isolated_id:
            self.isolated_id = None
            if self._clock.monotonic() >= self._turn_ends:
                self._end()

    def _end(self) -> None:
        self.is_active = False
        self._next_check = self._clock.monotonic() + MAX_TURN_SECONDS
