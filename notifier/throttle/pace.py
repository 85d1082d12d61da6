"""How much of this process's rendering a template version may burn with mails that take too long.

A version's first few such mails are nobody's loss. If they do not end, it gets a tenth of a processor for them, and its
other mails wait in between: no caller's values, and no mistake in a template, keep everybody else's mail waiting.
"""

from notifier.clock import Clock
from notifier.telemetry.logging import get_logger

BURST_SECONDS = 2.0
"""That a version may burn at once; as much as eight mails that are stopped by their time limit."""
SHARE = 0.1
"""Of a processor: so many seconds a second grow back."""


class Pace:
    """What the versions whose mails took too long have left."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left: dict[str, float] = {}  # seconds, of those that have not all of them
        self._at = clock.monotonic()
        self._log = get_logger()

    def burnt(self, version: str, seconds: float) -> None:
        """A mail of this version took so long, and came to nothing."""
        self._grow()
        before = self._left.get(version, BURST_SECONDS)
        self._left[version] = before - seconds
        if before > 0 >= before - seconds:
            self._log.warning("template_slow", version=version)

    def wait(self, version: str) -> float:
        """Seconds until the next mail of this version may be tried; 0: now."""
        if not self._left:
            return 0.0
        self._grow()
        return max(0.0, -self._left.get(version, BURST_SECONDS)) / SHARE

    def _grow(self) -> None:
        now = self._clock.monotonic()
        grown = (now - self._at) * SHARE
        self._left = {version: left + grown for version, left in self._left.items() if left + grown < BURST_SECONDS}
        self._at = now
