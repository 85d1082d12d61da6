"""Delivering one mail through the relay; a dropped connection is replaced once, and never blamed on the mail."""

import time

from notifier.outcomes import Deferred, NotTried, Outcome
from notifier.settings import SmtpSettings
from notifier.smtp.connect import RelayUnreachableError
from notifier.smtp.mail import BeforeBody, Dropped, Mail
from notifier.smtp.pool import Announcing, LeftBehindError, SessionPool
from notifier.smtp.transaction import Transaction

# Seconds: a timer may ring early by the grain of its clock (a millisecond under uvloop), and what is left then is no
# time for another connection.
TOO_LITTLE = 0.01


class Transport:
    """The way to one relay."""

    def __init__(self, settings: SmtpSettings, announcing: Announcing = Announcing()) -> None:  # noqa: B008 - frozen
        self.relay = settings.host
        self.connections = settings.max_connections
        self._pool = SessionPool(settings, announcing)
        self._aborted = False

    async def send(self, mail: Mail, *, seconds: float, before_body: BeforeBody) -> Outcome:
        """Try to deliver within `seconds`. Never raises for what the relay or the network does.

        `before_body` is called once for each connection on which the mail is tried, at the moment at which DATA is
        said; no body is begun without the permit that it returns, and what it raises is raised here.
        """
        until = time.monotonic() + seconds
        dropped: Dropped | None = None
        while not self._aborted and (dropped is None or until - time.monotonic() > TOO_LITTLE):
            transaction = Transaction(mail, deadline=until, before_body=before_body)
            fresh = dropped is not None
            try:
                async with self._pool.session(fresh=fresh, transaction=transaction) as session:
                    if self._aborted:  # while a connection was opened for it
                        break
                    result = await session.carry(transaction)
            except LeftBehindError:
                continue
            except RelayUnreachableError as error:
                return _after(dropped) if dropped and dropped.answered else error.outcome
            if not isinstance(result, Dropped):
                return result
            if transaction.announced and not result.answered:
                self._pool.announce_later()
            dropped = result if dropped is None or result.answered else dropped
            if fresh:
                break
        if dropped is None or self._aborted:
            return NotTried(detail="stopped before the mail was handed over")
        return _after(dropped)

    async def probe(self) -> NotTried | None:
        """Connect, protect and log in without sending; None if all is well."""
        try:
            async with self._pool.session(fresh=True):
                return None
        except RelayUnreachableError as error:
            return error.outcome

    def abort(self) -> None:
        """Cut the transactions that are under way; a mail whose dot has not left is surely unsent, and not tried."""
        self._aborted = True
        self._pool.abort()

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()


def _after(dropped: Dropped) -> Deferred | NotTried:
    """An attempt only if a reply to MAIL FROM was read."""
    if dropped.answered:
        return Deferred(phase=dropped.phase, detail=dropped.detail, claim=dropped.claim)
    return NotTried(detail=f"the relay closed the connection: {dropped.detail}", claim=dropped.claim)
