"""The number of connections that the relay accepts from this process, learned below the setting's maximum.

Many relays accept five or ten from a client and answer `421 too many connections` to one more. A refusal reduces the
limit to the connections that are open. One more is tried after a wait that grows with each further refusal.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from notifier.outcomes import NotTried
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger

MAX_OPENING = 5
"""Connections that are opened at the same time, so that few are refused until the relay's limit is known."""
MIN_WAIT = 5.0
"""Seconds from the first refusal until one more connection is tried."""
MAX_WAIT = 600.0
"""The longest wait in seconds between two refused connections: six an hour."""
PERSON_WAIT = 60.0
"""Seconds without any new connection after a refusal that only a person can mend, such as a wrong password."""

# Postfix, Sendmail, Exim: "too many connections", "Too many open connections", "Too many concurrent SMTP connections";
# Exchange: "The maximum number of concurrent server connections has exceeded a limit". Not "too many messages on this
# connection", nor a rate: "Connection rate limit exceeded", "Maximum sending rate exceeded".
_TOO_MANY = re.compile(
    r"(?:too many|number of|exceed\w*) (?:\w+ ){0,2}(?:connections|sessions)\b"
    r"|\b(?:concurrent|simultaneous) (?:\w+ )?(?:connections?|sessions?)\b"
    r"|\b(?:connections?|sessions?) limit\b"
)


@dataclass(frozen=True, kw_only=True)
class ConnectionLimitState:
    """The limit in force, and the maximum that the setting allows."""

    in_force: int
    maximum: int
    reason: str  # the relay's words at the last refusal; empty while the maximum is in force


class ConnectionLimit:
    """The limit in force. `connected` counts the open and usable connections, `opening` those being opened."""

    def __init__(self, relay: str, maximum: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.on_change: Callable[[ConnectionLimitState], object] = lambda _: None
        self.maximum = maximum
        self.in_force = maximum
        self._relay = relay
        self._monotonic = monotonic
        self._most_seen = 0  # connections at the same time since the last refusal
        self._wait = 0.0
        self._refused_at = float("-inf")  # monotonic, as are the next two
        self._more_from = float("-inf")  # when one more than the limit may be tried
        self._none_until = float("-inf")  # no new connection at all while others are open
        self._reason = ""
        self._reported = maximum
        metrics.SMTP_CONNECTIONS.labels(relay, "maximum").set(maximum)
        self._gauge = metrics.SMTP_CONNECTIONS.labels(relay, "in_force")
        self._gauge.set(maximum)

    def get_max_open(self, connected: int) -> int:
        """Return how many connections may be open, including those being closed."""
        is_due = self.in_force < self.maximum and connected >= self.in_force and self._monotonic() >= self._more_from
        return self.in_force + is_due

    def get_max_users(self, connected: int) -> int:
        """Return how many mails may have or open a connection: the first is opened alone, then a few at a time."""
        if connected == self.maximum or (connected and self._monotonic() < self._none_until):
            return connected
        opening = MAX_OPENING if connected else 1
        return min(connected + opening, self.get_max_open(connected))

    def has_accepted_more(self, connected: int) -> bool:
        """Return True if the relay has accepted more before, so that a refusal is probably temporary."""
        return connected < self._most_seen

    def record_opened(self, connected: int, opening: int = 0) -> None:
        """Record that the relay accepted one more."""
        self._most_seen = max(self._most_seen, connected)
        self.in_force = max(self.in_force, connected)
        self._report(opening)

    def record_refused(self, connected: int, outcome: NotTried, opening: int = 0) -> None:
        """Record that the relay refused one more while `connected` ones worked."""
        now = self._monotonic()
        is_new = self.has_accepted_more(connected) or now - self._refused_at > 2 * MAX_WAIT
        if is_new or now >= self._more_from:  # else it began before the refusal that is counted already
            self._wait = MIN_WAIT if is_new else min(self._wait * 2, MAX_WAIT)
            self._more_from = now + self._wait
        self._refused_at = now
        if outcome.needs_person:
            self._none_until = now + PERSON_WAIT
        self._most_seen = min(connected, self._most_seen)
        self.in_force = max(1, min(connected + opening, self.in_force))
        self._reason = outcome.detail
        self._report(opening)

    def _report(self, opening: int) -> None:
        """Update the metric and write a log line for each change, not for each refusal."""
        if opening or self.in_force == self._reported:
            return
        self._reported = self.in_force
        state = ConnectionLimitState(
            in_force=self.in_force, maximum=self.maximum, reason=self._reason if self.in_force < self.maximum else ""
        )
        self._gauge.set(state.in_force)
        detail = f"{state.in_force} of {state.maximum} connections are in force"
        get_logger().warning("connections_changed", relay=self._relay, detail=detail, reason=state.reason)
        self.on_change(state)


def is_about_connections(words: str) -> bool:
    """Return True if a refusal is about too many connections, not about too many mails on one or their rate."""
    return _TOO_MANY.search(words.casefold()) is not None
