"""One connection to a relay: opening it (TCP, TLS, EHLO, AUTH) and one mail transaction at a time on it.

aiosmtplib connects, negotiates TLS and authenticates. The transaction is driven command by command, because the
library raises the same exception before and after the final dot, and that difference decides whether a mail may be
sent again. After any exception the connection is closed and never used again.
"""

import asyncio
import re
import ssl
import time
from dataclasses import dataclass

import aiosmtplib
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_random_exponential

from notifier.errors import NotifierError
from notifier.outcomes import Accepted, NotTried, Outcome, Phase, Refused, Rejected, Uncertain
from notifier.settings import Security, SmtpSettings
from notifier.smtp import replies

STEP_SECONDS = 10.0  # connecting, and each step of opening
OPEN_SECONDS = 30.0
CONNECT_TRIES = 3
LAST_TRY_AFTER = 10.0
COMMAND_SECONDS = {Phase.MAIL: 60.0, Phase.RCPT: 60.0, Phase.DATA: 120.0}
DOT_SECONDS = 600.0  # RFC 5321 §4.5.3.2.6
SLOWEST_BYTES_PER_SECOND = 32 * 1024
_OK, _FORWARD, _START_INPUT = 250, 251, 354
_LEADING_DOT = re.compile(rb"^\.", re.MULTILINE)
_AUTH_PREFERENCE = ("plain", "login", "cram-md5")


@dataclass(frozen=True, kw_only=True)
class Mail:
    """What one transaction carries: envelope and finished bytes."""

    sender: str
    recipient: str
    wire: bytes  # canonical CRLF, not yet dot-stuffed


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """The connection ended before the final dot was written: the mail is surely not sent."""

    phase: Phase
    answered: bool  # a reply to MAIL FROM had been read, so this was an attempt
    detail: str


class RelayUnreachableError(NotifierError):
    """No usable connection to the relay."""

    def __init__(self, outcome: NotTried) -> None:
        self.outcome = outcome
        super().__init__(outcome.detail)


class Session:
    """An open, authenticated connection."""

    def __init__(self, client: aiosmtplib.SMTP) -> None:
        self._client = client
        self.opened_at = self.used_at = time.monotonic()
        self.sent = 0

    @property
    def usable(self) -> bool:
        """False once the connection was closed, by either side."""
        return self._client.is_connected

    @property
    def size_limit(self) -> int | None:
        """The relay's SIZE in octets (RFC 1870); None if it gives none."""
        value = self._client.esmtp_extensions.get("size", "")
        return int(value) if value.isdigit() and int(value) > 0 else None

    async def send(self, mail: Mail, *, seconds: float) -> Outcome | Dropped:
        """One transaction, finished or given up within `seconds`; the session may be unusable afterwards."""
        self.used_at = time.monotonic()
        if self.size_limit is not None and len(mail.wire) > self.size_limit:
            detail = f"{len(mail.wire)} octets, and the relay takes {self.size_limit}"
            return Rejected(phase=Phase.MAIL, refused=Refused.SIZE, detail=detail)
        transaction = _Transaction(self._client, mail, deadline=time.monotonic() + seconds)
        try:
            result = await transaction.run()
        finally:
            if not transaction.clean:
                _cut(self._client)
        self.sent += 1
        return result

    async def quit(self) -> None:
        """Say goodbye if there is someone to say it to."""
        try:
            async with asyncio.timeout(1):
                await self._client.quit()
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError):
            pass
        finally:
            self._client.close()

    def abort(self) -> None:
        """Close at once; a transaction on it ends as it would on a dropped connection."""
        _cut(self._client)


def _cut(client: aiosmtplib.SMTP) -> None:
    """Close now: a plain close goes on writing what is buffered, so a mail that was given up might still arrive."""
    if isinstance(client.transport, asyncio.WriteTransport):
        client.transport.abort()
    client.close()


