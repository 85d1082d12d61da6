"""One open, authenticated connection to a relay. It carries one mail at a time, and none after any failure."""

import math
import time
from collections.abc import Callable

from notifier.outcomes import Outcome
from notifier.smtp.mail import BeforeBody, Dropped, Mail
from notifier.smtp.transaction import Offer, Transaction
from notifier.smtp.wire import Wire

QUIT_SECONDS = 1.0


class Session:
    """A connection in the pool. It becomes unusable when the relay says anything unasked, or closes."""

    def __init__(self, wire: Wire, offer: Offer) -> None:
        self._wire = wire
        self._offer = offer
        self.opened_at = self.used_at = time.monotonic()
        self.sent = 0
        self.took = math.inf  # seconds that the last mail took
        self.ask_for_next: Callable[[], Transaction | None] = _nobody

    @property
    def usable(self) -> bool:
        """False once either side has closed the connection, or between a command and its reply."""
        return self._wire.idle

    @property
    def stands(self) -> bool:
        """True until the connection is lost or closing."""
        return self._wire.stands

    @property
    def size_limit(self) -> int | None:
        """The relay's SIZE in bytes (RFC 1870); None if it gives none."""
        return self._offer.size_limit

    def when_lost(self, call: Callable[[], None]) -> None:
        """Register what is called when the connection is lost."""
        self._wire.on_lost = call

    async def send(self, mail: Mail, *, seconds: float, before_body: BeforeBody) -> Outcome | Dropped:
        """Send one mail within `seconds`, or until the permit ends; raises what `before_body` raises.

        The session may be unusable afterwards.
        """
        deadline = time.monotonic() + seconds
        return await self.carry(Transaction(mail, deadline=deadline, before_body=before_body))

    async def carry(self, transaction: Transaction) -> Outcome | Dropped:
        """Run a transaction that exists already, and may have been announced."""
        started = time.monotonic()
        result = await transaction.run(self._wire, self._offer, announce_next=self._announce_next)
        self.sent += 1
        self.used_at = time.monotonic()
        self.took = self.used_at - started
        return result

    def _announce_next(self) -> bytes:
        """Return the envelope of the next mail, if one waits and the relay accepts it now."""
        transaction = self.ask_for_next() if self._offer.pipelining else None
        return transaction.announce(self._offer) if transaction is not None else b""

    async def quit(self) -> None:
        """Send QUIT if the connection is usable, and wait until the relay has closed its side.

        Until then the relay may count the connection among those of this client.
        """
        try:
            if self.usable:
                self._wire.limit(QUIT_SECONDS)
                self._wire.command(b"QUIT\r\n")
                while await self._wire.answer() is not None:
                    pass
        finally:
            self.abort()

    def abort(self) -> None:
        """Close at once; a running transaction ends as on a dropped connection."""
        self._wire.lose("stopped")


def _nobody() -> None:
    """Return None: no mail waits."""
