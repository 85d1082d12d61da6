"""Deliver one mail through the relay; a dropped connection is replaced once and does not count against the mail."""

import time
from typing import NamedTuple

from notifier.outcomes import Accepted, Deferred, NotTried, OutageScope, Outcome, SmtpPhase
from notifier.smtp.connection_limit import is_about_connections
from notifier.smtp.mail_transaction import DroppedConnection, OutgoingMail, RequestPermit, SmtpTransaction
from notifier.smtp.relay_advice import find_advice
from notifier.smtp.session_pool import AnnounceLimits, ConnectionNotAssignedError, SessionPool
from notifier.smtp.smtp_session import RelayUnreachableError
from notifier.smtp_settings import SmtpSettings

MIN_RETRY_SECONDS = 0.01
"""Seconds that a second connection needs at least. A timer may fire early by a millisecond (uvloop)."""


class RelayFault(NamedTuple):
    """Why a relay cannot be used, and what to do; no advice if the reason says it."""

    detail: str
    advice: str | None


class SmtpTransport:
    """Sends mails through one relay."""

    def __init__(self, settings: SmtpSettings, announcing: AnnounceLimits = AnnounceLimits()) -> None:  # noqa: B008 - frozen
        self._settings = settings
        self.relay = settings.host
        self.connections = settings.max_connections
        self._pool = SessionPool(settings, announcing)
        self.limit = self._pool.limit
        self._aborted = False

    async def send(self, mail: OutgoingMail, *, seconds: float, before_body: RequestPermit) -> Outcome:
        """Try to deliver within `seconds`. No error of the relay or the network is raised.

        `before_body` is called once for each connection on which the mail is tried, together with DATA. No body begins
        without the permit that it returns, and what it raises is raised here.
        """
        deadline = time.monotonic() + seconds
        dropped: DroppedConnection | None = None
        while not self._aborted and (dropped is None or deadline - time.monotonic() > MIN_RETRY_SECONDS):
            transaction = SmtpTransaction(mail, deadline=deadline, before_body=before_body)
            fresh = dropped is not None
            try:
                result = await self._carry(transaction, fresh=fresh)
            except ConnectionNotAssignedError:
                continue
            except RelayUnreachableError as error:
                return _build_drop_outcome(dropped) if dropped and dropped.is_attempt else error.outcome
            if result is None:
                break
            if not isinstance(result, DroppedConnection):
                return result
            if transaction.is_announced and not result.is_attempt:
                self._pool.pause_announcing()
            dropped = result if dropped is None or result.is_attempt else dropped
            if fresh:
                break
        if dropped is None or self._aborted:
            return NotTried(detail="stopped before the mail was handed over")
        return _build_drop_outcome(dropped)

    async def _carry(self, transaction: SmtpTransaction, *, fresh: bool) -> Outcome | DroppedConnection | None:
        """Try once on one connection; return None if stopped before. Raises `ConnectionNotAssignedError`."""
        async with self._pool.acquire(fresh=fresh, transaction=transaction) as session:
            if self._aborted:  # while a connection was opened for it
                return None
            result = await session.run_transaction(transaction)
            too_many = None if isinstance(result, Accepted) else _find_refused_connection(result)
            if too_many is not None:
                session.abort()  # this connection is one too many
        if too_many is None:
            return result
        if self._pool.reduce_limit(too_many):
            raise ConnectionNotAssignedError
        return result if isinstance(result, DroppedConnection) else too_many

    async def probe(self) -> RelayFault | None:
        """Connect, start TLS and log in without sending; return None if all is well."""
        try:
            async with self._pool.acquire(fresh=True):
                return None
        except RelayUnreachableError as error:
            return RelayFault(error.outcome.detail, find_advice(error.__cause__, self._settings))

    def abort(self) -> None:
        """Cut running transactions; a mail whose final dot has not left is unsent and counts as not tried."""
        self._aborted = True
        self._pool.abort()

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()


def _find_refused_connection(result: Outcome | DroppedConnection) -> NotTried | None:
    """Return the refusal if it is only about too many connections, so that another one may carry the mail."""
    match result:
        case (
            DroppedConnection(phase=SmtpPhase.MAIL, is_attempt=False, detail=words)
            | NotTried(scope=OutageScope.RELAY, detail=words)
        ):
            pass
        case Deferred(phase=SmtpPhase.MAIL, reply=reply):
            words = str(reply)
        case _:
            return None
    return NotTried(detail=words) if is_about_connections(words) else None


def _build_drop_outcome(dropped: DroppedConnection) -> Deferred | NotTried:
    if dropped.is_attempt:
        return Deferred(phase=dropped.phase, detail=dropped.detail, reported_fault=dropped.reported_fault)
    return NotTried(detail=f"the relay closed the connection: {dropped.detail}", reported_fault=dropped.reported_fault)