class _Transaction:
    """MAIL, RCPT, DATA and the body for one mail; knows at each moment whether the dot may have left."""

    def __init__(self, client: aiosmtplib.SMTP, mail: Mail, *, deadline: float) -> None:
        self._client = client
        self._mail = mail
        self._deadline = deadline
        self._answered = False
        self._phase = Phase.MAIL
        self.clean = False  # the connection stands between two transactions, in step

    async def run(self) -> Outcome | Dropped:
        try:
            refused = (
                await self._command(
                    Phase.MAIL, b"MAIL", b"FROM:<" + self._mail.sender.encode() + b">", *self._options()
                )
                or await self._command(Phase.RCPT, b"RCPT", b"TO:<" + self._mail.recipient.encode() + b">")
                or await self._command(Phase.DATA, b"DATA")
            )
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            return Dropped(phase=self._phase, answered=self._answered, detail=_words(error))
        if refused is not None:
            return refused
        return await self._body()

    def _options(self) -> list[bytes]:
        """SIZE where the relay offers it (RFC 1870 §5), SMTPUTF8 where an address needs it (RFC 6531 §3.4)."""
        options = [f"SIZE={len(self._mail.wire)}".encode()] if self._client.supports_extension("size") else []
        if not (self._mail.sender + self._mail.recipient).isascii():
            options.append(b"SMTPUTF8")
        return options

    async def _command(self, phase: Phase, *words: bytes) -> Outcome | Dropped | None:
        """One command; None if the relay agreed, else what its refusal means."""
        self._phase = phase
        timeout = min(COMMAND_SECONDS[phase], self._deadline - time.monotonic())
        if timeout <= 0:
            return Dropped(phase=phase, answered=self._answered, detail="no time left")
        code, text = await self._client.execute_command(*words, timeout=timeout)
        reply = replies.parse(code, text)
        if code == replies.CLOSING:
            return Dropped(phase=phase, answered=self._answered, detail=str(reply))
        self._answered = True
        if self._out_of_step():
            return Dropped(phase=phase, answered=True, detail=f"more than one reply: {reply}")
        if code == _START_INPUT if phase is Phase.DATA else code in (_OK, _FORWARD):
            return None
        if not 400 <= code < 600:  # noqa: PLR2004 - neither yes nor no: out of step, so the connection goes
            return Dropped(phase=phase, answered=True, detail=f"unexpected reply: {reply}")
        await self._reset()
        return replies.judge(phase, reply)

    async def _body(self) -> Outcome | Dropped:  # noqa: PLR0911 - one return for each way in which it can end
        """The body and the final dot; from the first byte on, silence means `Uncertain`."""
        self._phase = Phase.BODY
        protocol = self._client.protocol
        if protocol is None:
            return Dropped(phase=Phase.DATA, answered=True, detail="connection lost before the body")
        wire = _LEADING_DOT.sub(b"..", self._mail.wire) + b".\r\n"
        timeout = min(DOT_SECONDS + len(wire) / SLOWEST_BYTES_PER_SECOND, self._deadline - time.monotonic())
        try:
            protocol.write(wire)
        except aiosmtplib.SMTPServerDisconnected as error:
            return Dropped(phase=Phase.DATA, answered=True, detail=_words(error))
        try:
            code, text = await protocol.read_response(timeout=max(timeout, 0.001))
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            return Uncertain(detail=f"no reply to the final dot: {_words(error)}")
        reply = replies.parse(code, text)
        if code == _OK:
            self.clean = not self._out_of_step()
            return Accepted(reply=reply)
        if code == replies.CLOSING:  # a definite reply: the relay did not take responsibility
            return Dropped(phase=Phase.BODY, answered=True, detail=str(reply))
        if not 400 <= code < 600:  # noqa: PLR2004
            return Uncertain(detail=f"unexpected reply to the final dot: {reply}")
        self.clean = True
        return replies.judge(Phase.BODY, reply)

    async def _reset(self) -> None:
        """RSET after a refusal, so that the connection can carry the next mail; if that fails, it cannot."""
        timeout = min(STEP_SECONDS, self._deadline - time.monotonic())
        if timeout <= 0:
            return
        try:
            response = await self._client.execute_command(b"RSET", timeout=timeout)
        except (aiosmtplib.SMTPException, OSError, TimeoutError):
            return
        self.clean = response.code == _OK

    def _out_of_step(self) -> bool:
        """True if the relay has said more than was asked: its next line must not be taken for the next reply."""
        protocol = self._client.protocol
        return protocol is not None and bool(protocol._buffer)  # noqa: SLF001 - the library offers no other way


