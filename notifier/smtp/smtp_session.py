"""One open, authenticated connection to a relay: one mail at a time, and never again after anything went wrong."""

import math
import time
from collections.abc import Callable

from notifier.outcomes import Outcome
from notifier.smtp.line_protocol import LineProtocol
from notifier.smtp.outgoing_mail import DroppedConnection, OutgoingMail, RequestPermit
from notifier.smtp.transaction import RelayFeatures, SmtpTransaction

QUIT_TIMEOUT_SECONDS = 1.0


class SmtpSession:
    """What the pool keeps. It is unusable as soon as the relay says a word unasked, or closes."""

    def __init__(self, wire: LineProtocol, offer: RelayFeatures) -> None:
        self._wire = wire
        self._offer = offer
        self.opened_at = self.used_at = time.monotonic()
        self.mail_count = 0
        self.last_seconds = math.inf  # seconds, for the last mail
        self.get_next: Callable[[], SmtpTransaction | None] = _has_no_next

    @property
    def is_usable(self) -> bool:
        """False once the connection was closed by either side, or is between a command and its reply."""
        return self._wire.is_idle

    @property
    def is_connected(self) -> bool:
        """True until the connection is lost or closing."""
        return self._wire.is_connected

    @property
    def size_limit(self) -> int | None:
        """The relay's SIZE in octets (RFC 1870); None if it gives none."""
        return self._offer.size_limit

    def when_lost(self, call: Callable[[], None]) -> None:
        """Call it once the connection is lost, unless it already is."""
        self._wire.on_lost = call

    async def send(
        self, mail: OutgoingMail, *, seconds: float, before_body: RequestPermit
    ) -> Outcome | DroppedConnection:
        """One transaction, finished or given up within `seconds`, or when the permit says; raises what asking raised.

        The session may be unusable afterwards.
        """
        deadline = time.monotonic() + seconds
        return await self.run_transaction(SmtpTransaction(mail, deadline=deadline, before_body=before_body))

    async def run_transaction(self, transaction: SmtpTransaction) -> Outcome | DroppedConnection:
        """The same for one that was made before, and may have been announced."""
        started = time.monotonic()
        result = await transaction.run(self._wire, self._offer, whats_next=self._whats_next)
        self.mail_count += 1
        self.used_at = time.monotonic()
        self.last_seconds = self.used_at - started
        return result

    def _whats_next(self) -> bytes:
        """The envelope of the mail that is carried next, if one waits and the relay can hear it now."""
        transaction = self.get_next() if self._offer.pipelining else None
        return transaction.announce(self._offer) if transaction is not None else b""

    async def quit(self) -> None:
        """Say goodbye if there is someone to say it to, and wait until the relay has closed its side.

        Before that it may still count the connection among those of this client.
        """
        try:
            if self.is_usable:
                self._wire.set_deadline(QUIT_TIMEOUT_SECONDS)
                self._wire.send_command(b"QUIT\r\n")
                while await self._wire.read_reply() is not None:
                    pass
        finally:
            self.abort()

    def abort(self) -> None:
        """Close at once; a transaction on it ends as it would on a dropped connection."""
        self._wire.disconnect("stopped")


def _has_no_next() -> None:
    """Nobody waits."""
