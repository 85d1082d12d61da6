"""The SMTP server of the inbox: accepts every mail and puts it into the store.

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
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from notifier.inbox.message_store import MessageStore
from notifier.inbox.received_message import ReceivedMessage

INBOX_HOSTNAME = "inbox.notifier"
MAX_MESSAGE_BYTES = 25 * 1024 * 1024
_NULL_PATH = "<>"
_PATH = re.compile(r'\s*<((?:"(?:\\.|[^"\\])*"|[^">])*)>\s*(.*)', re.DOTALL)
_KNOWN_PARAMETERS = {"BODY", "SIZE", "SMTPUTF8"}


class SmtpReceiver:
    """An SMTP server on one listening socket."""

    def __init__(self, store: MessageStore) -> None:
        self._handler = _MailHandler(store)
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, listener: socket.socket) -> None:
        """Serve on a bound socket, which the server then owns."""
        # At INFO aiosmtpd logs every command with its addresses.
        logging.getLogger("mail.log").setLevel(logging.WARNING)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self._handler, self._connections), sock=listener)

    async def close(self) -> None:
        """Stop listening, drop the connections, and wait until their tasks have ended."""
        assert self._server is not None
        self._server.close()
        conversations = [connection.hang_up() for connection in self._connections]
        await asyncio.gather(*conversations, return_exceptions=True)


class _MailHandler:
    """The handler methods that aiosmtpd calls by name."""

    def __init__(self, store: MessageStore) -> None:
        self._store = store

    async def handle_EHLO(  # noqa: N802
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Offer pipelining, which works because commands are read from a stream one after the other."""
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]]

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
    """aiosmtpd's protocol, accepting any address, parameter, line length and password."""

    line_length_limit = MAX_MESSAGE_BYTES
    command_size_limit = MAX_MESSAGE_BYTES

    def __init__(self, handler: _MailHandler, connections: "set[_Connection]") -> None:
        super().__init__(
            handler,
            data_size_limit=MAX_MESSAGE_BYTES,
            enable_SMTPUTF8=True,
            hostname=INBOX_HOSTNAME,  # otherwise a DNS lookup for each connection
            ident="ESMTP Notifier inbox",
            auth_require_tls=False,
            authenticator=lambda *_: AuthResult(success=True),
            loop=asyncio.get_running_loop(),
        )
        # The base class has one dictionary for all connections and clears it at each new connection.
        self.command_size_limits = defaultdict(lambda: MAX_MESSAGE_BYTES)
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        super().connection_lost(error)

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
