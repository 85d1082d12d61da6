"""One open, authenticated connection to a relay, and how it is opened: TCP, TLS, EHLO and AUTH by aiosmtplib.

The library cannot pipeline, and raises the same exception before and after the final dot, so that our session takes
over its transport. A session carries one mail at a time, and none after any failure.
"""

import asyncio
import math
import ssl
import time
from collections.abc import Callable
from typing import cast

import aiosmtplib
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_random_exponential

from notifier.errors import ConfigurationError, NotifierError
from notifier.outcomes import NotTried, Outcome
from notifier.smtp import reply_meaning
from notifier.smtp.line_protocol import LineProtocol, RelayFeatures
from notifier.smtp.mail_transaction import DroppedConnection, OutgoingMail, RequestPermit, SmtpTransaction
from notifier.smtp_settings import SmtpSecurity, SmtpSettings
from notifier.telemetry.logging import get_logger
from notifier.trusted_certificates import SMTP_VARIABLE, build_tls_context

QUIT_TIMEOUT_SECONDS = 1.0


class SmtpSession:
    """A connection in the pool. It becomes unusable when the relay says anything unasked, or closes."""

    def __init__(self, protocol: LineProtocol, features: RelayFeatures) -> None:
        self._protocol = protocol
        self._features = features
        self.opened_at = self.used_at = time.monotonic()
        self.mail_count = 0
        self.last_seconds = math.inf  # seconds that the last mail took
        self.get_next: Callable[[], SmtpTransaction | None] = lambda: None

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


STEP_TIMEOUT_SECONDS = 10.0  # connecting, and each step of opening
OPEN_TIMEOUT_SECONDS = 30.0
MAX_CONNECT_TRIES = 3
MAX_RETRY_SECONDS = 10.0
_EXPECTED = (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError, ConfigurationError, MemoryError)
_AUTH_PREFERENCE = ("plain", "login", "cram-md5")


class RelayUnreachableError(NotifierError):
    """No usable connection to the relay."""

    def __init__(self, outcome: NotTried) -> None:
        self.outcome = outcome
        super().__init__(outcome.detail)


class SmtpConnector:
    """Opens connections to one relay. The trusted certificates are read at the first one, and again after a failure."""

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._tls: ssl.SSLContext | None = None  # shared, because loading the certificates is slow

    async def open_session(self, *, tries: int = MAX_CONNECT_TRIES) -> SmtpSession:
        """Connect, start TLS and log in, with up to `tries` tries within ten seconds. Raises `RelayUnreachableError`.

        Nothing else is raised, because no failure here is the fault of a mail. Only failures that may pass by
        themselves are tried again: repeating a wrong password could lock the account.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception(_may_pass),
            stop=stop_after_attempt(tries) | stop_after_delay(MAX_RETRY_SECONDS),
            wait=wait_random_exponential(multiplier=0.05, max=1.0),
            reraise=True,
        )
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_SECONDS):
                if self._tls is None and self._settings.effective_security is not SmtpSecurity.NONE:
                    self._tls = await asyncio.to_thread(build_tls_context, self._settings.ca_file, SMTP_VARIABLE)
                return await retrying(_open_once, self._settings, self._tls)
        except Exception as error:
            needs_person = _needs_person(error)
            if needs_person:
                self._tls = None  # the person who mends it may replace the file
            if not isinstance(error, _EXPECTED):
                get_logger().exception("connecting_failed", relay=self._settings.host, error=type(error).__name__)
            outcome = NotTried(detail=_describe_error(error), needs_person=needs_person)
            raise RelayUnreachableError(outcome) from error


async def _open_once(settings: SmtpSettings, tls: ssl.SSLContext | None) -> SmtpSession:
    client = aiosmtplib.SMTP(
        hostname=settings.host,
        port=settings.port,
        use_tls=settings.effective_security is SmtpSecurity.TLS,
        start_tls=settings.effective_security is SmtpSecurity.STARTTLS,
        tls_context=tls,
        local_hostname=settings.helo_name,
        timeout=STEP_TIMEOUT_SECONDS,
    )
    try:
        await client.connect()
        if client.is_ehlo_or_helo_needed:
            await client.ehlo()
        await _log_in(client, settings)
        return _take_over(client)
    except BaseException:
        client.close()
        raise


async def _log_in(client: aiosmtplib.SMTP, settings: SmtpSettings) -> None:
    """Log in with the best mechanism offered, once: trying each would triple the failures that the relay counts."""
    if settings.username is None or settings.password is None:
        return
    offered = [name for name in _AUTH_PREFERENCE if name in client.server_auth_methods]
    if not offered:
        raise aiosmtplib.SMTPNotSupported("the relay offers no AUTH mechanism that we know")
    authenticate = {"plain": client.auth_plain, "login": client.auth_login, "cram-md5": client.auth_crammd5}
    await authenticate[offered[0]](settings.username, settings.password.get_secret_value())


def _take_over(client: aiosmtplib.SMTP) -> SmtpSession:
    """Make a session of the client's connection, and take it from the client, so that it cannot close ours."""
    transport, protocol = client.transport, client.protocol
    if transport is None or protocol is None or transport.is_closing():
        raise aiosmtplib.SMTPServerDisconnected("Connection lost")
    if protocol._buffer:  # noqa: SLF001 - the only way to see what the library has read ahead
        raise aiosmtplib.SMTPServerDisconnected("the relay said more than was asked")
    line_protocol = LineProtocol(cast("asyncio.Transport", transport))  # uvloop's transport is of another class
    features = _read_features(client)
    transport.set_protocol(line_protocol)
    client.transport = client.protocol = None
    return SmtpSession(line_protocol, features)


def _read_features(client: aiosmtplib.SMTP) -> RelayFeatures:
    """Read the features from the last EHLO; the library has put the keywords in lower case."""
    size = client.esmtp_extensions.get("size", "")
    return RelayFeatures(
        pipelining=client.supports_extension("pipelining"),
        supports_size=client.supports_extension("size"),
        size_limit=int(size) if size.isascii() and size.isdigit() and int(size) > 0 else None,
    )


def _may_pass(error: BaseException) -> bool:
    """Return True for errors worth another try at once. It is an allow-list; cancellation is never on it."""
    if _needs_person(error):
        return False
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return 400 <= error.code < 500  # noqa: PLR2004
    return isinstance(error, (aiosmtplib.SMTPConnectError, aiosmtplib.SMTPServerDisconnected))


def _needs_person(error: BaseException) -> bool:
    """Return True for a wrong password, a bad certificate or a missing STARTTLS, which waiting does not mend."""
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return error.code >= 500  # noqa: PLR2004 - 4yz to AUTH passes by itself (RFC 4954 §6)
    if isinstance(error, (aiosmtplib.SMTPNotSupported, ssl.SSLError, ConfigurationError, UnicodeError)):
        return True
    cause = error.__cause__ or error.__context__
    if isinstance(cause, ssl.SSLError):
        return True
    return type(error) is aiosmtplib.SMTPException  # the library raises this for a missing extension


def _describe_error(error: BaseException) -> str:
    """Describe an error in one line for a person."""
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return str(reply_meaning.parse_reply(error.code, str(error.message)))
    if isinstance(error, TimeoutError) and not str(error):
        return "timed out"
    words = reply_meaning.parse_reply(0, str(error)).text
    return words or type(error).__name__ if isinstance(error, _EXPECTED) else f"{type(error).__name__}: {words}"
