"""How many connections the relay takes from this process: found by itself, below what the setting allows.

Many relays take five or ten from a client and answer `421 too many connections` to one more. The number falls to those
that stand when one is refused, and one more is tried after a wait that grows while it is refused again.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from notifier.outcomes import NotTried
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger

MAX_OPENING = 5
"""Connections that are opened at the same time, so that few are refused until the relay's number is known."""
MIN_WAIT = 5.0
"""Seconds from a refusal until one connection more is tried."""
MAX_WAIT = 600.0
"""Seconds between two connections that are tried in vain, at the most: six an hour."""
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
    """How many connections are in force, of how many that the setting allows."""

    in_force: int
    maximum: int
    reason: str  # why it fell, in the relay's words; empty while all that the setting allows are in force


LimitListener = Callable[[ConnectionLimitState], None]


def _ignore_change(_: ConnectionLimitState) -> None:
    """Nobody wants to know."""


class ConnectionLimit:
    """The number in force. `standing` are connections that are open and usable, `opening` those that may become so."""

    def __init__(self, relay: str, maximum: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.on_change: LimitListener = _ignore_change
        self.maximum = maximum
        self.in_force = maximum
        self._relay = relay
        self._monotonic = monotonic
        self._most_seen = 0  # connections that stood at the same time, since the last refusal
        self._wait = 0.0
        self._refused_at = float("-inf")  # monotonic, as are the next two
        self._more_from = float("-inf")  # when one more than the number in force may be tried
        self._none_until = float("-inf")  # no new connection at all while others stand
        self._reason = ""
        self._reported = maximum
        metrics.SMTP_CONNECTIONS.labels(relay, "maximum").set(maximum)
        self._gauge = metrics.SMTP_CONNECTIONS.labels(relay, "in_force")
        self._gauge.set(maximum)

    def get_max_open(self, standing: int) -> int:
        """The most connections that may be open, closing ones included."""
        is_due = self.in_force < self.maximum and standing >= self.in_force and self._monotonic() >= self._more_from
        return self.in_force + is_due

    def get_max_users(self, standing: int) -> int:
        """How many mails may have a connection or open one: the first is opened alone, and then a few at a time."""
        if standing == self.maximum or (standing and self._monotonic() < self._none_until):
            return standing
        opening = MAX_OPENING if standing else 1
        return min(standing + opening, self.get_max_open(standing))

    def was_exceeded(self, standing: int) -> bool:
        """True if the relay has taken one more than these before, so that a refusal is rather a moment's."""
        return standing < self._most_seen

    def record_opened(self, standing: int, opening: int = 0) -> None:
        """One more was taken."""
        self._most_seen = max(self._most_seen, standing)
        self.in_force = max(self.in_force, standing)
        self._report(opening)

    def record_refused(self, standing: int, outcome: NotTried, opening: int = 0) -> None:
        """One more was refused while these stood and worked."""
        now = self._monotonic()
        is_new = self.was_exceeded(standing) or now - self._refused_at > 2 * MAX_WAIT
        if is_new or now >= self._more_from:  # else it was begun before the refusal that is already counted
            self._wait = MIN_WAIT if is_new else min(self._wait * 2, MAX_WAIT)
            self._more_from = now + self._wait
        self._refused_at = now
        if outcome.needs_person:
            self._none_until = now + PERSON_WAIT
        self._most_seen = min(standing, self._most_seen)
        self.in_force = max(1, min(standing + opening, self.in_force))
        self._reason = outcome.detail
        self._report(opening)

    def _report(self, opening: int) -> None:
        """A figure, and a line in the log: for each change, not for each refusal."""
        if opening or self.in_force == self._reported:
            return
        self._reported = self.in_force
        number = ConnectionLimitState(
            in_force=self.in_force, maximum=self.maximum, reason=self._reason if self.in_force < self.maximum else ""
        )
        self._gauge.set(number.in_force)
        detail = f"{number.in_force} of {number.maximum} connections are in force"
        get_logger().warning("connections_changed", relay=self._relay, detail=detail, reason=number.reason)
        self.on_change(number)


def is_about_connections(words: str) -> bool:
    """True if a refusal says that there are too many connections, and not too many mails on one or too fast."""
    return _TOO_MANY.search(words.casefold()) is not None
