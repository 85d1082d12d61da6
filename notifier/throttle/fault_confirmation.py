"""When what a relay says to single mails is a fact about something that they share: several of them were told it.

A claim alone stops nothing. Any mail that is accepted clears all claims: what is shared works, whatever was said.
"""

from uuid import UUID

import msgspec

from notifier import email_address

MIN_CONFIRMING_MAILS = 3
"""Mails to as many recipients that must be told the same before it stops the relay."""
MIN_CONFIRMING_SENDER_MAILS = 2
"""Mails to as many recipients that must be told the same before it stops their sender's address."""
MAX_REPORT_AGE_SECONDS = 900.0
"""Seconds for which a claim counts, and for which services and recipients' domains count as active."""
MAX_REPORTS = 1000
"""Claims about one thing that are kept; more make nothing surer."""


class AttemptedMail(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What tells one mail from another."""

    service: UUID | None
    sender: str  # the envelope's
    recipient: str  # the address that the relay was given

    @property
    def recipient_domain(self) -> str:
        """The recipient's domain, as it is compared."""
        return email_address.get_address_key(email_address.get_address_domain(self.recipient))


class _RecentSet:
    """Whether several were seen lately: the two that were seen last are enough to know."""

    def __init__(self) -> None:
        self._seen: dict[object, float] = {}

    def see(self, who: object, now: float) -> None:
        if who not in self._seen and len(self._seen) == 2:  # noqa: PLR2004
            del self._seen[min(self._seen, key=self._seen.__getitem__)]
        self._seen[who] = now

    def least(self, now: float) -> int:
        """How many of them must have heard a claim: two where several are active."""
        return max(1, sum(now - at <= MAX_REPORT_AGE_SECONDS for at in self._seen.values()))


class RecentTraffic:
    """The services and the recipients' domains whose mails were tried lately."""

    def __init__(self) -> None:
        self._services = _RecentSet()
        self._domains = _RecentSet()

    def add(self, mail: AttemptedMail, now: float) -> None:
        """This mail was tried."""
        self._services.see(mail.service, now)
        self._domains.see(mail.recipient_domain, now)

    def is_spread(self, mails: list[AttemptedMail], now: float) -> bool:
        """True if these are not all of one service or to one domain, unless nobody else is active."""
        services, domains = {mail.service for mail in mails}, {mail.recipient_domain for mail in mails}
        return len(services) >= self._services.least(now) and len(domains) >= self._domains.least(now)


class FaultReports:
    """What mails to different recipients were told about one thing that they share. Times are monotonic seconds."""

    def __init__(self, least: int, audience: RecentTraffic | None = None) -> None:
        self._least = least
        self._audience = audience
        self._told: dict[object, dict[str, tuple[AttemptedMail, float]]] = {}  # by what was said, then by recipient

    def add(self, said: object, mail: AttemptedMail, now: float) -> bool:
        """This mail was told so; True if enough others were told the same, so that it is a fact."""
        told = self._told.setdefault(said, {})
        told.pop(mail.recipient, None)
        told[mail.recipient] = (mail, now)
        while len(told) > MAX_REPORTS or now - next(iter(told.values()))[1] > MAX_REPORT_AGE_SECONDS:
            del told[next(iter(told))]
        mails = [mail for mail, _ in told.values()]
        return len(mails) >= self._least and (self._audience is None or self._audience.is_spread(mails, now))

    def clear(self) -> None:
        """A mail was accepted."""
        if self._told:
            self._told = {}
