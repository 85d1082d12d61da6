"""A circuit breaker for a relay, or for one sender's address at it: open while nothing gets through.

A failed connection is a fact. A fault that the relay reports in a reply to one mail counts as a fact when several mails
confirm it; any accepted mail clears all reports, because the relay works.
"""

from uuid import UUID

import msgspec

from notifier import email_address
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


MIN_CONFIRMING_MAILS = 3
"""Mails to different recipients that must report a fault before it stops the relay."""
MIN_CONFIRMING_SENDER_MAILS = 2
"""Mails to different recipients that must report a fault before it stops their sender's address."""
MAX_REPORT_AGE_SECONDS = 900.0
"""Seconds for which a report counts, and for which services and recipients' domains count as active."""
MAX_REPORTS = 1000
"""Reports of one fault that are kept."""


class AttemptedMail(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The parts of a mail that tell its reports from those of other mails."""

    service: UUID | None
    sender: str  # of the envelope
    recipient: str  # the address that the relay got

    @property
    def recipient_domain(self) -> str:
        """The recipient's domain in its normal form."""
        return email_address.get_address_key(email_address.get_address_domain(self.recipient))


class _RecentSet:
    """The last two different keys, which show whether several are active."""

    def __init__(self) -> None:
        self._seen: dict[object, float] = {}

    def add(self, key: object, now: float) -> None:
        if key not in self._seen and len(self._seen) == 2:  # noqa: PLR2004
            del self._seen[min(self._seen, key=self._seen.__getitem__)]
        self._seen[key] = now

    def count_needed(self, now: float) -> int:
        """Return how many of them must have reported a fault: two where several are active."""
        return max(1, sum(now - seen_at <= MAX_REPORT_AGE_SECONDS for seen_at in self._seen.values()))


class RecentTraffic:
    """The services and recipients' domains whose mails were tried lately."""

    def __init__(self) -> None:
        self._services = _RecentSet()
        self._domains = _RecentSet()

    def add(self, mail: AttemptedMail, now: float) -> None:
        """Record a mail that was tried."""
        self._services.add(mail.service, now)
        self._domains.add(mail.recipient_domain, now)

    def is_spread(self, mails: list[AttemptedMail], now: float) -> bool:
        """Return True if the mails are of several services and domains, or no others are active."""
        services, domains = {mail.service for mail in mails}, {mail.recipient_domain for mail in mails}
        return len(services) >= self._services.count_needed(now) and len(domains) >= self._domains.count_needed(now)


class FaultReports:
    """The faults that mails to different recipients reported. Times are monotonic seconds."""

    def __init__(self, min_mails: int, traffic: RecentTraffic | None = None) -> None:
        self._min_mails = min_mails
        self._traffic = traffic
        self._reports: dict[object, dict[str, tuple[AttemptedMail, float]]] = {}  # by fault, then by recipient

    def add(self, fault: object, mail: AttemptedMail, now: float) -> bool:
        """Record that this mail reported a fault; return True if enough mails did, so that it is a fact."""
        reports = self._reports.setdefault(fault, {})
        reports.pop(mail.recipient, None)
        reports[mail.recipient] = (mail, now)
        while len(reports) > MAX_REPORTS or now - next(iter(reports.values()))[1] > MAX_REPORT_AGE_SECONDS:
            del reports[next(iter(reports))]
        mails = [mail for mail, _ in reports.values()]
        return len(mails) >= self._min_mails and (self._traffic is None or self._traffic.is_spread(mails, now))

    def clear(self) -> None:
        """Forget all reports, because a mail was accepted."""
        if self._reports:
            self._reports = {}
