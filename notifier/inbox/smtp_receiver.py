"""The SMTP server of the inbox: puts every mail into the store, unless chaos is on and strikes.

It runs in the current event loop, and `close` leaves no connection and no task behind.
"""

import asyncio
import logging
import re
import secrets
import socket
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from notifier.inbox.message_store import MessageStore
from notifier.inbox.received_message import ReceivedMessage
from notifier.inbox.smtp_chaos import ChaosControl, SlowReader, write_slowly

INBOX_HOSTNAME = "inbox.notifier"
MAX_MESSAGE_BYTES = 25 * 1024 * 1024
_NULL_PATH = "<>"
_PATH = re.compile(r'\s*<((?:"(?:\\.|[^"\\])*"|[^">])*)>\s*(.*)', re.DOTALL)
_KNOWN_PARAMETERS = {"BODY", "SIZE", "SMTPUTF8"}


class SmtpReceiver:
    """An SMTP server on one listening socket."""

    def __init__(self, store: MessageStore, chaos: ChaosControl) -> None:
        self._chaos = chaos
        self._handler = _MailHandler(store, chaos)
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, listener: socket.socket) -> None:
        """Serve on a bound socket, which the server then owns."""
        # At INFO aiosmtpd logs every command with its addresses.
        logging.getLogger("mail.log").setLevel(logging.WARNING)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._build_protocol, sock=listener)

    def _build_protocol(self) -> asyncio.BaseProtocol:
        if self._chaos.refuses_connection():
            return _RefusedConnection()
        return _Connection(self._handler, self._chaos, self._connections)

    async def close(self) -> None:
        """Stop listening, drop the connections, and wait until their tasks have ended."""
        assert self._server is not None
        self._server.close()
        conversations = [connection.hang_up() for connection in self._connections]
        await asyncio.gather(*conversations, return_exceptions=True)


class _RefusedConnection(asyncio.Protocol):
    """A connection that ends without a greeting."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class _MailHandler:
    """The handler methods that aiosmtpd calls by name."""

    def __init__(self, store: MessageStore, chaos: ChaosControl) -> None:
        self._store = store
        self._chaos = chaos

    async def handle_EHLO(  # noqa: N802
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Offer pipelining, which works because commands are read from a stream one after the other."""
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]]

    async def handle_MAIL(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Accept the sender, or refuse it in MailHog's words."""
        if self._chaos.rejects_sender():
            return f"550 Invalid sender {_strip_null(address)}"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Accept the recipient, or refuse it in MailHog's words."""
        if self._chaos.rejects_recipient():
            return f"550 Invalid recipient {address}"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Store the mail and reply with its id, as MailHog does."""
        message = ReceivedMessage(
            id=secrets.token_urlsafe(16),
            received_at=datetime.now(UTC),
            helo=session.host_name or "",
            sender=_strip_null(envelope.mail_from or ""),
            recipients=tuple(_strip_null(recipient) for recipient in envelope.rcpt_tos),
            raw=bytes(envelope.original_content or b""),
        )
        self._store.add(message)
        return f"250 Ok: queued as {message.id}"


class _Connection(SMTP):
    """aiosmtpd's protocol, accepting any address, parameter, line length and password, unless chaos strikes."""

    line_length_limit = MAX_MESSAGE_BYTES
    command_size_limit = MAX_MESSAGE_BYTES

    def __init__(self, handler: _MailHandler, chaos: ChaosControl, connections: "set[_Connection]") -> None:
        super().__init__(
            handler,
            data_size_limit=MAX_MESSAGE_BYTES,
            enable_SMTPUTF8=True,
            hostname=INBOX_HOSTNAME,  # otherwise a DNS lookup for each connection
            ident="ESMTP Notifier inbox",
            auth_require_tls=False,
            authenticator=lambda *_: AuthResult(success=not chaos.rejects_login(), handled=False),
            loop=asyncio.get_running_loop(),
        )
        # The base class has one dictionary for all connections and clears it at each new connection.
        self.command_size_limits = defaultdict(lambda: MAX_MESSAGE_BYTES)
        self._connections = connections
        self._chaos = chaos
        self._speed = chaos.choose_speed()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        super().connection_lost(error)

    async def push(self, status: str | bytes) -> None:
        """Send one line of a reply. After the last line the connection may end, but not after the greeting."""
        line = status.encode("utf-8", "replace") if isinstance(status, str) else status
        if self._speed is None:
            await super().push(line)
        else:
            await write_slowly(self._writer, line + b"\r\n", self._speed)
        is_last = line[3:4] == b" " and not line.startswith(b"220 ")
        if is_last and self.transport is not None and self._chaos.disconnects():
            self.transport.close()

    def _cb_client_connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super()._cb_client_connected(reader, writer)
        if self._speed is not None:
            self._reader = cast("asyncio.StreamReader", SlowReader(reader, self._speed))

    def hang_up(self) -> "asyncio.Task[None]":
        """Drop the connection; returns its task, which then ends."""
        assert isinstance(self.transport, asyncio.WriteTransport)
        assert self._handler_coroutine is not None
        self.transport.abort()
        return self._handler_coroutine

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """Split into the path between the brackets, valid or not, and the parameters after it."""
        path = _PATH.match(arg)
        if path is None:
            address, _, rest = arg.partition(" ")
            return address, rest
        return path[1] or _NULL_PATH, path[2]

    def _getparams(self, params: Sequence[str]) -> dict[str, Any]:
        """Ignore unknown ESMTP parameters: some clients send AUTH= or RET= that were not offered."""
        pairs = [param.partition("=") for param in params]
        return {name: value if equals else True for name, equals, value in pairs if name in _KNOWN_PARAMETERS}


def _strip_null(path: str) -> str:
    return "" if path == _NULL_PATH else path
