"""One open, authenticated connection to a relay. It carries one mail at a time, and none after any failure."""

import math
import time
from collections.abc import Callable

from notifier.outcomes import Outcome
from notifier.smtp.line_protocol import LineProtocol
from notifier.smtp.mail_transaction import RelayFeatures, SmtpTransaction
from notifier.smtp.outgoing_mail import DroppedConnection, OutgoingMail, RequestPermit

QUIT_TIMEOUT_SECONDS = 1.0


class SmtpSession:
    """A connection in the pool. It becomes unusable when the relay says anything unasked, or closes."""

    def __init__(self, protocol: LineProtocol, features: RelayFeatures) -> None:
        self._protocol = protocol
        self._features = features
        self.opened_at = self.used_at = time.monotonic()
        self.mail_count = 0
        self.last_seconds = math.inf  # seconds that the last mail took
        self.get_next: Callable[[], SmtpTransaction | None] = _has_no_next

    @property
    def is_usable(self) -> bool:
        """False once either side has closed the connection, or between a command and its reply."""
        return self._protocol.is_idle

    @property
    def is_connected(self) -> bool:
        """True until the connection is lost or closing."""
        return self._protocol.is_connected

    @property
    def size_limit(self) -> int | None:
        """The relay's SIZE in bytes (RFC 1870); None if it gives none."""
        return self._features.size_limit

    def set_on_lost(self, call: Callable[[], None]) -> None:
        """Register what is called when the connection is lost."""
        self._protocol.on_lost = call

    async def send(
        self, mail: OutgoingMail, *, seconds: float, before_body: RequestPermit
    ) -> Outcome | DroppedConnection:
        """Send one mail within `seconds`, or until the permit ends; raises what `before_body` raises.

        The session may be unusable afterwards.
        """
        deadline = time.monotonic() + seconds
        return await self.run_transaction(SmtpTransaction(mail, deadline=deadline, before_body=before_body))

    async def run_transaction(self, transaction: SmtpTransaction) -> Outcome | DroppedConnection:
        """Run a transaction that exists already, and may have been announced."""
        started = time.monotonic()
        result = await transaction.run(self._protocol, self._features, announce_next=self._announce_next)
        self.mail_count += 1
        self.used_at = time.monotonic()
        self.last_seconds = self.used_at - started
        return result

    def _announce_next(self) -> bytes:
        """Return the envelope of the next mail, if one waits and the relay accepts it now."""
        transaction = self.get_next() if self._features.pipelining else None
        return transaction.announce(self._features) if transaction is not None else b""

    async def quit(self) -> None:
        """Send QUIT if the connection is usable, and wait until the relay has closed its side.

        Until then the relay may count the connection among those of this client.
        """
        try:
            if self.is_usable:
                self._protocol.set_deadline(QUIT_TIMEOUT_SECONDS)
                self._protocol.send_command(b"QUIT\r\n")
                while await self._protocol.read_reply() is not None:
                    pass
        finally:
            self.abort()

    def abort(self) -> None:
        """Close at once; a running transaction ends as on a dropped connection."""
        self._protocol.disconnect("stopped")


def _has_no_next() -> None:
    """Return None: no mail waits."""
