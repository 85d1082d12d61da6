"""A circuit per relay, and per sender's address at it: open while nothing gets through, probed with growing waits.

Opening it moves nothing in the queue: while it is open the claimer takes a single probe when the wait is over.
"""

from notifier.clock import Clock

MIN_WAIT_SECONDS = 1.0
MAX_WAIT_SECONDS = 60.0
MAX_REPORTED_WAIT_SECONDS = 15.0
"""Seconds between probes of what only the replies to other mails speak against: good mail waits no longer."""


class Circuit:
    """Closed while mail gets through. Times are monotonic seconds of this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wait = 0.0
        self._next_probe = 0.0
        self.reason: str | None = None

    @property
    def is_open(self) -> bool:
        """True while the last thing heard was a failure."""
        return self.reason is not None

    @property
    def probe_is_due(self) -> bool:
        """True if it is closed, or open and worth one try."""
        return not self.is_open or self._clock.monotonic() >= self._next_probe

    def seconds_to_probe(self) -> float:
        """Seconds until a try is worth it; 0 now."""
        return max(0.0, self._next_probe - self._clock.monotonic()) if self.is_open else 0.0

    def open(self, reason: str, *, needs_person: bool, longest: float = MAX_WAIT_SECONDS) -> None:
        """A failure: wait twice as long as before, from one second to a minute; a full minute if only a person helps.

        `longest`: seconds, where a minute would be too long for what is known.
        Failures heard while the wait still runs come from tries that began before it, and change nothing.
        """
        if self.is_open and self._clock.monotonic() < self._next_probe:
            return
        longer = min(longest, self._wait * 2) if self._wait else MIN_WAIT_SECONDS
        self._wait = MAX_WAIT_SECONDS if needs_person else longer
        self._next_probe = self._clock.monotonic() + self._wait
        self.reason = reason

    def close(self) -> None:
        """Mail gets through again."""
        self._wait, self._next_probe, self.reason = 0.0, 0.0, None
