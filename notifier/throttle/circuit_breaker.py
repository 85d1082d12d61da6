"""A circuit breaker for a relay, or for one sender's address at it: open while nothing gets through.

Opening it changes nothing in the queue. While it is open, a single mail is claimed as a probe each time the wait ends.
"""

from notifier.clock import Clock

MIN_WAIT_SECONDS = 1.0
MAX_WAIT_SECONDS = 60.0
MAX_REPORTED_WAIT_SECONDS = 15.0
"""The longest wait between probes of a circuit that was opened by faults reported in replies to mails."""


class Circuit:
    """Closed while mail gets through. Times are monotonic seconds of this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wait = 0.0
        self._next_probe = 0.0
        self.reason: str | None = None

    @property
    def is_open(self) -> bool:
        """True while the last result was a failure."""
        return self.reason is not None

    @property
    def probe_is_due(self) -> bool:
        """True if the circuit is closed, or open and its wait is over."""
        return not self.is_open or self._clock.monotonic() >= self._next_probe

    def seconds_to_probe(self) -> float:
        """Return the seconds until the next probe; 0 if it is due."""
        return max(0.0, self._next_probe - self._clock.monotonic()) if self.is_open else 0.0

    def open(self, reason: str, *, needs_person: bool, max_wait: float = MAX_WAIT_SECONDS) -> None:
        """Open the circuit after a failure, and double the wait, from one second up to `max_wait` seconds.

        If only a person can mend it, the wait is a minute at once. Failures during the wait come from tries that began
        before it, and change nothing.
        """
        if self.is_open and self._clock.monotonic() < self._next_probe:
            return
        doubled = min(max_wait, self._wait * 2) if self._wait else MIN_WAIT_SECONDS
        self._wait = MAX_WAIT_SECONDS if needs_person else doubled
        self._next_probe = self._clock.monotonic() + self._wait
        self.reason = reason

    def close(self) -> None:
        """Close the circuit: mail gets through again."""
        self._wait, self._next_probe, self.reason = 0.0, 0.0, None