async def open_session(settings: SmtpSettings, tls: ssl.SSLContext | None) -> Session:
    """Connect, protect and log in: up to three tries within ten seconds. Raises `RelayUnreachableError`.

    Only what may pass by itself is tried again; a wrong password or certificate is not, or the account gets locked.
    """
    retrying = AsyncRetrying(
        retry=retry_if_exception(_may_pass),
        stop=stop_after_attempt(CONNECT_TRIES) | stop_after_delay(LAST_TRY_AFTER),
        wait=wait_random_exponential(multiplier=0.05, max=1.0),
        reraise=True,
    )
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            return await retrying(_open_once, settings, tls)
    except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError) as error:
        outcome = NotTried(detail=_words(error), needs_person=_needs_person(error))
        raise RelayUnreachableError(outcome) from error


async def _open_once(settings: SmtpSettings, tls: ssl.SSLContext | None) -> Session:
    client = aiosmtplib.SMTP(
        hostname=settings.host,
        port=settings.port,
        use_tls=settings.effective_security is Security.TLS,
        start_tls=settings.effective_security is Security.STARTTLS,
        tls_context=tls,
        local_hostname=settings.helo_name,
        timeout=STEP_SECONDS,
    )
    try:
        await client.connect()
        if client.is_ehlo_or_helo_needed:
            await client.ehlo()
        await _log_in(client, settings)
    except BaseException:
        client.close()
        raise
    return Session(client)


async def _log_in(client: aiosmtplib.SMTP, settings: SmtpSettings) -> None:
    """AUTH by the best mechanism offered, once: trying each in turn would triple the failures the relay counts."""
    if settings.username is None or settings.password is None:
        return
    offered = [name for name in _AUTH_PREFERENCE if name in client.server_auth_methods]
    if not offered:
        raise aiosmtplib.SMTPNotSupported("the relay offers no AUTH mechanism that we know")
    authenticate = {"plain": client.auth_plain, "login": client.auth_login, "cram-md5": client.auth_crammd5}
    await authenticate[offered[0]](settings.username, settings.password.get_secret_value())


def _may_pass(error: BaseException) -> bool:
    """An allow-list of what is worth another try at once; cancellation is never on it."""
    if _needs_person(error):
        return False
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return 400 <= error.code < 500  # noqa: PLR2004
    return isinstance(error, (aiosmtplib.SMTPConnectError, aiosmtplib.SMTPServerDisconnected))


def _needs_person(error: BaseException) -> bool:
    """True for a wrong password, a bad certificate or a missing STARTTLS: no waiting mends these."""
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return error.code >= 500  # noqa: PLR2004 - 4yz to AUTH passes by itself (RFC 4954 §6)
    if isinstance(error, (aiosmtplib.SMTPNotSupported, ssl.SSLError)):
        return True
    cause = error.__cause__ or error.__context__
    if isinstance(cause, ssl.SSLError):
        return True
    return type(error) is aiosmtplib.SMTPException  # the library's word for a missing extension


def _words(error: BaseException) -> str:
    """An error as one line for a person."""
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return str(replies.parse(error.code, str(error.message)))
    if isinstance(error, TimeoutError) and not str(error):
        return "timed out"
    return replies.parse(0, str(error)).text or type(error).__name__
