"""Delivers one mail through the relay; a dropped connection is replaced once, and is never the mail's fault."""

import time

from notifier.outcomes import Accepted, Deferred, NotTried, Outcome, Phase, Scope
from notifier.settings import SmtpSettings
from notifier.smtp.connect import RelayUnreachableError
from notifier.smtp.connection_limit import is_about_connections
from notifier.smtp.mail import BeforeBody, Dropped, Mail
from notifier.smtp.pool import Announcing, LeftBehindError, SessionPool
from notifier.smtp.transaction import Transaction

TOO_LITTLE = 0.01
"""Seconds that a second connection needs at least. A timer may fire early by a millisecond (uvloop)."""


class Transport:
    """Sends mails through one relay."""

    def __init__(self, settings: SmtpSettings, announcing: Announcing = Announcing()) -> None:  # noqa: B008 - frozen
        self.relay = settings.host
        self.connections = settings.max_connections
        self._pool = SessionPool(settings, announcing)
        self.limit = self._pool.limit
        self._aborted = False

    async def send(self, mail: Mail, *, seconds: float, before_body: BeforeBody) -> Outcome:
        """Try to deliver within `seconds`. No error of the relay or the network is raised.

        `before_body` is called once for each connection on which the mail is tried, together with DATA. No body begins
        without the permit that it returns, and what it raises is raised here.
        """
        deadline = time.monotonic() + seconds
        dropped: Dropped | None = None
        while not self._aborted and (dropped is None or deadline - time.monotonic() > TOO_LITTLE):
            transaction = Transaction(mail, deadline=deadline, before_body=before_body)
            fresh = dropped is not None
            try:
                result = await self._carry(transaction, fresh=fresh)
            except LeftBehindError:
                continue
            except RelayUnreachableError as error:
                return _after(dropped) if dropped and dropped.answered else error.outcome
            if result is None:
                break
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

    async def _carry(self, transaction: Transaction, *, fresh: bool) -> Outcome | Dropped | None:
        """Try once on one connection; return None if stopped before. Raises `LeftBehindError` to try another one."""
        async with self._pool.session(fresh=fresh, transaction=transaction) as session:
            if self._aborted:  # while a connection was opened for it
                return None
            result = await session.carry(transaction)
            too_many = None if isinstance(result, Accepted) else _find_refused_connection(result)
            if too_many is not None:
                session.abort()  # this connection is one too many
        if too_many is None:
            return result
        if self._pool.refuse_one_more(too_many):
            raise LeftBehindError
        return result if isinstance(result, Dropped) else too_many

    async def probe(self) -> NotTried | None:
        """Connect, start TLS and log in without sending; return None if all is well."""
        try:
            async with self._pool.session(fresh=True):
                return None
        except RelayUnreachableError as error:
            return error.outcome

    def abort(self) -> None:
        """Cut running transactions; a mail whose final dot has not left is unsent and counts as not tried."""
        self._aborted = True
        self._pool.abort()

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()


def _find_refused_connection(result: Outcome | Dropped) -> NotTried | None:
    """Return the refusal if the mail was refused only because of too many connections, so another may carry it."""
    match result:
        case Dropped(phase=Phase.MAIL, answered=False, detail=words) | NotTried(scope=Scope.RELAY, detail=words):
            pass
        case Deferred(phase=Phase.MAIL, reply=reply):
            words = str(reply)
        case _:
            return None
    return NotTried(detail=words) if is_about_connections(words) else None


def _after(dropped: Dropped) -> Deferred | NotTried:
    """Build the outcome of a dropped connection: an attempt only if a reply to MAIL was read."""
    if dropped.answered:
        return Deferred(phase=dropped.phase, detail=dropped.detail, claim=dropped.claim)
    return NotTried(detail=f"the relay closed the connection: {dropped.detail}", claim=dropped.claim)
